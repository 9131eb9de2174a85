"""The plots of an evaluation, as SVG elements that take their colours from the page, so that they fit light and dark.

They are narrow, and their type is large for their size, so that a phone can show them whole.
"""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from ostinato.evaluation.memorization.originality import NGRAM_NOTES
from ostinato.evaluation.tables import groups_of
from ostinato.report.svg import embedded_svg
from ostinato.train.metrics import FILE, read_lines

INK, SOFT, LINE, FIRST, SECOND, THIRD = "#101010", "#202020", "#303030", "#404040", "#505050", "#606060"
"""Stand for the page's colours until the SVG is written."""

_PAGE_COLOURS = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    FIRST: "var(--accent)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
}

_WIDTH_IN = 4.2

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "axes.titlesize": 9, "legend.fontsize": 8.5,
    "text.color": INK, "axes.labelcolor": SOFT, "xtick.labelcolor": SOFT, "ytick.labelcolor": INK,
    "xtick.color": LINE, "ytick.color": LINE, "axes.edgecolor": LINE, "grid.color": LINE, "axes.titlecolor": INK,
}  # fmt: skip


@matplotlib.rc_context(_SETTINGS)
def likelihood_plot(report: dict[str, Any], split: str) -> str:
    """Returns nats per note of each predictor on a split, with intervals, on a logarithmic axis."""
    scores = report["splits"][split]
    names = {run["name"] for run in report["runs"]}
    figure = _figure(0.55 + 0.27 * len(scores))
    axes = figure.subplots()
    for row, score in enumerate(scores):
        value, bounds = score["nats_per_note"], score["nats_per_note_interval"]
        colour = FIRST if score["name"] in names else SOFT
        if bounds:
            axes.hlines(row, *bounds, colors=colour, linewidth=2.4)
            axes.vlines(bounds, row - 0.22, row + 0.22, colors=colour, linewidth=1.2)
        axes.plot(value, row, "o", color=colour, markersize=4.5)
        axes.annotate(
            f"{value:.2f}", (bounds[1] if bounds else value, row), (6, 0), textcoords="offset points", va="center",
            color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(scores)), [score["name"] for score in scores])
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xscale("log")
    largest = max(score["nats_per_note"] for score in scores)
    axes.set_xlim(0.85 * min(score["nats_per_note"] for score in scores), 1.9 * largest)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.set_xlabel("nats per note, logarithmic; less is better")
    said = "; ".join(f"{score['name']} {score['nats_per_note']:.2f}" for score in scores)
    return _svg(figure, "likelihood", f"Nats per note on the {split} split, with 95 % intervals: {said}.")


@matplotlib.rc_context(_SETTINGS)
def overlap_plot(found: dict[str, Any]) -> str:
    """Returns the overlap of each musical figure with that of real pieces, beside real pieces with each other."""
    features = found["features"]
    rows: list[str] = []
    for group, names in groups_of(list(features)).items():
        shown = [name for name in names if features[name].get("overlap")]
        rows += [f"={group}", *shown] if shown else []
    figure = _figure(0.7 + 0.185 * len(rows))
    axes = figure.subplots()
    labels = []
    for row, name in enumerate(rows):
        labels.append("" if name.startswith("=") else name)
        if name.startswith("="):
            axes.annotate(name[1:], (0, row), (-4, 0), xycoords=("axes fraction", "data"), ha="right", va="center",
                          textcoords="offset points", color=INK, fontweight="bold")  # fmt: skip
            continue
        overlap = features[name]["overlap"]
        axes.hlines(row, *overlap["control_range"], colors=SECOND, linewidth=6, alpha=0.45)
        axes.plot(overlap["control"], row, "|", color=SECOND, markersize=8, markeredgewidth=2)
        axes.hlines(row, *overlap["generated_range"], colors=FIRST, linewidth=1.4)
        axes.plot(overlap["generated"], row, "o", color=FIRST, markersize=4)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_xlim(0, 1)
    axes.set_xlabel("overlap with real pieces")
    axes.plot([], [], "o-", color=FIRST, markersize=4, linewidth=1.4, label=f"by {found['name']}")
    axes.plot([], [], color=SECOND, linewidth=6, alpha=0.45, label="real with real")
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return _svg(
        figure,
        "overlap",
        f"Overlap of {len(rows)} musical figures of pieces by {found['name']} with those of real pieces, beside that "
        "of real pieces with each other, 5 % to 95 % of the splits; the table has the numbers.",
    )


@matplotlib.rc_context(_SETTINGS)
def ngram_plots(report: dict[str, Any]) -> list[str]:
    """Returns for texture and melody the share of n-grams found in training, of each writer and of held-out music."""
    of_writer = [(found["name"], found["generated"]) for found in report["originality"]]
    shown = [*of_writer, ("held-out music", report["originality"][0]["held_out"])]
    num_runs = len(report["runs"])
    plots = []
    for line, title in (("texture", "all notes"), ("melody", "melodies")):
        figure = _figure(2.9)
        axes = figure.subplots()
        for number, (name, found) in enumerate(shown):
            shares = [found["ngrams"][line][str(n)] for n in NGRAM_NOTES]
            points = [(i, share) for i, share in enumerate(shares) if share is not None]
            if not points:
                continue
            style, colour = _style(number, num_runs, is_human=name == "held-out music")
            axes.plot(*zip(*points, strict=True), style, color=colour, label=name, markersize=4, linewidth=1.5)
        axes.set_xticks(range(len(NGRAM_NOTES)), [str(n) for n in NGRAM_NOTES])
        axes.set_ylim(0)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_xlabel("notes in a row")
        axes.set_title(f"share found in the training split, {title}", loc="left")
        axes.legend(frameon=False, loc="upper right")
        said = "; ".join(
            f"{name} {found['ngrams'][line]['8']:.1%}"
            for name, found in shown
            if found["ngrams"][line]["8"] is not None
        )
        plots.append(
            _svg(
                figure,
                f"ngrams-{line}",
                f"Share of runs of notes found in the training split, {title}; of 8 notes: {said}.",
            )
        )
    return plots


def _style(number: int, num_runs: int, *, is_human: bool) -> tuple[str, str]:
    """Returns how a line is drawn: colour says run, human or baseline, marks and dashes say which of them."""
    if is_human:
        return "s-", SECOND
    if number < num_runs:
        return ("o-", "^-", "D-", "v-")[number % 4], (FIRST, THIRD)[number % 2]
    return ("o:", "^--")[(number - num_runs) % 2], SOFT


@matplotlib.rc_context(_SETTINGS)
def checkpoint_plots(report: dict[str, Any]) -> list[str]:
    """Returns nats per note along the run, and how unlikely its longest copies are beside those of human music."""
    rows = report["checkpoints"]
    steps = [row["step"] for row in rows]
    shown = steps[:: -(-len(steps) // 6)]
    plots = []
    figure = _figure(2.2)
    axes = figure.subplots()
    axes.plot(steps, [row["nats_per_note"] for row in rows], "o-", color=FIRST, markersize=4)
    axes.set_title("nats per note of held-out music", loc="left")
    axes.set_xticks(shown, [f"{step:,}" for step in shown])
    plots.append(_svg(figure, "checkpoints-nats", "Nats per note of held-out music at each checkpoint."))
    figure = _figure(2.2)
    axes = figure.subplots()
    for who, label, style, colour in (
        ("generated", "written", "o-", FIRST), ("held_out", "held-out music", "s-", SECOND)
    ):  # fmt: skip
        axes.plot(steps, [row[who]["most_bits"] for row in rows], style, color=colour, markersize=4, label=label)
    axes.set_ylim(0)
    axes.set_title("bits of the most telling shared run, mean", loc="left")
    axes.set_xticks(shown, [f"{step:,}" for step in shown])
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    plots.append(
        _svg(
            figure,
            "checkpoints-bits",
            "How unlikely the run shared with the training split is, at each checkpoint, beside human music.",
        )
    )
    return plots


@matplotlib.rc_context(_SETTINGS)
def loss_plot(runs: Sequence[tuple[str, Path]]) -> str:
    """Returns training and validation loss by step, of each run that has written them down."""
    figure = _figure(2.9)
    axes = figure.subplots()
    colours = itertools.cycle((FIRST, THIRD, SECOND, SOFT))
    for (name, workdir), colour in zip(runs, colours, strict=False):
        lines = list(read_lines(workdir / FILE))
        for split, style in (("train", ":"), ("validation", "-")):
            points = [
                (line["step"], line["loss"]) for line in lines if line["split"] == split and line["loss"] is not None
            ]
            if points:
                label = split if len(runs) == 1 else f"{name}, {split}"
                mark = "o" if len(points) == 1 else None
                axes.plot(*zip(*points, strict=True), style, color=colour, label=label, linewidth=1.4, marker=mark)
    axes.set_xlabel("step")
    axes.set_ylabel("nats per row")
    axes.legend(frameon=False)
    return _svg(figure, "loss", "Training and validation loss by step, in nats per row.")


def _figure(height_in: float) -> Figure:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure: Figure, name: str, label: str) -> str:
    """Returns the figure as an element of the page; the label is for those who do not see it."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        axes.grid(axis="both", linewidth=0.6, alpha=0.55)
        axes.set_axisbelow(True)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return embedded_svg(text.getvalue(), name, label, _PAGE_COLOURS)
