"""Measures how fast the devices of this process are, and how long a real training step takes on them.

For `ostinato plan --on cpu`: some seconds of small programs, of which the fastest of several runs counts, since other
processes only ever make a run slower. What a small program computes is counted as that of the step is (`costs.py`), so
that what the count does not see, such as a number that a compiler computes twice, is part of the speed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.costs import Matmul, Program, read_jaxpr
from ostinato.launch.plan.machines import cache_bytes, usable_cores
from ostinato.launch.plan.roofline import Speeds
from ostinato.launch.plan.step import Traced, trace_step
from ostinato.train.batch import Batch
from ostinato.train.step import TrainState, place, state_shardings

_LARGE = 2048
"""Side of the square matmul that shows the ceiling; larger sides are measured as if they had this length."""

_REPEATS = 5
_ENOUGH_S = 1.0
"""A small program is not run again after so many seconds; matmuls of bfloat16 take that long on most CPUs."""


def measure_speeds(program: Program, *, num_arrays: int, temporaries: int) -> Speeds:
    """Returns the speeds of this machine, and that of each shape of matmul in the program.

    The program is a step that takes and gives back `num_arrays` and works in so many bytes of `temporaries`.
    """
    shapes = sorted({operation.matmul for operation in program.operations if operation.matmul})
    ceiling = _matmul_flops(Matmul("float32", _LARGE, _LARGE, _LARGE))
    elementwise, transcendentals = _arithmetic_speeds()
    memory = _copy_speed(2**26)
    return Speeds(
        matmul_flops=dict.fromkeys({"float32", *(shape.dtype for shape in shapes)}, ceiling),
        elementwise=elementwise,
        transcendentals=transcendentals,
        memory=memory,
        cache_bytes=cache_bytes() // 2,  # the other half is someone else's
        cache=max(memory, _copy_speed(2**22)),
        operation_s=operation_s(),
        step_s=_call_s(num_arrays) + temporaries * _fresh_s(memory),
        matmul_shapes={shape: _matmul_flops(shape) for shape in shapes},
    )


def measure_step(
    config: TrainConfig, field_sizes: tuple[int, ...], devices: Sequence[Any], batch_size: int, *, steps: int = 8
) -> float:
    """Returns the seconds that a training step takes on these devices: the fastest of some, on made-up rows."""
    traced = trace_step(config, field_sizes, devices, batch_size)
    state, batch = made_up(traced, field_sizes, config.seed)
    seconds = []
    for _ in range(steps + 1):
        begin_s = _now_s()
        state, metrics = traced.step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(_now_s() - begin_s)
    return min(seconds[1:])  # the first compiles


def made_up(traced: Traced, field_sizes: tuple[int, ...], seed: int = 0) -> tuple[TrainState, Batch]:
    """Returns the state before the first step and a batch of made-up rows, on the devices of a step."""
    params_key, _ = jax.random.split(jax.random.key(seed))
    state = jax.jit(traced.init, out_shardings=state_shardings(traced.mesh))(params_key)
    b, t = traced.batch.weights.shape
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(size, size=(b, t + 1)) for size in field_sizes], axis=-1).astype(np.int32)
    starts = rng.random((b, t)) < 0.01
    alignment = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), traced.batch.alignment)
    batch = Batch(rows[:, :-1], rows[:, 1:], starts, np.ones((b, t), np.float32), alignment)
    return state, place(batch, traced.mesh, b)


def _matmul_flops(matmul: Matmul) -> float:
    """Returns FLOP/s of products of one shape, one after the other."""
    dtype = jnp.dtype(matmul.dtype)
    rows, inner, columns = (min(size, _LARGE) for size in matmul[1:])
    left, right = jnp.full((rows, inner), 1e-3, dtype), jnp.full((inner, columns), 1e-3, dtype)

    def body(operands: Any) -> Any:
        left, right = operands
        product = lax.optimization_barrier(jnp.dot(left, right))
        # The next product needs this one, or the loop would be computed once.
        return left, lax.dynamic_update_slice(right, product[:1, :1] * jnp.asarray(1e-3, dtype), (0, 0))

    flops = 2 * rows * inner * columns
    return flops / _loop_s(body, (left, right), int(min(200, max(1, 4e8 // flops))))


def _arithmetic_speeds() -> tuple[float, float]:
    """Returns additions and products, and exponentials and the like, in a second.

    Two loops over the gates of a recurrent layer, one without and one with its sigmoids and tanh.
    """

    def gates(carry: Any, sigmoid: Callable[[Any], Any], tanh: Callable[[Any], Any]) -> Any:
        x, c = carry
        c = sigmoid(x[0]) * c + sigmoid(x[1]) * tanh(x[2])
        h = jnp.where(c > 0.5, sigmoid(x[3]) * tanh(c), 0.25)
        return jnp.stack([h * 0.5, h + 0.25, x[2] - h, h * (1 - h)]), c

    start = (jnp.full((4, 4096), 0.5), jnp.full((4096,), 0.5))
    bodies = (
        lambda carry: gates(carry, lambda x: x, lambda x: x),
        lambda carry: gates(carry, jax.nn.sigmoid, jnp.tanh),
    )
    (plain, plain_s), (full, full_s) = (
        (read_jaxpr(jax.make_jaxpr(body)(start)), _loop_s(body, start, 400)) for body in bodies
    )
    elementwise = plain.total("elementwise") / plain_s
    rest_s = full_s - full.total("elementwise") / elementwise
    return elementwise, full.total("transcendentals") / max(rest_s, 0.1 * full_s)


def _copy_speed(num_bytes: int) -> float:
    """Returns bytes read and written in a second, by a program that reads an array and writes another."""
    start = jnp.zeros(num_bytes // 4)
    return 2 * num_bytes / _loop_s(lambda x: lax.optimization_barrier(x + 1.0), start, max(1, 2**29 // num_bytes))


def operation_s() -> float:
    """Returns what it costs to start an operation: a loop of tiny ones that the compiler cannot fuse."""

    def body(x: Any) -> Any:
        for _ in range(4):
            x = lax.optimization_barrier(x @ x)
            x = lax.optimization_barrier(x / jnp.sum(x + 1.0, axis=1, keepdims=True))
        return x

    start = jnp.ones((8, 8))
    return _loop_s(body, start, 1000) / len(read_jaxpr(jax.make_jaxpr(body)(start)).operations)


def _call_s(num_arrays: int) -> float:
    """Returns what it costs to call a compiled function that takes and returns so many arrays."""
    return _fastest_s(lambda arrays: [x + 1.0 for x in arrays], [jnp.zeros(8)] * num_arrays)


def _fresh_s(memory: float) -> float:
    """Returns seconds for each byte that a program gets anew from the system, beside the time of writing to it.

    The C library hands large blocks back as soon as they are free, and at the next step each page of them faults again:
    a quarter of a step of the chorales' model, measured, unless the allocator is told to keep them.
    """
    num_bytes = 2**26
    seconds = _fastest_s(lambda x: x + 1.0, jnp.zeros(num_bytes // 4))
    return max(0.0, seconds - 2 * num_bytes / memory) / num_bytes


def _loop_s(body: Callable[[Any], Any], start: Any, count: int) -> float:
    """Returns the seconds of one iteration of a loop."""
    return _fastest_s(lambda x: lax.fori_loop(0, count, lambda _, x: body(x), x), start) / count


def _fastest_s(function: Callable[[Any], Any], argument: Any) -> float:
    """Returns the seconds of the fastest of some runs; once that is no longer quick, of fewer."""
    run = jax.jit(function)
    jax.block_until_ready(run(argument))
    seconds: list[float] = []
    while len(seconds) < _REPEATS and sum(seconds) < _ENOUGH_S:
        begin_s = _now_s()
        jax.block_until_ready(run(argument))
        seconds.append(_now_s() - begin_s)
    return min(seconds)


def _now_s() -> float:
    """Returns the time; on a single core that of this process alone, which other processes do not disturb."""
    return time.process_time() if usable_cores() == 1 else time.perf_counter()
