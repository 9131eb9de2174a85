"""What the parser processes do: pure functions from bytes to bytes, which open no file.

`parse` runs once for each input, `encode` once for each piece that is kept.
"""

import functools
import hashlib
import json
import struct
from typing import Any, Literal, NamedTuple

import zstandard

from ostinato.beam_pipelines.duplicates.fingerprint import Fingerprints, fingerprint
from ostinato.configs.preparation import PrepareConfig
from ostinato.data import dataset_writer
from ostinato.data.records import Record
from ostinato.data.statistics import Statistics
from ostinato.music import midi, notation, notes_codec, packed
from ostinato.music.account import COUNTS, NoteAccount
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_from_json
from ostinato.music.downbeats import with_bars_of_beats
from ostinato.music.midi_chunks import Repair
from ostinato.music.notation_error import NotationError
from ostinato.music.piece import DRUMS, Piece

_ACCOUNT = struct.Struct(f"<{len(COUNTS)}q")


class Parsed(NamedTuple):
    """An input that can be used."""

    sha256: bytes
    """Of the bytes that were read; the piece's id."""
    num_notes: int
    fingerprints: Fingerprints
    repairs: tuple[Repair, ...]
    """How it had to be repaired."""
    packed: bytes
    """The reader's account of the notes, and the piece (see `music.packed`), compressed by Zstandard."""


class Unusable(NamedTuple):
    """An input that is left out."""

    stage: str
    reason: str
    detail: str


class Encoded(NamedTuple):
    """One record, ready to be appended to a shard."""

    frame: bytes
    num_steps: int
    statistics: Statistics
    """Of the music as the record holds it."""
    account: NoteAccount


class ToEncode(NamedTuple):
    """One piece as `encode` takes it."""

    id: str
    style: str
    packed: bytes


class ToParse(NamedTuple):
    """One input as `parse_input` takes it."""

    data: bytes
    kind: Literal["midi"] | notation.Kind


def parse_input(item: ToParse, config: PrepareConfig) -> Parsed | Unusable:
    """Reads one input and decides whether it can be used."""
    return parse(item.data, config, kind=item.kind)


def parse(data: bytes, config: PrepareConfig, *, kind: Literal["midi"] | notation.Kind = "midi") -> Parsed | Unusable:
    """Reads one file and decides whether it can be used."""
    try:
        return _parse(data, config, kind)
    except (midi.MidiError, NotationError) as error:
        return Unusable("parse", error.reason, error.detail)
    except MemoryError:
        raise
    except Exception as error:  # nobody has met such a file yet; it is not to end the job of all others
        return Unusable("parse", "crashed", f"{type(error).__name__}: {error}")


def _parse(data: bytes, config: PrepareConfig, kind: Literal["midi"] | notation.Kind) -> Parsed | Unusable:
    if kind == "midi":
        reading = midi.read_reporting(data, pedal=config.pedal == "on")
    else:
        reading = notation.read_reporting(data, kind)
    piece = reading.piece
    if not config.min_notes <= piece.num_notes <= config.max_notes:
        reason = "too_few_notes" if piece.num_notes < config.min_notes else "too_many_notes"
        allowed = f"{config.min_notes} to {config.max_notes} are allowed"
        return Unusable("select", reason, f"{piece.num_notes} notes, {allowed}")
    if config.codec.name == "notes" and bool((piece.notes.program == DRUMS).all()):
        return Unusable("select", "only_drums", "the notes codec leaves drums out")
    repairs: list[Repair] = [*reading.repairs]
    if config.bars == "heard":
        heard = with_bars_of_beats(piece)
        if heard is not piece:
            piece = heard
            repairs.append("one_beat_bars")
    prints = fingerprint(piece, reading.tracks)
    spooled = _ACCOUNT.pack(*(getattr(reading.account, name) for name in COUNTS)) + packed.pack(piece)
    compressed = zstandard.ZstdCompressor().compress(spooled)
    return Parsed(hashlib.sha256(data).digest(), piece.num_notes, prints, tuple(repairs), compressed)


def encode(item: ToEncode, codec_text: str) -> Encoded:
    """Encodes one piece as a framed TFRecord, with the codec of a manifest, and describes the music that is in it."""
    codec = _codec(codec_text)
    account, piece = _unpack(item.packed)
    encoding = codec.encode_reporting(piece, codec.styles.index(item.style))
    frame = dataset_writer.frame_record(Record(item.id, item.style, encoding.steps))
    return Encoded(frame, len(encoding.steps), Statistics.from_piece(encoding.piece), account + encoding.account)


def count_events(data: bytes) -> list[tuple[tuple[Any, ...], int]]:
    """Returns how often each note or chord occurs in a packed piece, for the vocabulary of the notes codec."""
    return [(tuple(event), count) for event, count in notes_codec.count_events(_unpack(data)[1])]


def _unpack(compressed: bytes) -> tuple[NoteAccount, Piece]:
    spooled = zstandard.ZstdDecompressor().decompress(compressed)
    counts = _ACCOUNT.unpack_from(spooled)
    return NoteAccount(**dict(zip(COUNTS, counts, strict=True))), packed.unpack(spooled[_ACCOUNT.size :])


@functools.lru_cache(maxsize=1)
def _codec(text: str) -> Codec:
    return codec_from_json(json.loads(text))
