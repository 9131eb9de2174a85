"""Trains one model of the benchmark and measures it.

The epoch with the best validation score is kept; the test split is measured once, with that.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Int, Key

from ostinato.benchmarks.rolls.model import Carry, Chunk, Parameters, init_parameters, measure, put, room_of, sum_nats
from ostinato.benchmarks.rolls.network import initial_carry
from ostinato.benchmarks.rolls.read import Roll, Rolls
from ostinato.benchmarks.rolls.recipes import Recipe
from ostinato.benchmarks.rolls.score import Score
from ostinato.benchmarks.rolls.streams import Steps, cut, lay_out, possible_shifts, transpose

_log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """A trained model and its scores."""

    params: Parameters
    epoch: int
    """The one whose validation score was the best, counted from 1."""
    valid: Score
    test: Score
    seconds: float


class _Progress(NamedTuple):
    params: Parameters
    average: Parameters
    optimizer: Any
    num_updates: Int[Array, ""]


def fit(rolls: Rolls, recipe: Recipe, seed: int, *, told: Callable[[str], None] = _log.info) -> Fitted:
    """Returns the model after the epoch with the best validation score, and what it scores on validation and test."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    init_key, drop_key = jax.random.split(jax.random.key(seed))
    params = init_parameters(init_key, recipe)
    num_chunks = len(_epoch(rolls.train, recipe, np.random.default_rng(seed)).real_tb) // recipe.length
    optimizer = _optimizer(recipe, num_chunks)
    best, best_epoch, best_params, room = Score(np.inf, 1), 0, params, 0
    progress = _start(optimizer, params)
    for epoch in range(1, recipe.num_epochs + 1):
        carry = initial_carry(progress.params.layers, recipe.num_rows)
        total = jnp.zeros(2)
        for steps in cut(_epoch(rolls.train, recipe, rng), recipe.length):
            chunk = put(steps, recipe, room)
            room = room_of(chunk)
            progress, carry, sums = _update(optimizer, recipe, progress, carry, chunk, drop_key)
            total = total + sums
        if epoch % recipe.validate_every and epoch < recipe.num_epochs:
            continue
        valid = measure(progress.average, rolls.valid, recipe)
        if valid.nats_per_frame < best.nats_per_frame:
            best, best_epoch = valid, epoch
            best_params = jax.tree.map(jnp.copy, progress.average)  # the next step frees it
        told(
            f"epoch {epoch}: train {float(total[0] / total[1]):.4f}, valid {valid.nats_per_frame:.4f}, "
            f"best {best.nats_per_frame:.4f} at {best_epoch}, {time.perf_counter() - started:.0f} s"
        )
    if best_epoch == 0:
        raise FloatingPointError(f"no epoch of {recipe} with seed {seed} had a finite validation score")
    test = measure(best_params, rolls.test, recipe)
    return Fitted(best_params, best_epoch, best, test, time.perf_counter() - started)


def _start(optimizer: optax.GradientTransformation, params: Any) -> _Progress:
    params, average = (jax.tree.map(jnp.copy, params) for _ in range(2))  # the first step frees both
    return _Progress(params, average, optimizer.init(params), jnp.zeros((), jnp.int32))


def _epoch(pieces: Sequence[Roll], recipe: Recipe, rng: np.random.Generator) -> Steps:
    shifts = [0] * len(pieces)
    if recipe.most_shift:
        ranges = (possible_shifts(piece, recipe.most_shift) for piece in pieces)
        shifts = [0 if rng.random() < recipe.share_unshifted else int(rng.integers(a, b + 1)) for a, b in ranges]
    moved = [transpose(piece, shift) for piece, shift in zip(pieces, shifts, strict=True)]
    order = rng.permutation(len(pieces)).tolist()
    return lay_out(moved, recipe.num_rows, recipe.length, shifts=shifts, order=order)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _update(
    optimizer: optax.GradientTransformation,
    recipe: Recipe,
    progress: _Progress,
    carry: Carry,
    chunk: Chunk,
    drop_key: Key[Array, ""],
) -> tuple[_Progress, Carry, Float[Array, "2"]]:
    """Returns also the sum of nats, and of how many frames."""
    key = jax.random.fold_in(drop_key, progress.num_updates)
    num_real = jnp.sum(chunk.real_tb).astype(jnp.float32)

    def loss(params: Parameters) -> tuple[Array, tuple[Array, Carry]]:
        nats, new_carry = sum_nats(params, carry, chunk, recipe.regularisation, key)
        return nats / jnp.maximum(num_real, 1), (nats, new_carry)

    params: Any = progress.params  # optax knows no named tuples of parameters
    (_, (nats, carry)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction is a Python float to the power of an int32
        updates, state = optimizer.update(gradient, progress.optimizer, params)
    params = optax.apply_updates(params, updates)
    # Short at first, or the average would long remember how it was initialised.
    decay = jnp.minimum(recipe.average_decay, (1 + progress.num_updates) / (10 + progress.num_updates)).astype(
        jnp.float32
    )
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, progress.average, params)
    return _Progress(params, average, state, progress.num_updates + 1), carry, jnp.stack([nats, num_real])


def _optimizer(recipe: Recipe, chunks_per_epoch: int) -> optax.GradientTransformation:
    num_steps = recipe.num_epochs * chunks_per_epoch
    warmup = max(num_steps // 20, 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, recipe.learning_rate, warmup, max(num_steps, warmup + 1))
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=_kernels),
    )


def _kernels(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
