"""`python -m ostinato.benchmarks.scaling FOLDER`: how a step's cost grows with the model, the batch and the devices.

Around one network for this machine's core (measured) and one for accelerators (the preset lakh, planned) one size is
changed at a time. Each point is an `ostinato plan` and is kept in FOLDER, so that the same command goes on where an
earlier one stopped. Prints tables and draws docs/scaling.svg and docs/devices.svg. Needs the extras plan-tpu and
plan-cuda, and some 25 minutes of CPU time, most of it the TPU's compiler.
"""

import argparse
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")  # before pyplot is there
from matplotlib import pyplot as plt

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import TrainConfig
from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.command import plan
from ostinato.launch.plan.roofline import Scaling, line_through, scaling

CPU = "cpu:1"
SWEPT = ("v5e:4x4", "h100:8")
"""Planned at every point."""
LINKED = ("v5e:4x4", "v5p:2x2x2", "h100:8", "a100:8")
"""Planned for the preset alone."""

FEW_ROWS = 128
"""A second batch tells what a step costs however few rows each device has."""

AXES: dict[str, tuple[str, str]] = {
    "hidden size": ("model", "hidden_size"),
    "layers": ("model", "num_layers"),
    "t (steps in a row)": ("data", "sequence_length"),
    "batch": ("data", "batch_size"),
}
CPU_VALUES = {
    "hidden size": (128, 256, 512, 1024),
    "layers": (1, 2, 4),
    "t (steps in a row)": (16, 64, 256),
    "batch": (4, 16, 64),
}
ACCELERATOR_VALUES = {
    "hidden size": (1024, 2048, 4096),
    "layers": (1, 3),
    "t (steps in a row)": (128, 512),
    "batch": (128, 512, 2048),
}


class Point(NamedTuple):
    """One plan."""

    target: str
    config: TrainConfig
    shard_optimizer: bool = False

    @property
    def name(self) -> str:
        """The file that it is kept in."""
        model, data = self.config.model, self.config.data
        sizes = f"{model.num_layers}x{model.hidden_size}-b{data.batch_size}-t{data.sequence_length}"
        return f"{self.target.replace(':', '_')}-{sizes}{'-zero1' if self.shard_optimizer else ''}.json"


def cpu_base() -> TrainConfig:
    return PRESETS["chorales"]().train


def accelerator_base() -> TrainConfig:
    return PRESETS["lakh"]().train


def sweep_of(target: str) -> tuple[TrainConfig, dict[str, tuple[int, ...]]]:
    """Returns the run that a target's sweeps start from, and the values along each axis."""
    return (cpu_base(), CPU_VALUES) if target == CPU else (accelerator_base(), ACCELERATOR_VALUES)


def with_value(config: TrainConfig, axis: str, value: int) -> TrainConfig:
    """Returns the run with another size along one axis."""
    part, field = AXES[axis]
    return dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **{field: value})})


def all_points() -> Iterator[Point]:
    """Yields every point, those whose compilers are quick first."""
    for target in ("a100:8", "h100:8", CPU, "v5e:4x4", "v5p:2x2x2"):
        base, sweep = sweep_of(target)
        yield Point(target, base)
        if target != CPU:
            yield Point(target, with_value(base, "batch", FEW_ROWS))
        if target in SWEPT:
            yield Point(target, base, shard_optimizer=True)
        if target in SWEPT or target == CPU:
            for axis, values in sweep.items():
                yield from (Point(target, with_value(base, axis, value)) for value in values)


def measure(point: Point, folder: Path) -> dict[str, Any]:
    """Returns what the plan says of a point, from the folder if it is there."""
    path = folder / point.name
    if not path.exists():
        found = plan(point.config, [point.target], search=False, shard_optimizer=point.shard_optimizer)
        (report,) = found["targets"]
        if not report["versions"]:  # its process failed; a point that does not fit is kept like any other
            raise RuntimeError(report["reason"])
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(report))
        unfinished.rename(path)
    return json.loads(path.read_text())


def us_per_row(report: dict[str, Any], point: Point, seconds: float) -> float:
    """Returns microseconds of one device for one step of one row, which is about a note."""
    data = point.config.data
    return 1e6 * seconds * report["num_devices"] / (data.batch_size * data.sequence_length)


def _series(
    axis: str, target: str, key: Callable[[dict[str, Any]], float], folder: Path
) -> tuple[list[int], list[float]]:
    base, values = sweep_of(target)
    numbers, costs = [], []
    for value in values[axis]:
        point = Point(target, with_value(base, axis, value))
        report = json.loads((folder / point.name).read_text())
        if report["compiles"]:
            numbers.append(value)
            costs.append(us_per_row(report, point, key(report)))
    return numbers, costs


def draw_sizes(folder: Path, output: Path) -> None:
    """Draws the time of a row over each size."""
    figure, panels = plt.subplots(1, len(AXES), figsize=(13, 3.6), sharey=True)
    curves = {
        "one CPU core, measured": (CPU, lambda report: report["measured_s"], "o-"),
        "one CPU core, predicted": (CPU, lambda report: report["step_s"], "o:"),
        **{f"{target}, planned": (target, lambda report: report["step_s"], "s-") for target in SWEPT},
    }
    for axis, panel in zip(AXES, panels, strict=True):
        for color, (label, (target, key, style)) in zip((0, 0, 1, 2), curves.items(), strict=True):
            panel.plot(*_series(axis, target, key, folder), style, color=f"C{color}", label=label, markersize=4)
        panel.set(xlabel=axis, xscale="log", yscale="log")
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("µs of a device for each row")
    panels[0].legend(fontsize=7)
    _save(figure, output)


def device_scaling(target: str, folder: Path) -> list[Scaling]:
    """Returns the efficiency of the preset on ever more devices."""
    base = accelerator_base()
    points, reports = [], []
    for config in (base, with_value(base, "batch", FEW_ROWS)):
        report = json.loads((folder / Point(target, config).name).read_text())
        alone_s = report["step_s"] - report["times"]["interconnect"]
        points.append((config.data.batch_size / report["num_devices"], alone_s))
        reports.append(report)
    reduce_s = {one["num_devices"]: one["all_reduce_s"] for one in reports[0]["scaling"]}
    return scaling(points[0][1], line_through(points), reduce_s.__getitem__, batch_size=base.data.batch_size)


def show_devices(folder: Path) -> None:
    """Prints the efficiency, and what of a step is the all-reduce."""
    rows = []
    for target in LINKED:
        found = device_scaling(target, folder)
        weak = ["batch grows", *(f"{one.weak:.0%}" for one in found)]
        strong = ["batch shared", *("" if one.strong is None else f"{one.strong:.0%}" for one in found)]
        reduce = ["all-reduce ms", *(f"{one.all_reduce_s * 1e3:.1f}" for one in found)]
        rows += [[target, *cells] for cells in (weak, strong, reduce)]
    heading = ["", "", *(f"{2**k}" for k in range(9))]
    print_table("The preset lakh on ever more devices: efficiency", heading, rows, words=(0, 1))


def draw_devices(folder: Path, output: Path) -> None:
    """Draws how well devices are used as they become more."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    batch = accelerator_base().data.batch_size
    for target in LINKED:
        found = device_scaling(target, folder)
        for kind, panel in zip(("weak", "strong"), panels, strict=True):
            shown = [(one.num_devices, getattr(one, kind)) for one in found if getattr(one, kind) is not None]
            panel.plot(*zip(*shown, strict=True), "o-", label=target, markersize=4)
    for panel, title in zip(panels, ("the batch grows with the devices", f"batch {batch} shared out"), strict=True):
        panel.set(title=title, xlabel="devices", ylim=(0, 1.05))
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("efficiency")
    panels[0].legend(fontsize=8)
    _save(figure, output)


def _save(figure: Any, output: Path) -> None:
    figure.tight_layout()
    # The same numbers give the same file; letters stay text, which is smaller.
    with matplotlib.rc_context({"svg.hashsalt": output.name, "svg.fonttype": "none"}):
        figure.savefig(output, metadata={"Date": None})


def show_sizes(folder: Path) -> None:
    """Prints the points of the sweeps."""
    rows = []
    for target in (CPU, *SWEPT):
        base, values = sweep_of(target)
        for axis in AXES:
            for value in values[axis]:
                point = Point(target, with_value(base, axis, value))
                rows.append(
                    [target, axis, f"{value:,}", *_figures(json.loads((folder / point.name).read_text()), point)]
                )
    heading = ["", "size", "", "ms a step", "measured", "us a row", "bound by", "of peak", "GiB"]
    print_table("One size changed at a time", heading, rows, words=(0, 1))


def _figures(report: dict[str, Any], point: Point) -> list[str]:
    if not report["compiles"]:
        return ["does not fit"]
    measured_s = report.get("measured_s")
    return [
        f"{report['step_s'] * 1e3:.1f}",
        f"{measured_s * 1e3:.1f}" if measured_s else "",
        f"{us_per_row(report, point, measured_s or report['step_s']):.3g}",
        report["bound"],
        f"{report['share_of_peak']:.0%}",
        f"{report['memory_total'] / 2**30:.1f}",
    ]


def show_sharded_optimizer(folder: Path) -> None:
    """Prints what sharing out the optimizer's state changes."""
    rows = []
    for target in SWEPT:
        for shard in (False, True):
            report = json.loads((folder / Point(target, accelerator_base(), shard_optimizer=shard).name).read_text())
            sent = ", ".join(
                f"{found['count']} {found['kind']} {found['bytes'] / 1e6:.0f} MB" for found in report["collectives"]
            )
            sizes = (report["memory"]["optimizer"], report["memory_total"])
            times = (report["times"]["interconnect"], report["step_s"])
            rows.append(
                [
                    target,
                    "shared out" if shard else "on each device",
                    *(f"{size / 2**20:,.0f}" for size in sizes),
                    sent,
                    *(f"{seconds * 1e3:.1f}" for seconds in times),
                ]
            )
    heading = ["", "optimizer's state", "MiB", "MiB in all", "collectives", "ms in them", "ms a step"]
    print_table("ZeRO-1 for the preset lakh", heading, rows, words=(0, 1, 4))


def main() -> int:
    """Makes the points that are not there yet, prints the tables and draws the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps the points")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the plots go")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    options.docs.mkdir(exist_ok=True)
    points = list(dict.fromkeys(all_points()))
    for point in points:
        if point.target == CPU:  # before compilers keep the machine busy
            measure(point, options.folder)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda point: measure(point, options.folder), points))
    show_sizes(options.folder)
    show_devices(options.folder)
    show_sharded_optimizer(options.folder)
    draw_sizes(options.folder, options.docs / "scaling.svg")
    draw_devices(options.folder, options.docs / "devices.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
