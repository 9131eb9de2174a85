"""Notices that a sequence repeats itself exactly, and heats it until it stops. Letters: b sequences, p periods.

A network that is drawn from coldly may fall into a loop: one note for ever, or the same few bars. The guard compares
each row, without its loudness, with the rows 1 to MAX_PERIOD before it. Where the last rows are a pattern heard
`repeats` times in a row, and at least MIN_ROWS of them only repeat, the temperature rises from row to row, and top-k,
top-p and min-p are set aside, and copies become rare, until a row breaks the pattern. Copies of patterns of a bar or
more are rare already in the last quarter of the time that would be one too many.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.music.codec import Field
from ostinato.sample.choose import SamplingParams
from ostinato.sample.constraints import Constraint, Event

MAX_PERIOD = 128
"""Rows of the longest pattern that is noticed: eight bars of four voices in quarter notes."""

MIN_ROWS = 32
"""A pattern shorter than this may be heard more often before it counts as a loop."""

_LAST_QUARTER = 4
_NATS_OFF_COPIES = 6.0

_HEATING, _COOLING, _HOTTEST = 1.1, 0.8, 4.0
_COPY_COOLING = 8.0
"""Nats that copies lose for each factor e of the temperature: three quarters of one in the first row of a loop."""


class LoopState(NamedTuple):
    """What is remembered of each sequence."""

    history: Int[Array, "b p"]
    """The last rows as one number each, the newest first."""
    times: Int[Array, "b p"]
    """When they began, in steps."""
    repeated: Int[Array, "b p"]
    """How many rows in a row were equal to the one so many rows before them."""
    heat: Float[Array, " b"]
    """The temperature is multiplied by it; 1 where there is no loop."""
    is_looping: Bool[Array, " b"]
    is_about_to: Bool[Array, " b"]
    """A pattern of a bar or more comes for the last time that it may."""
    num_loops: Int[Array, " b"]
    """Loops that were noticed."""


class LoopGuard(Constraint):
    """Heats what is stuck; with `repeats` 0 it never acts, and never on rows that are given."""

    def __init__(self, repeats: Int[Array, ""], fields: Sequence[Field]) -> None:
        self.repeats, self.fields = repeats, fields

    def start(self, batch_size: int) -> LoopState:
        return LoopState(
            history=jnp.full((batch_size, MAX_PERIOD), -1, jnp.int32),
            times=jnp.zeros((batch_size, MAX_PERIOD), jnp.int32),
            repeated=jnp.zeros((batch_size, MAX_PERIOD), jnp.int32),
            heat=jnp.ones((batch_size,)),
            is_looping=jnp.zeros((batch_size,), bool),
            is_about_to=jnp.zeros((batch_size,), bool),
            num_loops=jnp.zeros((batch_size,), jnp.int32),
        )

    def params(self, state: LoopState, params: SamplingParams) -> SamplingParams:
        is_calm = state.heat <= 1
        return SamplingParams(
            temperature=params.temperature * state.heat,
            top_k=jnp.where(is_calm, params.top_k, 0),
            top_p=jnp.where(is_calm, params.top_p, 1.0),
            min_p=jnp.where(is_calm, params.min_p, 0.0),
            copy_bias=params.copy_bias
            - _COPY_COOLING * jnp.log(state.heat)
            - jnp.where(state.is_about_to, _NATS_OFF_COPIES, 0.0),
        )

    def advance(self, state: LoopState, event: Event) -> LoopState:
        number = self._number(event.row)
        repeated = jnp.where(number[:, None] == state.history, state.repeated + 1, 0)
        period = jnp.arange(1, MAX_PERIOD + 1)[None, :]
        enough = jnp.maximum((self.repeats - 1) * period, MIN_ROWS)
        may_act = (self.repeats > 0) & ~event.is_given & ~event.is_last
        is_looping = jnp.any(repeated >= enough, axis=1) & may_act
        now = event.clock.now + event.elapsed.time_shift
        lasts_bars = now[:, None] - state.times >= event.clock.bar_length[:, None]
        nearly = (self.repeats - 1) * period - period // _LAST_QUARTER
        heat = jnp.where(is_looping, state.heat * _HEATING, 1 + (state.heat - 1) * _COOLING)
        return LoopState(
            history=jnp.concatenate([number[:, None], state.history[:, :-1]], axis=1),
            times=jnp.concatenate([now[:, None], state.times[:, :-1]], axis=1),
            repeated=repeated,
            heat=jnp.minimum(heat, _HOTTEST),
            is_looping=is_looping,
            is_about_to=jnp.any((repeated >= nearly) & lasts_bars, axis=1) & may_act,
            num_loops=state.num_loops + (is_looping & ~state.is_looping).astype(jnp.int32),
        )

    def restart(self, state: LoopState, batch_size: int) -> LoopState:
        return self.start(batch_size)._replace(num_loops=state.num_loops)

    def _number(self, row: Int[Array, "b f"]) -> Int[Array, " b"]:
        """Returns a number that is another for every row, but for its loudness, which may waver in a loop."""
        number = jnp.zeros((len(row),), jnp.int32)
        for j, field in enumerate(self.fields):
            if field.name != "velocity":
                number = number * field.size + row[:, j]
        return number
