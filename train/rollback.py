"""What becomes of an unstable run: it resumes from its latest checkpoint with a lower learning rate, or it ends."""

import logging
from pathlib import Path
from typing import Any

import jax

from ostinato.configs.errors import ExitCode, StoppedError
from ostinato.configs.schema import TrainConfig
from ostinato.train.checkpoint import Checkpoints
from ostinato.train.run_metadata import Progress
from ostinato.train.stability import UnstableError

logger = logging.getLogger(__name__)


class NonFiniteLossError(StoppedError):
    """The run stayed unstable; the same command would meet it again."""

    def __init__(self, message: str) -> None:
        """Takes the line."""
        super().__init__(message, exit_code=ExitCode.NON_FINITE)


def roll_back(
    trouble: UnstableError,
    config: TrainConfig,
    workdir: Path,
    checkpoints: Checkpoints,
    run: dict[str, Any],
    progress: Progress,
) -> Progress:
    """Returns the progress of the latest checkpoint, with a lower learning rate, and notes that in the run's history.

    Raises:
        NonFiniteLossError: the run has been rolled back as often as the configuration allows.
    """
    checkpoints.wait()  # for the one that may be on its way
    step = checkpoints.latest_step
    if progress.rollbacks >= config.rollbacks:
        where = "there is no checkpoint yet" if step is None else f"the latest checkpoint is of step {step}"
        raise NonFiniteLossError(
            f"{trouble}; {where}; the run was rolled back {progress.rollbacks} times; "
            f"try a lower learning rate than {config.optimizer.learning_rate:g}"
        ) from trouble
    factor, number = progress.learning_rate_factor * config.rollback_factor, progress.rollbacks + 1
    saved = Progress() if step is None else Progress(**checkpoints.describe(step)["progress"])
    entry = {"step": saved.step, "event": "rolled back", "reason": str(trouble), "learning_rate_factor": factor}
    run["history"] = [*run["history"], entry]
    if jax.process_index() == 0:
        line = "%s: %s; back to step %d with %g of the learning rate (%d of %d times)"
        logger.warning(line, workdir, trouble, saved.step, factor, number, config.rollbacks)
    return saved._replace(rollbacks=number, learning_rate_factor=factor)
