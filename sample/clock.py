"""Where in its bars and seconds each sequence is, inside the compiled function. Letters: b sequences.

A step is the codec's grid: a 24th of a quarter note (score) or a 12th (notes).
"""

from typing import NamedTuple, cast

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.music.codec import FOREVER, Elapsed

_DEFAULT_BPM = 120


class Clock(NamedTuple):
    """The time at which the last row stands, after its rest."""

    now: Int[Array, " b"]
    """Steps since START."""
    bars: Int[Array, " b"]
    """Bars that are over, counted from the first bar line at or after the end of the primer; negative before it."""
    bar: Int[Array, " b"]
    """Bars that are over since START."""
    bar_position: Int[Array, " b"]
    """Steps since the last bar line."""
    bar_length: Int[Array, " b"]
    seconds: Float[Array, " b"]
    """Seconds since the end of the primer."""
    seconds_per_step: Float[Array, " b"]
    begin: Int[Array, " b"]
    """Steps since START at which the primer ends, and nothing new begins before: its last row, or a bar line later."""


class Length(NamedTuple):
    """Where a piece ends, whichever comes first."""

    bars: Int[Array, "*b"]
    """Of all sequences, or of each."""
    seconds: Float[Array, ""]
    steps: Int[Array, ""]
    """Since START."""


def start_clock(grid: int, batch_size: int) -> Clock:
    """Returns the clock after START: 4/4 at 120 beats per minute, until the rows say otherwise."""
    zeros = jnp.zeros((batch_size,), jnp.int32)
    return Clock(
        now=zeros,
        bars=zeros,
        bar=zeros,
        bar_position=zeros,
        bar_length=zeros + 4 * grid,
        seconds=jnp.zeros((batch_size,)),
        seconds_per_step=jnp.full((batch_size,), 60 / (_DEFAULT_BPM * grid), jnp.float32),
        begin=zeros,
    )


def advance(clock: Clock, elapsed: Elapsed, is_primer: Bool[Array, " b"]) -> Clock:
    """Returns the clock after a row. A new meter begins a new bar; a bar that it cuts short counts as one."""
    steps = elapsed.time_shift + elapsed.rest
    position = clock.bar_position + steps
    passed, position = position // clock.bar_length, position % clock.bar_length
    is_meter = elapsed.bar_length > 0
    passed = passed + (is_meter & (position > 0)).astype(jnp.int32)
    position = jnp.where(is_meter, 0, position)
    seconds = clock.seconds + steps.astype(jnp.float32) * clock.seconds_per_step
    is_tempo = elapsed.seconds_per_step > 0
    seconds_per_step = cast("Array", jnp.where(is_tempo, elapsed.seconds_per_step, clock.seconds_per_step))
    bar_length = jnp.where(is_meter, elapsed.bar_length, clock.bar_length)
    now = clock.now + steps
    to_begin = jnp.maximum(clock.begin - now, 0)
    return Clock(
        now=now,
        bars=jnp.where(is_primer, -((position + to_begin + bar_length - 1) // bar_length), clock.bars + passed),
        bar=clock.bar + passed,
        bar_position=position,
        bar_length=bar_length,
        seconds=jnp.where(is_primer, -to_begin.astype(jnp.float32) * seconds_per_step, seconds),
        seconds_per_step=seconds_per_step,
        begin=clock.begin,
    )


def steps_left(clock: Clock, length: Length) -> Int[Array, " b"]:
    """Returns how many steps lie between now and the end of the piece; about FOREVER where it has none."""
    bars = jnp.minimum(length.bars - clock.bars, FOREVER // 4096)  # a bar has at most 32 · 96 steps
    in_bars = bars * clock.bar_length - clock.bar_position
    in_seconds = jnp.minimum((length.seconds - clock.seconds) / clock.seconds_per_step, float(FOREVER))
    return jnp.minimum(jnp.minimum(in_bars, length.steps - clock.now), jnp.floor(in_seconds).astype(jnp.int32))
