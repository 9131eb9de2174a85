"""A file on a server, read in ranges, as a file that can be sought in."""

import contextlib
import io
import time
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.configs.errors import UserError

READ_AHEAD_BYTES = 1 << 18
"""Small reads are served from so many bytes."""

_ATTEMPTS = 3
_SKIPPED_BYTES = 1 << 20
"""A gap up to here is read and dropped: a new request takes as long."""


class Body(Protocol):
    """The rest of a file, as a server sends it."""

    def read(self, amt: int, /) -> bytes: ...

    def close(self) -> None: ...


def open_ranged(path: str, size: int, open_at: Callable[[int], Body]) -> BinaryIO:
    """Returns a file of `size` bytes; `open_at` asks the server for everything from a byte on."""
    return cast(BinaryIO, io.BufferedReader(_Ranged(path, size, open_at), READ_AHEAD_BYTES))


class _Ranged(io.RawIOBase):
    def __init__(self, path: str, size: int, open_at: Callable[[int], Body]) -> None:
        self._path = path
        self._size = size
        self._open_at = open_at
        self._position = 0
        self._body: Body | None = None
        self._body_position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position < 0:
            raise UserError(f"{self._path}: cannot seek to byte {position}")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # as documented
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        data = self._read(wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, wanted: int) -> bytes:
        """Reads at the position; a connection that breaks is opened again where it broke."""
        for attempt in range(_ATTEMPTS):
            try:
                data = self._body_here().read(wanted)
                self._body_position += len(data)
                if not data:
                    raise EOFError(f"ends at byte {self._position} of {self._size}")
                return data
            except StorageError:
                raise
            except Exception as error:  # each client library has errors of its own
                self._drop()
                if attempt == _ATTEMPTS - 1:
                    raise StorageError(self._path, f"cannot be read ({error})") from error
                time.sleep(attempt)
        raise AssertionError("unreachable")

    def _body_here(self) -> Body:
        gap = self._position - self._body_position
        if self._body is not None and 0 < gap <= _SKIPPED_BYTES:
            while self._body_position < self._position:
                skipped = len(self._body.read(self._position - self._body_position))
                self._body_position += skipped
                if not skipped:
                    raise EOFError(f"ends at byte {self._body_position} of {self._size}")
        elif self._body is None or gap:
            self._drop()
            self._body = self._open_at(self._position)
            self._body_position = self._position
        return self._body

    def _drop(self) -> None:
        if self._body is not None:
            with contextlib.suppress(Exception):  # it is of no more use, whatever state it is in
                self._body.close()
        self._body = None
