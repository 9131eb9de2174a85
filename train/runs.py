"""What a finished or running training run says about itself: `ostinato runs show RUN`."""

from pathlib import Path
from typing import Any

from ostinato.train.checkpoint import Checkpoints


def show(workdir: Path) -> dict[str, Any]:
    """Returns the state of a run for people and scripts, ready for JSON.

    `step` and `params_sha256` are those of the latest checkpoint; losses are on the validation split, in nats per step,
    None where none was measured.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    with Checkpoints(workdir, read_only=True) as checkpoints:
        latest, best = checkpoints.latest_step, checkpoints.best_step
        assert latest is not None, "Checkpoints raises when there is none"
        assert best is not None, "the best is one of the checkpoints"
        description = checkpoints.describe(latest)
        best_sha256 = checkpoints.describe(best)["params_sha256"]
    progress = description["progress"]
    return {
        "workdir": str(workdir),
        "step": latest,
        "finished": progress["finished"],
        "params_sha256": description["params_sha256"],
        "best_step": best,
        "best_params_sha256": best_sha256,
        "initial_validation_loss": progress["initial_loss"],
        "best_validation_loss": progress["best_loss"],
        "last_validation_loss": progress["last_loss"],
        "dataset": description["dataset"],
        "config": description["config"],
        "versions": description["versions"],
    }
