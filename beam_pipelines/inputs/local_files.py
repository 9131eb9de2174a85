"""Files on this machine."""

import contextlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ostinato.beam_pipelines.inputs.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTIAL_SUFFIX = ".partial"
"""Of a file that is being written; one stays behind only where a process is killed."""

BUFFER_BYTES = 1 << 18


def open_binary(path: str) -> BinaryIO:
    """See `files.open_binary`."""
    _regular_size(path)
    with _reading(path):
        return open(path, "rb")


def read_bytes(path: str, max_bytes: int | None) -> bytes:
    """See `files.read_bytes`."""
    size = _regular_size(path)
    if max_bytes is not None and size > max_bytes:
        raise StorageError(path, f"{size} bytes, at most {max_bytes} are allowed", reason="too_large")
    with _reading(path), open(path, "rb", buffering=0) as file:
        data = file.read(size + 1) or b""
        if len(data) != size:  # it is growing, or one of the kernel's own, which have no size
            data += file.read(-1 if max_bytes is None else max_bytes + 1) or b""
        return data


def read_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """See `files.read_ranges`."""
    with open_binary(path) as file, _reading(path):
        return [os.pread(file.fileno(), length, offset) for offset, length in ranges]


@contextlib.contextmanager
def create(path: str) -> Iterator[BinaryIO]:
    """See `files.create`."""
    # The name is new each time: a worker that is taken for dead may still be writing when another one begins anew.
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as error:
        raise StorageError(path, f"cannot be written ({error.strerror})") from error
    raw = PartialFile(partial, path)
    try:
        with io.BufferedWriter(raw, BUFFER_BYTES) as file:
            yield file
            file.flush()
            try:
                os.fsync(raw.fileno())
                os.replace(partial, path)
            except OSError as error:
                raise StorageError(path, f"cannot be written ({error.strerror})") from error
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def list_files(folder: str) -> list[str]:
    """See `files.list_files`."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise StorageError(error.filename, f"cannot be listed ({error.strerror})") from error

    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder, onerror=fail) for name in names)


def delete_folder(path: str) -> None:
    """See `files.delete_folder`."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(path, f"cannot be deleted ({error.strerror or error})") from error


class PartialFile(io.FileIO):
    """A new file that has no name yet which a reader would look for."""

    def __init__(self, file: str, path: str) -> None:
        """Creates `file`; `path` is what messages speak of."""
        self._path = path
        try:
            super().__init__(file, "x+")
        except OSError as error:
            raise StorageError(path, f"cannot be written ({error.strerror})") from error

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:  # the disk is full
            raise StorageError(self._path, f"cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        missing = isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)
        detail = getattr(error, "strerror", None) or str(error)
        reason = "missing" if missing else "unreadable"
        raise StorageError(path, f"cannot be read ({detail})", reason=reason) from error


def _regular_size(path: str) -> int:
    # Asked before opening: opening a FIFO waits for a writer, reading /dev/zero never ends.
    with _reading(path):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise StorageError(path, kind, reason="not_a_file")
    return status.st_size
