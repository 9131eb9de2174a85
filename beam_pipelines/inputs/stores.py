"""Files in the stores that fsspec knows: s3://, gs://, http:// and more, each by a client of its own.

Of a web server fsspec reads whatever comes, and tries nothing twice: both are done here.
"""

import contextlib
import functools
import io
import os
import re
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.data.store import MAX_REQUESTS, open_client

MAX_THREADS = MAX_REQUESTS
"""That wait for a server."""
TIMEOUT_S = 30
"""A server that is silent for so long has failed."""
DEADLINE_S = 300
"""For a file of a web server that is read at once: one that sends a byte now and then has failed, too."""
MAX_DOWNLOAD_BYTES = 16 << 30
"""Of an archive from a web server that cannot send parts of it: it is copied to a temporary file first."""

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_BUFFER_BYTES = 1 << 20
_ATTEMPTS = 3
_GONE = (404, 410)


def is_remote(path: str) -> bool:
    """Returns whether the path is a URL."""
    return bool(_SCHEME.match(path))


def is_web(path: str) -> bool:
    """Returns whether the path is the URL of a web server, which is for reading only and does not list its folders."""
    return path[:8].lower().startswith(("http://", "https://"))


_beam_args: list[str] = []
"""Set once for each process."""


def configure(beam_args: Sequence[str]) -> None:
    """Takes Beam's options for storage (--s3_endpoint_url and so on); called in the driver and in each worker."""
    _beam_args[:] = beam_args


@functools.lru_cache(maxsize=8)  # fsspec would keep a client for each thread
def _client(scheme: str, server: str, beam_args: tuple[str, ...], pid: int) -> Any:
    options: dict[str, Any] = {}
    if scheme == "s3":
        from apache_beam.options.pipeline_options import PipelineOptions, S3Options

        given: Any = PipelineOptions(list(beam_args)).view_as(S3Options)
        options = {
            "key": given.s3_access_key_id,
            "secret": given.s3_secret_access_key,
            "token": given.s3_session_token,
            "endpoint_url": given.s3_endpoint_url,
            "use_ssl": not given.s3_disable_ssl,
            "client_kwargs": {name: getattr(given, f"s3_{name}") for name in ("region_name", "api_version", "verify")},
        }
    elif scheme in ("http", "https"):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
        client = {"timeout": timeout, "trust_env": True, "headers": {"User-Agent": "ostinato"}}
        options = {"encoded": True, "client_kwargs": client}
    return open_client(f"{scheme}://{server}", **options)


def locate(path: str) -> tuple[Any, str]:
    """Returns the client of a store, one for each process, and the name that it has for the path."""
    scheme, _, rest = path.partition("://")
    server = "" if scheme == "s3" or is_web(path) else rest.split("/")[0]
    fs = _client(scheme.lower(), server, tuple(_beam_args), os.getpid())
    if is_web(path):
        return fs, urllib.parse.quote(path, safe=":/?#[]@!$&'()*+,;=%~", errors="surrogateescape")
    return fs, fs._strip_protocol(path)


def version_in(info: Mapping[str, Any]) -> str:
    """Returns the size of a file and what else changes with its content, by what its store says; empty without that."""
    marks = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "Last-Modified", "last_modified", "mtime")
    mark = next((info[name] for name in marks if info.get(name)), None)
    return "" if mark is None else f"{info.get('size')}-{mark}"


@contextlib.contextmanager
def reading(path: str, verb: str = "read") -> Iterator[None]:
    """Makes a StorageError of whatever is raised."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # each client has errors of its own
        raise explain(path, error, verb) from error


def explain(path: str, error: Exception, verb: str = "read") -> StorageError:
    """Returns an error that says whether a file is missing, refused, or in trouble that may pass."""
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    if is_web(path):  # fsspec says that a file is missing, whatever the server said
        is_missing = is_missing and not error.__cause__
        error = cast(Exception, error.__cause__ or error)
        is_missing = is_missing or getattr(error, "status", None) in _GONE
    elif not is_remote(path):
        is_missing = is_missing or isinstance(error, ValueError)  # a zero byte in the name
    is_refused = isinstance(error, PermissionError) or is_web(path) or not is_remote(path)
    detail = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    if is_web(path) and is_missing:
        detail = "no such file"
    reason = "missing" if is_missing else "unreadable" if is_refused else None
    return StorageError(path, f"cannot be {verb} ({detail})", reason=reason)


def read(path: str, end: int | None) -> bytes:
    """Returns a file up to a byte."""
    if is_web(path):
        return _read_web(path, end)
    fs, name = locate(path)
    try:
        return fs.cat_file(name, start=0, end=end)
    except FileNotFoundError:
        raise
    except Exception:
        if fs.info(name)["size"]:
            raise
        return b""  # S3 has no part of an empty file


def _read_web(path: str, end: int | None) -> bytes:
    fs, name = locate(path)
    data = bytearray()
    stop_s = time.monotonic() + DEADLINE_S
    with fs.open(name, size=1, block_size=0) as stream:
        while (end is None or len(data) < end) and (piece := stream.read(_BUFFER_BYTES)):
            data += piece
            if time.monotonic() > stop_s:
                raise TimeoutError(f"{len(data)} bytes in {DEADLINE_S} s")
    return bytes(data)


def open_binary(path: str) -> BinaryIO:
    """Opens a file that can be sought in."""
    if is_web(path):
        return _open_web(path)
    fs, name = locate(path)
    return _Remote(path, fs.open(name, cache_type="none")).buffered()


def _open_web(path: str) -> BinaryIO:
    fs, name = locate(path)
    # The first byte shows whether the server sends parts of a file. One that does not sends all, which is kept.
    with fs.open(name, size=1, block_size=0, headers={"Range": "bytes=0-0"}) as stream:
        size = stream.r.headers.get("Content-Range", "").rpartition("/")[2]
        if stream.r.status == 206 and size.isdigit():
            return _Remote(path, fs.open(name, size=int(size), cache_type="none")).buffered()
        with contextlib.ExitStack() as on_error:
            file = on_error.enter_context(tempfile.TemporaryFile())
            while piece := stream.read(_BUFFER_BYTES):
                file.write(piece)
                if file.tell() > MAX_DOWNLOAD_BYTES:
                    raise StorageError(path, f"more than the {MAX_DOWNLOAD_BYTES} bytes allowed", reason="too_large")
            file.seek(0)
            on_error.pop_all()
            return cast(BinaryIO, file)


class _Remote(io.RawIOBase):
    """A file in a store. Each read is a request; when the connection breaks, another one asks for less."""

    def __init__(self, path: str, file: Any) -> None:
        self._path = path
        self._file = file
        self._size: int = file.seek(0, io.SEEK_END)
        self._position = 0

    def buffered(self) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(self, _BUFFER_BYTES))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position < 0:
            raise ValueError(f"{self._path}: cannot seek to byte {position}")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # as documented
        wanted = min(len(buffer), max(self._size - self._position, 0))
        data = b""
        for attempt in range(_ATTEMPTS if wanted else 0):
            try:
                self._file.seek(self._position)
                data = self._file.read(-(-wanted >> attempt))
                break
            except Exception as error:
                if attempt == _ATTEMPTS - 1:  # without a reason: it was there a moment ago
                    raise StorageError(self._path, explain(self._path, error).detail) from error
                time.sleep(attempt)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
