"""`python -m ostinato.benchmarks.scaling FOLDER`: how a step's cost grows with the model, the batch and the devices.

Around one network for this machine's core (measured) and one for accelerators (the preset lakh, planned) one size is
changed at a time. Each point is an `ostinato plan` and is kept in FOLDER, so that the same command resumes where an
earlier one stopped. Prints tables and draws docs/scaling.svg and docs/devices.svg. Needs the extras plan-tpu and
plan-cuda, and some 25 minutes of CPU time, most of it the TPU's compiler.
"""

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")  # before pyplot is there
from matplotlib import pyplot as plt

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import TrainConfig
from ostinato.data.records import write_atomically
from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.command import plan
from ostinato.launch.plan.machines import usable_cores
from ostinato.launch.plan.roofline import scaling

CPU = "cpu:1"
SWEPT = ("v5e:4x4", "h100:8")  # planned at every point
LINKED = ("v5e:4x4", "v5p:2x2x2", "h100:8", "a100:8")  # planned for the preset alone
FEW_ROWS = 128  # a second batch tells what a step costs however few rows each device has

AXES: dict[str, tuple[str, str]] = {
    "hidden size": ("model", "hidden_size"),
    "layers": ("model", "num_layers"),
    "t (steps in a row)": ("data", "sequence_length"),
    "batch": ("data", "batch_size"),
}
CPU_VALUES = dict(zip(AXES, ((128, 256, 512, 1024), (1, 2, 4), (16, 64, 256), (4, 16, 64)), strict=True))
ACCELERATOR_VALUES = dict(zip(AXES, ((1024, 2048, 4096), (1, 3), (128, 512), (128, 512, 2048)), strict=True))


class Point(NamedTuple):
    """One plan."""

    target: str
    config: TrainConfig

    @property
    def name(self) -> str:
        """The file that it is kept in."""
        model, data = self.config.model, self.config.data
        sizes = f"{model.num_layers}x{model.hidden_size}-b{data.batch_size}-t{data.sequence_length}"
        return f"{self.target.replace(':', '_')}-{sizes}.json"


def sweep_of(target: str) -> tuple[TrainConfig, dict[str, tuple[int, ...]]]:
    """Returns the run that a target's sweeps start from, and the values along each axis."""
    name, values = ("chorales", CPU_VALUES) if target == CPU else ("lakh", ACCELERATOR_VALUES)
    return PRESETS[name]().train, values


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
        if target in (*SWEPT, CPU):
            for axis, values in sweep.items():
                yield from (Point(target, with_value(base, axis, value)) for value in values)


def measure(point: Point, folder: Path) -> dict[str, Any]:
    """Returns what the plan says of a point, from the folder if it is there."""
    path = folder / point.name
    if not path.exists():
        (report,) = plan(point.config, [point.target], search=False)["targets"]
        if not report["versions"]:  # its process failed; a point that does not fit is kept like any other
            raise RuntimeError(report["reason"])
        write_atomically(path, json.dumps(report).encode())
    return json.loads(path.read_text())


def us_per_row(report: dict[str, Any], point: Point, seconds: float) -> float:
    """Returns microseconds of one device for one step of one row, which is about a note."""
    data = point.config.data
    return 1e6 * seconds * report["num_devices"] / (data.batch_size * data.sequence_length)


def draw_sizes(folder: Path, output: Path) -> None:
    """Draws the time of a row over each size."""
    figure, panels = plt.subplots(1, len(AXES), figsize=(13, 3.6), sharey=True)
    curves = [("one CPU core, measured", CPU, "measured_s", "C0o-"), ("one CPU core, predicted", CPU, "step_s", "C0o:")]
    curves += [(f"{target}, planned", target, "step_s", f"C{1 + n}s-") for n, target in enumerate(SWEPT)]
    for axis, panel in zip(AXES, panels, strict=True):
        for label, target, key, style in curves:
            base, values = sweep_of(target)
            points = [Point(target, with_value(base, axis, value)) for value in values[axis]]
            reports = [measure(point, folder) for point in points]
            known = [n for n, report in enumerate(reports) if report["compiles"]]
            costs = [us_per_row(reports[n], points[n], reports[n][key]) for n in known]
            panel.plot([values[axis][n] for n in known], costs, style, label=label, markersize=4)
        panel.set_yscale("log")
        _by_powers_of_two(panel, axis)
    panels[0].set_ylabel("µs of a device for each row")
    panels[0].legend(fontsize=7)
    _save(figure, output)


def device_scaling(target: str, folder: Path) -> list[dict[str, Any]]:
    """Returns the efficiency of the preset on ever more devices."""
    base, _ = sweep_of(target)
    reports = [measure(Point(target, config), folder) for config in (base, with_value(base, "batch", FEW_ROWS))]
    points = [
        (report["batch_size"] / report["num_devices"], report["step_s"] - report["times"]["interconnect"])
        for report in reports
    ]
    reduce_s = {one["num_devices"]: one["all_reduce_s"] for one in reports[0]["scaling"]}
    return scaling(points, reduce_s.__getitem__, batch_size=base.data.batch_size)


def show_devices(folder: Path) -> None:
    """Prints the efficiency, and what of a step is the all-reduce."""
    rows = []
    for target in LINKED:
        found = device_scaling(target, folder)
        rows += [
            [target, "batch grows", *(f"{one['weak']:.0%}" for one in found)],
            [target, "batch shared", *("" if one["strong"] is None else f"{one['strong']:.0%}" for one in found)],
            [target, "all-reduce ms", *(f"{one['all_reduce_s'] * 1e3:.1f}" for one in found)],
        ]
    devices = [f"{one['num_devices']}" for one in device_scaling(LINKED[0], folder)]
    print_table("The preset lakh on ever more devices: efficiency", ["", "", *devices], rows, words=(0, 1))


def draw_devices(folder: Path, output: Path) -> None:
    """Draws how well devices are used as they become more."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    batch = sweep_of(LINKED[0])[0].data.batch_size
    titles = {"weak": "the batch grows with the devices", "strong": f"batch {batch} shared out"}
    for panel, (kind, title) in zip(panels, titles.items(), strict=True):
        for target in LINKED:
            found = [one for one in device_scaling(target, folder) if one[kind] is not None]
            panel.plot([one["num_devices"] for one in found], [one[kind] for one in found], "o-", label=target, ms=4)
        panel.set(title=title, ylim=(0, 1.05))
        _by_powers_of_two(panel, "devices")
    panels[0].set_ylabel("efficiency")
    panels[0].legend(fontsize=8)
    _save(figure, output)


def _by_powers_of_two(panel: Any, label: str) -> None:
    panel.set_xlabel(label)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.grid(alpha=0.3)


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
                rows.append([target, axis, f"{value:,}", *_figures(measure(point, folder), point)])
    heading = ["", "size", "", "ms a step", "measured", "us a row", "bound by", "of peak", "GiB"]
    print_table("One size changed at a time", heading, rows, words=(0, 1))


def _figures(report: dict[str, Any], point: Point) -> list[str]:
    if not report["compiles"]:
        return ["does not fit"]
    measured_s, step_s = report.get("measured_s"), report["step_s"]
    return [
        f"{step_s * 1e3:.1f}",
        f"{measured_s * 1e3:.1f}" if measured_s else "",
        f"{us_per_row(report, point, measured_s or step_s):.3g}",
        report["bound"],
        f"{report['share_of_peak']:.0%}",
        f"{report['memory_total'] / 2**30:.1f}",
    ]


def main() -> int:
    """Makes the points that are not there yet, prints the tables and draws the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps the points")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the plots go")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    options.docs.mkdir(exist_ok=True)
    points = sorted(dict.fromkeys(all_points()), key=lambda point: point.target != CPU)
    on_cpu = sum(point.target == CPU for point in points)
    for point in points[:on_cpu]:  # before compilers keep the machine busy
        measure(point, options.folder)
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        list(pool.map(lambda point: measure(point, options.folder), points[on_cpu:]))
    show_sizes(options.folder)
    show_devices(options.folder)
    draw_sizes(options.folder, options.docs / "scaling.svg")
    draw_devices(options.folder, options.docs / "devices.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
