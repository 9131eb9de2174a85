"""Keeps the number of notes in a bar near what is asked for, by leaning on the time between rows.

A controller inside the compiled function: it measures the notes of about the last bar and adds to the logits of waiting
(a row's time shift, and rests). Letters: b sequences, v values.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ostinato.music.score_rows import GRID, NUM_INSTRUMENTS, NUM_SHIFTS, REST
from ostinato.sample.constraints import Constraint, Event

_GAIN, _GAIN_PER_BAR, _MOST = 0.7, 1.5, 8.0
"""Nats for e times too many notes, at once and added in each bar, and the most of what is added."""


class DensityState(NamedTuple):
    """What the controller remembers of each sequence."""

    notes: Float[Array, " b"]
    """Notes in a bar, the older the less counted: e times less a bar ago."""
    controller_gain: Float[Array, " b"]
    """Nats, grown slowly; above 0 makes notes rarer."""


class Density(Constraint):
    """Leans on the time shift until a bar has as many notes as asked for; does nothing where the target is 0."""

    def __init__(self, target: Float[Array, ""], names: Sequence[str]) -> None:
        self.target = target
        shift = jnp.arange(NUM_SHIFTS) / GRID
        rest = 4.0 * (jnp.arange(NUM_INSTRUMENTS) == REST).astype(jnp.float32)  # it waits for at least four quarters
        self.quarters = {names.index("shift"): shift, names.index("instrument"): rest}

    def start(self, batch_size: int) -> DensityState:
        return DensityState(jnp.ones((batch_size,)) * self.target, jnp.zeros((batch_size,)))

    def bias(self, state: DensityState, row: Int[Array, "b f"], field: int) -> Float[Array, "b v"] | None:
        del row
        return self.shift_bias(state, self.quarters[field]) if field in self.quarters else None

    def advance(self, state: DensityState, event: Event) -> DensityState:
        steps = event.elapsed.time_shift + event.elapsed.rest
        bars = steps.astype(jnp.float32) / event.clock.bar_length.astype(jnp.float32)
        notes = state.notes * jnp.exp(-bars) + (event.num_notes > 0).astype(jnp.float32)
        gain = state.controller_gain + _GAIN_PER_BAR * jnp.minimum(bars, 1) * self._error(notes)
        return DensityState(notes, jnp.clip(gain, -_MOST, _MOST))

    def restart(self, state: DensityState, batch_size: int) -> DensityState:
        del batch_size  # what was learnt about the network holds for the next piece too
        return state

    def shift_bias(self, state: DensityState, quarters: Float[Array, " v"]) -> Float[Array, "b v"]:
        """Returns what is added to the logits of waiting so many quarter notes."""
        gain = state.controller_gain + _GAIN * jnp.clip(self._error(state.notes), -2, 2)
        tilt = jnp.log1p(4 * quarters)  # 1.6 for one quarter note, 2.8 for four
        return jnp.where(self.target > 0, gain[:, None] * tilt[None, :], 0.0)

    def _error(self, notes: Float[Array, " b"]) -> Float[Array, " b"]:
        return jnp.log((notes + 0.1) / jnp.maximum(self.target + 0.1, 1e-3))
