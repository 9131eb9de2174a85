"""Keeps the number of notes in a bar near what is asked for, by leaning on the time between rows.

A controller inside the compiled function: it measures the notes of about the last bar and pushes the logits of the
shift, a row's distance from the one before. Letters: b sequences, v values.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_GAIN, _GAIN_PER_BAR, _MOST = 0.7, 1.5, 8.0
"""Nats for e times too many notes, at once and added in each bar, and the most of what is added."""


class Density(NamedTuple):
    """What the controller remembers of each sequence."""

    notes: Float[Array, " b"]
    """Notes in a bar, the older the less counted: e times less a bar ago."""
    push: Float[Array, " b"]
    """Nats, grown slowly; above 0 makes notes rarer."""


def start_density(batch_size: int, target: Float[Array, ""]) -> Density:
    """Returns the controller at rest."""
    return Density(jnp.ones((batch_size,)) * target, jnp.zeros((batch_size,)))


def measure(
    density: Density,
    target: Float[Array, ""],
    *,
    steps: Int[Array, " b"],
    bar_length: Int[Array, " b"],
    is_note: Bool[Array, " b"],
) -> Density:
    """Returns the controller after a row that came `steps` after the one before it; target is notes in a bar."""
    bars = steps.astype(jnp.float32) / bar_length.astype(jnp.float32)
    notes = density.notes * jnp.exp(-bars) + is_note.astype(jnp.float32)
    push = density.push + _GAIN_PER_BAR * jnp.minimum(bars, 1) * _error(notes, target)
    return Density(notes, jnp.clip(push, -_MOST, _MOST))


def wait_bias(density: Density, target: Float[Array, ""], quarters: Float[Array, " v"]) -> Float[Array, "b v"]:
    """Returns what is added to the logits of waiting so many quarter notes; nothing where the target is 0."""
    push = density.push + _GAIN * jnp.clip(_error(density.notes, target), -2, 2)
    tilt = jnp.log1p(4 * quarters)  # 1.6 for one quarter note, 2.8 for four
    return jnp.where(target > 0, push[:, None] * tilt[None, :], 0.0)


def _error(notes: Float[Array, " b"], target: Float[Array, ""]) -> Float[Array, " b"]:
    return jnp.log((notes + 0.1) / jnp.maximum(target + 0.1, 1e-3))
