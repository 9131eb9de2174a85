"""Narrows what the grammar of the `score` codec allows to what is wished for, inside the compiled function.

Something legal is always left: before a time or a rest is chosen, it is made sure that a row can follow there. The
wishes hold at least one note (`controls.py` sees to that), every note falls silent some time, and the longest rest may
follow itself. Letters: b sequences, v values of a field.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ostinato.music.score_grammar import ScoreGrammar, ScoreState
from ostinato.music.score_rows import (
    DURATIONS,
    END,
    EXACT_DURATION,
    GRID,
    METER,
    NUM_INSTRUMENTS,
    NUM_SHIFTS,
    NUM_VELOCITIES,
    REST,
    START,
    STYLE,
    TEMPO,
)
from ostinato.sample.clock import FOREVER
from ostinato.sample.schedule import Due, is_taken

NEVER = np.int32(2**31 - 1)
"""Steps: after all others."""

SHIFT, INSTRUMENT, PITCH, DURATION, VELOCITY = range(5)

_HEADER_ROWS = 4
_DRUMS = START - 1
_LENGTHS = DURATIONS.astype(np.int32)
_SHIFTS_AFTER = np.where(_LENGTHS < EXACT_DURATION, 1, GRID).astype(np.int32)
"""Shifts that may follow a REST of each length, but for the longest, which another REST may follow."""


class ScoreWishes(NamedTuple):
    """What the rows may be. Numbers are values of the fields; -1 leaves them to the model."""

    programs: Bool[Array, " 129"]
    pitches: Bool[Array, " 128"]
    """Of all programs but drums."""
    pitch_bias: Float[Array, " 128"]
    """Nats that are added to the logits of pitches, but for drums."""
    style: Int[Array, ""]
    numerator: Int[Array, ""]
    denominator: Int[Array, ""]
    tempo: Int[Array, ""]
    meter_changes: Bool[Array, ""]
    """METER rows may come after the header."""
    tempo_changes: Bool[Array, ""]


FirstFree = Int[Array, "b 129"]
"""When the first wished note of each program falls silent or did, in steps since START; NEVER where none is wished."""


class Playable(NamedTuple):
    """Which programs have a wished note that may begin."""

    first_free: FirstFree
    next_programs: Bool[Array, "b 129"]
    """Now, after the last row: notes of a chord are in order."""
    wait: Int[Array, " b"]
    """Steps from now until some wished note may begin."""


class Place(NamedTuple):
    """Where a sequence is, for the choice of its next row."""

    grammar: ScoreState
    playable: Playable
    steps_left: Int[Array, " b"]
    """Until the end of the piece."""
    may_end: Bool[Array, " b"]
    """An END row may be chosen."""
    due: Due | None
    """The next row that is given, if any are."""


def start_free(wishes: ScoreWishes, batch_size: int) -> FirstFree:
    """Returns what holds after START: all that is wished is silent."""
    is_drums = jnp.arange(START) == _DRUMS
    is_wished = jnp.asarray(wishes.programs) & (jnp.any(jnp.asarray(wishes.pitches)) | is_drums)
    return jnp.broadcast_to(jnp.where(is_wished, 0, NEVER)[None, :], (batch_size, START))


def find_playable(grammar: ScoreGrammar, wishes: ScoreWishes, state: ScoreState, first_free: FirstFree) -> Playable:
    """Returns what may begin now or later, from what was so before the last row.

    Only the program of that row is looked at: looking at all notes of all programs would take longer than the network.
    """
    last = state.previous[:, INSTRUMENT]
    program, wished = jnp.minimum(last, _DRUMS), _of_program(wishes, last)
    ends = grammar.ends_of(jnp, state, program)
    first_end = jnp.min(jnp.where(wished, ends, NEVER), axis=1, keepdims=True)
    is_last = jnp.arange(START)[None, :] == program[:, None]
    first_free = jnp.where(is_last & wishes.programs[None, :], first_end, first_free)

    programs = first_free <= state.now[:, None]
    higher = wished & (ends <= state.now[:, None]) & (jnp.arange(128)[None, :] > state.previous[:, PITCH, None])
    after = jnp.where(is_last, jnp.any(higher, axis=1, keepdims=True), programs)
    after &= jnp.arange(START)[None, :] >= program[:, None]
    next_programs = jnp.where((last >= START)[:, None], programs, after)
    return Playable(first_free, next_programs, jnp.maximum(jnp.min(first_free, axis=1) - state.now, 0))


def _of_program(wishes: ScoreWishes, program: Int[Array, " b"]) -> Bool[Array, "b 128"]:
    """Returns the wished pitches of a program of each sequence; all of drums."""
    return wishes.pitches[None, :] | (program >= _DRUMS)[:, None]


def allowed_values(
    grammar: ScoreGrammar,
    wishes: ScoreWishes,
    place: Place,
    row: Int[Array, "b f"],
    field: int,
) -> Bool[Array, "b v"]:
    """Returns the values of one field that are legal and wished for; at least one in each row.

    Args:
        grammar: of the codec.
        wishes: what is asked for.
        place: where the sequences are.
        row: whose columns before `field` are chosen.
        field: the column to choose.
    """
    if field == INSTRUMENT:
        legal = grammar.instruments(jnp, place.grammar, row, jnp.ones((len(row), START), bool))
    else:
        legal = grammar.allowed(jnp, place.grammar, row, field)
    narrowed = (_shifts, _instruments, _pitches, _durations, _velocities)[field](legal, wishes, place, row)
    if place.due is None or field == SHIFT:
        return narrowed
    taken = is_taken(place.due, row, field)
    value = jnp.arange(legal.shape[1])[None, :]
    return jnp.where(taken[:, None], value == place.due.row[:, field, None], narrowed)


def bias(wishes: ScoreWishes, row: Int[Array, "b f"], field: int) -> Float[Array, "b v"] | None:
    """Returns what is added to the logits of a field, if anything ever is."""
    if field != PITCH:
        return None
    is_pitched = (row[:, INSTRUMENT] < _DRUMS)[:, None]
    return jnp.where(is_pitched, wishes.pitch_bias[None, :], 0.0)


def _programs_here(wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]) -> Bool[Array, "b 129"]:
    """Returns the programs that may play at the row's time, before the given row if that is its time, too."""
    shift, playable, due = row[:, SHIFT], place.playable, place.due
    later = playable.first_free <= (place.grammar.now + shift)[:, None]
    programs = jnp.where((shift > 0)[:, None], later, playable.next_programs) & wishes.programs[None, :]
    if due is None:
        return programs
    is_free = (shift >= due.free_from) & (shift < due.free_until)
    # Where the given row is due only lower programs may come before it, and nothing before a control row.
    first = jnp.where(shift == due.wait, jnp.where(due.row[:, INSTRUMENT] < START, due.row[:, INSTRUMENT], 0), START)
    return programs & is_free[:, None] & (jnp.arange(START)[None, :] < first[:, None])


def _first_free(place: Place) -> Int[Array, " b"]:
    """Returns how many steps from now some wished note may begin; FOREVER where none may."""
    if place.due is None:
        return place.playable.wait
    wait = jnp.maximum(place.playable.wait, place.due.free_from)
    return jnp.where(wait < place.due.free_until, wait, FOREVER)


def _rest_may_come(place: Place) -> Bool[Array, " b"]:
    """Tells where a REST is legal and does not go beyond the given row."""
    last_length = jnp.asarray(_LENGTHS)[place.grammar.previous[:, DURATION]]
    is_final = (place.grammar.previous[:, INSTRUMENT] == REST) & (last_length < _LENGTHS[-1])
    return ~is_final if place.due is None else ~is_final & (place.due.wait >= NUM_SHIFTS)


def _change_may_come(wishes: ScoreWishes) -> Bool[Array, ""]:
    return wishes.meter_changes | wishes.tempo_changes


def _shifts(
    allowed: Bool[Array, "b v"], wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]
) -> Bool[Array, "b v"]:
    state = place.grammar
    previous = state.previous[:, INSTRUMENT]
    note = jnp.any(_programs_here(wishes, place, row.at[:, SHIFT].set(0)), axis=1)
    end = (previous < START) & place.may_end
    now = note | end | _rest_may_come(place) | ((previous == REST) & _change_may_come(wishes))
    shift = jnp.arange(NUM_SHIFTS)[None, :]
    later = (shift >= _first_free(place)[:, None]) | _change_may_come(wishes)
    follows = jnp.where(shift == 0, now[:, None], later)
    if place.due is not None:
        wait = place.due.wait[:, None]
        follows = (follows & (shift < wait) & ((shift == 0) | (shift < place.due.free_until[:, None]))) | (
            shift == wait
        )
    in_header = (state.position < _HEADER_ROWS) | (previous == END)
    return allowed & (follows | in_header[:, None])


def _instruments(
    allowed: Bool[Array, "b v"], wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]
) -> Bool[Array, "b v"]:
    programs = _programs_here(wishes, place, row)
    always = jnp.ones((len(row),), bool)
    tempo, meter = always & wishes.tempo_changes, always & wishes.meter_changes
    controls = {REST: _rest_may_come(place), TEMPO: tempo, METER: meter, END: place.may_end}
    wished = jnp.concatenate(
        [programs, *(controls.get(kind, always)[:, None] for kind in range(START, NUM_INSTRUMENTS))], axis=1
    )
    if place.due is not None:
        # Where the given row is due, it or a note before it; elsewhere anything but it.
        is_due = (row[:, SHIFT] == place.due.wait)[:, None]
        kind = jnp.arange(NUM_INSTRUMENTS)[None, :]
        return (allowed & wished & ~(is_due & (kind >= START))) | (
            is_due & (kind == place.due.row[:, INSTRUMENT, None])
        )
    free = (place.grammar.position >= _HEADER_ROWS) & (place.grammar.previous[:, INSTRUMENT] != END)
    return allowed & (wished | ~free[:, None])


def _pitches(
    allowed: Bool[Array, "b v"], wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]
) -> Bool[Array, "b v"]:
    instrument, value = row[:, INSTRUMENT, None], jnp.arange(128)[None, :]
    wished = wishes.pitches[None, :] | (instrument >= _DRUMS)
    wished &= (instrument != STYLE) | (wishes.style < 0) | (value == wishes.style)
    return allowed & wished & ((instrument != METER) | (wishes.numerator < 0) | (value == wishes.numerator))


def _durations(
    allowed: Bool[Array, "b v"], wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]
) -> Bool[Array, "b v"]:
    instrument, value = row[:, INSTRUMENT, None], jnp.arange(len(DURATIONS))[None, :]
    length = jnp.asarray(_LENGTHS)[None, :]
    end = place.steps_left if place.due is None else jnp.minimum(place.steps_left, place.due.free_until)
    room = (end - row[:, SHIFT])[:, None]
    # Beyond the end stands only a row that becomes END.
    note = (length <= room) | (room < 1)
    tempo = (wishes.tempo < 0) | (value == wishes.tempo)
    last_shift = jnp.asarray(_SHIFTS_AFTER)[None, :] - 1
    rest = (_first_free(place)[:, None] <= length + last_shift) | _change_may_come(wishes)
    rest |= value == len(DURATIONS) - 1
    if place.due is not None:
        left = place.due.wait[:, None] - length
        rest = (left >= 0) & ((rest & (length < place.due.free_until[:, None])) | (left <= last_shift))
        rest |= (left >= 0) & (value == len(DURATIONS) - 1)
    wished = jnp.where(instrument == REST, rest, jnp.where(instrument == TEMPO, tempo, (instrument >= START) | note))
    return allowed & wished


def _velocities(
    allowed: Bool[Array, "b v"], wishes: ScoreWishes, place: Place, row: Int[Array, "b f"]
) -> Bool[Array, "b v"]:
    is_meter, value = (row[:, INSTRUMENT] == METER)[:, None], jnp.arange(NUM_VELOCITIES)[None, :]
    return allowed & (~is_meter | (wishes.denominator < 0) | (value == wishes.denominator))
