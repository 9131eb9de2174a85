"""Prints a plan for people."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console

from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.machines import GIB
from ostinato.report.text import printable

Report = dict[str, Any]

_SHOWN_DEVICES = (1, 8, 16, 32, 64, 128, 256)


def show_plan(plan: dict[str, Any]) -> None:
    """Prints the tables of a plan and, below, what it assumes."""
    data, targets = plan["config"]["data"], plan["targets"]
    compiled = [target for target in targets if target["compiles"]]
    linked = [target for target in compiled if target["scaling"]]
    known = [target for target in linked if target["scaling"][0]["strong"] is not None]
    batch, rows = f"{data['batch_size']:,}", f"{data['sequence_length']:,}"
    _show(f"Memory of each device in MiB; batch {batch}, {rows} steps", _MEMORY, targets)
    _show("Time of a step in ms, and where it goes", _TIME, compiled)
    _show("What each device does in a step", _WORK, compiled)
    _show("An epoch", _EPOCH, compiled)
    _show("Efficiency on several devices, the batch growing with them", _efficiency("weak"), linked)
    _show(f"Efficiency on several devices, batch {batch} shared out", _efficiency("strong"), known)
    _say(f"an epoch: {plan['music']['origin']}")
    for target in targets:
        for line in _remarks(target):
            _say(f"{target['target']}: {line}")
    _say(
        "assumed: operations run one after the other, nothing overlaps with a collective, the input never makes a step "
        "wait; efficiency is against one device whose step takes a time that is linear in its rows"
    )


def _say(line: str) -> None:
    Console().print(printable(line), highlight=False, markup=False)


def _show(title: str, columns: dict[str, Callable[[Report], str]], targets: list[Report]) -> None:
    if targets:
        cells = [[target["target"], *(column(target) for column in columns.values())] for target in targets]
        print_table(title, ["", *columns], cells)


def _remarks(target: Report) -> list[str]:
    lines = list(target.get("remarks", []))
    if not target["compiles"]:
        lines.append(f"batch {target['batch_size']:,} does not compile: {target['reason']}")
    if target.get("compiler_s"):
        lines.append(f"the compiler's own estimate of a step is {target['compiler_s'] * 1e3:.1f} ms")
    if target.get("measured_s"):
        ratio = f"predicted over measured {target['predicted_over_measured']:.2f}"
        lines.append(f"measured here: {target['measured_s'] * 1e3:.1f} ms; {ratio}")
    return lines + [f"assumed: {line}" for line in target.get("assumptions", [])]


def _figure(value: float) -> str:
    """Returns three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _mib(*parts: str) -> Callable[[Report], str]:
    return lambda target: _figure(sum(target["memory"][part] for part in parts) / 2**20) if target["compiles"] else ""


def _ms(part: str) -> Callable[[Report], str]:
    return lambda target: _figure(target["times"][part] * 1e3)


def _efficiency(kind: str) -> dict[str, Callable[[Report], str]]:
    def cell(target: Report, devices: int) -> str:
        (found,) = (one[kind] for one in target["scaling"] if one["num_devices"] == devices)
        return "" if found is None else f"{found:.0%}"

    return {f"{devices:,}": partial(cell, devices=devices) for devices in _SHOWN_DEVICES}


def _of_gib(target: Report) -> str:
    limit = f"{target['memory_limit'] / GIB:.1f}"
    return f"{target['memory_total'] / GIB:.1f} / {limit}" if target["compiles"] else limit


_MEMORY: dict[str, Callable[[Report], str]] = {
    "fits": lambda target: "yes" if target["fits"] else "no",
    "parameters": _mib("params"),
    "optimizer": _mib("optimizer"),
    "batch": _mib("inputs"),
    "activations": _mib("temporaries", "code"),
    "of GiB": _of_gib,
    "largest batch": lambda target: "" if target["largest_batch"] is None else f"{target['largest_batch']:,}",
    "compiled in": lambda target: f"{target['compile_s']:.0f} s" if target["compiles"] else "",
}
_TIME: dict[str, Callable[[Report], str]] = {
    "step": lambda target: _figure(target["step_s"] * 1e3),
    "bound by": lambda target: target["bound"],
    "compute": _ms("compute"),
    "memory": _ms("memory"),
    "starting": _ms("latency"),
    "links": _ms("interconnect"),
    "at peak": lambda target: _figure(target["at_peak_s"] * 1e3),
    "of peak": lambda target: f"{target['share_of_peak']:.1%}",
    "notes/s": lambda target: f"{target['notes_per_s']:,.0f}",
}
_WORK: dict[str, Callable[[Report], str]] = {
    "TFLOP": lambda target: _figure(target["matmul_flops"] / 1e12),
    "GB moved": lambda target: _figure(target["bytes"] / 1e9),
    "collectives": lambda target: str(sum(collective["count"] for collective in target["collectives"])),
    "MB sent": lambda target: _figure(target["collective_bytes"] / 1e6),
    "loop rounds": lambda target: f"{target['scan']['iterations']:,}",
    "us a round": lambda target: _figure(target["scan"]["iteration_s"] * 1e6),
    "of it starting": lambda target: f"{target['scan']['latency_s'] / max(target['scan']['total_s'], 1e-9):.0%}",
}
_EPOCH: dict[str, Callable[[Report], str]] = {
    "steps": lambda target: f"{target['epoch']['steps']:,}",
    "hours": lambda target: _figure(target["epoch"]["hours"]),
    "device-hours": lambda target: _figure(target["epoch"]["device_hours"]),
}
