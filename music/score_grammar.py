"""Which rows of the `score` codec may follow which: a legal sequence is what encoding a piece could have written.

Written once for NumPy and jax.numpy (passed as `xp`), so that the sampler's compiled function and the property tests
obey the same rules. It can be narrowed to what is asked for; something legal is always left: before a time or a rest is
chosen, it is made sure that a row can follow there. The limits hold at least one note (`limits` sees to that), every
note falls silent some time, and the longest rest may follow itself. Letters: b sequences, v values of a field.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ostinato.music.cadence import FINAL_DRUMS, consonant_with
from ostinato.music.codec import ANY_MOMENT, FOREVER, Due, Elapsed, Moment, Request
from ostinato.music.piece import DRUMS
from ostinato.music.score_limits import NO_LIMITS, ScoreLimits, limits_of
from ostinato.music.score_rows import (
    DURATIONS,
    END,
    EXACT_DURATION,
    FIRST_REST,
    GRID,
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
)

_NUM_PROGRAMS = START
_HEADER = (START, STYLE, METER, TEMPO)
_NEVER = np.int32(2**31 - 1)
"""Steps: after all others."""

_HELD = 2 * GRID
"""Steps that a note of a final chord sounds at least."""

_LENGTHS = DURATIONS.astype(np.int32)
_SHIFTS_AFTER = np.where(_LENGTHS < EXACT_DURATION, 1, GRID).astype(np.int32)
"""Time shifts that may follow a REST of each length, but for the longest, which another REST may follow."""


class ScoreState(NamedTuple):
    """What the grammar remembers of each sequence, all int32 but for the last two."""

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
    first_free: Any
    """[b, programs] when the first wanted note of each program falls silent; _NEVER where none is wanted."""
    now_free: Any
    """[b, programs] which have a wanted note that may come after the last row at its time: chords are in order."""
    only_drums: Any
    """[b] bool: no other note yet."""


class ScoreGrammar(NamedTuple):
    """The rules of the module docstring of `score_codec`, as masks."""

    num_styles: int
    narrow: ScoreLimits = NO_LIMITS

    grid = GRID
    controls = frozenset({"style", "meter", "tempo", "instruments", "density", "key_bias", "harmonise", "fill", "form"})
    note_counts = (np.arange(NUM_INSTRUMENTS) < START).astype(np.int64)

    def limits(self, request: Request) -> ScoreLimits:
        """Returns the limits that a request means; raises as `limits_of`."""
        return limits_of(request)

    def narrowed(self, limits: ScoreLimits) -> "ScoreGrammar":
        """Returns the grammar of the sequences that keep to the limits."""
        return self._replace(narrow=limits)

    def start(self, xp: ModuleType, batch_size: int) -> ScoreState:
        """Returns the state after the START row: all is silent."""
        zeros = xp.zeros((batch_size,), xp.int32)
        is_drums = xp.arange(_NUM_PROGRAMS) == DRUMS
        is_wanted = xp.asarray(self.narrow.programs) & (xp.any(xp.asarray(self.narrow.pitches)) | is_drums)
        first_free = xp.broadcast_to(xp.where(is_wanted, 0, _NEVER)[None, :], (batch_size, _NUM_PROGRAMS))
        return ScoreState(
            position=zeros + 1,
            previous=zeros[:, None] + xp.asarray([[0, START, 0, 0, 0]], xp.int32),
            now=zeros,
            tempo=zeros - 1,
            meter=xp.zeros((batch_size, 2), xp.int32),
            ends=xp.zeros((batch_size, _NUM_PROGRAMS * 128), xp.int32),
            first_free=first_free,
            now_free=first_free <= 0,
            only_drums=zeros == 0,
        )

    def elapsed(self, xp: ModuleType, row: Any) -> Elapsed:
        """Returns what rows [b, 5] do to the time."""
        shift, instrument, pitch, duration, velocity = (row[:, j] for j in range(5))
        bar_length = (pitch * (4 * GRID)) >> velocity
        seconds_per_step = 60 / ((duration + MIN_BPM).astype(xp.float32) * GRID)
        return Elapsed(
            time_shift=shift,
            rest=xp.where(instrument == REST, xp.asarray(_LENGTHS)[duration], 0),
            bar_length=xp.where(instrument == METER, bar_length, 0),
            seconds_per_step=xp.where(instrument == TEMPO, seconds_per_step, 0.0),
        )

    def advance(self, xp: ModuleType, state: ScoreState, row: Any) -> ScoreState:
        """Returns the state after a row [b, 5]."""
        shift, instrument, pitch, duration, velocity = (row[:, j] for j in range(5))
        length = xp.asarray(_LENGTHS)[duration]
        now = state.now + shift + xp.where(instrument == REST, length, 0)
        is_note = instrument < START
        key = xp.where(is_note, instrument * 128 + pitch, 0)
        which = xp.arange(len(now))
        end = xp.where(is_note, now + length, state.ends[which, key])
        ends = _with_values(state.ends, which, key, end)

        # Only the row's program is looked at: looking at all notes of all programs would take longer than the network.
        program = xp.minimum(instrument, DRUMS)
        ends_of_program = _ends_of(xp, ends, program)
        wanted = self._pitches_of(program)
        first_end = xp.min(xp.where(wanted, ends_of_program, _NEVER), axis=1, keepdims=True)
        programs = xp.arange(_NUM_PROGRAMS)[None, :]
        is_same = programs == program[:, None]
        first_free = xp.where(is_same & self.narrow.programs[None, :], first_end, state.first_free)
        higher = wanted & (ends_of_program <= now[:, None]) & (xp.arange(128)[None, :] > pitch[:, None])
        now_free = first_free <= now[:, None]
        in_chord = xp.where(is_same, xp.any(higher, axis=1, keepdims=True), now_free) & (programs >= program[:, None])

        return ScoreState(
            position=xp.minimum(state.position + 1, len(_HEADER)),
            previous=row,
            now=now,
            tempo=xp.where(instrument == TEMPO, duration, state.tempo),
            meter=xp.where((instrument == METER)[:, None], xp.stack([pitch, velocity], 1), state.meter),
            ends=ends,
            first_free=first_free,
            now_free=xp.where((instrument >= START)[:, None], now_free, in_chord),
            only_drums=state.only_drums & (instrument >= DRUMS),
        )

    def allowed(self, xp: ModuleType, state: ScoreState, row: Any, field: int, moment: Moment = ANY_MOMENT) -> Any:
        """Returns the legal values [b, v] of one field, given the fields of `row` before it."""
        mask = (self._time_shifts, self._instruments, self._pitches, self._durations, self._velocities)[field]
        values = mask(xp, state, row, moment)
        if moment.due is None or field < 2:
            return values
        due = moment.due
        is_taken = (row[:, 0] == due.wait) & (row[:, 1] == due.row[:, 1])  # given programs are not free to be chosen
        return xp.where(is_taken[:, None], xp.arange(values.shape[1])[None, :] == due.row[:, field, None], values)

    def final_chord(self, xp: ModuleType, state: ScoreState, row: Any, field: int, begin: Any) -> Any:
        """Before the chord what does not last into it, in it long notes, consonant with what sounds.

        Of drums those that close, which is all there is to a final chord where only they play.
        """
        shift, is_free = row[:, 0], (row[:, 0] < begin)[:, None]
        if field == 0:
            value = xp.arange(NUM_SHIFTS)[None, :]
            note_may_come = (value > 0) | xp.any(state.now_free, axis=1, keepdims=True)
            return note_may_come & ((value <= begin[:, None]) | (begin <= 0)[:, None])
        if field == 1:
            # Without rests a model that waits in a long chord could only add to it.
            may_wait = xp.where(is_free[:, 0], begin >= _LENGTHS[FIRST_REST], state.previous[:, 1] < START)
            return (xp.arange(NUM_INSTRUMENTS)[None, :] != REST) | may_wait[:, None]
        if field == 2:
            ends = state.ends.reshape(len(row), _NUM_PROGRAMS, 128)[:, :DRUMS]
            is_heard = xp.any(ends > (state.now + shift)[:, None, None], axis=1)
            closing = xp.where((row[:, 1] >= DRUMS)[:, None], FINAL_DRUMS[None, :], consonant_with(xp, is_heard))
            return is_free | closing
        if field == 3:
            length = xp.asarray(_LENGTHS)[None, :]
            is_other = (row[:, 1] >= START)[:, None] & ((row[:, 1] != REST)[:, None] | ~is_free)
            return is_other | xp.where(is_free, length <= (begin - shift)[:, None], length >= _HELD)
        return None

    def may_rest(self, xp: ModuleType, state: ScoreState, position: Any, bar_length: Any) -> Any:
        """Drums alone rest on the first beat of a bar, and with its last quarter: most grooves are whole bars."""
        is_on_first_beat = position <= GRID // 6
        return xp.logical_not(state.only_drums) | is_on_first_beat | (position >= bar_length - GRID)

    def _time_shifts(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        """In the header and after END only 0; after a REST only what is left of the gap it stands for."""
        due, previous = moment.due, state.previous[:, 1]
        at_once = _with_values(row, slice(None), 0, 0)
        note = xp.any(self._programs(xp, state, at_once, moment), axis=1)
        end = (previous < START) & moment.may_end
        change = (previous == REST) & self._change_may_come & (moment.free_from <= 0)
        now = note | end | _rest_may_come(state, due) | change
        shift = xp.arange(NUM_SHIFTS)[None, :]
        later = (shift >= _first_note(xp, state, moment)[:, None]) | self._change_may_come
        follows = xp.where(shift == 0, now[:, None], later & (shift >= _free_from(xp, state, moment)[:, None]))
        if due is not None:
            wait = due.wait[:, None]
            is_free = (shift < wait) & ((shift == 0) | (shift < due.free_until[:, None]))
            follows = (follows & is_free) | (shift == wait)
        limit = xp.where(_is_final_rest(state), xp.asarray(_SHIFTS_AFTER)[state.previous[:, 3]], NUM_SHIFTS)[:, None]
        is_fixed = ((state.position < len(_HEADER)) | (previous == END))[:, None]
        return xp.where(is_fixed, shift == 0, (shift < limit) & follows)

    def _instruments(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        due, shift, previous = moment.due, row[:, 0], state.previous[:, 1]
        is_free = shift >= moment.free_from
        moved = is_free & ((shift > 0) | (previous == REST))
        controls = {
            END: (shift == 0) & (previous < START) & moment.may_end,
            REST: (shift == 0) & _rest_may_come(state, due),
            TEMPO: (moved | (is_free & (previous == METER))) & self.narrow.tempo_changes,
            METER: moved & self.narrow.meter_changes,
        }  # START stands only at the beginning, STYLE only in the header
        never = xp.zeros_like(moved)
        kinds = xp.stack([controls.get(kind, never) for kind in range(START, NUM_INSTRUMENTS)], 1)
        free = xp.concatenate([self._programs(xp, state, row, moment), kinds], 1)
        kind = xp.arange(NUM_INSTRUMENTS)[None, :]
        if due is not None:  # at its time the given row or a note before it, elsewhere anything but it
            is_due = (shift == due.wait)[:, None]
            free = (free & ~(is_due & (kind >= START))) | (is_due & (kind == due.row[:, 1, None]))
        # In the header one kind is due, after END only END.
        fixed = xp.asarray([*_HEADER, -1], xp.int32)[state.position]
        fixed = xp.where(previous == END, END, fixed)[:, None]
        return xp.where(fixed < 0, free, kind == fixed)

    def _pitches(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        del moment
        shift, instrument, value = row[:, 0], row[:, 1], xp.arange(128)[None, :]
        program = xp.minimum(instrument, DRUMS)
        # A chord is in order: its next note is above the last one of the same program.
        in_chord = (shift == 0) & (state.previous[:, 1] == program)
        lowest = xp.where(in_chord, state.previous[:, 2] + 1, 0)
        is_silent = _ends_of(xp, state.ends, program) <= (state.now + shift)[:, None]
        notes = is_silent & (value >= lowest[:, None]) & self._pitches_of(program)
        is_meter, is_style = (instrument == METER)[:, None], (instrument == STYLE)[:, None]
        low = xp.where(is_meter, 1, 0)
        high = xp.where(is_meter, MAX_NUMERATOR + 1, xp.where(is_style, self.num_styles, 1))
        controls = (value >= low) & (value < high)
        controls &= ~is_style | (self.narrow.style < 0) | (value == self.narrow.style)
        controls &= ~is_meter | (self.narrow.numerator < 0) | (value == self.narrow.numerator)
        return xp.where((instrument < START)[:, None], notes, controls)

    def _durations(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        due, instrument = moment.due, row[:, 1, None]
        value, length = xp.arange(len(_LENGTHS))[None, :], xp.asarray(_LENGTHS)[None, :]
        end = moment.steps_left if due is None else xp.minimum(moment.steps_left, due.free_until)
        room = (end - row[:, 0])[:, None]
        note = (length <= room) | (room < 1)  # beyond the end stands only a row that becomes END
        tempo = (value != state.tempo[:, None]) & ((self.narrow.tempo < 0) | (value == self.narrow.tempo))
        is_longest = value == len(_LENGTHS) - 1
        last_shift = xp.asarray(_SHIFTS_AFTER)[None, :] - 1
        first_note, free_from = _first_note(xp, state, moment)[:, None], _free_from(xp, state, moment)[:, None]
        rest = (first_note <= length + last_shift) | self._change_may_come
        rest = (rest & (free_from <= length + last_shift)) | is_longest
        if due is None:  # a rest that was not chosen, but has to be, ends soon
            rest &= (free_from <= 0) | (length < first_note + NUM_SHIFTS)
        else:
            left = due.wait[:, None] - length
            rest = (rest & (length < due.free_until[:, None])) | (left <= last_shift) | is_longest
            rest &= left >= 0
        rest &= value >= FIRST_REST
        control = xp.where(instrument == REST, rest, xp.where(instrument == TEMPO, tempo, value == 0))
        return xp.where(instrument < START, note, control)

    def _velocities(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        del moment
        instrument, value = row[:, 1, None], xp.arange(NUM_VELOCITIES)[None, :]
        same_numerator = (row[:, 2] == state.meter[:, 0])[:, None]
        meter = (value < NUM_DENOMINATORS) & ~(same_numerator & (value == state.meter[:, 1][:, None]))
        meter &= (self.narrow.denominator < 0) | (value == self.narrow.denominator)
        return xp.where(instrument == METER, meter, (instrument < START) | (value == 0))

    @property
    def _change_may_come(self) -> Any:
        return self.narrow.meter_changes | self.narrow.tempo_changes

    def _pitches_of(self, program: Any) -> Any:
        """Returns the wanted pitches [b, 128] of a program of each sequence; all of drums."""
        return self.narrow.pitches[None, :] | (program >= DRUMS)[:, None]

    def _programs(self, xp: ModuleType, state: ScoreState, row: Any, moment: Moment) -> Any:
        """Returns the programs [b, 129] that may play at the row's time, before the given row if that is its time."""
        due, shift = moment.due, row[:, 0]
        later = state.first_free <= (state.now + shift)[:, None]
        programs = xp.where((shift > 0)[:, None], later, state.now_free) & self.narrow.programs[None, :]
        programs &= (shift >= moment.free_from)[:, None]
        if due is None:
            return programs
        is_free = shift < due.free_until
        # Where the given row is due only lower programs may come before it, and nothing before a control row.
        given = xp.where(due.row[:, 1] < START, due.row[:, 1], 0)
        first = xp.where(shift == due.wait, given, START)
        return programs & is_free[:, None] & (xp.arange(_NUM_PROGRAMS)[None, :] < first[:, None])


def _ends_of(xp: ModuleType, ends: Any, program: Any) -> Any:
    """Returns the times [b, 128] at which the pitches of one program of each sequence fall silent."""
    return ends.reshape(len(program), _NUM_PROGRAMS, 128)[xp.arange(len(program)), program]


def _first_note(xp: ModuleType, state: ScoreState, moment: Moment) -> Any:
    """Returns how many steps [b] from now some wanted note may begin; FOREVER where none may."""
    wait = xp.maximum(xp.min(state.first_free, axis=1) - state.now, _free_from(xp, state, moment))
    return wait if moment.due is None else xp.where(wait < moment.due.free_until, wait, FOREVER)


def _free_from(xp: ModuleType, state: ScoreState, moment: Moment) -> Any:
    """Returns how many steps [b] from now something new may begin, 0 or more."""
    return xp.maximum(xp.zeros_like(state.now), moment.free_from)


def _is_final_rest(state: ScoreState) -> Any:
    """Tells where the last row is a REST after which no other REST may come: one shorter than the longest."""
    return (state.previous[:, 1] == REST) & (state.previous[:, 3] < len(DURATIONS) - 1)


def _rest_may_come(state: ScoreState, due: Due | None) -> Any:
    """Tells where a REST is legal and does not go beyond the given row."""
    may_come = ~_is_final_rest(state)
    return may_come if due is None else may_come & (due.wait >= NUM_SHIFTS)


def _with_values(array: Any, rows: Any, columns: Any, values: Any) -> Any:
    """Returns a copy of `array` with array[rows, columns] = values; inside jit XLA does it in place."""
    if hasattr(array, "at"):
        return array.at[rows, columns].set(values)
    copy = array.copy()
    copy[rows, columns] = values
    return copy
