"""The figures of `ostinato plan` for one target: memory, times, speed, an epoch, scaling.

Arithmetic over what the target's process answered (`launch/plan/child.py`).
"""

from collections import defaultdict
from typing import Any, NamedTuple

from ostinato.configs.schema import TrainConfig
from ostinato.launch.plan.program import Program, from_json
from ostinato.launch.plan.roofline import (
    Interconnect,
    Speeds,
    at_peak_s,
    collective_s,
    line_through,
    loop_times,
    scaling,
    step_times,
)


class Music(NamedTuple):
    """What is trained on, as far as a plan needs it."""

    field_sizes: tuple[int, ...]
    rows: int
    """Steps in the training split."""
    notes_per_row: float
    origin: str


class Hardware(NamedTuple):
    """What the arithmetic needs to know of a target."""

    speeds: Speeds
    """As a program reaches them."""
    peak: Speeds
    interconnect: Interconnect | None
    num_devices: int
    memory_bytes: int
    """What a step may use on a device."""
    clock_hz: float
    """Of the cycles that the compiler estimates; 0 if it does not."""


def report_failure(
    text: str, answer: dict[str, Any], config: TrainConfig, *, num_devices: int, memory_bytes: int
) -> dict[str, Any]:
    """Returns what is said about a target for which the step does not compile."""
    return {
        "target": text,
        "num_devices": num_devices,
        "batch_size": config.data.batch_size,
        "compiles": False,
        "reason": answer["reason"],
        "fits": False,
        "memory_limit": memory_bytes,
        "largest_batch": answer["largest_batch"],
        "versions": answer["versions"],
    }


def report_target(
    text: str, answer: dict[str, Any], config: TrainConfig, music: Music, hardware: Hardware
) -> dict[str, Any]:
    """Returns everything that is said about a target. Times are in seconds, sizes in bytes and for one device."""
    num_devices, memory_bytes = hardware.num_devices, hardware.memory_bytes
    report = report_failure(text, answer, config, num_devices=num_devices, memory_bytes=memory_bytes)
    if answer["reason"]:
        return report
    plans = answer["plans"]
    programs = [from_json(found["program"]) for found in plans]
    first, program = plans[0], programs[0]
    total_memory = sum(first["memory"].values())
    report |= {
        "compiles": True,
        "fits": total_memory <= memory_bytes,
        "num_params": first["num_params"],
        "compile_s": first["compile_s"],
        "memory": first["memory"],
        "memory_total": total_memory,
        **_work(program, first, num_devices),
        **_speed(program, first, config, music, hardware),
        "scaling": [],
        "remarks": list(program.remarks),
    }
    links = hardware.interconnect
    if links is not None and num_devices > 1:  # on one device there is no gradient to reduce
        points = [
            (found["batch_size"] / num_devices, step_times(other, hardware.speeds).total)
            for found, other in zip(plans, programs, strict=True)
        ]
        found = scaling(
            points[0][1],
            line_through(points),
            lambda num_devices: collective_s(program, links, num_devices),
            batch_size=config.data.batch_size,
        )
        report["scaling"] = [one._asdict() for one in found]
    return report


def _work(program: Program, plan: dict[str, Any], num_devices: int) -> dict[str, Any]:
    """Returns what a device does in a step, whatever the time."""
    operations = program.operations
    flops = sum(op.runs * op.matmul_flops for op in operations)
    counted_once = sum(op.matmul_flops + op.elementwise for op in operations)
    return {
        "collectives": _collectives(program),
        "collective_bytes": sum(op.runs * op.collective_bytes for op in operations),
        "matmul_flops": flops,
        "model_flops": plan["model_flops"],
        "flops_over_model": flops * num_devices / plan["model_flops"],
        "flops_counted_once_over_xla": counted_once / plan["xla_flops"] if plan["xla_flops"] else None,
        "bytes": sum(op.runs * op.num_bytes for op in operations),
        "fast_bytes": sum(op.runs * op.fast_bytes for op in operations),
    }


def _speed(
    program: Program, plan: dict[str, Any], config: TrainConfig, music: Music, hardware: Hardware
) -> dict[str, Any]:
    """Returns how long the step takes, and what follows from that."""
    peak, num_devices, operations = hardware.peak, hardware.num_devices, program.operations
    links_s = collective_s(program, hardware.interconnect, num_devices) if hardware.interconnect else 0.0
    times = step_times(program, hardware.speeds)._replace(interconnect=links_s)
    loops = loop_times(program, hardware.speeds)
    peak_flops = num_devices * max(peak.matmul_flops.get(m.dtype, 0.0) for op in operations for m in op.matmuls)
    cycles = sum(op.runs * op.cycles for op in operations)
    rows = config.data.batch_size * config.data.sequence_length
    steps = max(1, music.rows // rows)
    hours = steps * times.total / 3600
    return {
        "times": times._asdict(),
        "step_s": times.total,
        "bound": times.bound,
        "at_peak_s": at_peak_s(program, peak),
        "compiler_s": cycles / hardware.clock_hz + links_s if hardware.clock_hz else None,
        "share_of_peak": plan["model_flops"] / (times.total * peak_flops),
        "scan": {**loops._asdict(), "iteration_s": loops.total_s / max(1, loops.iterations)},
        "rows_per_s": rows / times.total,
        "notes_per_s": rows / times.total * music.notes_per_row,
        "epoch": {"rows": music.rows, "steps": steps, "hours": hours, "device_hours": hours * num_devices},
    }


def _collectives(program: Program) -> list[dict[str, Any]]:
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for operation in program.operations:
        if operation.collective_bytes:
            found[operation.opcode, operation.group_size] += [operation.collective_bytes] * operation.runs
    return [
        {"kind": kind, "devices": devices, "count": len(sizes), "bytes": sum(sizes)}
        for (kind, devices), sizes in found.items()
    ]
