"""Where a job writes, so that a folder with the dataset's name is whole.

On this machine everything is written to `<output>.partial`, which is renamed at the end, when all of it is on disk
(`data.durable`). An object store knows no folders: there the shards go to their place, the rest to `<output>.partial`,
and the manifest, without which a folder is no dataset, is written last. A job that fails removes what it wrote; one
that is killed leaves it to the next one, which begins anew.
"""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.configs.errors import UserError
from ostinato.data import durable, records
from ostinato.data.atomic import write_atomically

logger = logging.getLogger(__name__)

LISTS = ("rejects.jsonl", "duplicates.jsonl")
"""What is there when the stages are done, and what the description is made from."""

_LEFTOVERS = (
    r"\.?{name}-\w+\.tfrecord-\d+-of-\d+.*|index/\w+\.npy|\..*\.partial"
    r"|(rejects|duplicates|pieces|changed)\.jsonl|(statistics|features|dataset_info)\.json|report\.html"
)
"""What a job that was killed can leave."""


class OutputError(UserError):
    """The output folder cannot be used."""


class Place(NamedTuple):
    """Where a job writes."""

    folder: str
    work: str
    completed: Callable[[], contextlib.AbstractContextManager[Path]]
    """The context in which the description is written to a local folder; behind it the dataset has its name."""


def open_output(output: str) -> contextlib.AbstractContextManager[Place]:
    """Returns the context in which a job may write a dataset; what a killed job left is removed.

    Raises:
        OutputError: it exists, or another job is writing it, or the system does not let us write there.
    """
    return _open_remote(output) if files.is_remote(output) else _open_local(output)


@contextlib.contextmanager
def _open_local(output: str) -> Iterator[Place]:
    partial, final = Path(output + ".partial"), Path(output)
    work = partial / "work"

    @contextlib.contextmanager
    def completed() -> Iterator[Path]:
        described = work / "described"
        with _writing(partial):
            described.mkdir()
            for name in LISTS:
                shutil.copyfile(partial / name, described / name)
            yield described
            manifest = (described / "manifest.json").read_bytes()
            for path in described.iterdir():
                if path.name != "manifest.json":
                    path.replace(partial / path.name)
            for path in partial.glob(".*.partial"):  # of a worker that was killed, and whose work another did again
                path.unlink()
            shutil.rmtree(work)
            _check_absent(final)
            # What makes a folder a dataset comes when all else is on disk and nothing else is left to be done.
            durable.sync_tree(partial)
            write_atomically(partial / "manifest.json", manifest)
            durable.publish(partial, final)

    with _writing(partial):
        _check_absent(final)
        durable.make_folders(partial)
        lock = os.open(partial, os.O_RDONLY)
    try:
        with _writing(partial):
            _take(lock, partial)
            _check_absent(final)  # another job may have completed it just now
            names = [path.name for path in partial.iterdir()]
            _check_ours(partial, [name for name in names if name not in ("work", "index", "manifest.json")], final.name)
            for path in partial.iterdir():  # of a job that was killed
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            for stage in ("units", "scanned", "assigned", "written"):
                (work / stage).mkdir(parents=True)
        try:
            yield Place(str(partial), str(work), completed)
        except BaseException:  # no later job goes on with it
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


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


def _check_ours(folder: Path | str, names: list[str], dataset: str) -> None:
    """Refuses a folder with files that no job which was killed can have left: they are not ours to delete."""
    leftover = re.compile(_LEFTOVERS.format(name=records.dataset_name(Path(dataset))))
    foreign = [name for name in names if not leftover.fullmatch(name)]
    if foreign:
        raise OutputError(f"{folder}: exists already, with {foreign[0]!r}; choose another --output, or move it away")


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
    work, is_finished = output + ".partial", False
    names = [path.removeprefix(output).strip("/") for path in files.list_files(output)]
    _check_ours(output, names, Path(output).name)
    for leftover in (output, work):  # of a job that was killed
        files.delete_folder(leftover)

    @contextlib.contextmanager
    def completed() -> Iterator[Path]:
        nonlocal is_finished
        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            local = Path(folder)
            here = [local / name for name in LISTS]
            for path in here:
                path.write_bytes(files.read_bytes(files.join(output, path.name)))
            yield local
            written = [path for path in local.rglob("*") if path.is_file() and path not in here]
            for path in sorted(written, key=lambda path: path.name == "manifest.json"):
                files.write_bytes(files.join(output, *path.relative_to(local).parts), path.read_bytes())
        is_finished = True  # whatever happens from here on, the dataset stays
        files.delete_folder(work)

    try:
        yield Place(output, work, completed)
    except BaseException:
        if not is_finished:  # no later job goes on with it
            with contextlib.suppress(StorageError):  # what went wrong may be the store itself
                for leftover in (output, work):
                    files.delete_folder(leftover)
        raise
