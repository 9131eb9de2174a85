"""`python -m ostinato.launch.plan.child REQUEST RESPONSE`: one target of `ostinato plan`, in a process of its own.

JAX knows one set of platforms and flags for each process, so `ostinato plan` starts this one for each target, with the
environment that compiling for it needs. Request and response are files of JSON; each line that is printed tells how far
it is.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.calibration import measure_speeds, measure_step
from ostinato.launch.plan.compiled_step import DoesNotFitError, StepPlan, largest_batch, plan_step
from ostinato.launch.plan.program import to_json
from ostinato.launch.plan.roofline import Speeds, step_times
from ostinato.train.memory import keep_freed_memory
from ostinato.train.run_metadata import config_from_json

MAX_MEASURED_S = 20.0
"""A step that is predicted to take longer is not measured."""


class Request(NamedTuple):
    """What to compile, and for what."""

    platform: str
    """tpu, gpu or cpu."""
    config: dict[str, Any]
    """A TrainConfig."""
    field_sizes: list[int]
    memory_bytes: int
    """What a step may use on a device."""
    search: bool
    """Look for the largest batch that fits."""
    shard_optimizer: bool
    topology: str = ""
    """tpu and gpu."""
    target_config: str = ""
    """gpu: XLA's description of it."""
    cache_bytes: int = 0
    """cpu: of the last cache."""
    cores: int = 0
    """cpu: keep to so many of them; 0 is all."""


def main(arguments: Sequence[str]) -> None:
    """Answers one request."""
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # it complains about plugins that find no device
    request = Request(**json.loads(Path(arguments[0]).read_text()))
    if request.cores:  # before JAX starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-request.cores :])
    Path(arguments[1]).write_text(json.dumps(_answer(request)))


def _answer(request: Request) -> dict[str, Any]:
    if request.platform == "cpu":
        keep_freed_memory()  # as the training loop does
    config = config_from_json(request.config)
    field_sizes = tuple(request.field_sizes)
    devices = _devices(request)
    batch_size = config.data.batch_size

    def plan(size: int) -> StepPlan:
        print(f"compiling the step for batch {size:,}", flush=True)
        found = plan_step(config, field_sizes, devices, size, shard_optimizer=request.shard_optimizer)
        gib = found.memory.total / 2**30
        print(f"batch {size:,}: {gib:.2f} GiB on each device, compiled in {found.compile_s:.0f} s", flush=True)
        return found

    reason, first = "", None
    try:
        first = plan(batch_size)
    except DoesNotFitError as error:
        reason = str(error)
    largest, others = None, []
    if request.search:
        multiple = len(devices) * (8 if batch_size >= 8 * len(devices) else 1)
        largest, others = largest_batch(plan, first, memory_bytes=request.memory_bytes, multiple=multiple)
    answer: dict[str, Any] = {
        "plans": [_as_json(found) for found in ([first] if first else []) + others],
        "reason": reason,
        "largest_batch": largest,
        "versions": {"jax": jax.__version__, "platform": devices[0].client.platform_version.splitlines()[0]},
    }
    if request.platform == "cpu" and first is not None:
        answer |= _measured(config, field_sizes, devices, first, request.cache_bytes)
    return answer


def _devices(request: Request) -> list[Any]:
    if request.platform == "cpu":
        return jax.devices("cpu")
    if request.platform == "tpu":
        return list(topologies.get_topology_desc(request.topology, platform="tpu").devices)
    options: dict[str, Any] = {"target_config": request.target_config, "topology": request.topology}
    return list(topologies.get_topology_desc("planned", platform="cuda", **options).devices)


def _as_json(plan: StepPlan) -> dict[str, Any]:
    return {**plan._asdict(), "memory": plan.memory._asdict(), "program": to_json(plan.program)}


def _measured(
    config: TrainConfig, field_sizes: tuple[int, ...], devices: list[Any], plan: StepPlan, cache_bytes: int
) -> dict[str, Any]:
    """Returns the speeds of this machine and, if it does not take too long, the time of a real step."""
    num_arrays = 3 * 2 * config.model.num_layers + 100  # about what a step takes and returns; each costs a microsecond
    speeds = measure_speeds(
        plan.program.operations,
        cache_bytes=cache_bytes,
        num_arrays=num_arrays,
        temporaries=plan.memory.temporaries,
    )
    measured_s = None
    if step_times(plan.program, speeds).total <= MAX_MEASURED_S:
        measured_s = measure_step(config, field_sizes, devices, plan.batch_size)
    return {"speeds": _speeds_as_json(speeds), "measured_s": measured_s}


def _speeds_as_json(speeds: Speeds) -> dict[str, Any]:
    shapes = [[*matmul, flops] for matmul, flops in speeds.matmul_shapes.items()]
    return {**speeds._asdict(), "matmul_flops": dict(speeds.matmul_flops), "matmul_shapes": shapes}


if __name__ == "__main__":
    main(sys.argv[1:])
