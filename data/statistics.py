"""What a collection of pieces is like, in counts that can be added up: of one piece, a shard, a split, a style.

Everything is an integer (times are whole milliseconds), so sums do not depend on their order.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Float, Int

from ostinato.configs.documents import Count, check_document, read_document
from ostinato.configs.errors import UserError
from ostinato.data.manifest import DatasetError
from ostinato.music.piece import DEFAULT_TEMPO_US, DRUMS, Piece

NOTE_LENGTHS = 2.0 ** (np.arange(-24, 25) / 4)
"""Quarter notes: the middle of each bin of `note_lengths`, four bins an octave. 0.25 is a sixteenth."""

BPM_BIN = 5
NUM_BPM_BINS = 64
"""Bin i of `tempo_ms` is from 5 i to 5 (i + 1) beats per minute; the last one is open."""

MAX_POLYPHONY = 32
"""The last bin of `polyphony_ms` is this many notes or more."""

PIECE_SECONDS = 2.0 ** (np.arange(0, 28) / 2)
"""Bin i of `piece_seconds` begins at PIECE_SECONDS[i - 1], bin 0 at nothing; two bins an octave, up to 3 hours."""

PIECE_NOTES = 2.0 ** (np.arange(0, 40) / 2)
"""Bin i of `piece_notes` begins at PIECE_NOTES[i - 1] notes; two bins an octave."""

_US_PER_MINUTE = 60_000_000
_NOTE_LENGTH_EDGES = NOTE_LENGTHS[:-1] * 2 ** (1 / 8)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Counts and histograms of any number of pieces; `a + b` is that of both together."""

    pieces: int
    notes: int
    duration_ms: int
    pitch: Int[np.ndarray, " 128"]
    """Notes of each MIDI pitch, without drums."""
    drum_pitch: Int[np.ndarray, " 128"]
    """Drum notes of each MIDI pitch, which is an instrument of the kit."""
    velocity: Int[np.ndarray, " 128"]
    """Notes of each velocity."""
    note_lengths: Int[np.ndarray, " 49"]
    """Notes by their length as written: see NOTE_LENGTHS. The first and the last bin are open."""
    tempo_ms: Int[np.ndarray, " 64"]
    """Milliseconds of music at each tempo: see BPM_BIN. Where a piece says nothing it is 120 beats per minute."""
    polyphony_ms: Int[np.ndarray, " 33"]
    """Milliseconds in which 0, 1, 2 … notes sound at once, drums included: see MAX_POLYPHONY."""
    piece_seconds: Int[np.ndarray, " 29"]
    """Pieces by their duration: see PIECE_SECONDS."""
    piece_notes: Int[np.ndarray, " 41"]
    """Pieces by how many notes they have: see PIECE_NOTES."""
    program_notes: Int[np.ndarray, " 129"]
    """Notes of each General MIDI program; number 128 is drums."""
    program_pieces: Int[np.ndarray, " 129"]
    """Pieces in which each program occurs."""

    @classmethod
    def empty(cls) -> "Statistics":
        """Returns the statistics of no piece at all."""
        values: dict[str, Any] = {name: np.zeros(size, np.int64) if size else 0 for name, size in _SIZES.items()}
        return cls(**values)

    @classmethod
    def from_piece(cls, piece: Piece) -> "Statistics":
        """Returns the statistics of one piece, sorted as `make_piece` returns it."""
        if not piece.num_notes:
            return dataclasses.replace(cls.empty(), pieces=1)
        notes = piece.notes
        is_drum = notes.program == DRUMS
        pitch = np.bincount(notes.pitch + 128 * is_drum, minlength=256)
        program_notes = np.bincount(notes.program, minlength=DRUMS + 1)
        polyphony_ms, tempo_ms = _time_histograms(piece)
        duration_ms = int(polyphony_ms.sum())
        return cls(
            pieces=1,
            notes=piece.num_notes,
            duration_ms=duration_ms,
            pitch=pitch[:128],
            drum_pitch=pitch[128:],
            velocity=np.bincount(notes.velocity, minlength=128),
            note_lengths=_histogram(notes.duration / piece.ticks_per_quarter, _NOTE_LENGTH_EDGES),
            tempo_ms=tempo_ms,
            polyphony_ms=polyphony_ms,
            piece_seconds=_histogram([duration_ms / 1000], PIECE_SECONDS),
            piece_notes=_histogram([piece.num_notes], PIECE_NOTES),
            program_notes=program_notes,
            program_pieces=np.minimum(program_notes, 1),
        )

    @property
    def hours(self) -> float:
        """How long all pieces take together."""
        return self.duration_ms / 3_600_000

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(**{name: getattr(self, name) + getattr(other, name) for name in _SIZES})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and other.to_json() == self.to_json()

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # arrays can change, so statistics have no hash

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        """Pickles all counts as one array: four times as fast, and each piece's come out of another process."""
        return _from_bytes, (np.concatenate([np.atleast_1d(getattr(self, name)) for name in _SIZES]).tobytes(),)

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads: each count a number or a list of numbers."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in _SIZES}

    @classmethod
    def from_json(cls, values: dict[str, Any], *, where: str = "statistics") -> "Statistics":
        """Returns the statistics that `to_json` wrote; `where` begins each message.

        Raises:
            UserError: they were written by a version that counts something else, or are damaged.
        """
        check_document(values, dict[str, Count | list[Count]], where=where)
        found = {name: len(value) if isinstance(value, list) else 0 for name, value in values.items()}
        if found != _SIZES:
            wrong = sorted(name for name in found.keys() | _SIZES if found.get(name) != _SIZES.get(name))
            raise UserError(
                f"{where}: of another version of ostinato: {', '.join(ascii(name)[1:-1] for name in wrong)} differ"
            )
        arrays = {name: np.array(value, np.int64) for name, value in values.items() if _SIZES[name]}
        return cls(**{**values, **arrays})


class Quartiles(TypedDict):
    """Below what a quarter, a half and three quarters of the pieces lie."""

    piece_notes: tuple[Count, Count, Count]
    piece_ms: tuple[Count, Count, Count]


class StatisticsFile(TypedDict):
    """statistics.json of a dataset; `Statistics.from_json` reads what is innermost."""

    splits: dict[str, dict[str, Any]]
    styles: dict[str, dict[str, dict[str, Any]]]
    """By style and split."""
    quartiles: NotRequired[Quartiles]
    """Older datasets do not have them."""


def read_statistics(path: Path) -> StatisticsFile:
    """Returns what statistics.json of a dataset says.

    Raises:
        DatasetError: it is damaged.
    """
    return read_document(path, StatisticsFile, error=DatasetError, advice="run 'ostinato prepare' again")


def total(parts: Iterable[Statistics]) -> Statistics:
    """Returns the sum; of nothing, the statistics of no piece."""
    return sum(parts, Statistics.empty())


def _from_bytes(data: bytes) -> Statistics:
    counts, values, begin = np.frombuffer(data, np.int64), {}, 0
    for name, size in _SIZES.items():
        values[name] = counts[begin : begin + size] if size else int(counts[begin])
        begin += size or 1
    return Statistics(**values)


def quartiles(counts: Int[np.ndarray, " c"]) -> tuple[int, int, int]:
    """Returns the bins in which a quarter, a half and three quarters of the counts are reached."""
    low, middle, high = np.searchsorted(np.cumsum(counts), counts.sum() * np.array([0.25, 0.5, 0.75]))
    return int(low), int(middle), int(high)


_HISTOGRAM_SIZES = {
    "pitch": 128,
    "drum_pitch": 128,
    "velocity": 128,
    "note_lengths": len(NOTE_LENGTHS),
    "tempo_ms": NUM_BPM_BINS,
    "polyphony_ms": MAX_POLYPHONY + 1,
    "piece_seconds": len(PIECE_SECONDS) + 1,
    "piece_notes": len(PIECE_NOTES) + 1,
    "program_notes": DRUMS + 1,
    "program_pieces": DRUMS + 1,
}
_SIZES = {field.name: _HISTOGRAM_SIZES.get(field.name, 0) for field in dataclasses.fields(Statistics)}
"""The length of each field; 0 is a plain number."""


def _histogram(values: Any, edges: Float[np.ndarray, " e"]) -> Int[np.ndarray, " e_plus_1"]:
    """Returns how many values are below the first edge, from each edge on below the next, and from the last one on."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def _time_histograms(piece: Piece) -> tuple[Int[np.ndarray, " 33"], Int[np.ndarray, " 64"]]:
    """Returns `polyphony_ms` and `tempo_ms`, each from the start of the piece to the end of its last note."""
    notes, tempos, end = piece.notes, piece.tempos, piece.end_tick
    # One integer for each event, the tick and 1 for a beginning, 0 for an end: beginnings and ends are (almost) in
    # order, so a stable sort is a merge, four times as fast as the default.
    events = np.concatenate([notes.onset << 1 | 1, (notes.onset + notes.duration) << 1])
    events.sort(kind="stable")
    sounding = np.cumsum((events & 1) * 2 - 1)
    tempo_tick = np.minimum(tempos.tick, end)
    # One call for the times of both, since each call costs as much as a hundred notes.
    ticks = np.concatenate([[0], events >> 1, [0], tempo_tick, [end]])
    lasts_ms = np.diff(np.rint(piece.seconds(ticks) * 1000))
    num_segments = len(events)
    polyphony = np.concatenate([[0], np.minimum(sounding[:-1], MAX_POLYPHONY)])
    us_per_quarter = np.concatenate([[DEFAULT_TEMPO_US], tempos.us_per_quarter])
    bpm_bin = np.minimum(_US_PER_MINUTE / us_per_quarter / BPM_BIN, NUM_BPM_BINS - 1).astype(np.int64)
    # The weights are whole numbers below 2^53, so the sums in float64 are exact.
    return (
        np.bincount(polyphony, lasts_ms[:num_segments], MAX_POLYPHONY + 1).astype(np.int64),
        np.bincount(bpm_bin, lasts_ms[num_segments + 1 :], NUM_BPM_BINS).astype(np.int64),
    )
