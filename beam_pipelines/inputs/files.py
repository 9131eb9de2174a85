"""Files, wherever they are: paths on this machine, s3://, http(s)://, and the other filesystems that Beam knows."""

import bisect
import contextlib
import functools
import io
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from ostinato.beam_pipelines.inputs import local_files
from ostinato.beam_pipelines.inputs.errors import StorageError as StorageError
from ostinato.beam_pipelines.inputs.local_files import BUFFER_BYTES, PARTIAL_SUFFIX, PartialFile

MAX_GAP_BYTES = 1 << 20
"""Ranges of a remote file that lie closer are read as one: a request takes as long as so many bytes."""

REMOTE_READERS = 16
"""Threads that wait for a server."""

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


class Remote(Protocol):
    """What a kind of remote storage can do; everything raises StorageError."""

    def open(self, path: str, /) -> BinaryIO: ...

    def read(self, path: str, max_bytes: int | None, /) -> bytes: ...

    def read_range(self, path: str, offset: int, length: int, /) -> bytes: ...

    def is_file(self, path: str, /) -> bool: ...

    def list_files(self, folder: str, /) -> list[str]: ...

    def put(self, path: str, file: BinaryIO, /) -> None: ...

    def delete(self, paths: list[str], /) -> None: ...


def is_remote(path: str) -> bool:
    """Returns whether the path is a URL."""
    return bool(_SCHEME.match(path))


_beam_args: list[str] = []
"""Set once for each process, as Beam's own `FileSystems` is."""


def configure(beam_args: Sequence[str]) -> None:
    """Takes Beam's options for storage (--s3_endpoint_url and so on); called in the driver and in each worker."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(beam_args)))
    _beam_args[:] = beam_args


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
    if is_remote(path):
        return _remote(path).open(path)
    return local_files.open_binary(path)


def read_bytes(path: str, *, max_bytes: int | None = None) -> bytes:
    """Returns a whole file.

    Raises:
        StorageError: it is missing, not a regular file, has more than max_bytes, or cannot be read.
    """
    data = _remote(path).read(path, max_bytes) if is_remote(path) else local_files.read_bytes(path, max_bytes)
    if max_bytes is not None and len(data) > max_bytes:
        raise StorageError(path, f"more than the {max_bytes} bytes allowed", reason="too_large")
    return data


def read_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Returns the bytes of each (offset, length) of a file, in the order in which they are asked for.

    Raises:
        StorageError: the file cannot be read, or ends before the end of a range.
    """
    found = _read_remote_ranges(path, ranges) if is_remote(path) else local_files.read_ranges(path, ranges)
    for (offset, length), data in zip(ranges, found, strict=True):
        if len(data) < length:
            raise StorageError(path, f"ends before byte {offset + length}")
    return found


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
    with _create_remote(path) if is_remote(path) else local_files.create(path) as file:
        yield file


def exists(path: str) -> bool:
    """Returns whether there is a file or a folder of this name."""
    if is_remote(path):
        return _remote(path).is_file(path) or bool(_remote(path).list_files(path))
    return os.path.lexists(path)


def is_file(path: str) -> bool:
    """Returns whether there is a file of this name."""
    return _remote(path).is_file(path) if is_remote(path) else os.path.isfile(path)


def list_files(folder: str) -> list[str]:
    """Returns the paths of all files below a folder, sorted; none where there is no such folder.

    Raises:
        StorageError: a folder cannot be listed.
    """
    return _remote(folder).list_files(folder) if is_remote(folder) else local_files.list_files(folder)


def delete_folder(path: str) -> None:
    """Deletes a folder and all below it; nothing happens where there is no such folder.

    Raises:
        StorageError: something in it cannot be deleted.
    """
    if not is_remote(path):
        local_files.delete_folder(path)
    elif files := _remote(path).list_files(path):
        _remote(path).delete(files)


def _remote(path: str) -> Remote:
    match = _SCHEME.match(path)
    assert match, path
    return _client(match[1].lower(), tuple(_beam_args))


@functools.lru_cache(maxsize=8)
def _client(scheme: str, beam_args: tuple[str, ...]) -> Remote:
    # Imported here: most collections lie on this machine, and Beam and boto3 take a second.
    if scheme == "s3":
        from ostinato.beam_pipelines.inputs.s3 import S3

        return S3(beam_args)
    if scheme in ("http", "https"):
        from ostinato.beam_pipelines.inputs.web import Web

        return Web()
    from ostinato.beam_pipelines.inputs.beam_files import BeamFiles

    return BeamFiles()


def _read_remote_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    starts: list[int] = []
    stops: list[int] = []
    for offset, length in sorted(ranges):
        if starts and offset - stops[-1] <= MAX_GAP_BYTES:
            stops[-1] = max(stops[-1], offset + length)
        else:
            starts.append(offset)
            stops.append(offset + length)
    remote = _remote(path)
    with ThreadPoolExecutor(REMOTE_READERS) as executor:
        pieces = list(executor.map(lambda start, stop: remote.read_range(path, start, stop - start), starts, stops))
    found = []
    for offset, length in ranges:
        span = bisect.bisect_right(starts, offset) - 1
        begin = offset - starts[span]
        found.append(pieces[span][begin : begin + length])
    return found


@contextlib.contextmanager
def _create_remote(path: str) -> Iterator[BinaryIO]:
    # Written to this machine first: what was begun on a server can hardly be taken back.
    local = os.path.join(tempfile.gettempdir(), f"ostinato.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    with io.BufferedRandom(PartialFile(local, path), BUFFER_BYTES) as file:
        os.unlink(local)
        yield file
        file.seek(0)
        _remote(path).put(path, file)
