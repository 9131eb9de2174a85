"""What `ostinato plan` says of this card beside what the step takes on it.

The step is traced and compiled for the card that is here, with the portable scan, as `plan` does; twice predicted: with
the figures of `launch/plan/machines.py`, and with the rates that the first stage has measured.
"""

from typing import Any

import jax

from ostinato.benchmarks.gpu.context import FIELD_SIZES, Context, Shape
from ostinato.benchmarks.gpu.machine import seconds_of
from ostinato.benchmarks.gpu.speed import Way, train_config
from ostinato.launch.plan.calibration import made_up, measure_speeds
from ostinato.launch.plan.machines import MACHINES, Machine, find_target
from ostinato.launch.plan.roofline import Speeds, step_times
from ostinato.launch.plan.step import plan_step, trace_step
from ostinato.model.backend import platform
from ostinato.model.kernels import Kernel

SHAPES = (Shape(3, 1024, 64, 128), Shape(2, 512, 256, 128), Shape(3, 2048, 64, 128))


def run(context: Context) -> None:
    """Writes a line for each shape and precision."""
    device = jax.devices()[0]
    kernel = Kernel("scan", unroll=4 if platform() == "gpu" else 1)
    for shape in (Shape(1, 16, 4, 8),) if context.smoke else SHAPES:
        for precision in ("tf32",) if context.smoke else ("tf32", "bf16"):
            config = train_config(shape, Way("lstm", kernel, precision))
            plan = plan_step(config, FIELD_SIZES, [device], shape.batch_size)
            machine = find_machine(device)
            if machine is None:
                speeds = {"measured rates": measure_speeds(plan.program, num_arrays=100, temporaries=0)}
            else:
                rates = {one["name"]: one["value"] for one in context.read("rate")}
                speeds = {machine.name: machine.speeds, "measured rates": measured(machine, rates)}
            traced = trace_step(config, FIELD_SIZES, [device], shape.batch_size, kernel)
            state, batch = made_up(traced, FIELD_SIZES)
            carried = [state]

            def step(carried: list[Any] = carried, traced: Any = traced, batch: Any = batch) -> Any:
                carried[0], metrics = traced.step(carried[0], batch)
                return metrics

            measured_s = seconds_of(step, rounds=3, count=3)
            for name, one in speeds.items():
                times = step_times(plan.program, one)
                context.write(
                    "plan", shape=shape, precision=precision, by=name, predicted_s=times.total,
                    bound=times.bound, measured_s=measured_s, ratio=times.total / measured_s,
                )  # fmt: skip


def find_machine(device: Any) -> Machine | None:
    """Returns the machine that `plan` knows for a device; on CPUs there is none, they are measured."""
    if device.platform == "cpu":
        return None
    kind = device.device_kind.lower()
    return next((machine for name, machine in MACHINES.items() if name in kind), find_target("h100:1").machine)


def measured(machine: Machine, rates: dict[str, float]) -> Speeds:
    """Returns a machine's speeds with those that were measured in the place of the maker's."""
    if not {"matmul tf32", "matmul bf16", "memory", "operation"} <= rates.keys():
        return machine.speeds
    flops = {"float32": rates["matmul tf32"], "bfloat16": rates["matmul bf16"], "float16": rates["matmul bf16"]}
    return machine.speeds._replace(
        matmul_flops=flops, memory=rates["memory"], cache=max(machine.speeds.cache, rates["memory"]),
        operation_s=rates["operation"],
    )  # fmt: skip
