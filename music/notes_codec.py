"""The `notes` codec: the paper's single unique integer for each note or chord.

What begins at one moment is one event: its pitches, its duration and the gap since the event before. Every event that
the vocabulary holds has an integer; others share UNKNOWN. Instruments are merged into one piano, drums are left out,
loudness and tempo are constant, as in the paper.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from ostinato.configs.errors import UserError
from ostinato.music.codec import ANY_MOMENT, Codec, Elapsed, Field, Moment, Request, Specials
from ostinato.music.piece import DRUMS, Piece, make_piece, quantize_ticks

GRID = 12
"""Steps per quarter note: 16ths and triplets are exact."""

LONGEST = 8 * GRID
"""Longer gaps and durations are shortened to this many steps."""

VELOCITY = 80
START, END, UNKNOWN = range(3)
NUM_SPECIAL = 3
UNKNOWN_GAP = GRID
"""An unknown event sounds as a quarter of silence."""


class NoteEvent(NamedTuple):
    """What one integer means."""

    gap: int
    """Steps since the onset before."""
    duration: int
    """Steps, that of the longest note."""
    pitches: tuple[int, ...]


class _Events(NamedTuple):
    onset: np.ndarray
    gap: np.ndarray
    duration: np.ndarray
    has_pitch: np.ndarray
    """[e, 128] bool."""


def count_events(piece: Piece) -> list[tuple[NoteEvent, int]]:
    """Returns each different event of a piece with how often it occurs, for the vocabulary."""
    keys, counts = np.unique(_keys(_events(piece)), return_counts=True)
    return [(_event_of_key(key), int(count)) for key, count in zip(keys, counts, strict=True)]


def choose_vocabulary(
    counts: Iterable[tuple[NoteEvent, int]], *, min_count: int, max_vocabulary: int
) -> tuple[NoteEvent, ...]:
    """Returns the most frequent events that occur at least min_count times, in the order of their integers.

    Ties are broken by the events themselves, so that the same counts give the same integers.
    """
    frequent = sorted((-count, event) for event, count in counts if count >= min_count)
    return tuple(event for _, event in frequent[: max_vocabulary - NUM_SPECIAL])


@dataclass(frozen=True)
class NotesCodec(Codec):
    """One unique integer per note or chord, from a vocabulary counted on the training split."""

    vocabulary: tuple[NoteEvent, ...]
    styles: tuple[str, ...] = ("",)

    name = "notes"
    dtype = np.uint16
    specials = Specials(field=0, start=START, end=END, unknown=UNKNOWN)
    transforms = MappingProxyType({})

    def __post_init__(self) -> None:
        if not self.vocabulary:
            raise UserError("the notes codec has an empty vocabulary; lower --codec.min-count or add more music")

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field("note", NUM_SPECIAL + len(self.vocabulary)),)

    @property
    def grammar(self) -> "NotesGrammar":
        return self._grammar

    @cached_property
    def _grammar(self) -> "NotesGrammar":
        gap, _, has_pitch = self._tables
        note_counts = has_pitch.sum(1)
        note_counts[UNKNOWN] = 1
        return NotesGrammar(gap.astype(np.int32), has_pitch, note_counts, wanted=np.ones(len(gap), bool))

    def encode(self, piece: Piece, style: int = 0) -> Integer[np.ndarray, "n 1"]:
        del style  # the paper's model is trained on one style at a time
        keys = _keys(_events(piece))
        sorted_keys, integers = self._index
        position = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
        known = sorted_keys[position] == keys
        steps = np.where(known, integers[position], UNKNOWN)
        return np.r_[START, steps, END].astype(self.dtype)[:, None]

    def decode(self, steps: Integer[np.ndarray, "n 1"]) -> Piece:
        step = np.asarray(steps)[:, 0].astype(np.int64)
        step = step[(step != START) & (step != END)]
        gap, duration, has_pitch = self._tables
        onset = np.cumsum(gap[step])
        event, pitch = np.nonzero(has_pitch[step])
        return make_piece(
            onset=onset[event],
            duration=duration[step[event]],
            pitch=pitch,
            velocity=np.full(len(event), VELOCITY),
            program=np.zeros(len(event)),
            ticks_per_quarter=GRID,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "styles": list(self.styles),
            "vocabulary": [list(event) for event in self.vocabulary],
        }

    @classmethod
    def from_json(cls, description: dict[str, Any]) -> "NotesCodec":
        events = description["vocabulary"]
        return cls(
            vocabulary=tuple(NoteEvent(gap, duration, tuple(pitches)) for gap, duration, pitches in events),
            styles=tuple(description["styles"]),
        )

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gap, duration and pitches of every integer."""
        size = NUM_SPECIAL + len(self.vocabulary)
        gap, duration, has_pitch = np.zeros(size, np.int64), np.ones(size, np.int64), np.zeros((size, 128), bool)
        gap[UNKNOWN] = UNKNOWN_GAP
        for integer, event in enumerate(self.vocabulary, NUM_SPECIAL):
            gap[integer], duration[integer] = event.gap, event.duration
            has_pitch[integer, list(event.pitches)] = True
        return gap, duration, has_pitch

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys of the vocabulary in order, and the integer of each."""
        gap, duration, has_pitch = (table[NUM_SPECIAL:] for table in self._tables)
        keys = _keys(_Events(gap, gap, duration, has_pitch))
        order = np.argsort(keys)
        return keys[order], order + NUM_SPECIAL


class NotesGrammar(NamedTuple):
    """Any known event may follow any other; only the first one of a piece may begin at once. The state is its row."""

    gap: np.ndarray
    """[v] steps before each event."""
    has_pitch: np.ndarray
    """[v, 128] bool."""
    note_counts: np.ndarray
    """[v]; UNKNOWN counts as one note."""
    wanted: Any
    """[v] bool: what new rows may be."""

    grid = GRID
    controls = frozenset[str]()

    def limits(self, request: Request) -> np.ndarray:
        """Returns the events of which all notes have a wanted pitch.

        Raises:
            UserError: there is none that may come later than the piece's beginning.
        """
        wanted = np.logical_not((self.has_pitch & ~request.pitches).any(axis=1, keepdims=True))[:, 0]
        if not (wanted & (self.gap > 0))[NUM_SPECIAL:].any():
            raise UserError(
                f"none of the {len(wanted) - NUM_SPECIAL} chords that the model knows has all its notes among the "
                "pitches that are asked for; widen the pitch range or leave the key out"
            )
        return wanted

    def narrowed(self, limits: Any) -> "NotesGrammar":
        """Returns the grammar in which new events are wanted ones."""
        return self._replace(wanted=limits)

    def start(self, xp: ModuleType, batch_size: int) -> Any:
        """Returns the last row of each sequence."""
        return xp.full((batch_size,), START, xp.int32)

    def allowed(self, xp: ModuleType, state: Any, row: Any, field: int, moment: Moment = ANY_MOMENT) -> Any:
        """Returns the legal integers [b, v]; after END only END."""
        del row, field
        value, previous = xp.arange(len(self.gap))[None, :], state[:, None]
        is_event, is_end = value >= NUM_SPECIAL, value == END
        first = is_event & xp.asarray(self.wanted)[None, :]
        may_end = xp.broadcast_to(xp.asarray(moment.may_end), state.shape)[:, None]
        later = xp.where(is_end, may_end, first & xp.asarray(self.gap > 0)[None, :])
        legal = xp.where(previous == START, first, xp.where(previous == END, is_end, later))
        # Nothing new begins too early, unless the vocabulary has no gap as long as that.
        free_from = xp.broadcast_to(xp.asarray(moment.free_from), state.shape)[:, None]
        in_time = legal & (xp.asarray(self.gap)[None, :] >= free_from)
        legal = xp.where(xp.any(in_time, axis=1, keepdims=True), in_time | (legal & is_end), legal)
        # A chord with more notes than are still wanted only where nothing smaller is legal.
        notes_left = xp.broadcast_to(xp.asarray(moment.notes_left), state.shape)[:, None]
        fitting = legal & (xp.asarray(self.note_counts, xp.int32)[None, :] <= notes_left)
        return xp.where(xp.any(fitting, axis=1, keepdims=True), fitting, legal)

    def final_chord(self, xp: ModuleType, state: Any, row: Any, field: int, begin: Any) -> None:
        """Returns None: a row may be a whole chord, and how long it sounds is not said."""
        del xp, state, row, field, begin

    def may_rest(self, xp: ModuleType, state: Any, position: Any, bar_length: Any) -> Any:
        """Anywhere: its notes are no drums."""
        del state, bar_length
        return xp.ones_like(position, bool)

    def advance(self, xp: ModuleType, state: Any, row: Any) -> Any:
        """Returns the state after a row [b, 1]."""
        del xp, state
        return row[:, 0]

    def elapsed(self, xp: ModuleType, row: Any) -> Elapsed:
        """Returns what rows [b, 1] do to the time."""
        zeros = xp.zeros((len(row),), xp.int32)
        return Elapsed(xp.asarray(self.gap)[row[:, 0]], zeros, zeros, zeros.astype(xp.float32))


def _events(piece: Piece) -> _Events:
    """Returns what begins at each moment of the quantised piece."""
    notes, tpq = piece.notes, piece.ticks_per_quarter
    pitched = notes.program != DRUMS
    onset = quantize_ticks(notes.onset[pitched], tpq, GRID)
    length = np.clip(quantize_ticks((notes.onset + notes.duration)[pitched], tpq, GRID) - onset, 1, LONGEST)
    moments, event = np.unique(onset, return_inverse=True)
    duration = np.zeros(len(moments), np.int64)
    np.maximum.at(duration, event, length)
    has_pitch = np.zeros((len(moments), 128), bool)
    has_pitch[event, notes.pitch[pitched]] = True
    return _Events(moments, np.minimum(np.diff(moments, prepend=0), LONGEST), duration, has_pitch)


def _keys(events: _Events) -> np.ndarray:
    """Returns one fixed-width byte string per event: gap, duration and a bit for each pitch."""
    columns = [events.gap[:, None], events.duration[:, None], np.packbits(events.has_pitch, axis=1)]
    packed = np.concatenate(columns, axis=1).astype(np.uint8)
    return np.ascontiguousarray(packed).view(f"S{packed.shape[1]}")[:, 0]


def _event_of_key(key: bytes) -> NoteEvent:
    gap, duration, *bits = key.ljust(18, b"\0")
    pitches = np.flatnonzero(np.unpackbits(np.array(bits, np.uint8)))
    return NoteEvent(gap, duration, tuple(map(int, pitches)))
