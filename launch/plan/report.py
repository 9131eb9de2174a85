"""The figures of `ostinato plan` for one target: memory, times, speed, an epoch, scaling."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.costs import Program
from ostinato.launch.plan.machines import Target
from ostinato.launch.plan.roofline import at_peak_s, cached_bytes, collective_s, scaling, step_times
from ostinato.launch.plan.step import StepPlan


class Music(NamedTuple):
    """What is trained on, as far as a plan needs it: the sizes of the fields, and the rows of the training split."""

    field_sizes: tuple[int, ...]
    rows: int
    notes_per_row: float
    origin: str


def report_target(target: Target, plans: Sequence[StepPlan], config: TrainConfig, music: Music) -> dict[str, Any]:
    """Returns what is said about a target, from the plans of one or more batch sizes, that of the run first.

    Times are in seconds, sizes in bytes and for one device.
    """
    plan, machine, num_devices = plans[0], target.machine, target.num_devices
    program, speeds, links = plan.program, machine.speeds, machine.interconnect
    found: list[Any] = []
    if links is not None and num_devices > 1:  # on one device there is no gradient to reduce
        points = [(other.batch_size / num_devices, step_times(other.program, speeds).total) for other in plans]
        reduce_s = lambda count: collective_s(program, links, count)  # noqa: E731
        found = scaling(points, reduce_s, batch_size=config.data.batch_size)
    counted_once = sum(
        (op.matmul_flops + op.elementwise) * (op.loop.unroll if op.loop else 1) for op in program.operations
    )
    model_flops = sum(op.runs * op.group_size * op.matmul_flops for op in program.operations)
    collectives = _collectives(program)
    return {
        "compiles": True,
        "fits": plan.memory.total <= machine.usable_bytes,
        "num_params": plan.num_params,
        "compile_s": plan.compile_s,
        "memory": plan.memory._asdict(),
        "memory_total": plan.memory.total,
        "collectives": collectives,
        "collective_bytes": sum(one["bytes"] for one in collectives),
        "matmul_flops": program.total("matmul_flops"),
        "model_flops": model_flops,
        "flops_over_model": num_devices * program.total("matmul_flops") / model_flops,
        "flops_counted_once_over_xla": counted_once / plan.xla_flops if plan.xla_flops else None,
        "bytes": program.total("num_bytes"),
        "fast_bytes": sum(op.runs * cached_bytes(op, speeds) for op in program.operations),
        **_speed(plan, target, config, music),
        "scaling": found,
        "remarks": list(dict.fromkeys(program.remarks)),
    }


def _speed(plan: StepPlan, target: Target, config: TrainConfig, music: Music) -> dict[str, Any]:
    """Returns how long the step takes, and what follows from that."""
    program, machine, num_devices = plan.program, target.machine, target.num_devices
    links_s = collective_s(program, machine.interconnect, num_devices) if machine.interconnect else 0.0
    times = step_times(program, machine.speeds)._replace(interconnect=links_s)
    inside = step_times(program, machine.speeds, only_loops=True)
    iterations = sum(loop.rounds for loop in {op.loop for op in program.operations} if loop)
    peak_flops = max(machine.peak.matmul_flops.get(op.matmul.dtype, 0.0) for op in program.operations if op.matmul)
    rows = config.data.batch_size * config.data.sequence_length
    steps = max(1, music.rows // rows)
    hours = steps * times.total / 3600
    return {
        "times": times._asdict(),
        "step_s": times.total,
        "bound": times.bound,
        "at_peak_s": at_peak_s(program, machine.peak),
        "compiler_s": plan.xla_cycles / machine.clock_hz + links_s if machine.clock_hz else None,
        "share_of_peak": program.total("matmul_flops") / (times.total * peak_flops),
        "scan": {
            "iterations": iterations,
            "total_s": inside.total,
            "latency_s": inside.latency,
            "iteration_s": inside.total / max(1, iterations),
        },
        "rows_per_s": rows / times.total,
        "notes_per_s": rows / times.total * music.notes_per_row,
        "epoch": {"rows": music.rows, "steps": steps, "hours": hours, "device_hours": hours * num_devices},
    }


def _collectives(program: Program) -> list[dict[str, Any]]:
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for op in program.operations:
        if op.collective:
            found[op.collective, op.group_size] += [op.collective_bytes] * op.runs
    return [
        {"kind": kind, "devices": devices, "count": len(sizes), "bytes": sum(sizes)}
        for (kind, devices), sizes in found.items()
    ]
