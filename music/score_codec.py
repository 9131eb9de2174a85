"""The `score` codec: one row per note with its time, instrument, pitch, duration and loudness.

A row is (shift, instrument, pitch, duration, velocity):

- shift: 24ths of a quarter note since the row before, 0 to 95.
- instrument: program 0 to 127, DRUMS, or the kind of a control row (START, END, REST, TEMPO, METER, STYLE).
- pitch: MIDI note number; METER: numerator; STYLE: number of the style.
- duration: an index into DURATIONS; REST: the rest's length; TEMPO: beats per minute less MIN_BPM.
- velocity: loudness in 32 bins of four; METER: log2 of the denominator.

Fields that a row does not use are 0. A piece is START, STYLE, METER, TEMPO, then its rows, then END. Rows of one moment
stand in the order METER, TEMPO, notes by (program, pitch). A gap of 96 or more is said by REST rows: as many of the
longest as fit, at most one shorter, and the remainder is the shift of the row that follows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer

from ostinato.configs.errors import UserError
from ostinato.music import alignment, score_transforms
from ostinato.music.account import NoteAccount
from ostinato.music.codec import Codec, Encoding, Field, Specials
from ostinato.music.keys import find_keys
from ostinato.music.piece import (
    DEFAULT_TEMPO_US,
    DRUMS,
    Meters,
    Notes,
    Piece,
    Resolved,
    Tempos,
    in_order,
    make_piece,
    quantize_ticks,
    resolve_overlaps,
)
from ostinato.music.score_grammar import ScoreGrammar
from ostinato.music.score_rows import (
    DURATIONS,
    END,
    EXACT_DURATION,
    GRID,
    LONGEST_REST,
    MAX_BPM,
    MAX_NUMERATOR,
    METER,
    MIN_BPM,
    NUM_DENOMINATORS,
    NUM_INSTRUMENTS,
    NUM_SHIFTS,
    NUM_VELOCITIES,
    REST,
    START,
    STYLE,
    TEMPO,
    VELOCITY_BIN,
)
from ostinato.music.tempo_range import with_tempos_within

_US_PER_MINUTE = 60_000_000
_TICKS = np.arange(LONGEST_REST + 1)
_LONGEST_WITHIN = np.maximum(np.searchsorted(DURATIONS, _TICKS, side="right") - 1, 0)
"""The index of the longest of DURATIONS that is not above so many ticks; 0 where there is none."""
_NEAREST = DURATIONS[_LONGEST_WITHIN[np.minimum(_TICKS + (_TICKS > EXACT_DURATION) * (GRID // 2), LONGEST_REST)]]
"""The nearest of DURATIONS to so many ticks, the longer of two equally near."""
_FIELDS = (
    Field("shift", NUM_SHIFTS),
    Field("instrument", NUM_INSTRUMENTS),
    Field("pitch", 128),
    Field("duration", len(DURATIONS)),
    Field("velocity", NUM_VELOCITIES),
)


@dataclass(frozen=True)
class ScoreCodec(Codec):
    """One row per note. Exact to a 24th of a quarter note, one beat per minute and four velocities."""

    styles: tuple[str, ...] = ("",)

    name = "score"
    dtype = np.uint8
    specials = Specials(field=1, start=START, end=END)
    can_align = True
    has_keys = True
    transforms = score_transforms.TRANSFORMS

    def __post_init__(self) -> None:
        if not 1 <= len(self.styles) <= 128:
            raise UserError(f"{len(self.styles)} styles found, at most 128 are allowed; use --codec.style none")

    @property
    def fields(self) -> tuple[Field, ...]:
        return _FIELDS

    @property
    def grammar(self) -> ScoreGrammar:
        return ScoreGrammar(num_styles=len(self.styles))

    def quantise(self, piece: Piece) -> Piece:
        """Returns the piece on the codec's grid.

        Onsets and ends are rounded to 24ths of a quarter; durations over 8 quarters to whole quarters, at most 64.
        Overlapping notes of one program and pitch are resolved by `resolve_overlaps`. Tempos are whole beats per
        minute from 16 to 263; music in others is written in longer or shorter notes, see `tempo_range`. Meters with
        more than 32 beats or a denominator that is not a power of two up to 32 are left out. Tempos and meters after
        the last onset are left out; where a piece begins without one, 120 beats per minute and 4/4 are written.
        """
        return self._on_grid(piece).piece

    def _on_grid(self, piece: Piece) -> Resolved:
        piece = with_tempos_within(
            piece, MIN_BPM, MAX_BPM, max_beats=MAX_NUMERATOR, max_denominator=1 << NUM_DENOMINATORS - 1
        )
        notes, tpq = piece.notes, piece.ticks_per_quarter
        onset = quantize_ticks(notes.onset, tpq, GRID)
        length = np.maximum(quantize_ticks(notes.onset + notes.duration, tpq, GRID) - onset, 1)

        tempo_tick = quantize_ticks(piece.tempos.tick, tpq, GRID)
        bpm = np.rint(_US_PER_MINUTE / piece.tempos.us_per_quarter).astype(np.int64)
        bpm = np.minimum(np.maximum(bpm, MIN_BPM), MAX_BPM)
        tempo_us = np.rint(_US_PER_MINUTE / bpm).astype(np.int64)

        meter_tick = quantize_ticks(piece.meters.tick, tpq, GRID)
        numerator, denominator = piece.meters.numerator, piece.meters.denominator
        sayable = (numerator >= 1) & (numerator <= MAX_NUMERATOR)
        sayable &= (denominator >= 1) & (denominator < 1 << NUM_DENOMINATORS) & (denominator & (denominator - 1) == 0)

        velocity = np.minimum(np.maximum(notes.velocity, 1), 127) & -VELOCITY_BIN | VELOCITY_BIN // 2
        on_grid = in_order(
            Notes(onset, _NEAREST[np.minimum(length, LONGEST_REST)], notes.pitch, velocity, notes.program),
            Tempos(*_from_start(tempo_tick, (tempo_us, DEFAULT_TEMPO_US))),
            Meters(*_from_start(meter_tick[sayable], (numerator[sayable], 4), (denominator[sayable], 4))),
            GRID,
        )
        resolved = resolve_overlaps(on_grid)
        notes, tempos, meters = resolved.piece.notes, resolved.piece.tempos, resolved.piece.meters
        if resolved.piece is not on_grid:
            # A note that was cut short at the next one may have left the grid of long durations.
            notes = notes._replace(duration=DURATIONS[_longest_duration_within(notes.duration)])
        last_onset = notes.onset[-1] if len(notes.onset) else 0  # of all notes the last may have been a double
        tempos = Tempos(*_until(last_onset, *tempos))
        meters = Meters(*_until(last_onset, *meters))
        return resolved._replace(piece=Piece(notes, tempos, meters, GRID))

    def encode(self, piece: Piece, style: int = 0) -> Integer[np.ndarray, "n 5"]:
        return self.encode_reporting(piece, style).steps

    def encode_reporting(self, piece: Piece, style: int = 0) -> Encoding:
        piece, merged, shortened = self._on_grid(piece)
        account = NoteAccount(merged=merged, shortened=shortened)
        return Encoding(self._rows(piece, style), piece, account)

    def _rows(self, piece: Piece, style: int) -> Integer[np.ndarray, "n 5"]:
        """Returns the rows of a piece that is on the grid."""
        notes, tempos, meters = piece.notes, piece.tempos, piece.meters
        num_meters, num_others = len(meters.tick), len(meters.tick) + len(tempos.tick)
        rows = np.zeros((num_others + piece.num_notes + 3, 5), self.dtype)
        rows[0, 1], rows[1, 1], rows[1, 2], rows[-1, 1] = START, STYLE, style, END
        events = rows[2:-1]
        some = events[:num_meters]
        some[:, 1], some[:, 2], some[:, 4] = METER, meters.numerator, np.log2(meters.denominator)
        some = events[num_meters:num_others]
        some[:, 1], some[:, 3] = TEMPO, np.rint(_US_PER_MINUTE / tempos.us_per_quarter) - MIN_BPM
        some = events[num_others:]
        some[:, 1], some[:, 2] = notes.program, notes.pitch
        some[:, 3], some[:, 4] = _longest_duration_within(notes.duration), notes.velocity // VELOCITY_BIN

        time = np.concatenate([meters.tick, tempos.tick, notes.onset])
        gap = time[1:] - time[:-1]
        if (gap < 0).any():
            order = time.argsort(kind="stable")  # stable: METER before TEMPO before notes
            time, events[:] = time[order], events[order]
            gap = time[1:] - time[:-1]
        events[1:, 0] = gap
        if (gap < NUM_SHIFTS).all():
            return rows
        return _with_rests(rows, gap)

    def decode(self, steps: Integer[np.ndarray, "n 5"]) -> Piece:
        _, instrument, pitch, duration, velocity = np.asarray(steps).astype(np.int64).T
        time = self._times(steps)
        note, tempo, meter = instrument < START, instrument == TEMPO, instrument == METER
        return make_piece(
            onset=time[note],
            duration=DURATIONS[duration[note]],
            pitch=pitch[note],
            velocity=velocity[note] * VELOCITY_BIN + VELOCITY_BIN // 2,
            program=instrument[note],
            tempos=(time[tempo], np.rint(_US_PER_MINUTE / (duration[tempo] + MIN_BPM))),
            meters=(time[meter], pitch[meter], 1 << velocity[meter]),
            ticks_per_quarter=GRID,
        )

    def _times(self, steps: Integer[np.ndarray, "n 5"]) -> Int[np.ndarray, " n"]:
        """Returns when each row is, in ticks of the grid; it does not decrease."""
        rests = np.where(steps[:, 1] == REST, DURATIONS[steps[:, 3]], 0)
        return np.cumsum(steps[:, 0].astype(np.int64) + rests)

    def align(
        self, steps: Integer[np.ndarray, "n 5"], misheard: Bool[np.ndarray, " n"] | None = None
    ) -> alignment.Alignment:
        return alignment.align(steps, misheard)

    def mark_transposed(self, steps: Integer[np.ndarray, "n 5"], semitones: int) -> Integer[np.ndarray, "n 5"]:
        return score_transforms.mark_transposed(steps, semitones)

    def keys_of(self, steps: Integer[np.ndarray, "n 5"], *, quarters: int = 0) -> Int[np.ndarray, " n"]:
        _, instrument, pitch, duration, _ = steps.T
        sounding = np.zeros((len(steps), 12), np.int64)
        pitched = np.flatnonzero(instrument < DRUMS)
        sounding[pitched, pitch[pitched] % 12] = DURATIONS[duration[pitched]]
        if not quarters:
            return np.full(len(steps), find_keys(sounding.sum(0)))
        time, length = self._times(steps), quarters * GRID
        first = np.clip(time - length // 2, 0, max(0, time[-1] + 1 - length))
        before = np.insert(sounding.cumsum(0), 0, 0, axis=0)
        return find_keys(before[np.searchsorted(time, first + length)] - before[np.searchsorted(time, first)])

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "styles": list(self.styles)}

    @classmethod
    def from_json(cls, description: dict[str, Any]) -> "ScoreCodec":
        return cls(styles=tuple(description["styles"]))


def _with_rests(rows: Integer[np.ndarray, "n 5"], gap: Int[np.ndarray, " n-4"]) -> Integer[np.ndarray, "m 5"]:
    """Returns the rows of a piece with REST rows before those whose shift is too long to be said.

    Args:
        rows: with START, STYLE and END.
        gap: the shifts of all but these and the first event, which has none.
    """
    late = (gap >= NUM_SHIFTS).nonzero()[0]
    num_longest, rest = np.divmod(gap[late], LONGEST_REST)
    has_shorter = rest >= NUM_SHIFTS
    shorter = _longest_duration_within(rest)
    num_rests = num_longest + has_shorter
    late += 3  # among the rows
    rows = np.insert(rows, late.repeat(num_rests), (0, REST, 0, len(DURATIONS) - 1, 0), axis=0)
    position = late + num_rests.cumsum()
    rows[position, 0] = np.where(has_shorter, rest - DURATIONS[shorter], rest)
    rows[position[has_shorter] - 1, 3] = shorter[has_shorter]
    return rows


def _from_start(tick: np.ndarray, *columns: tuple[np.ndarray, int]) -> Any:
    """Returns ticks and values, with the default of each column at tick 0 where nothing is said there."""
    if len(tick) and tick[0] == 0:
        return tick, *(values for values, _ in columns)
    return np.concatenate([[0], tick]), *(np.concatenate([[default], values]) for values, default in columns)


def _until(last: int, tick: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the changes that are not after a tick."""
    if tick[-1] <= last:
        return tick, *values
    num = int(tick.searchsorted(last, side="right"))
    return tick[:num], *(column[:num] for column in values)


def _longest_duration_within(ticks: np.ndarray) -> np.ndarray:
    """Returns the index of the longest of DURATIONS that is not above `ticks`; 0 where there is none."""
    return _LONGEST_WITHIN[np.minimum(ticks, LONGEST_REST)]
