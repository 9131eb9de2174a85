"""The plots of all pages, as SVG elements that take their colours from the page, so that they fit light and dark.

They are narrow, and their type is large for their size, so that a phone can show them whole. Import this where it is
used if worker processes shall not load matplotlib.
"""

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

INK, SOFT, LINE, FIRST, SECOND, THIRD = "#101010", "#202020", "#303030", "#404040", "#505050", "#606060"
"""Stand for the page's colours until the SVG is written."""

_PAGE_COLOURS = {
    INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", FIRST: "var(--accent)", SECOND: "var(--second)",
    THIRD: "var(--third)",
}  # fmt: skip
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "axes.titlesize": 9, "legend.fontsize": 8.5,
    "text.color": INK, "axes.labelcolor": SOFT, "xtick.labelcolor": SOFT, "ytick.labelcolor": INK,
    "xtick.color": LINE, "ytick.color": LINE, "axes.edgecolor": LINE, "grid.color": LINE, "axes.titlecolor": INK,
    "legend.frameon": False,
}  # fmt: skip
_WIDTH_IN = 4.2

Ticks = Sequence[tuple[float, str]]
"""Where an axis is labelled, and how."""


class Series(NamedTuple):
    """One line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "o-"
    """Mark and dashes, as matplotlib writes them."""
    colour: str = FIRST


class Estimate(NamedTuple):
    """A figure and its confidence interval."""

    name: str
    value: float
    bounds: Sequence[float] | None
    colour: str = FIRST


def draw(paint: Callable[[Axes], None], *, name: str, label: str, height_in: float) -> Markup:
    """Returns what `paint` draws as an element of the page.

    Args:
        paint: draws on the axes.
        name: of the plot, unlike all others of the page.
        label: what the plot shows, for those who do not see it.
        height_in: of a plot that is 4.2 inches wide.
    """
    text = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        paint(axes)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        axes.grid(axis="both", linewidth=0.6, alpha=0.55)
        axes.set_axisbelow(True)
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()
    # An element of a page has neither header nor style nor a fixed size, and no id that another plot has too.
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, wanted in _PAGE_COLOURS.items():
        svg = svg.replace(colour, wanted)
    size, said = re.search(r'viewBox="[^"]*"', svg), html.escape(label)
    assert size, svg[:300]
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size[0]} role="img" '
        f'aria-label="{said}"><title>{said}</title>{svg[svg.index(">") + 1 :].rstrip()}'
    )


def line_plot(
    series: Sequence[Series],
    *,
    name: str,
    label: str,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    ticks: Ticks | None = None,
    shares: bool = False,
    from_zero: bool = False,
    highest: float | None = None,
) -> Markup:
    """Returns lines over a common axis; several have a legend, and a line of one point is a dot.

    `ticks` are those of the horizontal axis; `shares` says that the values are from 0 to 1 and are shown as per cent;
    what is above `highest` is not shown; see `draw` for name and label.
    """

    def paint(axes: Axes) -> None:
        for one in series:
            x, y = zip(*one.points, strict=True)
            style = one.style if len(one.points) > 1 else "o"
            axes.plot(x, y, style, color=one.colour, label=_short(one.name), markersize=4, linewidth=1.5)
        if ticks is not None:
            axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
        if from_zero:
            axes.set_ylim(0)
        if highest is not None:
            axes.set_ylim(top=highest)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if shares:
            axes.yaxis.set_major_formatter(FuncFormatter(_per_cent))
        axes.set_title(title, loc="left")
        axes.set(xlabel=x_label, ylabel=y_label)
        if len(series) > 1:
            axes.figure.legend(loc="outside lower left", ncols=2)

    return draw(paint, name=name, label=label, height_in=2.3 + 0.2 * (len(series) // 2))


def interval_plot(
    estimates: Sequence[Estimate], *, name: str, label: str, x_label: str, is_logarithmic: bool = False
) -> Markup:
    """Returns a dot and an interval for each estimate, one below the other; see `draw` for name and label."""

    def paint(axes: Axes) -> None:
        for row, one in enumerate(estimates):
            if one.bounds:
                axes.hlines(row, *one.bounds, colors=one.colour, linewidth=2.4)
                axes.vlines(one.bounds, row - 0.22, row + 0.22, colors=one.colour, linewidth=1.2)
            axes.plot(one.value, row, "o", color=one.colour, markersize=4.5)
            axes.annotate(
                f"{one.value:.2f}", (one.bounds[1] if one.bounds else one.value, row), (6, 0),
                textcoords="offset points", va="center", color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(estimates)), [_short(one.name) for one in estimates])
        axes.set_ylim(len(estimates) - 0.5, -0.5)
        if is_logarithmic:
            values = [one.value for one in estimates]
            axes.set_xscale("log")
            axes.set_xlim(0.85 * min(values), 1.9 * max(values))
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="minor", bottom=False)
        else:
            axes.margins(x=0.15)  # for the figures
        axes.set_xlabel(x_label)

    return draw(paint, name=name, label=label, height_in=0.55 + 0.27 * len(estimates))


def histogram(
    edges: Float[np.ndarray, " e"],
    shares: Float[np.ndarray, " b"],
    *,
    name: str,
    label: str,
    x_label: str,
    ticks: Ticks,
) -> Markup:
    """Returns a bar from edges[i] to edges[i + 1] for each share; see `draw` for name and label."""

    def paint(axes: Axes) -> None:
        widths = np.diff(edges)
        gap = 0.14 if len(shares) <= 70 else 0.0
        left, right, nothing = edges[:-1] + widths * gap / 2, edges[1:] - widths * gap / 2, np.zeros_like(shares)
        # One outline is one patch for matplotlib to draw, instead of one for each bar.
        x, y = np.stack([left, left, right, right], axis=1), np.stack([nothing, shares, shares, nothing], axis=1)
        axes.fill(x.ravel(), y.ravel(), color=FIRST, linewidth=0)
        axes.set_xlim(float(edges[0]), float(edges[-1]))
        axes.set_ylim(0, shares.max() * 1.05)
        shown = [(place, text) for place, text in ticks if edges[0] <= place <= edges[-1]]
        axes.set_xticks([place for place, _ in shown], [text for _, text in shown])
        axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(_per_cent))
        axes.set_xlabel(x_label)

    return draw(paint, name=name, label=label, height_in=2.0)


def _short(name: str) -> str:
    """Returns a name that leaves room for the plot, without its middle if it is long."""
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"


def _per_cent(share: float, _: int | None) -> str:
    return f"{100 * share:.3g} %"
