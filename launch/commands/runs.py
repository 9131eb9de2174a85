"""Shows training runs: `ostinato runs FOLDER` lists them, `runs show RUN` tells more, `runs plot FOLDER` draws them."""

import itertools
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import print_table

PLOT = "curves.png"
HEIGHT_ROWS = 16
MARKS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The dots of a Braille character (U+2800), two in a row, from the top."""


def show_run(workdir: Path, *, as_json: bool) -> None:
    """Prints how far a run is."""
    from ostinato.train.runs import show

    state = show(workdir)
    if as_json:
        print(json.dumps(state))
        return
    cells = [[name, str(value)] for name, value in state.items() if not isinstance(value, dict | list)]
    cells += [["history", json.dumps(entry)] for entry in state["history"]]
    print_table(str(workdir), ["", ""], cells, words=(0, 1))


def show_runs(folder: Path) -> None:
    """Prints one line for each run in a folder."""
    from ostinato.train.runs import summarise_run

    cells = []
    for run in map(summarise_run, _runs_in(folder)):
        saved = "none" if run.saved_s is None else f"{run.saved_step}, {_ago(time.time() - run.saved_s)}"
        cells.append(
            [
                _name(run.workdir, folder),
                run.state,
                str(run.step),
                "" if run.best_loss is None else f"{run.best_loss:.4f} at {run.best_step}",
                "" if run.notes_per_s is None else f"{run.notes_per_s:,.0f}",
                saved,
            ]
        )
    heading = ["run", "state", "step", "best validation loss", "notes/s", "last checkpoint"]
    print_table(str(folder), heading, cells, words=(0, 1))


def plot_runs(folder: Path, output: Path | None) -> Path:
    """Draws the losses of all runs in a folder, in the terminal and as a PNG; returns its path."""
    from ostinato.train.metrics import FILE, read_lines

    curves = {}
    for workdir in _runs_in(folder):
        lines = [line for line in read_lines(workdir / FILE) if line["loss"] is not None]
        curves[_name(workdir, folder)] = {
            split: [(line["step"], line["loss"]) for line in lines if line["split"] == split]
            for split in ("train", "validation")
        }
    for name, splits in curves.items():
        points = splits["validation"] if len(splits["validation"]) > 1 else splits["train"]
        if points:
            split = "validation" if points is splits["validation"] else "training"
            print(f"{name}: {split} loss in nats a row")
            width = min(100, shutil.get_terminal_size().columns) - 10
            print("\n".join(curve_in_text(points, width=width, height=HEIGHT_ROWS)))
    path = output or folder / PLOT
    _draw(curves, path)
    Console().print(f"{path} is written", highlight=False, markup=False, soft_wrap=True)
    return path


def curve_in_text(points: Sequence[tuple[float, float]], *, width: int, height: int) -> list[str]:
    """Returns a curve as lines of Braille characters, with its bounds.

    Args:
        points: x and y of each point, one at least.
        width: characters in a row, without the labels at the left.
        height: rows.
    """
    xs, ys = zip(*points, strict=True)
    low, high = min(ys), max(ys)
    span_x, span_y = (max(xs) - min(xs)) or 1.0, (high - low) or 1.0
    columns, rows = 2 * width - 1, 4 * height - 1
    at = [(round((x - min(xs)) / span_x * columns), round((high - y) / span_y * rows)) for x, y in points]
    dots = {at[0]}
    for (x0, y0), (x1, y1) in itertools.pairwise(at):
        pieces = max(abs(x1 - x0), abs(y1 - y0), 1)
        dots |= {(x0 + round((x1 - x0) * i / pieces), y0 + round((y1 - y0) * i / pieces)) for i in range(pieces + 1)}
    cells = [[0] * width for _ in range(height)]
    for x, y in dots:
        cells[y // 4][x // 2] |= MARKS[y % 4][x % 2]
    labels = {0: f"{high:.4g}", height - 1: f"{low:.4g}"}
    lines = [
        f"{labels.get(row, ''):>9} {''.join(chr(0x2800 + cell) for cell in line)}" for row, line in enumerate(cells)
    ]
    first, last = f"{min(xs):g}", f"{max(xs):g}"
    return [*lines, f"{'step':>9} {first}{last:>{width - len(first)}}"]


def _draw(curves: dict[str, dict[str, list[tuple[int, float]]]], path: Path) -> None:
    # Without pyplot: it keeps figures, and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, splits) in enumerate(curves.items()):
        colour = f"C{number % 10}"
        if splits["train"]:
            axes.plot(*zip(*splits["train"], strict=True), color=colour, alpha=0.3, linewidth=0.8)
        if splits["validation"]:
            axes.plot(*zip(*splits["validation"], strict=True), color=colour, marker=".", label=name)
        elif splits["train"]:
            axes.plot([], [], color=colour, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss in nats a row: validation strong, training faint")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _runs_in(folder: Path) -> list[Path]:
    from ostinato.train.runs import find_runs

    workdirs = find_runs(folder)
    if not workdirs:
        raise UserError(f"{folder}: no training run in it; run 'ostinato train' first")
    return workdirs


def _name(workdir: Path, folder: Path) -> str:
    return str(workdir.relative_to(folder)) if workdir != folder else workdir.resolve().name


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
