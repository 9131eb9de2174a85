"""`python -m ostinato.benchmarks.scaling FOLDER`: how a step's cost grows with the model, the batch and the devices.

Around one network for this machine's core (measured) and one for accelerators (the preset lakh, planned) one size is
changed at a time. Each point is an `ostinato plan` and is kept in FOLDER, so that the same command resumes where an
earlier one stopped. Prints tables and draws docs/scaling.svg and docs/devices.svg. Needs the extras plan-tpu and
plan-cuda, and some 25 minutes of CPU time, most of it the TPU's compiler.
"""

import dataclasses
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from ostinato.benchmarks import figures
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import TrainConfig
from ostinato.data.atomic import write_atomically
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


def along(target: str, axis: str) -> list[tuple[int, Point]]:
    """Returns the values along one axis, each with its point."""
    base, values = sweep_of(target)
    return [(value, Point(target, with_value(base, axis, value))) for value in values[axis]]


def all_points() -> Iterator[Point]:
    """Yields every point, those whose compilers are quick first."""
    for target in ("a100:8", "h100:8", CPU, "v5e:4x4", "v5p:2x2x2"):
        base, _ = sweep_of(target)
        yield Point(target, base)
        if target != CPU:
            yield Point(target, with_value(base, "batch", FEW_ROWS))
        if target in (*SWEPT, CPU):
            for axis in AXES:
                yield from (point for _, point in along(target, axis))


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
    figure, panels = figures.new_figure(len(AXES), 13, 3.6, sharey=True)
    curves = [("one CPU core, measured", CPU, "measured_s", "C0o-"), ("one CPU core, predicted", CPU, "step_s", "C0o:")]
    curves += [(f"{target}, planned", target, "step_s", f"C{1 + n}s-") for n, target in enumerate(SWEPT)]
    for axis, panel in zip(AXES, panels, strict=True):
        for label, target, key, style in curves:
            measured = [(value, point, measure(point, folder)) for value, point in along(target, axis)]
            known = [
                (value, us_per_row(report, point, report[key]))
                for value, point, report in measured
                if report["compiles"]
            ]
            panel.plot(*zip(*known, strict=True), style, label=label, markersize=4)
        panel.set_yscale("log")
        _by_powers_of_two(panel, axis)
    panels[0].set_ylabel("µs of a device for each row")
    panels[0].legend(fontsize=7)
    figures.save(figure, output)


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


def show_devices(folder: Path, output: Path) -> None:
    """Prints and draws how well devices are used as they become more, and what of a step is the all-reduce."""
    figure, panels = figures.new_figure(2, 9, 3.4, sharey=True)
    batch = sweep_of(LINKED[0])[0].data.batch_size
    titles = {"weak": "the batch grows with the devices", "strong": f"batch {batch} shared out"}
    found = {target: device_scaling(target, folder) for target in LINKED}
    rows = []
    for panel, (kind, title) in zip(panels, titles.items(), strict=True):
        for target, points in found.items():
            known = [(one["num_devices"], one[kind]) for one in points if one[kind] is not None]
            panel.plot(*zip(*known, strict=True), "o-", label=target, ms=4)
            rows.append([target, title, *("" if one[kind] is None else f"{one[kind]:.0%}" for one in points)])
        panel.set(title=title, ylim=(0, 1.05))
        _by_powers_of_two(panel, "devices")
    rows += [
        [target, "all-reduce ms", *(f"{one['all_reduce_s'] * 1e3:.1f}" for one in found[target])] for target in found
    ]
    devices = [f"{one['num_devices']}" for one in found[LINKED[0]]]
    print_table("The preset lakh on ever more devices: efficiency", ["", "", *devices], rows, words=(0, 1))
    panels[0].set_ylabel("efficiency")
    panels[0].legend(fontsize=8)
    figures.save(figure, output)


def _by_powers_of_two(panel: Any, label: str) -> None:
    panel.set_xlabel(label)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.grid(alpha=0.3)


def show_sizes(folder: Path) -> None:
    """Prints the points of the sweeps."""
    rows = [
        [target, axis, f"{value:,}", *_figures(measure(point, folder), point)]
        for target in (CPU, *SWEPT)
        for axis in AXES
        for value, point in along(target, axis)
    ]
    heading = ["", "size", "", "ms a step", "measured", "us a row", "bound by", "of peak", "GiB"]
    print_table("One size changed at a time", heading, rows, words=(0, 1))


def _figures(report: dict[str, Any], point: Point) -> list[str]:
    if not report["compiles"]:
        return ["does not fit", *[""] * 5]
    measured_s, step_s = report.get("measured_s"), report["step_s"]
    return [
        f"{step_s * 1e3:.1f}",
        f"{measured_s * 1e3:.1f}" if measured_s else "",
        f"{us_per_row(report, point, measured_s or step_s):.3g}",
        report["bound"],
        f"{report['share_of_peak']:.0%}",
        f"{report['memory_total'] / 2**30:.1f}",
    ]


def main(folder: tyro.conf.Positional[Path], docs: Path = Path("docs")) -> None:
    """Makes the points that are not there yet, prints the tables and draws the plots.

    Args:
        folder: keeps the points.
        docs: where the plots go.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder.mkdir(parents=True, exist_ok=True)
    docs.mkdir(exist_ok=True)
    points = list(dict.fromkeys(all_points()))
    for point in (point for point in points if point.target == CPU):  # before compilers keep the machine busy
        measure(point, folder)
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        list(pool.map(lambda point: measure(point, folder), points))
    show_sizes(folder)
    show_devices(folder, docs / "devices.svg")
    draw_sizes(folder, docs / "scaling.svg")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
