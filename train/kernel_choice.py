"""Which way to compute the recurrent layers is the quickest here: measured when a run begins, and remembered.

A run keeps to its first choice, which its checkpoints hold, so that it resumes to the same bits; on another kind of
device it chooses anew. What was measured is remembered in the user's cache folder by all that it depends on.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils

from ostinato.configs.documents import Count, read_document
from ostinato.configs.errors import UserError
from ostinato.configs.schema import ModelConfig, TrainConfig
from ostinato.data.atomic import write_atomically
from ostinato.model import cudnn
from ostinato.model.kernels import Kernel, possible_kernels
from ostinato.model.recurrent import CELLS, LayerParams, State, multiply, recurrent_scan
from ostinato.train.hosts.process_zero import run_on_process_zero
from ostinato.train.run_document import SavedKernel

logger = logging.getLogger(__name__)

_ROUNDS = 5
_SHARE_OF_STARTS = 0.01


class Measured(TypedDict):
    """What is remembered of a measurement."""

    fastest: Count
    """Its number among the possible kernels."""
    seconds: NotRequired[dict[str, float | None]]
    """For people."""


def choose_kernel(
    config: TrainConfig, rows_at_once: int, saved: dict[str, Any] | None, cache: Path | None
) -> SavedKernel | None:
    """Returns what a run computes its recurrent layers by, for its checkpoints; None is by rule.

    All processes of a run have to call it; the first one measures.

    Args:
        config: the run's; `config.kernels` says whether there is something to measure.
        rows_at_once: rows of a batch that a device holds at the same time.
        saved: what a checkpoint of the run says; None for a new run.
        cache: the folder in which measurements are remembered; None is none.
    """
    here = jax.devices()[0].device_kind
    if saved is not None:
        kept = saved.get("kernel")
        if kept is None or kept["device"] == here:
            return kept
    measures = config.kernels == "measure" or (config.kernels == "auto" and jax.default_backend() != "cpu")
    length = config.data.sequence_length
    kernels = possible_kernels(config.model, length)
    if not measures or len(kernels) < 2:
        return None
    fastest = run_on_process_zero(lambda: _remembered(config.model, length, rows_at_once, kernels, cache))
    if jax.process_count() > 1:
        fastest = int(multihost_utils.broadcast_one_to_all(np.int32(fastest or 0)))
    assert fastest is not None, "process 0 has measured"
    backend, feature_major, unroll = kernels[fastest]
    return {"device": here, "backend": backend, "feature_major": feature_major, "unroll": unroll}


def as_kernel(saved: SavedKernel | None) -> Kernel | None:
    """Returns the kernel that a run's description names."""
    return saved and Kernel(saved["backend"], saved["feature_major"], saved["unroll"])


def _remembered(config: ModelConfig, length: int, rows: int, kernels: list[Kernel], cache: Path | None) -> int:
    """Returns the number of the fastest kernel, from the cache if it is there."""
    depends_on = {
        "device": jax.devices()[0].device_kind, "platform": jax.devices()[0].client.platform_version,
        "jax": jax.__version__, "cell": config.cell, "hidden": config.hidden_size, "rows": rows, "length": length,
        "precision": config.precision, "matmuls": str(getattr(jax.config, "jax_default_matmul_precision", None)),
        "kernels": [str(kernel) for kernel in kernels],
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    path = None if cache is None else cache / "kernels" / f"{key}.json"
    if path and path.exists():
        try:
            fastest = read_document(path, Measured)["fastest"]
        except UserError as error:
            logger.warning("%s; it is measured again", error)
        else:
            if fastest < len(kernels):
                return fastest
    logger.info("measuring %d ways to compute a layer, once for networks of this size", len(kernels))
    seconds = measure(config, length, rows, kernels)
    fastest = min(range(len(kernels)), key=lambda number: seconds[kernels[number]])
    logger.info("the layers are computed by %s: %.2f ms", kernels[fastest], 1e3 * seconds[kernels[fastest]])
    if path:
        found = {str(kernel): None if np.isinf(one_s) else one_s for kernel, one_s in seconds.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps({"fastest": fastest, "seconds": found, **depends_on}).encode())
        except (OSError, UserError) as error:
            logger.warning("what was measured is not remembered: %s", error)
    return fastest


def measure(config: ModelConfig, length: int, rows: int, kernels: list[Kernel]) -> dict[Kernel, float]:
    """Returns the seconds of one layer, forward and backward, by each kernel; infinity where it cannot be computed."""
    rng, hidden, cell = np.random.default_rng(0), config.hidden_size, CELLS[config.cell]
    draw: Callable[..., Array] = lambda *shape: jnp.asarray(rng.normal(size=shape, scale=0.1), jnp.float32)  # noqa: E731
    num_gates = cell.num_gates * hidden
    recurrent_bias = draw(hidden) if config.cell == "gru" else None
    params = LayerParams(draw(hidden, num_gates), draw(hidden, num_gates), draw(num_gates), recurrent_bias)
    starts_tb = jnp.asarray(rng.random((length, rows)) < _SHARE_OF_STARTS)
    carry = tuple(draw(rows, hidden) for _ in range(cell.num_states))
    arguments, seconds = (draw(length, rows, hidden), params, carry), {}
    for kernel in kernels:
        try:
            step = jax.jit(jax.grad(_value_of(kernel, config, starts_tb), argnums=(0, 1, 2)))
            seconds[kernel] = _fastest_s(step, arguments)
        except jax.errors.JaxRuntimeError as error:  # it may need more memory than there is
            logger.warning("%s cannot be taken: %s", kernel, str(error).splitlines()[0])
            seconds[kernel] = float("inf")
    return seconds


def _value_of(kernel: Kernel, config: ModelConfig, starts_tb: Array) -> Callable[..., Array]:
    def value(x: Array, params: LayerParams, carry: State) -> Array:
        if kernel.backend == "cudnn":
            y, last = cudnn.recurrent_layer(x, params, starts_tb, carry)
        else:
            gates: Array = multiply(config.precision, x, params.kernel)
            y, last = recurrent_scan(config.cell, kernel.layout(config), gates, params, starts_tb, carry)
        return jnp.sum(y * y) + sum(jnp.sum(state) for state in last)

    return value


def _fastest_s(step: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    jax.block_until_ready(step(*arguments))
    seconds = []
    for _ in range(_ROUNDS):
        begin_s = time.perf_counter()
        jax.block_until_ready(step(*arguments))
        seconds.append(time.perf_counter() - begin_s)
    return min(seconds)
