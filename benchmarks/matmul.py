"""A large square matmul of XLA's, for `benchmarks.worker`: how fast this machine can be."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ostinato.train.memory import keep_freed_memory


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what multiplies two square matrices of side `request["side"]` k times."""
    keep_freed_memory()
    side = request["side"]
    a, b = np.random.default_rng(0).standard_normal((2, side, side), np.float32) / side**0.5
    a, b, multiply = jax.device_put(a), jax.device_put(b), jax.jit(jnp.matmul)

    def run(num_steps: int) -> float:
        out = b
        for _ in range(num_steps):
            out = multiply(a, out)
        return float(out[0, 0])

    return run
