"""The plots of an evaluation."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from ostinato.evaluation.memorization.originality import NGRAM_NOTES
from ostinato.evaluation.metrics.form import form, self_similarity
from ostinato.evaluation.metrics.structure import SCALES_BEATS
from ostinato.evaluation.tables import HUMAN, groups_of, label
from ostinato.music.piece import Piece
from ostinato.report.plots import FIRST, INK, SECOND, SOFT, THIRD, Estimate, Series, draw, interval_plot, line_plot
from ostinato.train.metrics import FILE, read_lines


def likelihood_plot(report: dict[str, Any], split: str) -> Markup:
    """Returns nats per note of each predictor on a split, with intervals, on a logarithmic axis."""
    scores = report["splits"][split]
    runs = {run["name"] for run in report["runs"]}
    said = "; ".join(f"{label(score['name'])} {score['nats_per_note']:.2f}" for score in scores)
    return interval_plot(
        [
            Estimate(
                label(score["name"]), score["nats_per_note"], score["nats_per_note_interval"],
                FIRST if score["name"] in runs else SOFT,
            )
            for score in scores
        ],
        name="likelihood",
        label=f"Nats per note on the {split} split, with 95 % intervals: {said}.",
        x_label="nats per note, logarithmic; less is better",
        is_logarithmic=True,
    )  # fmt: skip


def overlap_plot(found: dict[str, Any]) -> Markup:
    """Returns the overlap of each musical figure with that of real pieces, beside real pieces with each other."""
    features = found["features"]
    rows: list[tuple[str, dict[str, Any] | None]] = []
    for group, names in groups_of(list(features)).items():
        shown = [(name, overlap) for name in names if (overlap := features[name].get("overlap"))]
        rows += [(group, None), *shown] if shown else []

    def paint(axes: Axes) -> None:
        for row, (name, overlap) in enumerate(rows):
            if overlap is None:
                axes.annotate(name, (0, row), (-4, 0), xycoords=("axes fraction", "data"), ha="right", va="center",
                              textcoords="offset points", color=INK, fontweight="bold")  # fmt: skip
                continue
            axes.hlines(row, *overlap["control_range"], colors=SECOND, linewidth=6, alpha=0.45)
            axes.plot(overlap["control"], row, "|", color=SECOND, markersize=8, markeredgewidth=2)
            axes.hlines(row, *overlap["generated_range"], colors=FIRST, linewidth=1.4)
            axes.plot(overlap["generated"], row, "o", color=FIRST, markersize=4)
        axes.set_yticks(range(len(rows)), [name if overlap else "" for name, overlap in rows])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.set_xlim(0, 1)
        axes.set_xlabel("overlap with real pieces")
        axes.plot([], [], "o-", color=FIRST, markersize=4, linewidth=1.4, label=f"by {found['name']}")
        axes.plot([], [], color=SECOND, linewidth=6, alpha=0.45, label="real with real")
        axes.figure.legend(loc="outside upper right", ncols=2)

    said = (
        f"Overlap of {len(rows)} musical figures of pieces by {found['name']} with those of real pieces, beside that "
        "of real pieces with each other, 5 % to 95 % of the splits; the table has the numbers."
    )
    return draw(paint, name="overlap", label=said, height_in=0.7 + 0.185 * len(rows))


def judge_plot(report: dict[str, Any]) -> Markup:
    """Returns how often the judge was right about each writer, with intervals, and about real music against itself."""
    found, runs = report["two_sample"], {run["name"] for run in report["runs"]}
    rows = [(one["name"], one, FIRST if one["name"] in runs else SOFT) for one in found["writers"]]
    rows += [(HUMAN, found["control"], SECOND)] if found["control"] else []
    said = "; ".join(f"{name} {one['accuracy']:.2f}" for name, one, _ in rows)
    return interval_plot(
        [Estimate(name, one["accuracy"], one["accuracy_interval"], colour) for name, one, colour in rows],
        name="judge",
        label=f"Accuracy of a judge that tells generated pieces from real ones, with 95 % intervals: {said}.",
        x_label="accuracy of the judge; 0.5 is chance, 1 is always right",
    )


def self_similarity_plot(piece: Piece, *, name: str, title: str) -> Markup:
    """Returns how alike each bar of a piece is to each other: returns are dark lines beside the diagonal."""
    likeness = self_similarity(piece)

    def paint(axes: Axes) -> None:
        axes.imshow(likeness, cmap="Greys", vmin=0, vmax=1, origin="lower", interpolation="nearest")
        axes.set_xlabel("bar")
        axes.set_ylabel("bar")

    figures = form(piece)
    said = "; ".join(f"{figure} {value:.2f}" for figure, value in figures.items() if value == value)
    return draw(
        paint, name=f"similarity-{name}", label=f"Self-similarity of the bars of {title}. {said}", height_in=3.4
    )


def ngram_plots(report: dict[str, Any]) -> list[Markup]:
    """Returns for texture and melody the share of n-grams found in training, of each writer and of held-out music."""
    shown = {found["name"]: found["generated"] for found in report["originality"]}
    looks = _looks(report, list(shown))
    shown[HUMAN] = report["originality"][0]["held_out"]
    plots = []
    for line, title in (("texture", "all notes"), ("melody", "melodies")):
        series, said = [], []
        for name, found in shown.items():
            shares = [found["ngrams"][line][str(n)] for n in NGRAM_NOTES]
            points = [(place, share) for place, share in enumerate(shares) if share is not None]
            if points:
                series.append(Series(name, points, *looks[name]))
            if (share := found["ngrams"][line]["8"]) is not None:
                said.append(f"{name} {share:.1%}")
        plots.append(
            line_plot(
                series,
                name=f"ngrams-{line}",
                label=f"Share of runs of notes found in the training split, {title}; of 8 notes: {'; '.join(said)}.",
                title=f"share found in the training split, {title}",
                x_label="notes in a row",
                ticks=[(place, str(n)) for place, n in enumerate(NGRAM_NOTES)],
                shares=True,
                from_zero=True,
            )
        )
    return plots


def structure_plots(report: dict[str, Any]) -> list[Markup]:
    """Returns how much comes back at each length, as such and above chance, of each writer beside real music.

    A band holds the means of as many real pieces: a writer within it repeats as real music does.
    """
    statistics = report["statistics"]
    looks = _looks(report, [found["name"] for found in statistics])
    plots = []
    for figure, title in (
        ("repetition", "repetition"),
        ("structure", "structure: repetition above that of beats in random order"),
    ):
        names = [f"{figure} at {length} quarters" for length in SCALES_BEATS]
        means = {
            found["name"]: [found["features"][name]["generated"]["mean"] for name in names] for found in statistics
        }
        real = [statistics[0]["features"][name]["real"] for name in names]
        means[HUMAN] = [one["mean"] if "mean_range" in one else None for one in real]
        series, said = [], []
        for name, values in means.items():
            known = [place for place, value in enumerate(values) if value is not None]
            if known:
                band = [real[place]["mean_range"] for place in known] if name == HUMAN else ()
                series.append(Series(name, [(place, values[place]) for place in known], *looks[name], band))
                said.append(f"{name} {', '.join(f'{values[place]:.2f}' for place in known)}")
        if series:
            ticks = [(place, str(length)) for place, length in enumerate(SCALES_BEATS)]
            label = f"{title[0].upper()}{title[1:]} at lengths of 4 to 32 quarters: {'; '.join(said)}."
            plots.append(
                line_plot(series, name=figure, label=label, title=title, x_label="length in quarters", ticks=ticks)
            )
    return plots


def _looks(report: dict[str, Any], writers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns style and colour of each writer: colour says run, human or baseline, marks and dashes which of them."""
    runs = [run["name"] for run in report["runs"]]
    return {
        **dict(zip(runs, itertools.cycle((("o-", FIRST), ("^-", THIRD), ("D-", FIRST), ("v-", THIRD))), strict=False)),
        **dict(zip((name for name in writers if name not in runs), (("o:", SOFT), ("^--", SOFT)), strict=False)),
        HUMAN: ("s-", SECOND),
    }


def checkpoint_plots(report: dict[str, Any]) -> list[Markup]:
    """Returns nats per note along the run, and how unlikely its longest copies are beside those of human music."""
    rows = report["checkpoints"]
    ticks = [(row["step"], f"{row['step']:,}") for row in rows[:: -(-len(rows) // 6)]]
    nats = Series("", [(row["step"], row["nats_per_note"]) for row in rows])
    bits = [
        Series(name, [(row["step"], row[who]["most_bits"]) for row in rows], style, colour)
        for who, name, style, colour in (
            ("generated", "generated", "o-", FIRST), ("held_out", HUMAN, "s-", SECOND)
        )
    ]  # fmt: skip
    return [
        line_plot(
            [nats], name="checkpoints-nats", label="Nats per note of held-out music at each checkpoint.",
            title="nats per note of held-out music", ticks=ticks,
        ),
        line_plot(
            bits, name="checkpoints-bits", title="bits of the most telling shared run, mean", ticks=ticks,
            label="How unlikely the run shared with the training split is, at each checkpoint, beside human music.",
            from_zero=True,
        ),
    ]  # fmt: skip


def loss_plot(report: dict[str, Any]) -> Markup:
    """Returns training and validation loss by step, of each run that has written them down."""
    series = []
    for run, colour in zip(report["runs"], itertools.cycle((FIRST, THIRD, SECOND, SOFT)), strict=False):
        lines = [line for line in read_lines(Path(run["workdir"]) / FILE) if line.get("loss") is not None]
        for split, style in (("train", ":"), ("validation", "-")):
            points = [(line["step"], line["loss"]) for line in lines if line.get("split") == split]
            if points:
                name = split if len(report["runs"]) == 1 else f"{run['name']}, {split}"
                series.append(Series(name, points, style, colour))
    label = "Training and validation loss by step, in nats per event."
    return line_plot(
        series, name="loss", label=label, x_label="step", y_label="nats per event", highest=_highest_learnt(series)
    )


def _highest_learnt(series: Sequence[Series]) -> float | None:
    """Returns the largest loss after a twentieth of the steps: before, a network learns how frequent values are."""
    steps = [step for one in series for step, _ in one.points]
    losses = [loss for one in series for step, loss in one.points if step >= 0.05 * max(steps)]
    return 1.02 * max(losses) if losses else None
