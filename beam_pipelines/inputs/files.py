"""Files, wherever they are: paths on this machine, and URLs of the stores that fsspec knows; see `stores`.

fsspec is not asked for files on this machine: it opens FIFOs and devices, and writes none that appears whole.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from ostinato.beam_pipelines.inputs import stores
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.stores import configure as configure
from ostinato.beam_pipelines.inputs.stores import is_remote, is_web, reading
from ostinato.configs.errors import UserError, concerns
from ostinato.data.atomic import synced_file

_COPIED_BYTES = 8 << 20
"""Asked for at once."""


def join(folder: str, *names: str) -> str:
    """Returns the path of something in a folder."""
    if is_remote(folder):
        return "/".join([folder.rstrip("/"), *(name.strip("/") for name in names)])
    return os.path.join(folder, *names)


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading; it can be sought in.

    Raises:
        StorageError: it is missing, not a regular file, or cannot be read.
    """
    with reading(path):
        if is_remote(path):
            return stores.open_binary(path)
        _check_regular(path)
        return open(path, "rb")


def read_bytes(path: str, *, max_bytes: int | None = None) -> bytes:
    """Returns a whole file.

    Raises:
        StorageError: it is missing, not a regular file, has more than max_bytes, or cannot be read.
    """
    end = None if max_bytes is None else max_bytes + 1
    with reading(path):
        data = (stores.read if is_remote(path) else _read_here)(path, end)
    if end is not None and len(data) >= end:
        raise StorageError(path, f"more than the {max_bytes} bytes allowed", reason="too_large")
    return data


def read_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Returns the bytes of each (offset, length) of a file, in the order in which they are asked for.

    Raises:
        StorageError: the file cannot be read, or ends before the end of a range.
    """
    found: dict[tuple[int, int], bytes] = {}
    with open_binary(path) as file, reading(path):
        for offset, length in sorted(set(ranges)):  # what lies close together comes with one request
            file.seek(offset)
            found[offset, length] = file.read(length)
            if len(found[offset, length]) < length:
                raise StorageError(path, f"ends before byte {offset + length}")
    return [found[one] for one in ranges]


def write_bytes(path: str, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all; replaces an older one.

    Raises:
        StorageError: it cannot be written.
    """
    with create(path) as file:
        file.write(data)


@contextlib.contextmanager
def create(path: str) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears when the block ends without an error; replaces an older one.

    Raises:
        StorageError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        local = Path(path)
        if is_remote(path):  # written to this machine first: what was begun in a store can hardly be taken back
            local = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostinato-")), "file")
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            with synced_file(local) as file:
                yield file
        except (OSError, UserError) as error:
            cause = error.__cause__ if isinstance(error, UserError) else error
            if not isinstance(cause, OSError):  # what the caller's block raised
                raise
            if concerns(local, cause):
                raise StorageError(path, f"cannot be written ({cause.strerror or cause})") from cause
            raise StorageError(str(cause.filename), f"cannot be read ({cause.strerror})") from cause
        if is_web(path):
            raise StorageError(path, "cannot be written: a web server is for reading only")
        if is_remote(path):
            with reading(path, "written"):
                fs, name = stores.locate(path)
                fs.put_file(local, name)


def copy_file(source: str, target: str) -> None:
    """Copies a file; on one disk it gets a second name, and within a store the store copies it.

    Raises:
        StorageError: it cannot be read or written.
    """
    if not is_remote(source) and not is_remote(target):
        with contextlib.suppress(OSError):  # another disk, a file system without links, or the name is taken
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.link(source, target)
            return
    elif is_remote(source) and is_remote(target):
        (fs, name), (other, other_name) = stores.locate(source), stores.locate(target)
        if fs is other:
            with reading(source, "copied"):
                fs.cp_file(name, other_name)
            return
    with open_binary(source) as file, create(target) as copy:
        shutil.copyfileobj(file, copy, _COPIED_BYTES)


def copy_files(source: str, target: str, ending: str) -> None:
    """Copies the files in a folder that have an ending to another one.

    Raises:
        StorageError: a file cannot be read or written.
    """

    def copy(path: str) -> None:
        copy_file(path, join(target, os.path.basename(path)))

    paths = [
        path for path in list_files(source) if path.endswith(ending) and not os.path.basename(path).startswith(".")
    ]
    with ThreadPoolExecutor(stores.MAX_THREADS if is_remote(source) or is_remote(target) else 1) as executor:
        list(executor.map(copy, paths))


def is_file(path: str) -> bool:
    """Returns whether there is a file of this name."""
    if not is_remote(path):
        return os.path.isfile(path)
    try:
        with reading(path):
            fs, name = stores.locate(path)
            return fs.info(name)["type"] == "file"
    except StorageError as error:
        if error.reason == "missing":
            return False
        raise


def list_files(folder: str) -> list[str]:
    """Returns the paths of all files below a folder, sorted; none where there is no such folder.

    Raises:
        StorageError: a folder cannot be listed.
    """
    if is_remote(folder):
        return list(list_versions(folder))

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise StorageError(error.filename, f"cannot be listed ({error.strerror})") from error

    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder, onerror=fail) for name in names)


def list_versions(folder: str) -> dict[str, str]:
    """Returns the files below a folder of a store, sorted, with their versions.

    Raises:
        StorageError: the folder cannot be listed.
    """
    if is_web(folder):
        raise StorageError(folder, "a web server does not list its folders; name the files, or give a list of them")
    with reading(folder, "listed"):
        fs, root = stores.locate(folder)
        found = {
            name.removeprefix(root.rstrip("/") + "/"): stores.version_in(info)
            for name, info in fs.find(root, detail=True).items()
        }
    wanted = {join(folder, name): found[name] for name in found if name not in ("", root) and not name.endswith("/")}
    return dict(sorted(wanted.items()))


def version_of(path: str) -> str:
    """Returns what changes when a file does: its size, and when it was written or its ETag; empty where nobody knows.

    A file that is not there has a version too.
    """
    try:
        with reading(path):
            if is_remote(path):
                fs, name = stores.locate(path)
                return stores.version_in(fs.info(name))
            status = os.stat(path)
            return f"{status.st_size}-{status.st_mtime_ns}"
    except StorageError as error:
        return "missing" if error.reason == "missing" else ""


def size_of(path: str) -> int | None:
    """Returns the size of a file; None where there is none."""
    try:
        with reading(path):
            if not is_remote(path):
                return os.stat(path).st_size
            fs, name = stores.locate(path)
            return fs.info(name)["size"]
    except StorageError as error:
        if error.reason == "missing":
            return None
        raise


def delete_file(path: str) -> None:
    """Deletes a file.

    Raises:
        StorageError: it cannot be deleted.
    """
    with reading(path, "deleted"):
        if is_remote(path):
            fs, name = stores.locate(path)
            fs.rm_file(name)
        else:
            os.unlink(path)


def delete_folder(path: str) -> None:
    """Deletes a folder and all below it; nothing happens where there is no such folder.

    Raises:
        StorageError: something in it cannot be deleted.
    """
    with reading(path, "deleted"):
        if not is_remote(path):
            if os.path.lexists(path):
                shutil.rmtree(path)
            return
        names = [stores.locate(file)[1] for file in list_files(path)]
        with ThreadPoolExecutor(stores.MAX_THREADS) as executor:
            list(executor.map(stores.locate(path)[0].rm_file, names))


def _check_regular(path: str) -> int:
    """Returns the size of a file; opening a FIFO would wait for a writer, reading /dev/zero would never end."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise StorageError(path, kind, reason="not_a_file")
    return status.st_size


def _read_here(path: str, end: int | None) -> bytes:
    size = _check_regular(path)
    if end is not None and size >= end:
        raise StorageError(path, f"{size} bytes, at most {end - 1} are allowed", reason="too_large")
    with open(path, "rb", buffering=0) as file:
        data = file.read(size + 1) or b""
        if len(data) != size:  # it is growing, or one of the kernel's own, which have no size
            data += file.read(-1 if end is None else end) or b""
        return data
