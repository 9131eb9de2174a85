"""The aligned copy gate: at each row, how likely the network writes it, and how likely it is a copy from some bars ago.

    u = gelu(features @ kernel + rate @ rate_kernel + sum over l, k of run_lk[run] + bar[bar] + position[position])
    weights = softmax of u @ output + output_bias over the network and the lags that have a candidate
    varied = sigmoid(u @ variation + variation_bias), for each field
    p(row) = weights_0 product over j of p_j(row_j)
           + sum over l of weights_l product over j of ((1 - varied_j) [row_j = candidate_lj] + varied_j p_j(row_j))

So a copy takes each field from what it copies, or, varied, from the network: a melody returns louder, a chord longer.

A mixture of a language model and copies is a pointer-sentinel network (Merity et al. 2017); that the copies are few,
aligned with the meter and varied field by field is ours. The loss of the gate has no gradient in the network, which
learns from its own likelihood: a network that is only asked for what copies do not explain starves.

Letters: n any axes, h hidden, g gate, l lags, c 1 + l, f fields, v values.
"""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from ostinato.configs.schema import Precision
from ostinato.model.recurrent import multiply, project
from ostinato.music.alignment import LAGS, NUM_BARS, NUM_KINDS, NUM_POSITIONS, RATES, RUN_EDGES, Alignment

GATE_SIZE = 96
_NEVER = -1e9
"""A log weight; not infinite, so that gradients are numbers."""


class Sources(NamedTuple):
    """What the gate says of where a row comes from."""

    log_weights: Float[Array, "*n c"]
    """Of the network and of each lag; very low where a lag has no candidate."""
    variation: Float[Array, "*n f"]
    """Of a field of a copy: the logit that it is the network's instead."""


class CopyGate(nn.Module):
    """Weighs the network against its candidates."""

    num_fields: int
    hidden_size: int
    precision: Precision = "float32"
    lags: tuple[int, ...] = LAGS
    """Those that are used; the parameters are for all."""

    def setup(self) -> None:
        lecun, small = nn.initializers.lecun_normal(), nn.initializers.normal(0.1)
        num_lags = len(LAGS)
        self.kernel = self.param("kernel", lecun, (self.hidden_size, GATE_SIZE))
        self.bias = self.param("bias", nn.initializers.zeros_init(), (GATE_SIZE,))
        self.rate_kernel = self.param("rate_kernel", lecun, (num_lags * NUM_KINDS * len(RATES), GATE_SIZE))
        self.run = self.param("run", small, (num_lags, NUM_KINDS, len(RUN_EDGES) + 1, GATE_SIZE))
        self.bar = self.param("bar", small, (NUM_BARS, GATE_SIZE))
        self.position = self.param("position", small, (NUM_POSITIONS, GATE_SIZE))
        self.output = self.param("output", lecun, (GATE_SIZE, 1 + num_lags))
        self.output_bias = self.param("output_bias", lambda _: jnp.full((1 + num_lags,), -2.0).at[0].set(0.0))
        self.variation = self.param("variation", lecun, (GATE_SIZE, self.num_fields))
        self.variation_bias = self.param("variation_bias", nn.initializers.constant(-4.0), (self.num_fields,))

    def __call__(self, features: Float[Array, "*n h"], alignment: Alignment) -> Sources:
        """Returns where the next row may come from, from the network's features and what was heard some bars ago."""
        is_used = jnp.array([lag in self.lags for lag in LAGS])
        heard = jnp.broadcast_to(is_used[:, None, None], alignment.rate.shape)
        rate = jnp.where(heard, alignment.rate, 0).reshape(*alignment.rate.shape[:-3], -1)
        from_rate: Array = multiply(self.precision, rate, self.rate_kernel)
        x = project(self.precision, features, self.kernel, self.bias) + from_rate
        for lag, kind in itertools.product(map(LAGS.index, self.lags), range(NUM_KINDS)):
            x = x + jnp.take(self.run[lag, kind], alignment.run[..., lag, kind], axis=0, mode="clip")
        x = x + jnp.take(self.bar, alignment.bar, axis=0, mode="clip")
        x = x + jnp.take(self.position, alignment.position, axis=0, mode="clip")
        x = nn.gelu(x)
        logits = project(self.precision, x, self.output, self.output_bias)
        is_there = jnp.concatenate(
            [jnp.ones_like(alignment.valid[..., :1]), alignment.valid & heard[..., 0, 0]], axis=-1
        )
        logits = jnp.where(is_there, logits, _NEVER)
        peak = jnp.max(logits, axis=-1, keepdims=True)
        log_weights = logits - peak - jnp.log(sum_columns(jnp.exp(logits - peak)))[..., None]
        return Sources(log_weights, project(self.precision, x, self.variation, self.variation_bias))


class Mixture(NamedTuple):
    """The likelihood of rows under network and copies together, field by field."""

    nll_f: Float[Array, "*n f"]
    """Nats of each field, given the fields before it; their sum is that of the row."""
    log_weights: list[Float[Array, "*n c"]]
    """Of the network and of each copy, given the fields before: log p(it is the source and the fields before are
    right), for each field."""


def mix(
    sources: Sources, nll_f: Float[Array, "*n f"], targets: Integer[Array, "*n f"], alignment: Alignment
) -> Mixture:
    """Returns the mixture's likelihood of the targets, from the network's nats of each field."""
    weights, sums = [sources.log_weights], [jnp.zeros(targets.shape[:-1])]
    candidates = alignment.candidates.astype(targets.dtype)
    exact, varied = jax.nn.log_sigmoid(-sources.variation), jax.nn.log_sigmoid(sources.variation) - nll_f
    for field in range(targets.shape[-1]):
        hit = candidates[..., field] == targets[..., field][..., None]
        copied = jnp.logaddexp(jnp.where(hit, exact[..., field][..., None], _NEVER), varied[..., field][..., None])
        of_field = jnp.concatenate([-nll_f[..., field][..., None], copied], axis=-1)
        weights.append(weights[-1] + of_field)
        sums.append(jax.nn.logsumexp(weights[-1], axis=-1))
    return Mixture(jnp.stack([before - after for before, after in itertools.pairwise(sums)], -1), weights[:-1])


def mixed(
    logits: list[Float[Array, "*n _"]],
    nll_f: Float[Array, "*n f"],
    targets: Integer[Array, "*n f"],
    sources: Sources,
    alignment: Alignment,
) -> tuple[list[Float[Array, "*n _"]], Float[Array, "*n f"]]:
    """Returns the logits of each field and the nats of the targets, of network and copies together.

    Args:
        logits: of the network, each given the targets of the fields before.
        nll_f: the network's nats.
        targets: the rows.
        sources: from the gate.
        alignment: what it saw.
    """
    nll_f, log_weights = mix(sources, nll_f, targets, alignment)
    candidates = jnp.asarray(alignment.candidates, targets.dtype)
    varied = jax.nn.sigmoid(sources.variation)
    return [
        mixture_logits(x, shares(jnp.exp(log_weights[f]), varied[..., f]), candidates[..., f])
        for f, x in enumerate(logits)
    ], nll_f


def shares(weights: Float[Array, "*n c"], varied: Float[Array, "*n"]) -> Float[Array, "*n c"]:
    """Returns which share of a field comes from the network, also in copies that are varied, and from each copy."""
    copies = weights[..., 1:]
    from_copies = sum_columns(copies)
    network = weights[..., 0] + varied * from_copies
    return jnp.concatenate([network[..., None], (1 - varied)[..., None] * copies], axis=-1)


def mixture_logits(
    logits: Float[Array, "*n v"], shares: Float[Array, "*n c"], candidates: Integer[Array, "*n l"]
) -> Float[Array, "*n v"]:
    """Returns the logarithms of what network and copies together give to each value of a field.

    Args:
        logits: of the network.
        shares: of network and copies in the field, given the fields before.
        candidates: the field's value in each candidate.
    """
    value = jnp.arange(logits.shape[-1])
    total = shares[..., :1] * jax.nn.softmax(logits, axis=-1)
    for lag in range(candidates.shape[-1]):
        is_copy = candidates[..., lag][..., None] == jnp.expand_dims(value, tuple(range(logits.ndim - 1)))
        total = total + jnp.where(is_copy, shares[..., lag + 1][..., None], 0)
    return jnp.log(jnp.maximum(total, 1e-37))


def sum_columns(x: Float[Array, "*n c"]) -> Float[Array, "*n"]:
    """Returns the sum over c, one column after the other.

    In batches of all sizes it has the same bits, which `jnp.sum` does not give.
    """
    return sum((x[..., column] for column in range(1, x.shape[-1])), start=x[..., 0])


def no_alignment(*shape: int) -> Alignment:
    """Returns an alignment without candidates; the last number is the number of fields."""
    *n, num_fields = shape
    lags = (*n, len(LAGS))
    return Alignment(
        candidates=jnp.zeros((*lags, num_fields), jnp.uint8),
        valid=jnp.zeros(lags, bool),
        run=jnp.zeros((*lags, NUM_KINDS), jnp.uint8),
        rate=jnp.zeros((*lags, NUM_KINDS, len(RATES))),
        bar=jnp.zeros(n, jnp.uint8),
        position=jnp.zeros(n, jnp.uint8),
    )
