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
from typing import Any

import jax
from jax.experimental import topologies

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.calibration import measure_speeds, measure_step
from ostinato.launch.plan.machines import GIB, Target, find_target, target_config
from ostinato.launch.plan.report import Music, report_target
from ostinato.launch.plan.step import DoesNotFitError, StepPlan, largest_batch, plan_step
from ostinato.train.memory import keep_freed_memory
from ostinato.train.run_metadata import config_from_json

MAX_MEASURED_S = 20.0
"""A step that is predicted to take longer is not measured."""


def main(arguments: Sequence[str]) -> None:
    """Answers one request."""
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # it complains about plugins that find no device
    request = json.loads(Path(arguments[0]).read_text())
    target, config = find_target(request["target"]), config_from_json(request["config"])
    if target.cores:  # before JAX starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-target.cores :])
    sizes, *rest = request["music"]
    report = predict(target, config, Music(tuple(sizes), *rest), search=request["search"])
    Path(arguments[1]).write_text(json.dumps(report))


def predict(target: Target, config: TrainConfig, music: Music, *, search: bool) -> dict[str, Any]:
    """Returns what is said about a target; `reason` says why the step does not compile, if it does not."""
    is_here = target.machine.platform == "cpu"
    if is_here:
        keep_freed_memory()  # as the training loop does
    devices, batch_size = _devices(target), config.data.batch_size

    def plan(size: int) -> StepPlan:
        print(f"compiling the step for batch {size:,}", flush=True)
        found = plan_step(config, music.field_sizes, devices, size)
        gib = found.memory.total / GIB
        print(f"batch {size:,}: {gib:.2f} GiB on each device, compiled in {found.compile_s:.0f} s", flush=True)
        return found

    reason, first, largest, others = "", None, None, []
    try:
        first = plan(batch_size)
    except DoesNotFitError as error:
        reason = str(error)
    if search:
        multiple = len(devices) * (8 if batch_size >= 8 * len(devices) else 1)
        largest, others = largest_batch(plan, first, memory_bytes=target.machine.usable_bytes, multiple=multiple)
    versions = {"jax": jax.__version__, "platform": devices[0].client.platform_version.splitlines()[0]}
    report = {"reason": reason, "largest_batch": largest, "versions": versions}
    if first is None:
        return report
    if is_here:
        return report | _measured(target, first, config, music, devices)
    return report | report_target(target, [first, *others], config, music) | {"assumptions": target.machine.assumptions}


def _devices(target: Target) -> list[Any]:
    if target.machine.platform == "cpu":
        return jax.devices("cpu")
    if target.machine.platform == "tpu":
        return list(topologies.get_topology_desc(target.topology, platform="tpu").devices)
    options: dict[str, Any] = {"target_config": target_config(target.machine), "topology": target.topology}
    return list(topologies.get_topology_desc("planned", platform="cuda", **options).devices)


def _measured(target: Target, plan: StepPlan, config: TrainConfig, music: Music, devices: list[Any]) -> dict[str, Any]:
    """Returns the report for this machine, whose speeds are measured, and a step, if that does not take too long."""
    num_arrays = 3 * 2 * config.model.num_layers + 100  # about what a step takes and returns; each costs a microsecond
    speeds = measure_speeds(plan.program, num_arrays=num_arrays, temporaries=plan.memory.temporaries)
    report = report_target(target._replace(machine=target.machine._replace(peak=speeds)), [plan], config, music)
    measured_s = ratio = None
    if report["step_s"] <= MAX_MEASURED_S:
        measured_s = measure_step(config, music.field_sizes, devices, plan.batch_size)
        ratio = report["step_s"] / measured_s
    shapes = speeds.matmul_shapes.values()
    assumption = (
        f"measured here on {f'{target.cores} of the' if target.cores else 'all'} cores: "
        f"{speeds.matmul_flops['float32'] / 1e9:.0f} GFLOP/s in a large matmul, "
        f"{min(shapes) / 1e9:.0f} to {max(shapes) / 1e9:.0f} in those of the step; "
        f"{speeds.memory / 1e9:.0f} GB/s of memory traffic, {speeds.cache / 1e9:.0f} from the cache; "
        f"{speeds.elementwise / 1e9:.1f} G additions and {speeds.transcendentals / 1e9:.1f} G exponentials a second; "
        f"{speeds.operation_s * 1e6:.1f} us to start an operation"
    )
    return {**report, "measured_s": measured_s, "predicted_over_measured": ratio, "assumptions": [assumption]}


if __name__ == "__main__":
    main(sys.argv[1:])
