"""Compiles the training step for devices that need not be there, and says what it will hold and run on each of them.

The step, its shardings and its donated state are those that `train/loop.py` runs; only the arrays are missing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import PRNGKeyArray

from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.program import Program, read_program
from ostinato.model.backend import planned_for
from ostinato.model.network import MusicModel, count_params
from ostinato.train.data import Batch
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import (
    TrainState,
    TrainStep,
    make_state_init,
    make_train_step,
    replicated,
    split_rows,
    state_shardings,
)

NUM_STEPS = 100_000
"""Length of the run for the learning rate's schedule; the compiled step differs by one constant."""

_LARGEST_STEP = 64
"""A batch is not extrapolated further than to this multiple: small ones fit in caches and tell little about memory."""


class Memory(NamedTuple):
    """Bytes on each device while a step runs."""

    params: int
    optimizer: int
    inputs: int
    """The batch and the memory (carry) that goes from batch to batch."""
    temporaries: int
    """Activations kept for the backward pass, gradients, and room to work in."""
    code: int

    @property
    def total(self) -> int:
        return sum(self)


class StepPlan(NamedTuple):
    """What the compiler made of the step for one batch size."""

    batch_size: int
    sequence_length: int
    num_devices: int
    num_params: int
    compile_s: float
    memory: Memory
    program: Program
    model_flops: int
    """Of all matmuls of the step, over all devices, counted before compilation (each iteration of each scan)."""
    xla_flops: float | None
    """XLA's own count for one device, with each loop's body once; None where the backend does not say."""


class DoesNotFitError(UserError):
    """The compiler found no way to run the step in a device's memory."""


class Traced(NamedTuple):
    """The step and the shapes that it takes."""

    step: TrainStep
    init: Callable[[PRNGKeyArray], TrainState]
    state: TrainState
    batch: Batch
    mesh: Mesh
    shardings: TrainState
    """Where each part of the state lives; a prefix of its tree."""


def trace_step(config: TrainConfig, field_sizes: tuple[int, ...], devices: Sequence[Any], batch_size: int) -> Traced:
    """Returns the step over a mesh of the devices, with the shapes of its arguments.

    Raises:
        UserError: the batch cannot be split over the devices.
    """
    if batch_size % len(devices):
        raise UserError(f"batch_size {batch_size} cannot be split over {len(devices)} devices")
    mesh = Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    model = MusicModel(config=config.model, field_sizes=field_sizes)
    optimizer = make_optimizer(config.optimizer, config.num_steps or NUM_STEPS)
    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    b, t, f = batch_size, config.data.sequence_length, len(field_sizes)
    batch = Batch(
        inputs=_shape((b, t, f), jnp.int32),
        targets=_shape((b, t, f), jnp.int32),
        starts=_shape((b, t), jnp.bool_),
        weights=_shape((b, t), jnp.float32),
    )
    init = make_state_init(model, optimizer, batch_size)
    step = make_train_step(
        model, optimizer, mesh, dropout_key, accumulate=config.accumulate, head_steps=config.head_steps
    )
    return Traced(step, init, jax.eval_shape(init, params_key), batch, mesh, state_shardings(mesh))


def with_sharded_optimizer(traced: Traced) -> Traced:
    """Returns the step with the optimizer's state shared out over the devices (ZeRO-1, Rajbhandari et al. 2020).

    Each device updates its share of the parameters, and they are gathered again. The training loop does not do that;
    this is to see what it would bring.
    """
    mesh = traced.mesh

    def share(leaf: Any) -> NamedSharding:
        axis = next((axis for axis, size in enumerate(leaf.shape) if size % mesh.size == 0), None)
        return replicated(mesh) if axis is None else NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    shardings = traced.shardings._replace(opt_state=jax.tree.map(share, traced.state.opt_state))
    jitted: Any = traced.step
    step = jax.jit(
        jitted.__wrapped__,
        donate_argnums=0,
        in_shardings=(shardings, split_rows(mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )
    return traced._replace(step=step, shardings=shardings)


def plan_step(
    config: TrainConfig,
    field_sizes: tuple[int, ...],
    devices: Sequence[Any],
    batch_size: int,
    *,
    shard_optimizer: bool = False,
) -> StepPlan:
    """Compiles the step for the devices and reads what it costs.

    Args:
        config: the run.
        field_sizes: values of each field of a row, from the dataset's codec.
        devices: of this machine, or from `jax.experimental.topologies`.
        batch_size: rows of a batch over all devices.
        shard_optimizer: see `with_sharded_optimizer`.

    Raises:
        DoesNotFitError: the compiler says that it needs more memory than a device has.
    """
    traced = trace_step(config, field_sizes, devices, batch_size)
    traced = with_sharded_optimizer(traced) if shard_optimizer else traced
    with planned_for(devices[0].platform):
        jitted: Any = traced.step
        stages = jitted.trace(traced.state, traced.batch)
        begin_s = time.perf_counter()
        try:
            compiled = stages.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise DoesNotFitError(str(error).split("\n\n")[0]) from error
            raise
    return StepPlan(
        batch_size=batch_size,
        sequence_length=config.data.sequence_length,
        num_devices=len(devices),
        num_params=count_params(traced.state.params),
        compile_s=time.perf_counter() - begin_s,
        memory=_memory(traced, compiled.memory_analysis()),
        program=read_program(compiled.as_text()),
        model_flops=matmul_flops(stages.jaxpr.jaxpr),
        xla_flops=_xla_flops(compiled),
    )


def largest_batch(
    plan: Callable[[int], StepPlan], first: StepPlan | None, *, memory_bytes: int, multiple: int, max_compiles: int = 4
) -> tuple[int, list[StepPlan]]:
    """Searches the largest batch that fits in a device's memory, a multiple of `multiple`.

    Memory grows linearly with the batch, so a line through what is known gives the next guess, and a few compilations
    confirm it. The first line goes through the parameters and the optimizer, which every batch needs.

    Args:
        plan: compiles for a batch size; raises DoesNotFitError.
        first: what is already compiled, None if nothing fitted.
        memory_bytes: what a step may use of a device's memory.
        multiple: every batch size tried is a multiple of it.
        max_compiles: compilations at most.

    Returns:
        The largest batch that was compiled and fits, 0 if none did, and the plans made on the way.
    """
    plans: list[StepPlan] = [first] if first else []
    too_large = None
    for _ in range(max_compiles):
        guess = _next_batch(plans, memory_bytes, multiple, too_large)
        if guess is None:
            break
        try:
            plans.append(plan(guess))
        except DoesNotFitError:
            too_large = guess
        else:
            if plans[-1].memory.total > memory_bytes:
                too_large = guess
    fitting = [plan.batch_size for plan in plans if plan.memory.total <= memory_bytes]
    return max(fitting, default=0), plans[1:] if first else plans


def _next_batch(plans: list[StepPlan], memory_bytes: int, multiple: int, too_large: int | None) -> int | None:
    """Returns the batch size to try next; None if the largest known one is near enough."""
    known = {plan.batch_size: plan.memory.total for plan in plans}
    fitting = max((batch for batch, total in known.items() if total <= memory_bytes), default=0)
    if not known:
        guess = multiple if too_large is None else too_large // 4
    else:
        low, high = _nearest(known, memory_bytes)
        if low == high:
            known[0] = plans[0].memory.params + plans[0].memory.optimizer + plans[0].memory.code
            low = 0
        slope = (known[high] - known[low]) / (high - low)
        guess = int(low + (0.98 * memory_bytes - known[low]) / slope) if slope > 0 else _LARGEST_STEP * high
        guess = min(guess, _LARGEST_STEP * max(fitting, multiple))
    if too_large is not None:
        guess = min(guess, int(0.95 * too_large))
    guess = guess // multiple * multiple
    if guess < multiple or guess in known or fitting <= guess <= 1.03 * fitting:
        return None
    return guess


def _nearest(known: dict[int, int], memory_bytes: int) -> tuple[int, int]:
    """Returns the two batch sizes, in order, whose memory is nearest to the limit; if there is but one, it twice."""
    by_distance = sorted(known, key=lambda batch: abs(known[batch] - memory_bytes))
    low, high = sorted((by_distance * 2)[:2])
    return low, high


def matmul_flops(jaxpr: Any) -> int:
    """Returns the FLOPs of all matmuls of a traced function on all devices, each iteration of each scan counted.

    Raises:
        UserError: it has a loop without a fixed number of iterations around a matmul.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            ((contracted, _), _) = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * int(np.prod([left[d] for d in contracted]))
            continue
        inner = sum(matmul_flops(part) for part in _inner_jaxprs(params))
        if name == "while" and inner:
            raise UserError("a while loop around a matmul: its iterations cannot be counted; use lax.scan")
        match name:
            case "scan":
                total += inner * params["length"]
            case "shard_map":  # what is inside has the rows of one device
                total += inner * params["mesh"].size
            case _:
                total += inner
    return total


def _inner_jaxprs(params: dict[str, Any]) -> list[Any]:
    values = [part for value in params.values() for part in (value if isinstance(value, tuple | list) else [value])]
    return [getattr(value, "jaxpr", value) for value in values if hasattr(value, "eqns")]


def _memory(traced: Traced, analysis: Any) -> Memory:
    shardings = traced.shardings
    params = _bytes_per_device(shardings.params, traced.state.params)
    optimizer = _bytes_per_device(shardings.opt_state, traced.state.opt_state)
    inputs = _bytes_per_device(shardings.carry, traced.state.carry) + _bytes_per_device(
        split_rows(traced.mesh), traced.batch
    )
    # What the arguments take beyond that is padding; results that do not take the place of an argument are new.
    padding = max(0, analysis.argument_size_in_bytes - params - optimizer - inputs)
    new = max(0, analysis.output_size_in_bytes - analysis.alias_size_in_bytes)
    return Memory(
        params=params,
        optimizer=optimizer,
        inputs=inputs + padding,
        temporaries=analysis.temp_size_in_bytes + new,
        code=analysis.generated_code_size_in_bytes,
    )


def _bytes_per_device(shardings: Any, tree: Any) -> int:
    """Returns the bytes that one device holds of a tree; `shardings` is a prefix of it."""

    def of_subtree(sharding: Sharding, subtree: Any) -> int:
        return sum(
            int(np.prod(sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in jax.tree.leaves(subtree)
        )

    return sum(jax.tree.leaves(jax.tree.map(of_subtree, shardings, tree)))


def _xla_flops(compiled: Any) -> float | None:
    analysis = compiled.cost_analysis()  # None on CUDA
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return float(analysis["flops"]) if analysis and "flops" in analysis else None


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)
