"""Traces and compiles the training step for devices that need not be there, and says what it costs each of them.

The step, its shardings and its donated state are those that `train/loop.py` runs; only the arrays are missing.
"""

import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from jaxtyping import PRNGKeyArray

from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.costs import Program, read_jaxpr
from ostinato.model.backend import planned_for
from ostinato.model.copy_gate import no_alignment
from ostinato.model.kernels import Kernel
from ostinato.model.network import MusicModel, count_params
from ostinato.train.adversary import make_adversary
from ostinato.train.batch import Batch
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import TrainState, TrainStep, make_state_init, make_train_step, split_rows, state_shardings

NUM_STEPS = 100_000
"""Length of the run for the learning rate's schedule; the compiled step differs by one constant."""

_LARGEST_STEP = 64
"""A batch is not extrapolated further than to this multiple: small ones fit in caches and tell little about memory."""


class Memory(NamedTuple):
    """Bytes on each device while a step runs.

    `inputs` are the batch and the memory (carry) that goes from batch to batch, `temporaries` the activations kept for
    the backward pass, gradients, and room to work in.
    """

    params: int
    optimizer: int
    inputs: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        return sum(self)


class StepPlan(NamedTuple):
    """What the step needs for one batch size.

    `xla_flops` is XLA's own count for one device, with each loop's body once, None where the backend does not say;
    `xla_cycles` the TPU compiler's own estimate, 0 elsewhere.
    """

    batch_size: int
    num_params: int
    compile_s: float
    memory: Memory
    program: Program
    xla_flops: float | None = None
    xla_cycles: int = 0


class DoesNotFitError(UserError):
    """The compiler found no way to run the step in a device's memory."""


class Traced(NamedTuple):
    """The step and the shapes that it takes."""

    step: TrainStep
    init: Callable[[PRNGKeyArray], TrainState]
    state: TrainState
    batch: Batch
    mesh: Mesh


def trace_step(
    config: TrainConfig,
    field_sizes: tuple[int, ...],
    devices: Sequence[Any],
    batch_size: int,
    kernel: Kernel | None = None,
) -> Traced:
    """Returns the step over a mesh of the devices, with the shapes of its arguments.

    `kernel` computes the recurrent layers; None leaves that to the rule.

    Raises:
        UserError: the batch cannot be split over the devices.
    """
    if batch_size % len(devices):
        raise UserError(f"batch_size {batch_size} cannot be split over {len(devices)} devices")
    mesh = Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    model = MusicModel(config.model, field_sizes, kernel)
    optimizer = make_optimizer(config.optimizer, config.num_steps or NUM_STEPS)
    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    adversary = make_adversary(config, model, (0, 0))  # whatever ends a piece
    if adversary is not None:
        optimizer = adversary.with_judge(optimizer, params_key)
    init = make_state_init(model, optimizer, batch_size)
    parts = {"accumulate": config.accumulate, "head_steps": config.head_steps}
    step = make_train_step(model, optimizer, mesh, dropout_key, **parts, adversary=adversary)
    b, t, f = batch_size, config.data.sequence_length, len(field_sizes)
    columns = ((b, t, f), jnp.int32), ((b, t, f), jnp.int32), ((b, t), jnp.bool_), ((b, t), jnp.float32)
    alignment = jax.eval_shape(lambda: no_alignment(b, t, f)) if config.model.copy else None
    shapes: Any = [jax.ShapeDtypeStruct(*column) for column in columns]
    batch: Any = Batch(*shapes, alignment=alignment)
    return Traced(step, init, jax.eval_shape(init, params_key), batch, mesh)


def plan_step(config: TrainConfig, field_sizes: tuple[int, ...], devices: Sequence[Any], batch_size: int) -> StepPlan:
    """Traces and compiles the step for devices of this machine, or from `jax.experimental.topologies`.

    `field_sizes` are the values of each field of a row, from the dataset's codec; `batch_size` is over all devices.

    Raises:
        DoesNotFitError: the compiler says that it needs more memory than a device has.
    """
    traced = trace_step(config, field_sizes, devices, batch_size)
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
    analysis = compiled.cost_analysis()  # None on CUDA
    return StepPlan(
        batch_size=batch_size,
        num_params=count_params(traced.state.params),
        compile_s=time.perf_counter() - begin_s,
        memory=_memory(traced, compiled.memory_analysis()),
        program=read_jaxpr(stages.jaxpr),
        xla_flops=analysis.get("flops") if analysis else None,
        xla_cycles=estimated_cycles(compiled.as_text()) if devices[0].platform == "tpu" else 0,
    )


def largest_batch(
    plan: Callable[[int], StepPlan], first: StepPlan | None, *, memory_bytes: int, multiple: int, max_compiles: int = 4
) -> tuple[int, list[StepPlan]]:
    """Searches the largest batch that fits in a device's memory, a multiple of `multiple`.

    Memory grows linearly with the batch, so a line through what is known gives the next guess, and a few compilations
    confirm it. The first line goes through the parameters and the optimizer, which every batch needs. `first` is what
    is already compiled, None if that did not fit; `plan` compiles another batch or raises DoesNotFitError.

    Returns the largest batch that was compiled and fits, 0 if none did, and the plans made on the way.
    """
    plans, too_large = [first] if first else [], 0
    for _ in range(max_compiles):
        known = {found.batch_size: found.memory.total for found in plans}
        fitting = max((batch for batch, total in known.items() if total <= memory_bytes), default=0)
        guess = too_large / 4 or multiple
        if plans:
            known[0] = plans[0].memory.params + plans[0].memory.optimizer + plans[0].memory.code
            low, high = sorted(sorted(known, key=lambda batch: abs(known[batch] - memory_bytes))[:2])
            slope = max(1.0, (known[high] - known[low]) / (high - low))
            guess = low + (0.98 * memory_bytes - known[low]) / slope
            guess = min(guess, _LARGEST_STEP * max(fitting, multiple), 0.95 * too_large or math.inf)
        guess = int(guess) // multiple * multiple
        if guess < multiple or guess in known or fitting <= guess <= 1.03 * fitting:
            break
        try:
            plans.append(plan(guess))
        except DoesNotFitError:
            too_large = guess
        else:
            too_large = guess if plans[-1].memory.total > memory_bytes else too_large
    fitting = max((found.batch_size for found in plans if found.memory.total <= memory_bytes), default=0)
    return fitting, plans[1:] if first else plans


def estimated_cycles(text: str) -> int:
    """Returns the cycles that the TPU's compiler expects of a step, from the text of `compiled.as_text()`.

    It writes them beside each instruction; those of a loop's body count for each iteration, of which there are as many
    as the constant says that the loop's condition compares with.
    """
    bodies: dict[str, str] = dict(re.findall(r"^(?:ENTRY )?%(\S+) \(.*\{\n((?: .*\n)*)\}", text, re.M))

    def cycles(name: str) -> int:
        total = sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', bodies[name])))
        for condition, body in re.findall(r" while\(.* condition=%([^\s,]+), body=%([^\s,]+)", bodies[name]):
            trips = re.findall(r" constant\((\d+)\)", bodies[condition])
            total += cycles(body) * (int(trips[0]) if trips else 1)
        return total

    (entry,) = re.findall(r"^ENTRY %(\S+)", text, re.M)
    return cycles(entry)


def _memory(traced: Traced, analysis: Any) -> Memory:
    state, shards = traced.state, state_shardings(traced.mesh)
    params, optimizer = _shard_bytes(shards.params, state.params), _shard_bytes(shards.opt_state, state.opt_state)
    inputs = _shard_bytes(shards.carry, state.carry) + _shard_bytes(split_rows(traced.mesh), traced.batch)
    # What the arguments take beyond that is padding; results that do not take the place of an argument are new.
    padding = max(0, analysis.argument_size_in_bytes - params - optimizer - inputs)
    new = max(0, analysis.output_size_in_bytes - analysis.alias_size_in_bytes)
    temporaries = analysis.temp_size_in_bytes + new
    return Memory(params, optimizer, inputs + padding, temporaries, analysis.generated_code_size_in_bytes)


def _shard_bytes(sharding: Any, tree: Any) -> int:
    """Returns the bytes that one device holds of a tree."""
    return sum(int(np.prod(sharding.shard_shape(x.shape))) * x.dtype.itemsize for x in jax.tree.leaves(tree))
