"""Teaches the judge to tell two sets of pieces apart.

Letters: p pieces, k batches, b excerpts of a batch, t notes of an excerpt, n notes of a piece, f fields.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float, Int, Key

from ostinato.model.judge import Judge, init_judge
from ostinato.train.judge.excerpts import FIELD_SIZES, Heard, excerpt, starts

NUM_EPOCHS = 40
BATCH_SIZE = 32
LEARNING_RATE = 3e-3
VALIDATION_SHARE = 0.2
"""Of the pieces it learns from: they say after which epoch it was best."""

JUDGE = Judge(FIELD_SIZES)
_OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(LEARNING_RATE, weight_decay=1e-2))


class TrainedJudge(NamedTuple):
    """What tells real pieces from written ones."""

    params: Any
    num_notes: int
    """Of the excerpts that it has heard."""
    epoch: int
    """After which it was best."""

    def scores(self, rows_btf: Int[np.ndarray, "b t f"]) -> Float[np.ndarray, "b t"]:
        """Returns the score of each note of some excerpts; above 0 speaks for a machine."""
        blocks = [
            _scores(self.params, _whole(rows_btf[first : first + BATCH_SIZE]))
            for first in range(0, len(rows_btf), BATCH_SIZE)
        ]
        return np.concatenate([np.asarray(block) for block in blocks])[: len(rows_btf)]

    def note_scores(self, heard: Heard) -> Float[np.ndarray, " n"]:
        """Returns the score of each note of a whole piece with notes, its mean over excerpts that overlap by half.

        A piece that is shorter than an excerpt is heard as it is.
        """
        length = min(self.num_notes, heard.num_notes)
        begins = [*range(0, heard.num_notes - length, max(length // 2, 1)), heard.num_notes - length]
        found = self.scores(np.stack([excerpt(heard, begin, length) for begin in begins]))
        sums, counts = np.zeros((2, heard.num_notes))
        for begin, scores in zip(begins, found, strict=True):
            sums[begin : begin + length] += scores
            counts[begin : begin + length] += 1
        return sums / counts


def train_judge(real: Sequence[Heard], written: Sequence[Heard], num_notes: int, *, seed: int) -> TrainedJudge:
    """Returns a judge that has learned to tell two sets of pieces apart.

    In each epoch it hears one excerpt of each piece, from a random bar on. A fifth of the pieces of both sets says
    after which epoch it is kept.

    Args:
        real, written: pieces that all have an excerpt; about as many of each.
        num_notes: of an excerpt.
        seed: of the parameters, the excerpts, the order and dropout.
    """
    rng = np.random.default_rng(seed)
    sides = [rng.permutation(len(pieces)).tolist() for pieces in (real, written)]
    learned, checked = [], []
    for side, (pieces, order) in enumerate(zip((real, written), sides, strict=True)):
        num_checked = max(round(VALIDATION_SHARE * len(order)), 1)
        checked += [(pieces[number], side == 1) for number in order[:num_checked]]
        learned += [(pieces[number], side == 1) for number in order[num_checked:]]
    check = _excerpts([piece for piece, _ in checked], num_notes, rng), np.array([side for _, side in checked])
    num_batches = -(-len(learned) // BATCH_SIZE)
    params = init_judge(JUDGE, jax.random.key(seed))
    state, best, key = _OPTIMIZER.init(params), (np.inf, 0, params), jax.random.fold_in(jax.random.key(seed), 1)
    for epoch in range(NUM_EPOCHS):
        drawn = np.resize(rng.permutation(len(learned)), num_batches * BATCH_SIZE)
        rows = _excerpts([learned[number][0] for number in drawn], num_notes, rng)
        sides_b = np.array([learned[number][1] for number in drawn])
        shape = (num_batches, BATCH_SIZE)
        params, state = _train_epoch(
            params, state, rows.reshape(*shape, *rows.shape[1:]), sides_b.reshape(shape), jax.random.fold_in(key, epoch)
        )
        judge = TrainedJudge(params, num_notes, epoch)
        loss = float(_loss(judge.scores(check[0]).mean(1), check[1]))
        if loss < best[0]:
            best = loss, epoch, params
    return TrainedJudge(best[2], num_notes, best[1])


def _excerpts(pieces: Sequence[Heard], num_notes: int, rng: np.random.Generator) -> Int[np.ndarray, "b t f"]:
    return np.stack([excerpt(piece, int(rng.choice(starts(piece, num_notes))), num_notes) for piece in pieces])


def _whole(rows_btf: Int[np.ndarray, "b t f"]) -> Int[np.ndarray, "b t f"]:
    """Returns as many excerpts as the compiled function takes."""
    return np.resize(rows_btf, (BATCH_SIZE, *rows_btf.shape[1:]))


def _loss(logits_b: Any, is_written_b: Any) -> Any:
    return optax.losses.sigmoid_binary_cross_entropy(logits_b, is_written_b.astype(np.float32)).mean()


@jax.jit
def _scores(params: Any, rows_btf: Int[Array, "b t f"]) -> Float[Array, "b t"]:
    return cast(Array, JUDGE.apply({"params": params}, rows_btf))


@functools.partial(jax.jit, donate_argnums=1)
def _train_epoch(
    params: Any, state: Any, rows_kbtf: Int[Array, "k b t f"], is_written_kb: Bool[Array, "k b"], key: Key[Array, ""]
) -> tuple[Any, Any]:
    def step(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        rows, is_written, key = batch

        def loss_of(params: Any) -> Array:
            scores = cast(Array, JUDGE.apply({"params": params}, rows, jax.random.split(key, len(rows))))
            return _loss(jnp.mean(scores, axis=1), is_written)

        gradient = jax.grad(loss_of)(params)
        with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction is a Python float to the power of an int32
            updates, state = _OPTIMIZER.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(key, len(rows_kbtf))
    return jax.lax.scan(step, (params, state), (rows_kbtf, is_written_kb, keys))[0]
