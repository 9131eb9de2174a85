"""The head of the network: it predicts the fields of a row one after the other; and how likely that makes a row.

Axes: b batch, t time step, f field, h hidden, s head, v values of a field. The parameters are listed in
model/network.py.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from ostinato.configs.schema import Precision
from ostinato.model.recurrent import project

embedding_init = nn.initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


class FieldHead(nn.Module):
    """Predicts the fields of a row in order, each from the features and the fields before it.

    logits_j = gelu(part_j + sum over i < j of context_ij[value_i]) @ output_j + output_bias_j
    """

    field_sizes: tuple[int, ...]
    hidden_size: int
    head_size: int
    precision: Precision = "float32"

    def setup(self) -> None:
        num_fields, head = len(self.field_sizes), self.head_size
        lecun, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros_init()
        self.kernel = self.param("kernel", lecun, (self.hidden_size, num_fields * head))
        self.bias = self.param("bias", zeros, (num_fields * head,))
        self.contexts = [
            [self.param(f"context_{i}_{j}", embedding_init, (self.field_sizes[i], head)) for i in range(j)]
            for j in range(num_fields)
        ]
        self.outputs = [
            (
                self.param(f"output_{j}", lecun, (head, size)),
                self.param(f"output_bias_{j}", zeros, (size,)),
            )
            for j, size in enumerate(self.field_sizes)
        ]

    def __call__(
        self, features_bth: Float[Array, "b t h"], targets_btf: Int[Array, "b t f"]
    ) -> list[Float[Array, "b t _"]]:
        """Returns the logits of every field, each given the targets of the fields before it; b and t in any order."""
        parts = self.parts(features_bth)
        with_context = [part + self.context(targets_btf, field) for field, part in enumerate(parts[1:], start=1)]
        return [self.logits(part, field) for field, part in enumerate([parts[0], *with_context])]

    def parts(self, features: Float[Array, "*n h"]) -> list[Float[Array, "*n s"]]:
        """Returns what each field takes from the features."""
        whole = project(self.precision, features, self.kernel, self.bias)
        return jnp.split(whole, len(self.field_sizes), axis=-1)

    def context(self, values: Int[Array, "*n f"], field: int) -> Float[Array, "*n s"]:
        """Returns what one field, not the first, learns from the first `field` columns of `values`."""
        return sum_rows(self.contexts[field], values)

    def logits(self, part: Float[Array, "*n s"], field: int) -> Float[Array, "*n v"]:
        """Returns the logits of one field from its part, with the context."""
        return project(self.precision, nn.gelu(part), *self.outputs[field])


def sum_rows(tables: Sequence[Array], values: Int[Array, "*n f"]) -> Float[Array, "*n s"]:
    """Returns the sum over i of row values[..., i] of table i, [v_i, s], for as many fields as there are tables."""
    rows = [jnp.take(table, values[..., i], axis=0, mode="clip") for i, table in enumerate(tables)]
    return sum(rows[1:], start=rows[0])


def nll(logits: list[Float[Array, "b t _"]], targets_btf: Int[Array, "b t f"]) -> Float[Array, "b t f"]:
    """Returns the cross-entropy of each field in nats: log(sum(exp(logits))) - logits[target]."""
    return jnp.stack([_field_nll(field, targets_btf[..., j]) for j, field in enumerate(logits)], axis=-1)


def _field_nll(logits_btv: Array, targets_bt: Array) -> Array:
    return jax.nn.logsumexp(logits_btv, axis=-1) - chosen_logit(logits_btv, targets_bt)


def chosen_logit(logits_btv: Float[Array, "b t v"], targets_bt: Int[Array, "b t"]) -> Float[Array, "b t"]:
    """Returns logits_btv[..., target].

    By a comparison, not a gather: its gradient is elementwise, where a gather's is a scatter of single numbers.
    """
    chosen = targets_bt[..., None] == jnp.arange(logits_btv.shape[-1], dtype=targets_bt.dtype)[None, None]
    return jnp.sum(jnp.where(chosen, logits_btv, 0), axis=-1)
