"""What training runs say about themselves: `ostinato runs show RUN`, `ostinato runs FOLDER`."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from ostinato.configs.documents import read_document
from ostinato.configs.errors import UserError
from ostinato.train.checkpoint import Checkpoints, look
from ostinato.train.folders import CHECKPOINTS
from ostinato.train.lock import holder, is_locked
from ostinato.train.metrics import EVENTS, FILE, Event, read_lines
from ostinato.train.recovery import list_steps

State = Literal["running", "finished", "stopped", "died"]


def show(workdir: Path) -> dict[str, Any]:
    """Returns the state of a run for people and scripts, ready for JSON.

    `step` and `params_sha256` are those of the latest checkpoint; losses are on the validation split, in nats per step,
    None where none was measured. `history` says what was changed when the run was resumed, and when it was rolled back.

    Raises:
        CheckpointError: there is no checkpoint.
    """

    def read(checkpoints: Checkpoints) -> tuple[int, int, dict[str, Any], str]:
        latest, best = checkpoints.latest_step, checkpoints.best_step
        assert latest is not None, "Checkpoints raises when there is none"
        assert best is not None, "the best is one of the checkpoints"
        return latest, best, checkpoints.describe(latest), checkpoints.describe(best)["params_sha256"]

    latest, best, description, best_sha256 = look(workdir, read)
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
        "skipped": progress.get("skipped", 0),
        "dataset": description["dataset"],
        "init_from": description.get("init_from"),
        "old_dataset": description.get("old_dataset"),
        "mixture": description.get("mixture"),
        "config": description["config"],
        "versions": description["versions"],
        "history": description.get("history", []),
    }


class RunSummary(NamedTuple):
    """One run at a glance. What is not known yet is None."""

    workdir: Path
    state: State
    """died: its process ended without a word, and the same command resumes from the last checkpoint."""
    step: int
    """Of the last line of its log."""
    best_loss: float | None
    """Of the validation split, in nats per step."""
    best_step: int | None
    notes_per_s: float | None
    """Of the last line of its log."""
    saved_step: int | None
    """The latest checkpoint."""
    saved_s: float | None
    """When it was written, in seconds since 1970."""


def find_runs(folder: Path) -> list[Path]:
    """Returns the folders of all runs in a folder, itself included, at any depth."""
    marks = [*folder.glob(f"**/{FILE}"), *(path for path in folder.glob(f"**/{CHECKPOINTS}") if path.is_dir())]
    return sorted({path.parent for path in marks})


def summarise_run(workdir: Path) -> RunSummary:
    """Returns a run at a glance, from its log and the names of its checkpoints, while it may be at work."""
    lines = read_lines(workdir / FILE)
    measured = [line for line in lines if line.get("split") == "validation" and line["step"] > 0]
    losses = [(line["loss"], line["step"]) for line in measured if line.get("loss") is not None]
    best_loss, best_step = min(losses, default=(None, None))
    saved, saved_s = _latest(workdir)
    if is_locked(workdir):
        state: State = "running"
    elif saved is not None and _finished(saved):
        state = "finished"
    else:
        state = "stopped" if holder(workdir) is None else "died"
    return RunSummary(
        workdir=workdir,
        state=state,
        step=max((line["step"] for line in lines), default=0),
        best_loss=best_loss,
        best_step=best_step,
        notes_per_s=next((line["notes_per_s"] for line in reversed(lines) if "notes_per_s" in line), None),
        saved_step=int(saved.name) if saved else None,
        saved_s=saved_s,
    )


def training_seconds(workdir: Path) -> float | None:
    """Returns how long a run has been at work, by its log of events; None where it has none."""
    total, begin, last = 0.0, None, None
    for line in read_lines(workdir / EVENTS, Event):
        now = datetime.fromisoformat(line["time"])
        if line["event"] in ("began", "resumed"):
            total += (last - begin).total_seconds() if begin and last else 0.0
            begin = now
        last = now
    return total + (last - begin).total_seconds() if begin and last else None


def _latest(workdir: Path) -> tuple[Path | None, float | None]:
    """Returns the folder of the latest checkpoint, and when it was written."""
    for step in reversed(list_steps(workdir)):
        path = workdir / CHECKPOINTS / str(step)
        with suppress(FileNotFoundError):  # removed just now, for a later one
            return path, path.stat().st_mtime
    return (None, None) if not list_steps(workdir) else _latest(workdir)


class _Progress(TypedDict):
    finished: bool


class _Run(TypedDict):
    progress: _Progress


def _finished(checkpoint: Path) -> bool:
    try:
        return read_document(checkpoint / "run" / "metadata", _Run, is_python=True)["progress"]["finished"]
    except UserError:  # damaged, or removed just now: resuming the run will tell
        return False
