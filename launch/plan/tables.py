"""Prints a plan for people."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.machines import GIB

_SHOWN_DEVICES = (1, 8, 16, 32, 64, 128, 256)


def show_plan(plan: dict[str, Any]) -> None:
    """Prints the tables of a plan and, below, what it assumes."""
    music, data, targets = plan["music"], plan["config"]["data"], plan["targets"]
    compiled = [target for target in targets if target["compiles"]]
    linked = [target for target in compiled if target["scaling"]]

    def show(title: str, heading: list[str], row: Callable[[dict[str, Any]], list[str]], some: list[Any]) -> None:
        if some:
            print_table(title, ["", *heading], [[target["target"], *row(target)] for target in some])

    show(
        f"Memory of each device in MiB; batch {data['batch_size']:,}, {data['sequence_length']:,} steps",
        ["fits", "parameters", "optimizer", "batch", "activations", "of GiB", "largest batch", "compiled in"],
        _memory_row,
        targets,
    )
    show(
        "Time of a step in ms, and where it goes",
        ["step", "bound by", "compute", "memory", "starting", "links", "at peak", "of peak", "notes/s"],
        _time_row,
        compiled,
    )
    show(
        "What each device does in a step",
        ["TFLOP", "GB moved", "collectives", "MB sent", "loop rounds", "us a round", "of it starting"],
        _work_row,
        compiled,
    )
    show("An epoch", ["steps", "hours", "device-hours"], _epoch_row, compiled)
    devices = [f"{count:,}" for count in _SHOWN_DEVICES]
    show("Efficiency on so many devices, the batch growing with them", devices, _weak_row, linked)
    known = [target for target in linked if target["scaling"][0]["strong"] is not None]
    show(f"Efficiency on so many devices, batch {data['batch_size']:,} shared out", devices, _strong_row, known)
    Console().print(f"an epoch: {music['origin']}", highlight=False, markup=False)
    _print_remarks(targets)


def _print_remarks(targets: list[dict[str, Any]]) -> None:
    console = Console()
    for target in targets:
        lines = list(target.get("remarks", []))
        if not target["compiles"]:
            lines.append(f"batch {target['batch_size']:,} does not compile: {target['reason']}")
        if target.get("compiler_s"):
            lines.append(f"the compiler's own estimate of a step is {target['compiler_s'] * 1e3:.1f} ms")
        if target.get("measured_s"):
            lines.append(
                f"measured here: {target['measured_s'] * 1e3:.1f} ms; predicted over measured "
                f"{target['predicted_over_measured']:.2f}"
            )
        lines += [f"assumed: {line}" for line in target.get("assumptions", [])]
        for line in lines:
            console.print(f"{target['target']}: {line}", highlight=False, markup=False)
    console.print(
        "assumed: operations run one after the other, nothing overlaps with a collective, the input never makes a step "
        "wait; efficiency is against one device whose step takes a time that is linear in its rows",
        highlight=False,
    )


def _figure(value: float) -> str:
    """Returns three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory_row(target: dict[str, Any]) -> list[str]:
    largest, limit = target["largest_batch"], f"{target['memory_limit'] / GIB:.1f}"
    searched = "" if largest is None else f"{largest:,}"
    if not target["compiles"]:
        return ["no", "", "", "", "", limit, searched, ""]
    memory = target["memory"]
    sizes = [memory["params"], memory["optimizer"], memory["inputs"], memory["temporaries"] + memory["code"]]
    return [
        "yes" if target["fits"] else "no",
        *(_figure(size / 2**20) for size in sizes),
        f"{target['memory_total'] / GIB:.1f} / {limit}",
        searched,
        f"{target['compile_s']:.0f} s",
    ]


def _time_row(target: dict[str, Any]) -> list[str]:
    times = target["times"]
    parts = (times["compute"], times["memory"], times["latency"], times["interconnect"], target["at_peak_s"])
    step, *rest = (_figure(seconds * 1e3) for seconds in (target["step_s"], *parts))
    return [step, target["bound"], *rest, f"{target['share_of_peak']:.1%}", f"{target['notes_per_s']:,.0f}"]


def _work_row(target: dict[str, Any]) -> list[str]:
    scan = target["scan"]
    return [
        _figure(target["matmul_flops"] / 1e12),
        _figure(target["bytes"] / 1e9),
        str(sum(collective["count"] for collective in target["collectives"])),
        _figure(target["collective_bytes"] / 1e6),
        f"{scan['iterations']:,}",
        _figure(scan["iteration_s"] * 1e6),
        f"{scan['latency_s'] / scan['total_s']:.0%}" if scan["total_s"] else "",
    ]


def _epoch_row(target: dict[str, Any]) -> list[str]:
    epoch = target["epoch"]
    return [f"{epoch['steps']:,}", _figure(epoch["hours"]), _figure(epoch["device_hours"])]


def _weak_row(target: dict[str, Any]) -> list[str]:
    return _efficiency_row(target, "weak")


def _strong_row(target: dict[str, Any]) -> list[str]:
    return _efficiency_row(target, "strong")


def _efficiency_row(target: dict[str, Any], kind: str) -> list[str]:
    found = {one["num_devices"]: one[kind] for one in target["scaling"]}
    return ["" if found[devices] is None else f"{found[devices]:.0%}" for devices in _SHOWN_DEVICES]
