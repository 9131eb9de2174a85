"""Draws losses over steps: as characters for a terminal, and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ostinato.configs.errors import UserError, file_errors

Points = Sequence[tuple[float, float]]
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The dots of a Braille character (U+2800), two in a row, from the top."""


def curve_in_text(points: Points, *, width: int, height: int) -> list[str]:
    """Returns a curve as lines of Braille characters, with its bounds.

    Args:
        points: x, which rises, and y of each point; one at least.
        width: characters in a row, without the labels at the left.
        height: rows.
    """
    xs, ys = np.array(points, float).T
    span = ys.max() - ys.min() or 1.0
    dots = np.zeros((4 * height, 2 * width), bool)
    last = 2 * width if len(points) > 1 else 1
    y_of_column = np.interp(np.linspace(xs[0], xs[-1], last), xs, ys)
    rows = np.rint((ys.max() - y_of_column) / span * (4 * height - 1)).astype(int)
    for column, (before, row) in enumerate(zip([rows[0], *rows], rows, strict=False)):
        dots[min(row, before + (row > before)) : max(row, before - (row < before)) + 1, column] = True
    cells = (dots.reshape(height, 4, width, 2) * DOTS[:, None]).sum((1, 3))
    labels = {0: f"{ys.max():.4g}", height - 1: f"{ys.min():.4g}"}
    lines = [
        f"{labels.get(row, ''):>9} {''.join(chr(0x2800 + cell) for cell in line)}" for row, line in enumerate(cells)
    ]
    first = f"{xs[0]:g}"
    return [*lines, f"{'step':>9} {first}{f'{xs[-1]:g}':>{width - len(first)}}"]


def write_curves(curves: Mapping[str, tuple[Points, Points]], path: Path) -> None:
    """Writes a PNG of the training (faint) and validation losses of each run, by its name."""
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:] not in kinds:
        raise UserError(f"{path}: must end in .png, or in another of .{', .'.join(kinds)}")
    figure = Figure(figsize=(8, 5), layout="constrained")  # without pyplot: it keeps figures, and looks for a display
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, (train, validation)) in enumerate(curves.items()):
        colour = f"C{number % 10}"
        axes.plot(*_xy(train), color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(*_xy(validation), color=colour, marker=".", label=name if train or validation else None)
    axes.set_xlabel("step")
    axes.set_ylabel("loss in nats a row: validation strong, training faint")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.grid(alpha=0.3)
    with file_errors(path):
        figure.savefig(path, dpi=120)


def _xy(points: Points) -> tuple[Sequence[float], Sequence[float]]:
    return [x for x, _ in points], [y for _, y in points]
