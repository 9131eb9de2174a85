"""Spool files: what the scan found in some inputs, from the first to the last, and the packed pieces themselves.

An entry stands for one input: a framed header (`data.tfrecord`), and behind it the packed piece, if there is one. The
last entry is an `End`, so that a file that is whole is known by itself. What a spool says comes from the bytes of the
inputs and from the settings of the scan alone.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
import numpy as np

from ostinato.beam_pipelines.duplicates.aligned import MAX_LINE
from ostinato.beam_pipelines.duplicates.fingerprint import NUM_TIMES, Fingerprints
from ostinato.beam_pipelines.duplicates.performances import NUM_BINS
from ostinato.beam_pipelines.duplicates.voices import WIDTH
from ostinato.beam_pipelines.inputs.labels import Label
from ostinato.configs.errors import UserError
from ostinato.data import tfrecord

FORMAT = 2
"""The version of this layout; part of `End.identity`."""
_MAX_HEADER_BYTES = 64 << 20


class SpoolError(UserError):
    """A file that is no whole spool."""


class Prints(msgspec.Struct, array_like=True, frozen=True):
    """Fingerprints as bytes."""

    whole: int
    times: bytes
    span: float
    leads: tuple[float, float]
    parts: bytes
    performance: bytes
    line: Annotated[bytes, msgspec.Meta(max_length=MAX_LINE)]
    voices: bytes


class Entry(msgspec.Struct, array_like=True, frozen=True, tag="input"):
    """One input and what became of it."""

    name: str
    style: str
    label: Label | None
    sha256: Annotated[bytes, msgspec.Meta(max_length=32)]
    """Of the bytes that were read; empty where they could not be."""
    rejected: tuple[str, str, str] | None = None
    """Stage, reason and detail, where the input is left out; it has no piece then."""
    num_notes: int = 0
    repairs: tuple[str, ...] = ()
    prints: Prints | None = None
    num_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of the packed piece."""


class End(msgspec.Struct, array_like=True, frozen=True, tag="end"):
    """The last entry."""

    identity: str
    """Of the inputs and the settings."""
    num_entries: int


class Placed(NamedTuple):
    """An entry and where it stands in its file."""

    entry: Entry
    offset: int
    length: int
    """Bytes, with the packed piece."""


def encode_prints(prints: Fingerprints) -> Prints:
    """Returns fingerprints as bytes."""
    return Prints(
        int(prints.whole),
        prints.times.astype("<i2").tobytes(),
        float(prints.span),
        (float(prints.leads[0]), float(prints.leads[1])),
        prints.parts.astype("<u8").tobytes(),
        prints.performance.astype("<u4").tobytes(),
        prints.line.tobytes(),
        prints.voices.astype("<u4").tobytes(),
    )


def decode_prints(prints: Prints) -> Fingerprints:
    """Returns what `encode_prints` was given.

    Raises:
        SpoolError: they are of another size.
    """
    try:
        return Fingerprints(
            whole=prints.whole,
            times=np.frombuffer(prints.times, "<i2").reshape(NUM_TIMES),
            span=prints.span,
            leads=np.array(prints.leads),
            parts=np.frombuffer(prints.parts, "<u8").reshape(-1, 2),
            performance=np.frombuffer(prints.performance, "<u4").reshape(NUM_BINS),
            line=np.frombuffer(prints.line, np.uint8),
            voices=np.frombuffer(prints.voices, "<u4").reshape(-1, WIDTH),
        )
    except ValueError as error:
        raise SpoolError(f"fingerprints of another size ({error})") from error


class Writer:
    """Writes entries to a file that the caller opens and closes."""

    def __init__(self, file: BinaryIO) -> None:
        """Takes the file."""
        self._file = file
        self._end = 0
        self.placed: list[Placed] = []

    def add(self, entry: Entry, packed: bytes = b"") -> None:
        """Appends an entry."""
        assert entry.num_bytes == len(packed)
        frame = tfrecord.frame(msgspec.msgpack.encode(entry))
        self._file.write(frame)
        self._file.write(packed)
        self.placed.append(Placed(entry, self._end, len(frame) + len(packed)))
        self._end += len(frame) + len(packed)

    def finish(self, identity: str) -> None:
        """Appends the end."""
        self._file.write(tfrecord.frame(msgspec.msgpack.encode(End(identity, len(self.placed)))))


def read_spool(file: BinaryIO, *, identity: str) -> Iterator[Placed]:
    """Yields the entries of a file; the packed pieces are passed over.

    Raises:
        SpoolError: the file is not whole, or not of this identity; possibly after entries were yielded.
    """
    with _damage():
        number = offset = 0
        while True:
            header = _read_header(file)
            entry = _decoder().decode(header)
            if isinstance(entry, End):
                if entry != End(identity, number):
                    raise SpoolError("of other inputs or settings")
                return
            length = tfrecord.HEADER_BYTES + len(header) + tfrecord.FOOTER_BYTES + entry.num_bytes
            yield Placed(entry, offset, length)
            offset += length
            number += 1
            file.seek(offset)


def packed_of(data: bytes) -> bytes:
    """Returns the packed piece in the bytes of an entry."""
    header = tfrecord.read_at(memoryview(data), 0)
    return data[tfrecord.HEADER_BYTES + len(header) + tfrecord.FOOTER_BYTES :]


def _read_header(file: BinaryIO) -> bytes:
    begin = file.read(tfrecord.HEADER_BYTES)
    length = int.from_bytes(begin[:8], "little")
    if length > _MAX_HEADER_BYTES:
        raise SpoolError(f"a header of {length} bytes")
    return tfrecord.read_at(memoryview(begin + file.read(length + tfrecord.FOOTER_BYTES)), 0)


@functools.cache
def _decoder() -> msgspec.msgpack.Decoder[Entry | End]:
    return msgspec.msgpack.Decoder(Entry | End)


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (tfrecord.CorruptRecordError, msgspec.MsgspecError) as error:
        raise SpoolError(f"not a whole spool ({error})") from error
