"""Compressed files (gzip, bzip2, xz, zstd): one that is read whole, and the stream behind a compressed tar archive."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import Any, BinaryIO, Literal

import zstandard

from ostinato.beam_pipelines.inputs.archives import MAX_EXPANSION
from ostinato.beam_pipelines.inputs.errors import UnreadableError

Method = Literal["gz", "bz2", "xz", "zst"]

FREE_STREAM_BYTES = 64 << 20
"""A compressed tar may expand to so many bytes as it likes."""

_STEP_BYTES = 1 << 16
_MAX_WINDOW_BYTES = 1 << 27


_DAMAGED = (EOFError, OSError, zlib.error, zstandard.ZstdError, lzma.LZMAError)
"""What decompressors raise: gzip and bz2 an OSError without a number; one with a number is the system's."""


def inflate(data: bytes, method: Method, *, max_bytes: int) -> bytes:
    """Returns what a single compressed file holds.

    Raises:
        UnreadableError: it is damaged, or has more than max_bytes.
    """
    try:
        found = _decompressed(io.BytesIO(data), method).read(max_bytes + 1)
    except _DAMAGED as error:
        raise UnreadableError("damaged_member", f"the compressed bytes are damaged ({error})") from error
    if len(found) > max_bytes:
        raise UnreadableError("too_large", f"more than the {max_bytes} bytes allowed")
    return found


class Inflated(io.RawIOBase):
    """What a compressed file inflates to. Where it is damaged it ends, and `fault` says why."""

    def __init__(self, file: BinaryIO, *, method: Method) -> None:
        """Takes an open file and how it was compressed."""
        self._file = file
        self._stream = _decompressed(file, method)
        self._piece = memoryview(b"")
        self._produced = 0
        self.fault: UnreadableError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # as documented
        """Fills the buffer as far as the current piece goes; 0 at the end."""
        # Inflated in steps of one size, whatever the reader asks for: every reader of a damaged stream sees it end at
        # the same byte, on which the shares of an archive have to agree.
        if not self._piece and not self.fault:
            self._piece = memoryview(self._inflate())
        length = min(len(self._piece), len(buffer))
        buffer[:length] = self._piece[:length]
        self._piece = self._piece[length:]
        return length

    def _inflate(self) -> bytes:
        try:
            piece = self._stream.read1(_STEP_BYTES)
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno:
                raise
            self.fault = UnreadableError("damaged_archive", f"the compressed stream is damaged ({error})")
            return b""
        self._produced += len(piece)
        consumed = self._file.tell()
        if self._produced > max(FREE_STREAM_BYTES, MAX_EXPANSION * consumed):
            detail = f"{consumed} bytes expand to more than {self._produced}, at most {MAX_EXPANSION} times are allowed"
            self.fault = UnreadableError("archive_bomb", detail)
            return b""
        return piece


def _decompressed(file: BinaryIO, method: Method) -> Any:
    if method == "zst":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        return decompressor.stream_reader(file, read_across_frames=True, closefd=False)
    if method == "xz":
        return io.BufferedReader(_Xz(file), _STEP_BYTES)
    return gzip.GzipFile(fileobj=file) if method == "gz" else bz2.BZ2File(file)


class _Xz(io.RawIOBase):
    """lzma.LZMAFile with a limit on the memory that the file asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(memlimit=_MAX_WINDOW_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # as documented
        while True:
            if self._decompressor.eof:  # another stream may follow, behind zeros
                rest = (self._decompressor.unused_data or self._file.read(_STEP_BYTES)).lstrip(b"\0")
                if not rest:
                    return 0
                self._decompressor = lzma.LZMADecompressor(memlimit=_MAX_WINDOW_BYTES)
            else:
                rest = self._file.read(_STEP_BYTES) if self._decompressor.needs_input else b""
                if not rest and self._decompressor.needs_input:
                    raise EOFError("the stream has no end")
            if piece := self._decompressor.decompress(rest, len(buffer)):
                buffer[: len(piece)] = piece
                return len(piece)
