"""Which checkpoint a run resumes from: the newest one that is whole. Those that are damaged are set aside.

A checkpoint is on disk before it has its name, so after a power loss it is whole where the disk does what it says.
Where it does not (write caches, file systems on the network, failing disks) the run goes back by itself: what is lost
is the time since the checkpoint before, not a bit, for the same steps give the same numbers.

It stays an error when no checkpoint is whole, when the one that --from-step names is not, when one is of a later
version, and when files cannot be read for another reason than their content (rights, memory, a network that is away).
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import orbax.checkpoint as ocp

from ostinato.configs.documents import check_document, read_bounded
from ostinato.configs.errors import file_errors
from ostinato.data import durable
from ostinato.train.fingerprint import json_sha256, tree_sha256
from ostinato.train.folders import CHECKPOINTS, CheckpointError, DamagedError
from ostinato.train.orbax_threads import silence_late_errors, silence_unawaited_coroutines
from ostinato.train.run_document import Measured, Versioned, check_run
from ostinato.train.run_metadata import FORMAT

logger = logging.getLogger(__name__)

LOSS: Final = "validation_loss"
ITEMS = ("params", "opt", "carry")
DESCRIBED = ("config", "codec", "dataset", "progress", "arrays", "params_sha256")
"""What the description in a checkpoint of any format says."""
SET_ASIDE = "set-aside"
"""Where checkpoints are put that a run does not resume from."""
_NOT_DAMAGE = ("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Of TensorStore: reading failed, but not because of what is in the files."""


def list_steps(workdir: Path) -> list[int]:
    """Returns the steps of the checkpoints of a run, by the names of their folders."""
    return sorted(int(path.name) for path in (workdir / CHECKPOINTS).glob("*") if path.name.isdecimal())


def go_back(workdir: Path) -> None:
    """Sets checkpoints aside until the newest one is whole, and says so in a line; nothing is deleted.

    Raises:
        CheckpointError: there are checkpoints, and none is whole; then nothing is changed.
        UserError: the folder cannot be read or written to.
    """
    folder, damaged = workdir / CHECKPOINTS, list[DamagedError]()
    steps = list_steps(workdir)[::-1]
    checks: list[Callable[[Path], object]] = [check_checkpoint]
    for step in steps:
        try:
            checks[-1](folder / str(step))
            checks.append(read_loss)  # of those before the newest whole one no more is needed
        except DamagedError as error:
            damaged.append(error)
    if damaged and len(damaged) == len(steps):
        raise CheckpointError(
            f"{folder}: no checkpoint is whole; copy the folder before anything else is tried, or choose another "
            "--workdir:\n" + "\n".join(map(str, damaged))
        )
    if damaged:
        moved = [f"{_move(workdir, error.folder)} ({error.what})" for error in damaged]
        newest = list_steps(workdir)[-1]
        line = "%s: resumes from step %d, the newest checkpoint that is whole; set aside: %s"
        logger.warning(line, workdir, newest, ", ".join(moved))


def set_aside(workdir: Path, *, after: int) -> None:
    """Moves all checkpoints after a step into set-aside/, so that the run resumes from that step.

    Raises:
        CheckpointError: there is no checkpoint of that step, or it is damaged; then nothing is changed.
        UserError: the folder cannot be written to.
    """
    folder, steps = workdir / CHECKPOINTS, list_steps(workdir)
    if after not in steps:
        listed = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(f"{folder}: there is no checkpoint of step {after}, only of {listed}")
    check_checkpoint(folder / str(after))
    for step in (step for step in steps if step > after):
        logger.info("%s: set aside", _move(workdir, folder / str(step)))


def check_checkpoint(folder: Path) -> None:
    """Reads a checkpoint, all of it, and compares it with the digests in it; on this process alone.

    Raises:
        DamagedError: it is not whole.
        CheckpointError: it cannot be read for another reason, or is of a later format.
    """
    silence_late_errors()
    read_loss(folder)
    description = read_description(folder)
    for name in ITEMS:
        with reading(folder):
            handler: Any = ocp.PyTreeCheckpointHandler(multiprocessing_options=this_process_alone())
            item = (folder / name).absolute()  # or Orbax refuses it
            saved = handler.metadata(item).tree
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved)
            tree = handler.restore(item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
        check_digest(folder, name, tree, description)


def check_digest(folder: Path, name: str, tree: Any, description: dict[str, Any]) -> None:
    """Compares what was read of an item with what was saved.

    Raises:
        DamagedError: it is another.
    """
    saved = description.get(f"{name}_sha256")  # format 1 has none of the carry
    if saved is not None and tree_sha256(tree) != saved:
        raise DamagedError(folder, f"the bytes of '{name}' are not those that were saved")


def read_loss(folder: Path) -> float:
    """Returns the validation loss that a checkpoint is kept or removed by.

    Raises:
        DamagedError: it does not say so.
    """
    file = folder / "metrics/metrics"
    with reading(folder):
        return check_document(_read_json(file), Measured, where=file, error=CheckpointError)[LOSS]


def read_description(folder: Path) -> dict[str, Any]:
    """Returns the description that was saved with a checkpoint.

    Raises:
        DamagedError: it is not the one that was saved.
        CheckpointError: it is of a later format.
    """
    with reading(folder):
        description = dict(_read_json(folder / "run/metadata"))
    version = check_document(description, Versioned, where=folder / "run", error=CheckpointError).get("format", 1)
    if version > FORMAT:
        raise CheckpointError(
            f"{folder}: has format {version}, this version of ostinato reads up to {FORMAT}; "
            "install the version that wrote it"
        )
    seal = description.pop("sha256", None)
    if version > 1 and seal != json_sha256(description):
        raise DamagedError(folder, "the bytes of 'run' are not those that were saved")
    if missing := [name for name in DESCRIBED if name not in description]:
        raise DamagedError(folder, f"'run' does not say {', '.join(missing)}")
    check_run(description, where=folder / "run")
    step = description.get("step", description["progress"]["step"])  # format 1 has it in its progress alone
    if folder.name != str(step):
        raise DamagedError(folder, f"is that of step {step} by its description; its folder was renamed")
    return description


def _read_json(file: Path) -> Any:
    """Returns what a regular file of a checkpoint says, which is no link to somewhere else."""
    return json.loads(read_bounded(file, error=CheckpointError))


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns whatever Orbax, TensorStore and JSON raise over the files of a checkpoint into one error that says so.

    Raises:
        DamagedError: by their content.
        CheckpointError: for another reason.
    """
    try:
        yield
    except Exception as error:  # the type depends on which byte of which file is wrong
        silence_unawaited_coroutines()
        if isinstance(error, CheckpointError) and isinstance(error.__cause__, OSError):
            error = error.__cause__
        text = one_line(error)
        said = f"cannot be read ({type(error).__name__}: {text})"
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        is_other = isinstance(error, OSError | MemoryError) and not is_missing
        if is_other or any(word in text for word in _NOT_DAMAGE):
            raise CheckpointError(f"{folder}: {said}") from error
        raise DamagedError(folder, said) from error


def one_line(error: BaseException) -> str:
    """Returns what an error says, without the many lines that TensorStore adds."""
    return " ".join(str(error).split())[:300]


def this_process_alone() -> ocp.options.MultiprocessingOptions:
    """Returns the options with which Orbax waits for no other process of the run."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )


def _move(workdir: Path, checkpoint: Path) -> Path:
    """Moves a checkpoint into set-aside/ and returns where it is."""
    target = workdir / SET_ASIDE / checkpoint.name
    while target.exists():
        target = target.with_name(f"{target.name}-")
    with file_errors(workdir / SET_ASIDE):
        durable.make_folders(target.parent)
        checkpoint.rename(target)
        for folder in (target.parent, checkpoint.parent):
            durable.sync_folder(folder)
    return target
