"""A compressed stream (gzip, zstd) as a file that can be read forwards, with a limit on how far it expands."""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from ostinato.beam_pipelines.inputs.errors import UnreadableError

MAX_EXPANSION = 200
"""MIDI files in gzip expand 3 to 15 times; zeros expand 1000 times."""

FREE_BYTES = 64 << 20
"""Up to so many bytes a stream may expand as it likes."""

_STEP_BYTES = 1 << 16
_MAX_WINDOW_BYTES = 1 << 27


class Inflated(io.RawIOBase):
    """What a compressed file inflates to. Where it is damaged it ends, and `fault` says why."""

    def __init__(self, file: BinaryIO, *, zstd: bool) -> None:
        """Takes an open file of zstd, else of gzip."""
        self._pieces = _inflate_zstd(file) if zstd else _inflate_gzip(file)
        self._file = file
        self._piece = memoryview(b"")
        self._produced = 0
        self.fault: UnreadableError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # as documented
        """Fills the buffer as far as the current piece goes; 0 at the end."""
        # Pieces are inflated in steps of one size, whatever the reader asks for: every reader of a damaged stream sees
        # it end at the same byte, on which the shares of an archive have to agree.
        if not self._piece and not self.fault:
            try:
                self._piece = memoryview(next(self._pieces, b""))
            except UnreadableError as error:
                self.fault = error
            self._produced += len(self._piece)
            self._limit()
        length = min(len(self._piece), len(buffer))
        buffer[:length] = self._piece[:length]
        self._piece = self._piece[length:]
        return length

    def _limit(self) -> None:
        consumed = self._file.tell()
        if self._produced > max(FREE_BYTES, MAX_EXPANSION * consumed):
            self.fault = UnreadableError(
                "archive_bomb",
                f"{consumed} bytes expand to more than {self._produced}, at most {MAX_EXPANSION} times are allowed",
            )
            self._piece = memoryview(b"")


def _inflate_gzip(file: BinaryIO) -> Iterator[bytes]:
    inflater, data, begun = zlib.decompressobj(31), b"", False
    while True:
        data = data or file.read(_STEP_BYTES)
        if not data:
            if begun:
                raise UnreadableError("damaged_archive", "the compressed stream is cut")
            return
        begun = True
        try:
            piece = inflater.decompress(data, _STEP_BYTES)
        except zlib.error as error:
            raise UnreadableError("damaged_archive", f"the compressed stream is damaged ({error})") from error
        data = inflater.unconsumed_tail
        if piece:
            yield piece
        if inflater.eof:
            # gzip files may follow each other, and zeros may follow them.
            data = inflater.unused_data.lstrip(b"\0")
            inflater, begun = zlib.decompressobj(31), False


def _inflate_zstd(file: BinaryIO) -> Iterator[bytes]:
    inflater = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    with inflater.stream_reader(file, read_size=_STEP_BYTES, read_across_frames=True, closefd=False) as reader:
        try:
            while piece := reader.read(_STEP_BYTES):
                yield piece
        except zstandard.ZstdError as error:
            raise UnreadableError("damaged_archive", f"the compressed stream is damaged ({error})") from error
