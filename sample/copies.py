"""The copy gate while music is written: what was heard some bars ago, row by row, and how it is drawn from.

It computes, one row at a time and inside the compiled step, what music/alignment.py says of a whole piece. Letters: b
sequences, m remembered note rows, l lags, f fields, v values, c 1 + l, k kinds of return.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.model.copy_gate import shares, sum_columns
from ostinato.music.alignment import LAGS, MEMORY, NUM_BARS, NUM_KINDS, NUM_POSITIONS, RATES, RUN_EDGES, Alignment
from ostinato.music.score_rows import NUM_SHIFTS, START, VELOCITY_BITS
from ostinato.sample.choose import SamplingParams, draw_from, most_probable_if_greedy, row_sums, values_kept
from ostinato.sample.clock import Clock

_DURATION_BITS = 8


class AlignmentState(NamedTuple):
    """What is remembered of each sequence."""

    time: Int[Array, "b m"]
    """When the note rows began, in steps; the rows are written in turn, the oldest is overwritten."""
    note: Int[Array, "b m"]
    """Instrument, pitch, duration and velocity of each in one number, which grows with instrument and pitch."""
    num_notes: Int[Array, " b"]
    candidates: Int[Array, "b l f"]
    valid: Bool[Array, "b l"]
    run: Int[Array, "b l k"]
    """Rows in a row that were the candidate of the row before."""
    rate: Float[Array, "b l k 2"]


class Copies(NamedTuple):
    """Where a row may come from, while its fields are chosen."""

    weights: Float[Array, "b c"]
    """Of network and copies, given the fields so far; they add up to 1."""
    varied: Float[Array, "b f"]
    """How likely the field of a copy is the network's."""
    candidates: Int[Array, "b l f"]

    def of_field(self, field: int) -> tuple[Float[Array, "b c"], Int[Array, "b l"]]:
        """Returns the shares of network and copies in a field, and its value in each copy."""
        return shares(self.weights, self.varied[:, field]), self.candidates[:, :, field]


def start_alignment(batch_size: int) -> AlignmentState:
    """Returns the state after START."""
    lags = jnp.zeros((batch_size, len(LAGS)), jnp.int32)
    memory = jnp.zeros((batch_size, MEMORY), jnp.int32)
    return AlignmentState(
        time=memory,
        note=memory,
        num_notes=jnp.zeros((batch_size,), jnp.int32),
        candidates=jnp.zeros((batch_size, len(LAGS), 5), jnp.int32),
        valid=lags > 0,
        run=jnp.zeros((batch_size, len(LAGS), NUM_KINDS), jnp.int32),
        rate=jnp.zeros((batch_size, len(LAGS), NUM_KINDS, len(RATES))),
    )


def advance_alignment(state: AlignmentState, row: Int[Array, "b 5"], clock: Clock) -> AlignmentState:
    """Returns the state after a row, with the clock behind it."""
    _, instrument, pitch, duration, velocity = row.T
    is_same = state.candidates == row[:, None, :]
    hit = jnp.stack([jnp.all(is_same, axis=-1), jnp.all(is_same[..., 1:3], axis=-1)], axis=-1) & state.valid[..., None]
    rates = jnp.asarray(RATES)[None, None, None, :]
    rate = (1 - rates) * state.rate + rates * hit[..., None].astype(jnp.float32)

    is_note = instrument < START
    note = (((instrument << 7) | pitch) << _DURATION_BITS | duration) << VELOCITY_BITS | velocity
    sequence, slot = jnp.arange(len(row)), state.num_notes % MEMORY
    times = state.time.at[sequence, slot].set(jnp.where(is_note, clock.now, state.time[sequence, slot]))
    notes = state.note.at[sequence, slot].set(jnp.where(is_note, note, state.note[sequence, slot]))
    num_notes = state.num_notes + is_note.astype(jnp.int32)

    key = jnp.where(is_note, (instrument << 7) | pitch, -1)
    then = clock.now[:, None] - jnp.asarray(LAGS)[None, :] * clock.bar_length[:, None]
    candidates, valid = _first_after(times, notes, num_notes, then, key)
    return AlignmentState(
        time=times,
        note=notes,
        num_notes=num_notes,
        candidates=candidates,
        valid=valid,
        run=jnp.where(hit, state.run + 1, 0),
        rate=rate,
    )


def alignment_of(state: AlignmentState, clock: Clock) -> Alignment:
    """Returns what the gate sees; the clock is that behind the last row."""
    return Alignment(
        candidates=state.candidates,
        valid=state.valid,
        run=jnp.sum(state.run[..., None] >= jnp.asarray(RUN_EDGES)[None, None, None, :], axis=-1),
        rate=state.rate,
        bar=clock.bar % NUM_BARS,
        position=jnp.minimum(clock.bar_position, NUM_POSITIONS - 1),
    )


def _first_after(
    times: Int[Array, "b m"], notes: Int[Array, "b m"], num_notes: Int[Array, " b"], then: Int[Array, "b l"],
    key: Int[Array, " b"],
) -> tuple[Int[Array, "b l f"], Bool[Array, "b l"]]:  # fmt: skip
    """Returns the first remembered note row after (then, key), and whether there is one that may follow.

    The rows are in order, so it is found by bisection.
    """
    sequence = jnp.arange(len(times))[:, None]
    num_kept = jnp.minimum(num_notes, MEMORY)[:, None]
    oldest = (num_notes[:, None] - num_kept) % MEMORY
    low, high = jnp.zeros_like(then), jnp.broadcast_to(num_kept, then.shape)
    for _ in range(MEMORY.bit_length()):
        middle = (low + high) // 2
        slot = (oldest + middle) % MEMORY
        time = times[sequence, slot]
        is_after = (time > then) | ((time == then) & (note_key(notes[sequence, slot]) > key[:, None]))
        is_open = low < high
        low, high = jnp.where(is_open & ~is_after, middle + 1, low), jnp.where(is_open & is_after, middle, high)
    slot = (oldest + low) % MEMORY
    note, wait = notes[sequence, slot], times[sequence, slot] - then
    is_remembered = (low > 0) | (num_notes[:, None] <= MEMORY)
    valid = (then >= 0) & (low < num_kept) & is_remembered & (wait < NUM_SHIFTS)
    return jnp.where(valid[:, :, None], note_rows(note, wait), 0), valid


def note_key(note: Int[Array, "*n"]) -> Int[Array, "*n"]:
    """Returns instrument and pitch of remembered notes as one number, in the order of rows."""
    return note >> _DURATION_BITS + VELOCITY_BITS


def note_rows(note: Int[Array, "*n"], shift: Int[Array, "*n"]) -> Int[Array, "*n 5"]:
    """Returns remembered notes as rows with these time shifts."""
    instrument_and_pitch = note_key(note)
    columns = (
        shift,
        instrument_and_pitch >> 7,
        instrument_and_pitch & 127,
        (note >> VELOCITY_BITS) & (2**_DURATION_BITS - 1),
        note & (2**VELOCITY_BITS - 1),
    )
    return jnp.stack(columns, axis=-1)


def choose_with_copies(
    logits: Float[Array, "b v"],
    biased: Float[Array, "b v"],
    allowed: Bool[Array, "b v"],
    uniform: Float[Array, " b"],
    params: SamplingParams,
    shares: Float[Array, "b c"],
    candidate: Int[Array, "b l"],
) -> Int[Array, " b"]:
    """Returns one allowed value of a field for each sequence, drawn from network and copies together.

    Temperature and truncation act on the network's part alone, whose share of what is allowed stays; on the gate they
    would make loops. A copy that is not allowed is none, and a bias weighs copies too.

    Args:
        logits: the network's.
        biased: the same with what constraints add.
        allowed: the values that may be chosen.
        uniform: what decides.
        params: how the network's part is drawn.
        shares: of network and copies in the field, given the fields before.
        candidate: the field's value in each copy.
    """
    kept = values_kept(biased, allowed, params)
    kept = kept / row_sums(kept)
    value = jnp.arange(logits.shape[1])[None, :]
    peak = jnp.max(logits, axis=1, keepdims=True)
    of_network = row_sums(jnp.where(allowed, jnp.exp(biased - peak), 0)) / row_sums(jnp.exp(logits - peak))
    total = jnp.maximum(shares[:, :1] * of_network, 1e-30) * kept
    strength = jnp.exp(biased - logits + params.copy_bias[:, None])
    for lag in range(candidate.shape[1]):
        is_copy = (candidate[:, lag][:, None] == value) & allowed
        total = total + jnp.where(is_copy, shares[:, lag + 1][:, None] * strength, 0)
    total = most_probable_if_greedy(total, params)
    return draw_from(total, jnp.where(params.temperature <= 0, 0, uniform))


def copies_after(
    copies: Copies, field: int, probability: Float[Array, " b"], chosen: Int[Array, " b"]
) -> tuple[Float[Array, " b"], Copies]:
    """Returns the log probability of a field's value, and network and copies given that value too.

    Args:
        copies: given the fields before.
        field: its number.
        probability: what the network gives to the value.
        chosen: the value.
    """
    varied = copies.varied[:, field][:, None]
    from_network = varied * probability[:, None]
    is_hit = copies.candidates[:, :, field] == chosen[:, None]
    copied = jnp.where(is_hit, 1 - varied + from_network, from_network)
    after = copies.weights * jnp.concatenate([probability[:, None], copied], axis=1)
    total = jnp.maximum(sum_columns(after), 1e-37)
    return jnp.log(total), copies._replace(weights=after / total[:, None])


def allowed_share(
    of_network: Float[Array, " b"],
    allowed: Bool[Array, "b v"],
    shares: Float[Array, "b c"],
    candidate: Int[Array, "b l"],
) -> Float[Array, " b"]:
    """Returns the log of what network and copies give to all allowed values, from what the network gives to them."""
    is_allowed = jnp.take_along_axis(allowed, candidate, axis=1)
    parts = jnp.concatenate([shares[:, :1] * of_network[:, None], jnp.where(is_allowed, shares[:, 1:], 0)], axis=1)
    return jnp.log(jnp.maximum(sum_columns(parts), 1e-37))
