"""Plots for the pages in docs/."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


def new_figure(num_panels: int, width_in: float, height_in: float, **options: Any) -> tuple[Figure, Any]:
    """Returns a figure and its panels, side by side; `options` are those of matplotlib's `subplots`."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(1, num_panels, **options)


def save(figure: Figure, output: Path) -> None:
    """Writes a figure as SVG: the same numbers give the same file, and letters stay text, which is smaller."""
    with mpl.rc_context({"svg.hashsalt": output.name, "svg.fonttype": "none"}):
        figure.savefig(output, metadata={"Date": None})
