"""Which rows of the `score` codec may follow which: a legal sequence is what encoding a piece could have written.

Written once for NumPy and jax.numpy (passed as `xp`), so that the sampler's compiled function and the property tests
obey the same rules. Letters: b sequences, v values of a field.
"""

from types import ModuleType
from typing import Any, NamedTuple

from ostinato.music.score_rows import (
    DURATIONS,
    END,
    EXACT_DURATION,
    FIRST_REST,
    GRID,
    MAX_NUMERATOR,
    METER,
    NUM_DENOMINATORS,
    NUM_INSTRUMENTS,
    NUM_SHIFTS,
    NUM_VELOCITIES,
    REST,
    START,
    STYLE,
    TEMPO,
)

_NUM_PROGRAMS = START
_HEADER = (START, STYLE, METER, TEMPO)


class ScoreState(NamedTuple):
    """What the grammar remembers of each sequence, all int32."""

    position: Any
    """[b] rows so far, counted up to the end of the header."""
    previous: Any
    """[b, 5] the last row."""
    now: Any
    """[b] its time in steps."""
    tempo: Any
    """[b] the duration value of the last TEMPO row, -1 before the first."""
    meter: Any
    """[b, 2] pitch and velocity values of the last METER row."""
    ends: Any
    """[b, programs * 128] the time at which each program and pitch falls silent."""


class ScoreGrammar(NamedTuple):
    """The rules of the module docstring of `score_codec`, as masks."""

    num_styles: int

    def start(self, xp: ModuleType, batch_size: int) -> ScoreState:
        """Returns the state after the START row."""
        zeros = xp.zeros((batch_size,), xp.int32)
        return ScoreState(
            position=zeros + 1,
            previous=zeros[:, None] + xp.asarray([[0, START, 0, 0, 0]], xp.int32),
            now=zeros,
            tempo=zeros - 1,
            meter=xp.zeros((batch_size, 2), xp.int32),
            ends=xp.zeros((batch_size, _NUM_PROGRAMS * 128), xp.int32),
        )

    def allowed(self, xp: ModuleType, state: ScoreState, row: Any, field: int) -> Any:
        """Returns the legal values [b, v] of one field, given the fields of `row` before it."""
        return (self._shifts, self._instruments, self._pitches, self._durations, self._velocities)[field](
            xp, state, row
        )

    def advance(self, xp: ModuleType, state: ScoreState, row: Any) -> ScoreState:
        """Returns the state after a row [b, 5]."""
        shift, instrument, pitch, duration, velocity = (row[:, j] for j in range(5))
        length = xp.asarray(DURATIONS, xp.int32)[duration]
        now = state.now + shift + xp.where(instrument == REST, length, 0)
        is_note = instrument < START
        key = xp.where(is_note, instrument * 128 + pitch, 0)
        which = xp.arange(len(now))
        end = xp.where(is_note, now + length, state.ends[which, key])
        is_meter = (instrument == METER)[:, None]
        return ScoreState(
            position=xp.minimum(state.position + 1, len(_HEADER)),
            previous=row,
            now=now,
            tempo=xp.where(instrument == TEMPO, duration, state.tempo),
            meter=xp.where(is_meter, xp.stack([pitch, velocity], 1), state.meter),
            ends=_with_values(state.ends, which, key, end),
        )

    def _shifts(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        """In the header and after END only 0; after a REST only what is left of the gap it stands for."""
        del row
        instrument, rest_length = state.previous[:, 1], xp.asarray(DURATIONS, xp.int32)[state.previous[:, 3]]
        after_rest = xp.where(rest_length < EXACT_DURATION, 1, GRID)
        limit = xp.where(_is_final_rest(state), after_rest, NUM_SHIFTS)
        limit = xp.where((state.position < len(_HEADER)) | (instrument == END), 1, limit)
        return xp.arange(NUM_SHIFTS)[None, :] < limit[:, None]

    def _instruments(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        return self.instruments(xp, state, row, xp.any(self._free_notes(xp, state, row), axis=2))

    def instruments(self, xp: ModuleType, state: ScoreState, row: Any, programs: Any) -> Any:
        """Returns the legal instruments [b, v] where the programs [b, program] have a note that may begin."""
        shift, previous = row[:, 0], state.previous[:, 1]
        moved = (shift > 0) | (previous == REST)
        controls = xp.stack(
            [
                xp.zeros_like(moved),  # START stands only at the beginning
                (shift == 0) & (previous < START),
                (shift == 0) & ~_is_final_rest(state),
                moved | (previous == METER),
                moved,
                xp.zeros_like(moved),  # STYLE stands only in the header
            ],
            1,
        )
        free = xp.concatenate([programs, controls], 1)
        # In the header one kind is due, after END only END.
        due = xp.asarray([*_HEADER, -1], xp.int32)[state.position]
        due = xp.where(previous == END, END, due)[:, None]
        return xp.where(due < 0, free, xp.arange(NUM_INSTRUMENTS)[None, :] == due)

    def _free_notes(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        """Returns the notes [b, program, pitch] that do not sound at the row's time and keep the order of a chord."""
        time = (state.now + row[:, 0])[:, None]
        free = (state.ends <= time) & (xp.arange(_NUM_PROGRAMS * 128)[None, :] > _last_note(xp, state, row)[:, None])
        return free.reshape(len(row), _NUM_PROGRAMS, 128)

    def free_pitches(self, xp: ModuleType, state: ScoreState, row: Any, program: Any) -> Any:
        """Returns the pitches [b, 128] of one program of each sequence that `_free_notes` has."""
        ends = self.ends_of(xp, state, program)
        key = program[:, None] * 128 + xp.arange(128)[None, :]
        return (ends <= (state.now + row[:, 0])[:, None]) & (key > _last_note(xp, state, row)[:, None])

    def ends_of(self, xp: ModuleType, state: ScoreState, program: Any) -> Any:
        """Returns the times [b, 128] at which the pitches of one program of each sequence fall silent."""
        return state.ends.reshape(len(program), _NUM_PROGRAMS, 128)[xp.arange(len(program)), program]

    def _pitches(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        instrument, value = row[:, 1], xp.arange(128)[None, :]
        program = xp.minimum(instrument, _NUM_PROGRAMS - 1)
        notes = self.free_pitches(xp, state, row, program)
        is_meter, is_style = (instrument == METER)[:, None], (instrument == STYLE)[:, None]
        low = xp.where(is_meter, 1, 0)
        high = xp.where(is_meter, MAX_NUMERATOR + 1, xp.where(is_style, self.num_styles, 1))
        return xp.where((instrument < START)[:, None], notes, (value >= low) & (value < high))

    def _durations(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        instrument, value = row[:, 1][:, None], xp.arange(len(DURATIONS))[None, :]
        new_tempo = (instrument == TEMPO) & (value != state.tempo[:, None])
        rest = (instrument == REST) & (value >= FIRST_REST)
        unused = (instrument >= START) & (instrument != TEMPO) & (instrument != REST) & (value == 0)
        return (instrument < START) | new_tempo | rest | unused

    def _velocities(self, xp: ModuleType, state: ScoreState, row: Any) -> Any:
        instrument, value = row[:, 1][:, None], xp.arange(NUM_VELOCITIES)[None, :]
        same_numerator = (row[:, 2] == state.meter[:, 0])[:, None]
        new_meter = (value < NUM_DENOMINATORS) & ~(same_numerator & (value == state.meter[:, 1][:, None]))
        return xp.where(instrument == METER, new_meter, (instrument < START) | (value == 0))


def _last_note(xp: ModuleType, state: ScoreState, row: Any) -> Any:
    """Returns the note [b] = program * 128 + pitch that a note of the row's time must come after; -1 for any."""
    moved = (row[:, 0] > 0) | (state.previous[:, 1] >= START)
    return xp.where(moved, -1, state.previous[:, 1] * 128 + state.previous[:, 2])


def _is_final_rest(state: ScoreState) -> Any:
    """Tells where the last row is a REST after which no other REST may come: one shorter than the longest."""
    return (state.previous[:, 1] == REST) & (state.previous[:, 3] < len(DURATIONS) - 1)


def _with_values(array: Any, rows: Any, columns: Any, values: Any) -> Any:
    """Returns a copy of `array` with array[rows, columns] = values; inside jit XLA does it in place."""
    if hasattr(array, "at"):
        return array.at[rows, columns].set(values)
    copy = array.copy()
    copy[rows, columns] = values
    return copy
