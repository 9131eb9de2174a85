"""The loss and what is counted beside it, for all steps at once or a few at a time.

Axes: t time step and b batch, in any order, f field, v values of a field, h hidden.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ostinato.model.backend import platform
from ostinato.model.copy_gate import Sources, mixed
from ostinato.model.field_head import chosen_logit, nll
from ostinato.model.network import Carry, MusicModel, make_gate, make_head
from ostinato.music.alignment import Alignment
from ostinato.train.batch import Batch

_CACHED_ROWS = 512


class Totals(NamedTuple):
    """Sums over the real steps of one or more batches, so that means over batches of different weight are exact."""

    nll_f: Float[Array, " f"] | Float[np.ndarray, " f"]
    """Cross-entropy of each field in nats."""
    correct_f: Float[Array, " f"] | Float[np.ndarray, " f"]
    """Steps at which the likeliest value of the field was right."""
    all_correct: Float[Array, ""] | Float[np.ndarray, ""]
    """Steps at which that holds for all fields."""
    weight: Float[Array, ""] | Float[np.ndarray, ""]
    """Real steps."""


def count(
    logits: list[Float[Array, "b t _"]],
    targets_btf: Int[Array | np.ndarray, "b t f"],
    weights_bt: Float[Array | np.ndarray, "b t"],
    sources: Sources | None = None,
    alignment: Alignment | None = None,
) -> Totals:
    """Returns the sums of likelihood and of right guesses over the steps, each times its weight.

    With what a copy gate says of the sources it is the likelihood of the mixture.
    """
    targets_btf = jnp.asarray(targets_btf)
    nll_btf = nll(logits, targets_btf)
    if sources is not None and alignment is not None:
        logits, nll_btf = mixed(logits, nll_btf, targets_btf, sources, alignment)
    # The target is the likeliest value where no logit is larger. XLA:CPU takes four times longer for an argmax.
    right = [jnp.max(x, -1) <= chosen_logit(x, targets_btf[..., f]) for f, x in enumerate(logits)]
    right_btf = jnp.stack(right, axis=-1)
    weights_bt1 = weights_bt[..., None]
    return Totals(
        nll_f=jnp.sum(nll_btf * weights_bt1, axis=(0, 1)),
        correct_f=jnp.sum(jnp.where(right_btf, weights_bt1, 0.0), axis=(0, 1)),
        all_correct=jnp.sum(jnp.where(jnp.all(right_btf, axis=-1), weights_bt, 0.0)),
        weight=jnp.sum(weights_bt),
    )


class Steps(NamedTuple):
    """What the head is asked, and what it is asked from; time and batch in any order."""

    features: Float[Array, "t b h"]
    targets: Int[Array, "t b f"]
    weights: Float[Array, "t b"]
    alignment: Alignment | None
    """For the copy gate."""


def head_loss(model: MusicModel, params: Any, steps: Steps, head_steps: int = 0) -> tuple[Float[Array, ""], Totals]:
    """Returns the loss in nats, summed over the steps, and the totals; the totals have no gradient.

    The loss is the network's cross-entropy, and with a copy gate the mixture's beside it, which teaches the gate alone:
    its value then is the sum of both. The totals are of what is sampled from: the mixture where there is a gate.

    The logits of `head_steps` steps exist at a time; of all steps if that does not divide t. 0 is `choose_steps`.
    """
    length, batch_size = steps.weights.shape
    num_steps = head_steps or choose_steps(length, batch_size)
    params = {name: params[name] for name in ("head", "gate") if name in params}
    if num_steps < length and length % num_steps == 0:
        return _chunked_loss(model, length // num_steps, params, *steps)
    return _loss(model, params, *steps)


def batch_loss(
    model: MusicModel,
    params: Any,
    batch: Batch,
    carry: Carry,
    dropout_keys: Key[Array, " b"] | None,
    head_steps: int,
) -> tuple[Float[Array, ""], Totals, Carry]:
    """Returns the loss in nats, summed over the steps, the totals and the carry after the last step.

    With keys, one for each row, activations are dropped.
    """
    heard = model.heard(jnp.asarray(batch.inputs), batch.alignment)
    outputs: Any = model.apply(
        {"params": params}, heard, batch.starts, carry, dropout_keys, method=MusicModel.features_by_time
    )
    features_tbh, carry = outputs
    targets, weights, alignment = jax.tree.map(
        lambda column: jnp.swapaxes(column, 0, 1), (batch.targets, batch.weights, batch.alignment)
    )
    loss, totals = head_loss(model, params, Steps(features_tbh, targets, weights, alignment), head_steps)
    return loss, totals, carry


def choose_steps(length: int, batch_size: int) -> int:
    """Returns at how many steps to compute the logits at the same time.

    On a CPU about 512 rows, whose logits stay in its cache: that takes 12 % less time for the whole training step of
    one layer of 128 units, batch 64, 64 steps, and 38 MB instead of 95. Elsewhere, and where the length has no fitting
    divisor, all of them.
    """
    if platform() != "cpu":
        return length
    steps = max(n for n in range(1, length + 1) if length % n == 0 and (n == 1 or n * batch_size <= _CACHED_ROWS))
    return steps if steps * batch_size >= _CACHED_ROWS // 4 else length


def _loss(
    model: MusicModel, params: Any, features: Array, targets: Array, weights: Array, alignment: Alignment | None
) -> tuple[Array, Totals]:
    logits: Any = make_head(model).apply({"params": params["head"]}, features, targets)
    if not model.config.copy:
        totals = count(logits, targets, weights)
        return jnp.sum(totals.nll_f), totals
    sources: Any = make_gate(model).apply({"params": params["gate"]}, jax.lax.stop_gradient(features), alignment)
    totals = count([jax.lax.stop_gradient(x) for x in logits], targets, weights, sources, alignment)
    of_network = jnp.sum(nll(logits, targets) * weights[..., None])
    return of_network + jnp.sum(totals.nll_f), totals


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _chunked_loss(model: MusicModel, num_chunks: int, params: Any, features: Array, *rest: Any) -> tuple[Array, Totals]:
    chunks = _split((features, *rest), num_chunks)
    return _sum(jax.lax.map(lambda chunk: _loss(model, params, *chunk), chunks))


def _chunked_forward(
    model: MusicModel, num_chunks: int, params: Any, features: Array, *rest: Any
) -> tuple[tuple[Array, Totals], tuple[Any, Array]]:
    """Computes the gradients at once, while the logits are there: the loss is a number, so they only lack a factor.

    The idea is that of Liger-Kernel's fused linear cross-entropy (Hsu et al. 2024); nothing is computed twice.
    """
    value_and_gradient = jax.value_and_grad(functools.partial(_loss, model), argnums=(0, 1), has_aux=True)

    def add_chunk(d_params: Any, chunk: tuple[Any, ...]) -> tuple[Any, Any]:
        value, (d_params_of_chunk, d_features) = value_and_gradient(params, *chunk)
        return jax.tree.map(jnp.add, d_params, d_params_of_chunk), (value, d_features)

    zeros = jax.tree.map(jnp.zeros_like, params)
    d_params, (values, d_features) = jax.lax.scan(add_chunk, zeros, _split((features, *rest), num_chunks))
    return _sum(values), (d_params, d_features.reshape(features.shape))


def _chunked_backward(
    model: MusicModel, num_chunks: int, gradients: tuple[Any, Array], cotangents: tuple[Array, Totals]
) -> tuple[Any, Array, None, None, None]:
    del model, num_chunks
    factor, _ = cotangents
    d_params, d_features = jax.tree.map(lambda gradient: gradient * factor, gradients)
    return d_params, d_features, None, None, None


_chunked_loss.defvjp(_chunked_forward, _chunked_backward)


def _split(arrays: Any, num_chunks: int) -> Any:
    return jax.tree.map(lambda x: x.reshape(num_chunks, -1, *x.shape[1:]), arrays)


def _sum(values: Any) -> Any:
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), values)
