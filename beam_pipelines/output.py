"""Where a job writes, so that a folder with the dataset's name is whole.

On this machine everything is written to `<output>.partial`, which is renamed at the end, when all of it is on disk
(`data.durable`); where a dataset is there that is replaced, the two change names. The little that is left of the work
folder then, which says for which job it was, goes last: a command that finds it in a dataset ends what was to be done.
An object store knows no folders: there the shards go to their place, the rest to `<output>.partial`, and the manifest,
without which a folder is no dataset, is written last.

A job that fails or is killed leaves what it has read and written to the next one, which goes on with it (`work`);
where it has read nothing, nothing stays. `clean` removes what is not to be gone on with.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ostinato.beam_pipelines.base import FOLDER as SCAN
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.work import FILE, STAGES, read_description
from ostinato.configs.errors import UserError
from ostinato.data import durable
from ostinato.data.atomic import write_atomically
from ostinato.data.dataset_writer import dataset_name

logger = logging.getLogger(__name__)

LISTS = ("rejects.jsonl", "duplicates.jsonl")
"""What is there when the stages are done, and what the description is made from."""

_LEFTOVERS = (
    r"\.?{name}-\w+\.tfrecord-\d+-of-\d+.*|index/\w+\.npy|\..*\.partial"
    r"|(rejects|duplicates|pieces|changed)\.jsonl|(statistics|features|dataset_info)\.json|report\.html|scan/.*"
)
"""What a job that was killed can leave."""

_COMPLETE = "complete.json"
"""In the work folder: the manifest of a dataset that is on disk, and lacks nothing else."""


class OutputError(UserError):
    """The output folder cannot be used."""


class VainError(UserError):
    """Nothing that the job has done is of use to another one."""


class Place(NamedTuple):
    """Where a job writes."""

    folder: str
    work: str
    scan: str
    """Where what is kept of the scan is written; see `base`."""
    is_complete: bool
    """An earlier command has done all of the job, but for what `publish` does."""
    completed: Callable[[], contextlib.AbstractContextManager[Path]]
    """The context in which the description is written to a local folder."""
    publish: Callable[[], None]
    """To be called behind that: gives the dataset its name, and removes what is not of it."""


def open_output(output: str, key: str = "", *, replaces: bool = False) -> contextlib.AbstractContextManager[Place]:
    """Returns the context in which a job may write a dataset.

    Args:
        output: the folder of the dataset.
        key: of the job; see `Job.key`.
        replaces: a dataset, which is there under this name; it stays until the new one is whole. Not in a store.

    Raises:
        OutputError: it exists, or another job is writing it, or the system does not let us write there.
    """
    return _open_remote(output) if files.is_remote(output) else _open_local(output, key, replaces=replaces)


def settle(output: str) -> str:
    """Removes what a command has left that was killed when its dataset, on this machine, had the name already.

    Returns:
        The key of its job; empty where there is no such thing.

    Raises:
        OutputError: the command is still at work.
    """
    final, partial = Path(output), Path(output + ".partial")
    work = final / "work"
    with _writing(final):
        if not (work.is_dir() and (final / "manifest.json").exists()):
            return ""
        lock = os.open(final, os.O_RDONLY)
        try:
            _take(lock, final)
            description = read_description(str(work))
            if not (partial / "work").exists():  # the dataset that was replaced
                _delete(partial)
            _remove_marks(final)
        finally:
            os.close(lock)
    return description.get("job", "") if description else ""


def _remove_marks(final: Path) -> None:
    """Removes the rest of the work folder of a dataset that has its name; what says for which job it was goes last."""
    for name in (_COMPLETE, FILE):
        _delete(final / "work" / name)
    (final / "work").rmdir()
    durable.sync_folder(final)


def clean(output: str) -> list[str]:
    """Removes what jobs that did not come to their end have left of a dataset; returns what was removed.

    Raises:
        OutputError: a job is at work, or there is something that no job has left.
    """
    work = output + ".partial"
    if files.is_remote(output):
        names = [path.removeprefix(output).strip("/") for path in files.list_files(output)]
        leftovers = [] if "manifest.json" in names else _check_ours(output, names, Path(output).name)
        found = [folder for folder in ((output,) if leftovers else ()) + (work,) if files.list_files(folder)]
        for folder in found:
            files.delete_folder(folder)
        return found
    partial, settled = Path(work), [f"{output}/work"] if settle(output) else []
    if not partial.is_dir():
        return settled
    lock = os.open(partial, os.O_RDONLY)
    try:
        with _writing(partial):
            _take(lock, partial)
            _check_partial(partial, Path(output))
            shutil.rmtree(partial)
    finally:
        os.close(lock)
    return [*settled, work]


@contextlib.contextmanager
def _open_local(output: str, key: str, *, replaces: bool) -> Iterator[Place]:
    partial, final = Path(output + ".partial"), Path(output)
    work = partial / "work"
    described = work / "described"

    @contextlib.contextmanager
    def completed() -> Iterator[Path]:
        with _writing(partial):
            described.mkdir()
            for name in LISTS:
                shutil.copyfile(partial / name, described / name)
            yield described
            shards = _shards(described)
            for path in partial.iterdir():
                if path != work and path.name not in shards:  # of a worker that was killed, or of an earlier command
                    _delete(path)
            for path in described.iterdir():
                if path.name != "manifest.json":
                    path.replace(partial / path.name)
            durable.sync_tree(partial)
            (described / "manifest.json").replace(work / _COMPLETE)
            durable.sync_folder(work)

    def publish() -> None:
        with _writing(partial):
            check_final()
            manifest = (work / _COMPLETE).read_bytes()
            for path in work.iterdir():  # the large part; what says that nothing else is to be done goes last
                if path.name not in (_COMPLETE, FILE):
                    _delete(path)
            # What makes a folder a dataset comes when all else is on disk and nothing else is left to be done.
            write_atomically(partial / "manifest.json", manifest)
            give_name = durable.publish_instead if replaces else durable.publish
            give_name(partial, final)
            _remove_marks(final)

    def check_final() -> None:
        if not replaces:
            _check_absent(final)

    if settle(output) == key != "":
        yield Place(output, "", "", True, completed, lambda: None)
        return
    with _writing(partial):
        check_final()
        durable.make_folders(partial)
        lock = os.open(partial, os.O_RDONLY)
    try:
        with _writing(partial):
            _take(lock, partial)
            check_final()  # another job may have completed it just now
            _check_partial(partial, final)
            description = read_description(str(work))
            is_complete = (work / _COMPLETE).exists() and description is not None and description.get("job") == key
            for path in () if is_complete else (partial / "manifest.json", work / _COMPLETE, described):
                _delete(path)
            # What was being written, and what `duplicates.pieces` had on disk.
            for path in (*partial.rglob(".*.partial"), *work.glob("pieces-*")):
                _delete(path)
            for stage in STAGES:
                (work / stage).mkdir(parents=True, exist_ok=True)
        try:
            yield Place(str(partial), str(work), str(described / SCAN), is_complete, completed, publish)
        except BaseException as error:
            is_worthless = not ((work / _COMPLETE).exists() or any((work / "scanned").glob("*.pieces")))
            if isinstance(error, VainError) or is_worthless:
                shutil.rmtree(partial, ignore_errors=True)
            else:
                _say_how_to_go_on(output)
            raise
    finally:
        os.close(lock)


def _shards(described: Path) -> set[str]:
    """Returns the names of the shards that a new manifest lists."""
    splits = json.loads((described / "manifest.json").read_bytes())["splits"]
    return {shard["file"] for split in splits.values() for shard in split["shards"]}


def _say_how_to_go_on(output: str) -> None:
    line = (
        "%s.partial: what was read stays, the same command resumes; 'ostinato prepare --clean --output %s' removes it"
    )
    logger.warning(line, output, output)


def _delete(path: Path) -> None:
    """Deletes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_absent(final: Path) -> None:
    if os.path.lexists(final):
        raise OutputError(f"{final}: exists already; choose another --output, or move it away")


def _take(lock: int, partial: Path) -> None:
    """Locks an open folder against other jobs."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{partial}: another prepare is writing it; wait for it or choose another") from error
    except OSError as error:  # NFS locks only what is open for writing, which a folder cannot be
        logger.warning("%s: cannot be locked (%s); let no other job write it", partial, error.strerror)
    if not (partial.exists() and os.path.samestat(os.stat(partial), os.fstat(lock))):
        raise OutputError(f"{partial}: another prepare has just completed it")


def _check_partial(partial: Path, final: Path) -> None:
    names = [path.name for path in partial.iterdir()]
    _check_ours(partial, [name for name in names if name not in ("work", "index", SCAN, "manifest.json")], final.name)


def _check_ours(folder: Path | str, names: list[str], dataset: str) -> list[str]:
    """Returns the names; refuses a folder with files that no job can have left: they are not ours to delete."""
    leftover = re.compile(_LEFTOVERS.format(name=dataset_name(Path(dataset))))
    foreign = [name for name in names if not leftover.fullmatch(name)]
    if foreign:
        raise OutputError(f"{folder}: exists already, with {foreign[0]!r}; choose another --output, or move it away")
    return names


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Says in one line why the system does not let us write in a folder."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise OutputError(f"{where}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def _open_remote(output: str) -> Iterator[Place]:
    work, scan, is_finished = output + ".partial", files.join(output, SCAN), False
    names = [path.removeprefix(output).strip("/") for path in files.list_files(output)]
    _check_ours(output, names, Path(output).name)

    def publish() -> None:
        files.delete_folder(work)

    @contextlib.contextmanager
    def completed() -> Iterator[Path]:
        nonlocal is_finished
        files.delete_folder(scan)  # of an earlier command
        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            local = Path(folder)
            here = [local / name for name in LISTS]
            for path in here:
                path.write_bytes(files.read_bytes(files.join(output, path.name)))
            yield local
            shards = _shards(local)
            for path in files.list_files(output):  # of an earlier command
                if path.removeprefix(output).strip("/") not in (*shards, *LISTS) and not path.startswith(f"{scan}/"):
                    files.delete_file(path)
            written = [path for path in local.rglob("*") if path.is_file() and path not in here]
            for path in sorted(written, key=lambda path: path.name == "manifest.json"):
                files.write_bytes(files.join(output, *path.relative_to(local).parts), path.read_bytes())
        is_finished = True  # whatever happens from here on, the dataset stays

    try:
        yield Place(output, work, scan, False, completed, publish)
    except BaseException as error:
        with contextlib.suppress(StorageError):  # what went wrong may be the store itself
            scanned = files.list_files(files.join(work, "scanned"))
            if is_finished:
                pass
            elif isinstance(error, VainError) or not any(path.endswith(".pieces") for path in scanned):
                for leftover in (output, work):
                    files.delete_folder(leftover)
            else:
                _say_how_to_go_on(output)
        raise
