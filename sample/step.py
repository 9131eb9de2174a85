"""One compiled function writes CHUNK rows of many pieces at once: network, grammar, wishes, draw.

Equal seeds give equal pieces, whatever the number of pieces and devices: every piece draws from its own key, and pieces
are computed in blocks of one of the WIDTHS. Blocks are spread over the devices.
Letters: k blocks, b sequences of a block, t steps of a chunk, f fields, v values.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Key

from ostinato.model.backend import platform
from ostinato.model.network import Carry, MusicModel, Tables, initial_carry
from ostinato.music.codec import Codec
from ostinato.music.notes_codec import NotesCodec
from ostinato.music.score_grammar import ScoreGrammar
from ostinato.music.score_rows import GRID, REST
from ostinato.sample import clock as clocks
from ostinato.sample import score_masks
from ostinato.sample.choose import Knobs, choose
from ostinato.sample.clock import Clock
from ostinato.sample.controls import Controls
from ostinato.sample.density import Density, measure, start_density, wait_bias
from ostinato.sample.loop_guard import LoopGuard, start_guard, watch
from ostinato.sample.schedule import Due, Schedule, is_taken, next_due

WIDTHS = (2, 4, 8, 16, 32)
"""How many sequences may be computed together; what is left of a block is filled up.

A matrix product over other numbers of rows is rounded differently: XLA:CPU has one way for a single row, one for 2 to
32 of them (the same bits in each row) and another for more. A test compares the music of all widths.
"""

CHUNK = 128
"""Steps between looks at whether all pieces have ended."""


class Network(NamedTuple):
    """What the step needs of a network."""

    params: Any
    tables: Tables | None
    """From `MusicModel.precompute`; without them the step computes as much anew each time."""


class State(NamedTuple):
    """What goes from step to step, for the b sequences of a block."""

    carry: Carry
    grammar: Any
    row: Int[Array, "b f"]
    step: Int[Array, ""]
    num_notes: Int[Array, " b"]
    """Notes written after the primer."""
    done: Bool[Array, " b"]
    clock: Clock
    guard: LoopGuard
    density: Density
    num_given: Int[Array, " b"]
    """Rows of the schedule that have come."""
    first_free: score_masks.FirstFree | None
    """What the masks remember, of the score codec only."""


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


def choose_width(num_sequences: int) -> int:
    """Returns how many sequences a block should have for so many on one device.

    Accelerators choose how to multiply by the number of rows, and have rows to spare: there it is always the same.
    """
    fitting = (width for width in WIDTHS if width >= num_sequences)
    return next(fitting, WIDTHS[-1]) if platform() == "cpu" else WIDTHS[-1]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def start_states(model: MusicModel, codec: Codec, num_blocks: int, width: int, controls: Controls) -> State:
    """Returns the state of all blocks of `width` sequences after START, with a leading axis k."""
    zeros = jnp.zeros((width,), jnp.int32)
    state = State(
        carry=initial_carry(model.config, width),
        grammar=codec.grammar.start(jnp, width),
        row=jnp.tile(jnp.asarray([codec.start], jnp.int32), (width, 1)),
        step=jnp.int32(0),
        num_notes=zeros,
        done=zeros > 0,
        clock=clocks.start_clock(codec, width),
        guard=start_guard(width),
        density=start_density(width, jnp.asarray(controls.density)),
        num_given=zeros,
        first_free=_start_free(codec, controls, width),
    )
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_blocks, axis=0), state)


def _start_free(codec: Codec, controls: Controls, width: int) -> score_masks.FirstFree | None:
    is_score = isinstance(codec.grammar, ScoreGrammar)
    return score_masks.start_free(controls.wishes, width) if is_score else None


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

            def goes_on(carry: tuple[Array, State, Written]) -> Array:
                return (carry[0] < num_steps) & ~jnp.all(carry[1].done)

            def step(carry: tuple[Array, State, Written]) -> tuple[Array, State, Written]:
                t, state, written = carry
                now = (jax.lax.dynamic_index_in_dim(leaf, t, keepdims=False) for leaf in inputs)
                state, new = static(network, controls, schedule, state, *now)
                return t + 1, state, jax.tree.map(lambda all_t, one: all_t.at[t].set(one), written, new)

            begin = jnp.int32(0), state, _nothing_written(codec, is_given_bt.T, schedule is not None)
            _, state, written = jax.lax.while_loop(goes_on, step, begin)
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
    params, tables = network
    features_bh, carry = cast(
        "tuple[Array, Carry]",
        model.apply({"params": params}, tables, state.row, state.carry, method=MusicModel.step),
    )
    parts = cast("list[Array]", model.apply({"params": params}, features_bh, method=MusicModel.field_parts))
    due = None if schedule is None else next_due(schedule, state.num_given, state.clock.now)
    left_b = clocks.steps_left(state.clock, controls.length)
    may_end_b = jnp.broadcast_to(controls.may_end, state.done.shape)
    if schedule is not None:
        may_end_b = may_end_b & (state.num_given >= schedule.length)
    place = None
    if isinstance(codec.grammar, ScoreGrammar):
        assert state.first_free is not None
        playable = score_masks.find_playable(codec.grammar, controls.wishes, state.grammar, state.first_free)
        state = state._replace(first_free=playable.first_free)
        place = score_masks.Place(state.grammar, playable, left_b, may_end_b, due)

    row = jnp.zeros_like(state.row)
    log_prob = jnp.zeros(state.done.shape)
    log_mass = None if schedule is None else log_prob
    for field, part_bs in enumerate(parts):
        logits_bv = cast("Array", model.apply({"params": params}, part_bs, row, field, method=MusicModel.field_logits))
        allowed_bv = _allowed(codec, controls, state, row, field, may_end_b, place)
        total_b = _log_sum_exp(logits_bv)
        if log_mass is not None:
            log_mass += _log_sum_exp(jnp.where(allowed_bv, logits_bv, -jnp.inf)) - total_b
        leaned_bv = logits_bv + _bias(codec, controls, state, row, field, logits_bv)
        chosen_b = choose(leaned_bv, allowed_bv, uniform_bf[:, field], _knobs(controls, state.guard, field))
        chosen_b = jnp.where(is_given_b, given_bf[:, field], chosen_b)
        row = row.at[:, field].set(chosen_b)
        log_prob += jnp.take_along_axis(logits_bv, chosen_b[:, None], axis=1)[:, 0] - total_b

    return _after(codec, is_endless, controls, schedule, state, carry, row, due, is_given_b, log_prob, log_mass)


def draw(codec: Codec, keys: Key[Array, " b"], steps: Int[Array, " t"]) -> Float[Array, "t b f"]:
    """Returns what decides the fields of each sequence at each step since it began, uniform in [0, 1)."""

    def of_row(key: Key[Array, ""], step: Int[Array, ""]) -> Float[Array, " f"]:
        return jax.random.uniform(jax.random.fold_in(key, step), (len(codec.fields),))

    return jax.vmap(jax.vmap(of_row, (0, None)), (None, 0))(keys, steps)


def _log_sum_exp(logits_bv: Float[Array, "b v"]) -> Float[Array, " b"]:
    """Returns log(sum(exp(logits))), of which one at least is finite.

    The sum is a matrix product, several times the same: `jnp.sum` adds in another order in blocks of 32.
    """
    most_b = jnp.max(logits_bv, axis=1)
    ones = jnp.ones((logits_bv.shape[1], 16))
    sums = jnp.matmul(jnp.exp(logits_bv - most_b[:, None]), ones, precision=jax.lax.Precision.HIGHEST)
    return most_b + jnp.log(sums[:, 0])


def _nothing_written(codec: Codec, is_given_tb: Bool[Array, "t b"], has_schedule: bool) -> Written:
    """Returns what stands where all sequences of a block are done, with axes t, b."""
    zeros, always = jnp.zeros(is_given_tb.shape), jnp.ones(is_given_tb.shape, bool)
    rows = jnp.broadcast_to(jnp.asarray(codec.end, jnp.int32), (*is_given_tb.shape, len(codec.fields)))
    return Written(rows, zeros, zeros if has_schedule else None, always, always)


def _allowed(
    codec: Codec,
    controls: Controls,
    state: State,
    row: Int[Array, "b f"],
    field: int,
    may_end_b: Bool[Array, " b"],
    place: score_masks.Place | None,
) -> Bool[Array, "b v"]:
    """Returns the values that are legal and asked for, at least one for each sequence."""
    if place is not None:
        return score_masks.allowed_values(cast("ScoreGrammar", codec.grammar), controls.wishes, place, row, field)
    allowed_bv = codec.grammar.allowed(jnp, state.grammar, row, field)
    _, end_value = codec.end_choice
    is_end = (jnp.arange(allowed_bv.shape[1]) == end_value)[None, :]
    ended = state.row[:, 0] == end_value
    allowed_bv = allowed_bv & jnp.where(is_end, (may_end_b | ended)[:, None], controls.wishes.events[None, :])
    # A chord with more notes than are still wanted only where nothing smaller is legal.
    room_b = controls.num_notes - state.num_notes
    fitting_bv = allowed_bv & (jnp.asarray(codec.note_counts, jnp.int32)[None, :] <= room_b[:, None])
    return jnp.where(jnp.any(fitting_bv, axis=1, keepdims=True), fitting_bv, allowed_bv)


def _bias(
    codec: Codec, controls: Controls, state: State, row: Int[Array, "b f"], field: int, logits_bv: Float[Array, "b v"]
) -> Float[Array, "b v"]:
    """Returns what is added to the logits of a field."""
    if isinstance(codec, NotesCodec):
        return jnp.zeros_like(logits_bv)
    if field == score_masks.SHIFT:
        return wait_bias(state.density, controls.density, jnp.arange(logits_bv.shape[1]) / GRID)
    if field == score_masks.INSTRUMENT:  # a REST waits for at least four quarter notes
        return wait_bias(
            state.density, controls.density, 4.0 * (jnp.arange(logits_bv.shape[1]) == REST).astype(jnp.float32)
        )
    bias_bv = score_masks.bias(controls.wishes, row, field)
    return jnp.zeros_like(logits_bv) if bias_bv is None else bias_bv


def _knobs(controls: Controls, guard: LoopGuard, field: int) -> Knobs:
    """Returns how bold the choice of a field is; where a loop has to be broken nothing is cut off."""
    calm = guard.heat <= 1
    return Knobs(
        temperature=controls.temperature[field] * guard.heat,
        top_k=jnp.where(calm, controls.top_k, 0),
        top_p=jnp.where(calm, controls.top_p, 1.0),
        min_p=jnp.where(calm, controls.min_p, 0.0),
    )


def _after(
    codec: Codec,
    is_endless: bool,
    controls: Controls,
    schedule: Schedule | None,
    state: State,
    carry: Carry,
    row: Int[Array, "b f"],
    due: Due | None,
    is_given_b: Bool[Array, " b"],
    log_prob: Float[Array, " b"],
    log_mass: Float[Array, " b"] | None,
) -> tuple[State, Written]:
    """Returns the state after a row, which becomes END where the piece is over."""
    end_field, end_value = codec.end_choice
    passed = clocks.passing(codec, row)
    is_late = (passed.shift >= clocks.steps_left(state.clock, controls.length)) & ~is_given_b
    is_over = state.done | is_late
    row = jnp.where(is_over[:, None], jnp.asarray([codec.end], jnp.int32), row)
    new_notes = jnp.asarray(codec.note_counts, jnp.int32)[row[:, end_field]]
    num_notes = state.num_notes + jnp.where(is_given_b, 0, new_notes)
    done = is_over | (row[:, end_field] == end_value) | (num_notes >= controls.num_notes)

    num_given = state.num_given
    if schedule is not None and due is not None:
        came = is_taken(due, row, len(codec.fields)) & (num_given < schedule.length)
        num_given = num_given + came.astype(jnp.int32)
        done = done | (schedule.ends & (num_given >= schedule.length))
    is_note = new_notes > 0
    new = State(
        carry=carry,
        grammar=codec.grammar.advance(jnp, state.grammar, row),
        row=row,
        step=state.step + 1,
        num_notes=num_notes,
        done=done,
        clock=clocks.advance(state.clock, clocks.passing(codec, row), is_given_b),
        guard=watch(state.guard, codec, row, controls.loop_repeats, is_given_b | done),
        density=measure(
            state.density,
            controls.density,
            steps=passed.shift + passed.rest,
            bar_length=state.clock.bar_length,
            is_note=is_note,
        ),
        num_given=num_given,
        first_free=state.first_free,
    )
    is_held = jnp.zeros_like(done)
    if schedule is not None:
        is_held = (state.num_given >= schedule.hold_at) | state.done
        new = _where(is_held, state, new)
    if is_endless:
        new = jax.lax.cond(
            jnp.any(done), lambda new: _where(done, _fresh(codec, controls, new), new), lambda new: new, new
        )
    log_mass = None if log_mass is None else jnp.where(is_over, 0.0, log_mass)
    return new, Written(row, jnp.where(is_over, 0.0, log_prob), log_mass, done, is_held)


def _fresh(codec: Codec, controls: Controls, state: State) -> State:
    """Returns the state of the next piece; what it draws from the key goes on."""
    width = len(state.done)
    zeros = jnp.zeros((width,), jnp.int32)
    return state._replace(
        carry=jax.tree.map(jnp.zeros_like, state.carry),
        grammar=codec.grammar.start(jnp, width),
        row=jnp.tile(jnp.asarray([codec.start], jnp.int32), (width, 1)),
        num_notes=zeros,
        done=zeros > 0,
        clock=clocks.start_clock(codec, width),
        guard=start_guard(width)._replace(num_loops=state.guard.num_loops),
        first_free=_start_free(codec, controls, width),
    )


def _where(is_first: Bool[Array, " b"], first: State, second: State) -> State:
    """Returns the first state for some sequences and the second for the others; the step counter of the second."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(is_first.reshape((-1,) + (1,) * (a.ndim - 1)), a, b) if a.ndim else b

    return jax.tree.map(select, first, second)
