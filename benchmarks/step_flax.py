"""The training step that a user of flax.linen would write for the same network, for `benchmarks.worker`.

`nn.RNN` scans OptimizedLSTMCell, the tables are nn.Embed, the head's matrices nn.Dense, the logits of all steps exist
at once, and gradients are autodiff's. The memory is kept from batch to batch, but not reset where pieces begin.
Axes: b batch, t time step, f field, s head, h hidden.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax


class _Network(nn.Module):
    field_sizes: tuple[int, ...]
    embedding_size: int
    hidden_size: int
    num_layers: int
    head_size: int

    @nn.compact
    def __call__(self, inputs_btf: Any, targets_btf: Any, carries: Any) -> Any:
        x: Any = sum(
            nn.Embed(size, self.embedding_size)(inputs_btf[..., field]) for field, size in enumerate(self.field_sizes)
        )
        last = []
        for carry in carries:
            carry, x = nn.RNN(nn.OptimizedLSTMCell(self.hidden_size), return_carry=True)(x, initial_carry=carry)
            last.append(carry)
        parts = jnp.split(nn.Dense(len(self.field_sizes) * self.head_size)(x), len(self.field_sizes), axis=-1)
        logits = []
        for field, part in enumerate(parts):
            for before in range(field):
                part = part + nn.Embed(self.field_sizes[before], self.head_size)(targets_btf[..., before])
            logits.append(nn.Dense(self.field_sizes[field])(nn.gelu(part)))
        return logits, last


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what runs k steps on the batches of `request`."""
    arrays = np.load(request["batches"])
    names = ("inputs", "targets", "weights")
    batches = itertools.cycle(list(zip(*(arrays[name] for name in names), strict=True)))
    network = _Network(
        tuple(request["field_sizes"]),
        request["embedding_size"],
        request["hidden_size"],
        request["num_layers"],
        request["head_size"],
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(request["learning_rate"]))
    state_shape = arrays["inputs"].shape[1], request["hidden_size"]
    carries = [(jnp.zeros(state_shape), jnp.zeros(state_shape)) for _ in range(request["num_layers"])]
    inputs, targets, _ = next(batches)
    params = jax.jit(network.init)(jax.random.key(0), inputs, targets, carries)
    opt_state = optimizer.init(params)

    def loss_of(params: Any, carries: Any, inputs: Any, targets: Any, weights: Any) -> Any:
        logits, carries = network.apply(params, inputs, targets, carries)
        nll = sum(
            optax.softmax_cross_entropy_with_integer_labels(one, targets[..., field])
            for field, one in enumerate(logits)
        )
        return jnp.sum(nll * weights) / jnp.sum(weights), carries

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params: Any, opt_state: Any, carries: Any, batch: Any) -> Any:
        (loss, carries), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, carries, *batch)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, carries, loss

    def run(num_steps: int) -> float:
        nonlocal params, opt_state, carries
        loss = np.nan
        for _ in range(num_steps):
            params, opt_state, carries, loss = step(params, opt_state, carries, next(batches))
        return float(loss)

    return run
