"""Measures how fast the devices of this process are, and how long a real training step takes on them.

For `ostinato plan --on cpu`: some seconds of small programs, of which the fastest of several runs counts, since other
processes only ever make a run slower.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.compiled_step import trace_step
from ostinato.launch.plan.hlo_costs import Matmul
from ostinato.launch.plan.program import Operation, read_program
from ostinato.launch.plan.roofline import Speeds
from ostinato.train.data import Batch
from ostinato.train.step import place, state_shardings

_LARGE = 2048
"""Side of the square matmul that shows the ceiling."""

_ENOUGH_S = 1.0
"""A small program is not run again after so many seconds; matmuls of bfloat16 take that long on most CPUs."""


def measure_speeds(
    operations: Iterable[Operation], *, cache_bytes: int, num_arrays: int, temporaries: int, repeats: int = 5
) -> Speeds:
    """Returns the speeds of this machine, and that of each shape of matmul among the operations.

    Args:
        operations: of the compiled step.
        cache_bytes: of the last cache.
        num_arrays: that the step takes and gives back.
        temporaries: bytes that the step works in.
        repeats: runs of each small program.
    """
    shapes = sorted({matmul for operation in operations for matmul in operation.matmuls})
    ceiling = _matmul_flops(Matmul("f32", _LARGE, _LARGE, _LARGE), repeats)
    elementwise, transcendentals = _arithmetic_speeds(repeats)
    memory = _copy_speed(2**26, repeats)
    return Speeds(
        matmul_flops=dict.fromkeys({"f32", *(shape.dtype for shape in shapes)}, ceiling),
        elementwise=elementwise,
        transcendentals=transcendentals,
        memory=memory,
        cache_bytes=cache_bytes,
        cache=max(memory, _copy_speed(2**22, repeats)),
        operation_s=_operation_s(repeats),
        step_s=_call_s(num_arrays, repeats) + temporaries * _fresh_s(memory, repeats),
        matmul_shapes={shape: _matmul_flops(shape, repeats) for shape in shapes},
    )


def measure_step(
    config: TrainConfig, field_sizes: tuple[int, ...], devices: Sequence[Any], batch_size: int, *, steps: int = 8
) -> float:
    """Returns the seconds that a training step takes on these devices: the fastest of some, on made-up rows."""
    traced = trace_step(config, field_sizes, devices, batch_size)
    params_key, _ = jax.random.split(jax.random.key(config.seed))
    state = jax.jit(traced.init, out_shardings=state_shardings(traced.mesh))(params_key)
    b, t = batch_size, config.data.sequence_length
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(size, size=(b, t + 1)) for size in field_sizes], axis=-1).astype(np.int32)
    starts = rng.random((b, t)) < 0.01
    batch = place(Batch(rows[:, :-1], rows[:, 1:], starts, np.ones((b, t), np.float32)), traced.mesh, batch_size)
    seconds = []
    for _ in range(steps + 1):
        begin_s = _now_s()
        state, metrics = traced.step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(_now_s() - begin_s)
    return min(seconds[1:])  # the first compiles


def _matmul_flops(matmul: Matmul, repeats: int) -> float:
    """Returns FLOP/s of products of one shape, one after the other."""
    dtype = {"f32": jnp.float32, "bf16": jnp.bfloat16, "f16": jnp.float16, "f64": jnp.float32}[matmul.dtype]
    left = jnp.full((matmul.rows, matmul.inner), 1e-3, dtype)
    right = jnp.full((matmul.inner, matmul.columns), 1e-3, dtype)
    count = int(min(200, max(1, 4e8 // matmul.flops)))

    @jax.jit
    def run(left, right):
        def body(_, right):
            product = lax.optimization_barrier(jnp.dot(left, right))
            # The next product needs this one, or the loop would be computed once.
            return lax.dynamic_update_slice(right, product[:1, :1] * jnp.asarray(1e-3, dtype), (0, 0))

        return lax.fori_loop(0, count, body, right)

    return count * matmul.flops / _fastest_s(run, (left, right), repeats)


def _arithmetic_speeds(repeats: int) -> tuple[float, float]:
    """Returns additions and products, and exponentials and the like, in a second.

    Two loops over the gates of a recurrent layer, one without and one with its sigmoids and tanh. What they compute is
    counted as it is in the step that is to be predicted, so whatever the count does not see is part of the speed.
    """
    gates, count = 4096, 400
    start = (jnp.full((4, gates), 0.5), jnp.full((gates,), 0.5))

    def plain(_, carry):
        x, c = carry
        c = x[0] * c + x[1] * x[2]
        h = jnp.where(c > 0.5, x[3] * c, 0.25)
        return jnp.stack([h * 0.5, h + 0.25, x[2] - h, h * (1 - h)]), c

    def full(_, carry):
        x, c = carry
        c = jax.nn.sigmoid(x[0]) * c + jax.nn.sigmoid(x[1]) * jnp.tanh(x[2])
        h = jax.nn.sigmoid(x[3]) * jnp.tanh(c)
        return jnp.stack([h * 0.5, h + 0.25, x[2] - h, h * (1 - h)]), c

    def measured(body: Callable[[Any, Any], Any]) -> tuple[float, float, float]:
        run = jax.jit(lambda x: lax.fori_loop(0, count, body, x))
        operations = read_program(_text(run, start)).operations
        elementwise = sum(operation.runs * operation.elementwise for operation in operations)
        transcendentals = sum(operation.runs * operation.transcendentals for operation in operations)
        return _fastest_s(run, (start,), repeats), elementwise, transcendentals

    plain_s, plain_elementwise, _ = measured(plain)
    elementwise_speed = plain_elementwise / plain_s
    full_s, elementwise, transcendentals = measured(full)
    return elementwise_speed, transcendentals / max(full_s - elementwise / elementwise_speed, 0.1 * full_s)


def _copy_speed(num_bytes: int, repeats: int) -> float:
    """Returns bytes read and written in a second, by a program that reads an array and writes another."""
    count = max(1, 2**29 // num_bytes)
    start = jnp.zeros(num_bytes // 4)
    run = jax.jit(lambda x: lax.fori_loop(0, count, lambda _, x: lax.optimization_barrier(x + 1.0), x))
    return 2 * count * num_bytes / _fastest_s(run, (start,), repeats)


def _fresh_s(memory: float, repeats: int) -> float:
    """Returns seconds for each byte that a program gets anew from the system, beside the time of writing to it.

    The C library hands large blocks back as soon as they are free, and at the next step each page of them faults again:
    a quarter of a step of the chorales' model, measured, unless the allocator is told to keep them.
    """
    num_bytes = 2**26
    add = jax.jit(lambda x: x + 1.0)
    return max(0.0, _fastest_s(add, (jnp.zeros(num_bytes // 4),), repeats) - 2 * num_bytes / memory) / num_bytes


def _operation_s(repeats: int) -> float:
    """Returns what it costs to start an operation: a loop of tiny ones that the compiler cannot fuse."""

    def body(_, x):
        for _ in range(4):
            x = lax.optimization_barrier(x @ x)
            x = lax.optimization_barrier(x / jnp.sum(x + 1.0, axis=1, keepdims=True))
        return x

    start = jnp.ones((8, 8))
    run = jax.jit(lambda x: lax.fori_loop(0, 1000, body, x))
    operations = read_program(_text(run, start)).operations
    return _fastest_s(run, (start,), repeats) / sum(operation.runs for operation in operations)


def _call_s(num_arrays: int, repeats: int) -> float:
    """Returns what it costs to call a compiled function that takes and returns so many arrays."""
    arrays = [jnp.zeros(8)] * num_arrays
    return _fastest_s(jax.jit(lambda arrays: [x + 1.0 for x in arrays]), (arrays,), 4 * repeats)


def _text(run: Any, argument: Any) -> str:
    return run.lower(argument).compile().as_text()


def _fastest_s(run: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    """Returns the seconds of the fastest of some runs; once that is no longer quick, of fewer."""
    jax.block_until_ready(run(*arguments))
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < _ENOUGH_S:
        begin_s = _now_s()
        jax.block_until_ready(run(*arguments))
        seconds.append(_now_s() - begin_s)
    return min(seconds)


def _now_s() -> float:
    """Returns the time; on a single core that of this process alone, which other processes do not disturb."""
    return time.process_time() if len(os.sched_getaffinity(0)) == 1 else time.perf_counter()
