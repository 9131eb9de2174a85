"""One compiled function writes CHUNK rows of many pieces at once: network, constraints, draw.

Equal seeds give equal pieces, whatever the number of pieces and devices: every piece draws from its own key, and pieces
are computed in blocks of one of the WIDTHS of `blocks`. Blocks are spread over the devices.
Letters: k blocks, b sequences of a block, t steps of a chunk, f fields, v values.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Key

from ostinato.model.copy_gate import Sources
from ostinato.model.network import Carry, MusicModel, Tables, initial_carry
from ostinato.music.codec import FOREVER, Codec, Moment
from ostinato.sample import clock as clocks
from ostinato.sample.choose import choose, log_sum_exp
from ostinato.sample.clock import Clock
from ostinato.sample.constraints import Constraints, Event
from ostinato.sample.controls import Controls, make_constraints, sampling_params, with_key
from ostinato.sample.copies import (
    AlignmentState,
    Copies,
    advance_alignment,
    alignment_of,
    allowed_share,
    choose_with_copies,
    copies_after,
    start_alignment,
)
from ostinato.sample.draws import draw
from ostinato.sample.ending import HELD, closes_at, closing_values, end_bias, holds, is_final, is_last_bar, take_of
from ostinato.sample.form import ask
from ostinato.sample.schedule import Schedule, has_come, next_due


class Network(NamedTuple):
    """What the step needs of a network."""

    params: Any
    tables: Tables | None
    """From `MusicModel.precompute`; without them each step computes as much again."""


class State(NamedTuple):
    """What goes from step to step, for the b sequences of a block."""

    carry: Carry
    row: Int[Array, "b f"]
    step: Int[Array, ""]
    num_notes: Int[Array, " b"]
    """Notes written after the primer."""
    done: Bool[Array, " b"]
    clock: Clock
    num_given: Int[Array, " b"]
    """Rows of the schedule that have come."""
    constraints: dict[str, Any]
    """What each remembers, by its name in `make_constraints`."""
    take: Float[Array, " b"]
    """Which take of its ending this is, from 0 to less than 1."""
    closes_at: Int[Array, " b"]
    """Bars after which a piece without a length is over; FOREVER as long as it may go on."""
    alignment: AlignmentState | None
    """What was heard before `row`; for a network with a copy gate, and where a form is asked for."""


class Written(NamedTuple):
    """What a step leaves behind, for each sequence."""

    row: Int[Array, "b f"]
    log_prob: Float[Array, " b"]
    """Nats that the network gave to the row: at temperature 1, whatever was forbidden."""
    log_mass: Float[Array, " b"] | None
    """Nats that it gave to all that was allowed, field by field; 0 where nothing was forbidden. For a given row it is
    `log_prob`. Only where there is a schedule."""
    is_last: Bool[Array, " b"]
    """The piece is over with this row."""
    is_held: Bool[Array, " b"]
    """Nothing was written: the sequence waits for the others."""


@functools.partial(jax.jit, static_argnums=0)
def prepare_network(model: MusicModel, params: Any) -> Network:
    """Returns the parameters with what is computed of them once for many steps."""
    return Network(params, cast("Tables | None", model.apply({"params": params}, method=MusicModel.precompute)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def start_states(model: MusicModel, codec: Codec, num_blocks: int, width: int, controls: Controls) -> State:
    """Returns the state of all blocks of `width` sequences after START, with a leading axis k."""
    zeros = jnp.zeros((width,), jnp.int32)
    constraints = make_constraints(controls, codec)
    state = State(
        carry=initial_carry(model.config, width),
        row=jnp.tile(jnp.asarray([codec.start], jnp.int32), (width, 1)),
        step=jnp.int32(0),
        num_notes=zeros,
        done=zeros > 0,
        clock=clocks.start_clock(codec.grammar.grid, width),
        num_given=zeros,
        constraints={name: constraint.start(width) for name, constraint in constraints.items()},
        take=jnp.where(controls.may_end, HELD, jnp.zeros((width,))),
        closes_at=zeros + FOREVER,
        alignment=start_alignment(width) if model.config.copy or controls.form is not None else None,
    )
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_blocks, axis=0), state)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=(5,))
def write_chunk(
    model: MusicModel,
    codec: Codec,
    mesh: Mesh,
    is_endless: bool,
    network: Network,
    states: State,
    keys: Key[Array, "k b"],
    given: Int[Array, "k b t f"],
    is_given: Bool[Array, "k b t"],
    controls: Controls,
    schedule: Schedule | None,
) -> tuple[Written, State]:
    """Writes t rows of every piece: on each device one block after the other. All that comes out has axes k, b, t.

    Where all sequences of a block are done, the rest of their rows are END, and held.

    Args:
        model: the network.
        codec: whose fields it was built for.
        mesh: of the devices, with one axis `blocks`.
        is_endless: where a piece is done the next one begins, with START; otherwise END follows END.
        network: from `prepare_network`.
        states: from `start_states` or the chunk before.
        keys: of the sequences.
        given: rows that are not drawn.
        is_given: where they are.
        controls: what is asked for.
        schedule: rows that are given with their times, of the score codec only.
    """
    static = functools.partial(write_row, model, codec, is_endless)

    def of_device(
        network: Network, controls: Controls, schedule: Schedule | None, *blocks: Any
    ) -> tuple[Written, State]:
        def of_block(block: tuple[State, Array, Array, Array]) -> tuple[Written, State]:
            state, block_keys, given_btf, is_given_bt = block
            num_steps = is_given_bt.shape[1]
            uniform_tbf = draw(codec, block_keys, state.step + jnp.arange(num_steps))
            inputs = uniform_tbf, given_btf.swapaxes(0, 1), is_given_bt.T

            def is_unfinished(carry: tuple[Array, State, Written]) -> Array:
                return (carry[0] < num_steps) & ~jnp.all(carry[1].done)

            def step(carry: tuple[Array, State, Written]) -> tuple[Array, State, Written]:
                t, state, written = carry
                now = (jax.lax.dynamic_index_in_dim(leaf, t, keepdims=False) for leaf in inputs)
                state, new = static(network, controls, schedule, state, *now)
                return t + 1, state, jax.tree.map(lambda all_t, one: all_t.at[t].set(one), written, new)

            begin = jnp.int32(0), state, _nothing_written(codec, is_given_bt.T, schedule is not None)
            _, state, written = jax.lax.while_loop(is_unfinished, step, begin)
            return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), written), state

        return jax.lax.map(of_block, blocks)

    shared, split = P(), P("blocks")
    spread = jax.shard_map(
        of_device, mesh=mesh, in_specs=(shared, shared, shared, split, split, split, split), out_specs=split,
        check_vma=False,
    )  # fmt: skip
    return spread(network, controls, schedule, states, keys, given, is_given)


def write_row(
    model: MusicModel,
    codec: Codec,
    is_endless: bool,
    network: Network,
    controls: Controls,
    schedule: Schedule | None,
    state: State,
    uniform_bf: Float[Array, "b f"],
    given_bf: Int[Array, "b f"],
    is_given_b: Bool[Array, " b"],
) -> tuple[State, Written]:
    """Feeds the last row to the network and chooses the next one, field by field.

    `uniform_bf` is what `draw` gives for the step.
    """
    constraints, memory = make_constraints(controls, codec), state.constraints
    # What may come back.
    alignment, seen, copies = None, None, None
    if state.alignment is not None:
        alignment = advance_alignment(state.alignment, state.row, state.clock)
        seen = alignment_of(alignment, state.clock)

    # The network.
    params, tables = network
    heard = model.heard(with_key(state.row, controls), seen)
    stepped = model.apply({"params": params}, tables, heard, state.carry, method=MusicModel.step)
    features_bh, carry = cast("tuple[Array, Carry]", stepped)
    parts = cast("list[Array]", model.apply({"params": params}, features_bh, method=MusicModel.field_parts))

    if seen is not None and model.config.copy:
        sources = cast("Sources", model.apply({"params": params}, features_bh, seen, method=MusicModel.sources))
        copies = Copies(jnp.exp(sources.log_weights), jax.nn.sigmoid(sources.variation), jnp.asarray(seen.candidates))

    # What limits the row.
    due = None if schedule is None else next_due(schedule, state.num_given, state.clock.now)
    closes_at_b = state.closes_at
    if schedule is None:
        nearing_b = closes_at(closes_at_b, state.num_notes, controls.num_notes, state.clock)
        closes_at_b = jnp.where(controls.ends & controls.may_end, nearing_b, closes_at_b)
    length = controls.length._replace(bars=jnp.minimum(controls.length.bars, closes_at_b))
    steps_left_b = clocks.steps_left(state.clock, length)
    note_counts, (eos_field, eos_value) = jnp.asarray(codec.grammar.note_counts, jnp.int32), codec.eos
    is_last_bar_b = is_last_bar(controls.ends, length, state.clock)
    is_final_b = is_final(is_last_bar_b, state.take, note_counts[state.row[:, eos_field]] > 0)
    uniform_bf = take_of(uniform_bf, state.take, controls.ends, length, state.clock)
    may_end_b, clock = controls.may_end | is_last_bar_b, state.clock
    if schedule is None:
        can_rest_b = codec.grammar.may_rest(jnp, memory["grammar"], clock.bar_position, clock.bar_length)
        may_end_b = may_end_b & (can_rest_b | ~controls.ends)
    else:
        may_end_b = may_end_b & (state.num_given >= schedule.length)
    free_from_b = (state.clock.begin if schedule is None else schedule.free_from) - state.clock.now
    if controls.form is not None and alignment is not None:
        shifts = cast("Array", model.apply({"params": params}, parts[0], state.row, 0, method=MusicModel.field_logits))
        asked, copies, uniform = ask(controls.form, alignment, state.row, state.clock, copies, shifts, uniform_bf[:, 0])
        uniform_bf = uniform_bf.at[:, 0].set(uniform)
        due, free_from_b = asked.due, jnp.maximum(free_from_b, asked.free_from)
    moment = Moment(steps_left_b, controls.num_notes - state.num_notes, may_end_b, due, free_from_b)

    # The row, field by field.
    row = jnp.zeros_like(state.row)
    log_prob = jnp.zeros(state.done.shape)
    log_mass = None if schedule is None else log_prob
    has_chord_b = controls.final_chord & holds(state.take)
    towards_end = end_bias(model, params, codec, parts, is_last_bar_b)
    for field, part_bs in enumerate(parts):
        logits_bv = cast("Array", model.apply({"params": params}, part_bs, row, field, method=MusicModel.field_logits))
        total_b = log_sum_exp(logits_bv)
        allowed_bv, biased_bv = jnp.ones(logits_bv.shape, bool), logits_bv
        how = sampling_params(controls, field, len(row))
        for name, constraint in constraints.items():
            mask_bv = constraint.mask(memory[name], moment, row, field)
            bias_bv = constraint.bias(memory[name], row, field)
            allowed_bv = allowed_bv if mask_bv is None else allowed_bv & mask_bv
            biased_bv = biased_bv if bias_bv is None else biased_bv + bias_bv
            how = constraint.params(memory[name], how)
        allowed_bv = closing_values(
            codec.grammar, memory["grammar"], row, field, allowed_bv, has_chord_b, length, state.clock
        )
        if field in towards_end:
            biased_bv = biased_bv + towards_end[field]
        log_share_b = jnp.zeros_like(total_b)
        if log_mass is not None:
            log_share_b = log_sum_exp(jnp.where(allowed_bv, logits_bv, -jnp.inf)) - total_b
        if copies is None:
            chosen_b = choose(biased_bv, allowed_bv, uniform_bf[:, field], how)
        else:
            of_field = copies.of_field(field)
            chosen_b = choose_with_copies(logits_bv, biased_bv, allowed_bv, uniform_bf[:, field], how, *of_field)
            log_share_b = allowed_share(jnp.exp(log_share_b), allowed_bv, *of_field)
        chosen_b = jnp.where(is_given_b, given_bf[:, field], chosen_b)
        row = row.at[:, field].set(chosen_b)
        log_prob_b = jnp.take_along_axis(logits_bv, chosen_b[:, None], axis=1)[:, 0] - total_b
        if copies is not None:
            log_prob_b, copies = copies_after(copies, field, jnp.exp(log_prob_b), chosen_b)
        log_prob += log_prob_b
        log_mass = None if log_mass is None else log_mass + log_share_b

    # Where the piece is over the row becomes END.
    drawn = codec.grammar.elapsed(jnp, row)
    is_past = (drawn.time_shift >= steps_left_b) | (is_final_b & (drawn.time_shift + drawn.rest > 0))
    is_over = state.done | (is_past & ~is_given_b)
    row = jnp.where(is_over[:, None], jnp.asarray([codec.end], jnp.int32), row)
    new_notes = note_counts[row[:, eos_field]]
    num_notes = state.num_notes + jnp.where(is_given_b, 0, new_notes)
    done = is_over | (row[:, eos_field] == eos_value) | (num_notes >= controls.num_notes)
    num_given = state.num_given
    if schedule is not None and due is not None:
        came = has_come(due, row, drawn) & (num_given < schedule.length)
        num_given = num_given + came.astype(jnp.int32)
        done = done | (schedule.ends & (num_given >= schedule.length))

    # What is remembered.
    event = Event(row, drawn, new_notes, state.clock, is_given_b, done)
    new = State(
        carry=carry,
        row=row,
        step=state.step + 1,
        num_notes=num_notes,
        done=done,
        clock=clocks.advance(state.clock, codec.grammar.elapsed(jnp, row), is_given_b),
        num_given=num_given,
        take=state.take,
        closes_at=closes_at_b,
        constraints={name: constraint.advance(memory[name], event) for name, constraint in constraints.items()},
        alignment=alignment,
    )
    is_held = jnp.zeros_like(done)
    if schedule is not None:
        is_held = (state.num_given >= schedule.hold_at) | state.done
        new = _where(is_held, state, new)
    if is_endless:
        new = jax.lax.cond(
            jnp.any(done),
            lambda new: _where(done, _next_piece(codec, constraints, new), new),
            lambda new: new,
            new,
        )
    log_mass = None if log_mass is None else jnp.where(is_over, 0.0, log_mass)
    return new, Written(row, jnp.where(is_over, 0.0, log_prob), log_mass, done, is_held)


def _nothing_written(codec: Codec, is_given_tb: Bool[Array, "t b"], has_schedule: bool) -> Written:
    """Returns what stands where all sequences of a block are done, with axes t, b."""
    zeros, always = jnp.zeros(is_given_tb.shape), jnp.ones(is_given_tb.shape, bool)
    rows = jnp.broadcast_to(jnp.asarray(codec.end, jnp.int32), (*is_given_tb.shape, len(codec.fields)))
    return Written(rows, zeros, zeros if has_schedule else None, always, always)


def _next_piece(codec: Codec, constraints: Constraints, state: State) -> State:
    """Returns the state of the next piece; what it draws from the key goes on."""
    width = len(state.done)
    zeros = jnp.zeros((width,), jnp.int32)
    return state._replace(
        carry=jax.tree.map(jnp.zeros_like, state.carry),
        row=jnp.tile(jnp.asarray([codec.start], jnp.int32), (width, 1)),
        num_notes=zeros,
        done=zeros > 0,
        clock=clocks.start_clock(codec.grammar.grid, width),
        closes_at=zeros + FOREVER,
        constraints={name: one.restart(state.constraints[name], width) for name, one in constraints.items()},
        alignment=None if state.alignment is None else start_alignment(width),
    )


def _where(is_first: Bool[Array, " b"], first: State, second: State) -> State:
    """Returns the first state for some sequences and the second for the others; the step counter of the second."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(is_first.reshape((-1,) + (1,) * (a.ndim - 1)), a, b) if a.ndim else b

    return jax.tree.map(select, first, second)
