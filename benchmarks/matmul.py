"""A large square matmul of XLA's or of torch's, for `benchmarks.worker`: how fast this machine can be."""

from collections.abc import Callable
from typing import Any

import numpy as np


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what multiplies two square matrices of side `request["side"]` k times."""
    side = request["side"]
    x, y = np.random.default_rng(0).standard_normal((2, side, side), np.float32) / side**0.5
    return {"xla": _xla, "torch": _torch}[request["library"]](x, y, request["threads"])


def _xla(x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[int], float]:
    del threads  # as many as cores
    import jax
    import jax.numpy as jnp

    from ostinato.train.memory import keep_freed_memory

    keep_freed_memory()
    multiply = jax.jit(jnp.matmul)
    a, b = jax.device_put(x), jax.device_put(y)

    def run(num_steps: int) -> float:
        out = b
        for _ in range(num_steps):
            out = multiply(a, out)
        return float(out[0, 0])

    return run


def _torch(x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[int], float]:
    import torch  # pyright: ignore[reportMissingImports]  # the extra bench

    torch.set_num_threads(threads)
    a, b, out = torch.from_numpy(x), torch.from_numpy(y), torch.empty(x.shape)

    def run(num_steps: int) -> float:
        for _ in range(num_steps):
            torch.mm(a, b, out=out)
        return float(out[0, 0])

    return run
