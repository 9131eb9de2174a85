"""From parameters to new steps: one compiled scan writes many pieces at once.

Equal seeds give equal pieces, whatever the batch size: every piece draws from its own key, and pieces are computed in
blocks of BLOCK, because a matrix product over another number of rows is rounded differently.
Letters: p pieces, k blocks, b sequences of a block, t steps of a chunk, f fields.
"""

import functools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ostinato.configs.schema import SampleConfig
from ostinato.model.network import Carry, MusicModel, Tables, initial_carry
from ostinato.music.codec import Codec
from ostinato.sample.choose import Knobs, choose

logger = logging.getLogger(__name__)

BLOCK = 8
"""Sequences that are computed together, always; a smaller batch is filled up."""

CHUNK = 128
"""Steps between looks at whether all pieces have ended."""

MAX_STEPS_PER_NOTE = 16
"""A piece with more control rows than this is cut: the model has lost its way."""


class Generated(NamedTuple):
    """One generated piece."""

    steps: Integer[np.ndarray, "n f"]
    """From START to END."""
    num_primer_steps: int
    """Rows at the beginning that were given."""
    ended: bool
    """The model wrote END by itself."""


class _State(NamedTuple):
    """What goes from step to step, for the b sequences of a block."""

    carry: Carry
    grammar: Any
    row: Int[Array, "b f"]
    step: Int[Array, ""]
    num_notes: Int[Array, " b"]
    """Notes written after the primer."""
    done: Bool[Array, " b"]


class _Wanted(NamedTuple):
    """What is asked for; traced, so that other wishes need no other compilation."""

    knobs: Knobs
    num_notes: Int[Array, ""]
    may_end: Bool[Array, ""]
    """The model may end a piece before it has num_notes notes."""


def generate(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    primers: Sequence[Integer[np.ndarray, "n f"]] = (),
) -> list[Generated]:
    """Returns `config.num_pieces` new pieces.

    Args:
        model: the network.
        params: its parameters.
        codec: whose fields the network was built for.
        config: how many pieces, how long, how bold.
        primers: rows from START on that begin the pieces, without END; piece i begins with primer i modulo their
            number. Without primers every piece begins with START alone.

    Raises:
        ValueError: a primer does not begin with START.
    """
    primers = list(primers) or [np.array([codec.start])]
    for primer in primers:
        if tuple(primer[0]) != codec.start:
            raise ValueError(f"a primer begins with {tuple(primer[0])}, it must begin with the START row {codec.start}")
    batch_size = -(-min(config.batch_size, config.num_pieces) // BLOCK) * BLOCK
    pieces: list[Generated] = []
    for first in range(0, config.num_pieces, batch_size):
        numbers = np.arange(first, first + batch_size)
        batch = _generate_batch(model, params, codec, config, numbers, [primers[i % len(primers)] for i in numbers])
        pieces += batch[: config.num_pieces - first]
    return pieces


def _generate_batch(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    numbers: Int[np.ndarray, " p"],
    primers: list[Integer[np.ndarray, "n f"]],
) -> list[Generated]:
    num_blocks, num_fields = len(numbers) // BLOCK, len(codec.fields)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(config.seed), jnp.asarray(numbers))
    keys = keys.reshape(num_blocks, BLOCK)
    state = _start(model, codec, num_blocks)
    max_notes = config.num_notes or config.max_notes
    wanted = _Wanted(
        Knobs(jnp.float32(config.temperature), jnp.int32(config.top_k), jnp.float32(config.top_p)),
        num_notes=jnp.int32(max_notes),
        may_end=jnp.bool_(config.num_notes == 0),
    )
    given_chunks = _given_chunks(primers, num_fields)
    nothing = np.zeros((len(primers), CHUNK, num_fields), np.int32), np.zeros((len(primers), CHUNK), bool)
    max_chunks = len(given_chunks) + -(-MAX_STEPS_PER_NOTE * max_notes // CHUNK)

    chunks: list[np.ndarray] = []
    while len(chunks) < max_chunks and not (chunks and bool(jnp.all(state.done))):
        given, is_given = given_chunks[len(chunks)] if len(chunks) < len(given_chunks) else nothing
        rows_kbtf, state = _chunk(
            model,
            codec,
            params,
            state,
            keys,
            jnp.asarray(given.reshape(num_blocks, BLOCK, CHUNK, num_fields)),
            jnp.asarray(is_given.reshape(num_blocks, BLOCK, CHUNK)),
            wanted,
        )
        chunks.append(np.asarray(rows_kbtf).reshape(len(primers), CHUNK, num_fields))
    steps = np.concatenate(chunks, axis=1)
    pieces = [_finished(codec, row, primer, max_notes) for row, primer in zip(steps, primers, strict=True)]
    if config.num_notes and not bool(jnp.all(state.done)):
        short = [int(number) for number, done in zip(numbers, np.ravel(state.done), strict=True) if not done]
        logger.warning(
            "pieces %s have fewer than %d notes: they were cut after %d rows", short, max_notes, steps.shape[1]
        )
    return pieces


def _given_chunks(
    primers: list[Integer[np.ndarray, "n f"]], num_fields: int
) -> list[tuple[Int[np.ndarray, "p t f"], Bool[np.ndarray, "p t"]]]:
    """Returns the rows that are given, and where they are, for each chunk that has any."""
    num_chunks = -(-(max(map(len, primers)) - 1) // CHUNK)
    given = np.zeros((len(primers), num_chunks * CHUNK, num_fields), np.int32)
    is_given = np.zeros(given.shape[:2], bool)
    for row, primer in enumerate(primers):
        given[row, : len(primer) - 1] = primer[1:]  # START is the state's first row
        is_given[row, : len(primer) - 1] = True
    return (
        list(zip(np.split(given, num_chunks, 1), np.split(is_given, num_chunks, 1), strict=True)) if num_chunks else []
    )


def _finished(codec: Codec, rows: np.ndarray, primer: np.ndarray, max_notes: int) -> Generated:
    """Cuts a row of the batch where its piece ends."""
    steps = np.concatenate([np.array([codec.start]), rows])
    field, value = codec.end_choice
    ends = np.flatnonzero(steps[:, field] == value)
    length = ends[0] if len(ends) else len(steps)
    notes = codec.count_notes(steps[:length])
    # A piece that was cut ends with its last note: what follows would announce a note that never comes.
    last_note = np.flatnonzero(notes)[-1] if notes.any() else length - 1
    new_notes = int(notes[len(primer) :].sum())
    steps = np.concatenate([steps[: last_note + 1], np.array([codec.end])]).astype(codec.dtype)
    return Generated(steps, len(primer), ended=bool(len(ends)) and new_notes < max_notes)


def _start(model: MusicModel, codec: Codec, num_blocks: int) -> _State:
    """Returns the state of all blocks after START, with a leading axis k."""
    state = _State(
        carry=initial_carry(model.config, BLOCK),
        grammar=codec.grammar.start(jnp, BLOCK),
        row=jnp.tile(jnp.asarray([codec.start], jnp.int32), (BLOCK, 1)),
        step=jnp.int32(0),
        num_notes=jnp.zeros((BLOCK,), jnp.int32),
        done=jnp.zeros((BLOCK,), jnp.bool_),
    )
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_blocks, axis=0), state)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3,))
def _chunk(
    model: MusicModel,
    codec: Codec,
    params: Any,
    states: _State,
    keys: Key[Array, "k b"],
    given: Int[Array, "k b t f"],
    is_given: Bool[Array, "k b t"],
    wanted: _Wanted,
) -> tuple[Int[Array, "k b t f"], _State]:
    """Writes CHUNK steps of every piece, one block after the other."""
    tables = cast("Tables | None", model.apply({"params": params}, method=MusicModel.precompute))

    def block(arguments: tuple[_State, Array, Array, Array]) -> tuple[Array, _State]:
        state, block_keys, given_btf, is_given_bt = arguments

        def step(state: _State, inputs: tuple[Array, Array]) -> tuple[_State, Array]:
            return _step(model, codec, params, tables, wanted, block_keys, state, *inputs)

        state, rows_tbf = jax.lax.scan(step, state, (given_btf.swapaxes(0, 1), is_given_bt.T))
        return rows_tbf.swapaxes(0, 1), state

    return jax.lax.map(block, (states, keys, given, is_given))


def _step(
    model: MusicModel,
    codec: Codec,
    params: Any,
    tables: Tables | None,
    wanted: _Wanted,
    keys: Key[Array, " b"],
    state: _State,
    given_bf: Int[Array, "b f"],
    is_given_b: Bool[Array, " b"],
) -> tuple[_State, Int[Array, "b f"]]:
    """Feeds the last row to the network and chooses the next one, field by field."""
    num_fields = len(codec.fields)
    variables = {"params": params}
    features_bh, carry = cast(
        "tuple[Array, Carry]",
        model.apply(variables, tables, state.row, state.carry, method=MusicModel.step),
    )
    step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, state.step)
    uniform_bf: Float[Array, "b f"] = jax.vmap(lambda key: jax.random.uniform(key, (num_fields,)))(step_keys)

    row = jnp.zeros_like(state.row)
    end_field, end_value = codec.end_choice
    note_counts = jnp.asarray(codec.note_counts, jnp.int32)
    for field in range(num_fields):
        logits_bv = cast("Array", model.apply(variables, features_bh, row, field, method=MusicModel.field_logits))
        allowed_bv = codec.grammar.allowed(jnp, state.grammar, row, field)
        if field == end_field:
            is_end = jnp.arange(codec.fields[field].size)[None, :] == end_value
            ended = state.row[:, end_field] == end_value
            allowed_bv = allowed_bv & (wanted.may_end | ended[:, None] | ~is_end)
            # A chord with more notes than are still wanted only where nothing smaller is legal.
            room_b = wanted.num_notes - state.num_notes
            fitting_bv = allowed_bv & (note_counts[None, :] <= room_b[:, None])
            allowed_bv = jnp.where(jnp.any(fitting_bv, axis=1, keepdims=True), fitting_bv, allowed_bv)
        chosen_b = choose(logits_bv, allowed_bv, uniform_bf[:, field], wanted.knobs)
        row = row.at[:, field].set(jnp.where(is_given_b, given_bf[:, field], chosen_b))
    row = jnp.where(state.done[:, None], jnp.asarray([codec.end], jnp.int32), row)

    new_notes = note_counts[row[:, end_field]]
    num_notes = state.num_notes + jnp.where(is_given_b | state.done, 0, new_notes)
    done = state.done | (row[:, end_field] == end_value) | (num_notes >= wanted.num_notes)
    grammar = codec.grammar.advance(jnp, state.grammar, row)
    return _State(carry, grammar, row, state.step + 1, num_notes, done), row
