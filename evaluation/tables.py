"""The tables of an evaluation: headings and cells made of report.json, for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = tuple[list[str], list[list[str]]]
"""Headings, and the cells of each row; no rows where there is nothing to say."""

NGRAMS_SHOWN = ("8", "16")

GROUPS = {
    "pitch": (
        "pitch", "pitch class", "interval", "pitch-class transition", "pitch range", "pitches used",
        "pitch classes used", "pitch entropy", "pitch-class entropy", "scale consistency", "mean interval",
    ),
    "rhythm": (
        "duration", "inter-onset", "pitches at once", "notes per quarter", "notes per second", "mean duration",
        "mean inter-onset", "polyphony", "polyphony rate", "empty-beat rate", "groove consistency",
    ),
    "harmony": (
        "chord type", "chord length", "chord rate", "chord entropy", "chord changes per quarter", "tonal step",
    ),
}  # fmt: skip
"""Figures of `musical.features`, as people look for them; all others are structure."""


def score_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of a split's table: each predictor with its figures; rows: share predicted whole."""
    heading = ["", "nats/note", "95 %", "perplexity", "bits/beat", "bits/s", "rows"]
    cells = [
        [
            score["name"],
            f"{score['nats_per_note']:.3f}",
            interval(score["nats_per_note_interval"], ".2f"),
            f"{score['perplexity']:.4g}",
            f"{score['bits_per_beat']:.2f}",
            f"{score['bits_per_second']:.2f}",
            f"{score['accuracy']:.1%}",
        ]
        for score in report["splits"][split]
    ]
    return heading, cells


def field_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of each predictor's nats per note, top-1 and top-5 accuracy of each field."""
    scores = report["splits"][split]
    fields = list(scores[0]["fields"])
    cells = [
        [
            score["name"],
            *(
                f"{field['nats_per_note']:.2f} {field['accuracy']:.0%} {field['top5_accuracy']:.0%}"
                for field in (score["fields"][name] for name in fields)
            ),
        ]
        for score in scores
    ]
    return ["nats, top 1, 5", *fields], cells


def style_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of each predictor's nats per note by style; no cells where there is one style only."""
    scores = report["splits"][split]
    styles = list(scores[0].get("styles", {}))
    cells = [
        [
            style or "(no name)",
            f"{scores[0]['styles'][style]['pieces']:,}",
            *(f"{score['styles'][style]['nats_per_note']:.3f}" for score in scores),
        ]
        for style in styles
    ]
    return ["nats/note", "pieces", *(score["name"] for score in scores)], cells


def comparison_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of how much less the run needs than each other predictor."""
    cells = [
        [
            row["against"],
            f"{row['nats_per_note_less']:.3f}",
            interval(row["nats_per_note_less_interval"], ".3f"),
            f"{row['share_less']:.1%}",
            interval(row["share_less_interval"], ".1%"),
        ]
        for row in report["comparisons"][split]
    ]
    return ["needs less than", "nats/note", "95 %", "share", "95 %"], cells


def rule_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of how much of each held-out split the composer by rules could have written."""
    cells = [
        [split, f"{found['beats']:,}", f"{found['known']:.1%}", f"{found['possible']:.1%}"]
        for split, found in report["rules"].items()
    ]
    return ["split", "beats", "known", "possible moves"], cells


def distance_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells: Fréchet distance and mean overlap of each writer, beside real music and itself."""
    cells = []
    for found in report["statistics"]:
        frechet = found["frechet"]
        overlaps = [figure["overlap"] for figure in found["features"].values() if figure.get("overlap")]
        mean = [sum(overlap[who] for overlap in overlaps) / max(len(overlaps), 1) for who in ("generated", "control")]
        cells.append(
            [
                found["name"],
                *(
                    (f"{frechet['generated']:.1f}", f"{frechet['control']:.1f}", f"{frechet['farther']:.0%}")
                    if "generated" in frechet
                    else ("-", "-", "-")
                ),
                f"{mean[0]:.2f}",
                f"{mean[1]:.2f}",
                ", ".join(name for name, *_ in farthest(found)[:3]),
            ]
        )
    return ["", "Fréchet", "real", "farther", "overlap", "real", "differs most in"], cells


def farthest(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Returns the figures with their overlap and its control, those first whose overlap falls short of it by most."""
    overlaps = [
        (name, figure["overlap"]["generated"], figure["overlap"]["control"])
        for name, figure in found["features"].items()
        if figure.get("overlap")
    ]
    return sorted(overlaps, key=lambda row: row[1] - row[2])


def groups_of(features: Sequence[str]) -> dict[str, list[str]]:
    """Returns the names of figures by group, in the order of `GROUPS`."""
    named = {name for group in GROUPS.values() for name in group}
    groups = {group: [name for name in names if name in features] for group, names in GROUPS.items()}
    return groups | {"structure": [name for name in features if name not in named]}


def feature_rows(found: dict[str, Any], names: Sequence[str]) -> Rows:
    """Returns headings and cells of some musical figures of one writer: mean and deviation, overlap beside control."""
    heading = ["", "written", "real", "overlap", "real with real", "farther", "pairs", "real with real"]
    cells = []
    for name in names:
        figure = found["features"][name]
        overlap, pairs = figure.get("overlap"), figure.get("pair_overlap")
        cells.append(
            [
                name,
                _mean(figure, "generated"),
                _mean(figure, "real"),
                *(
                    (f"{overlap['generated']:.2f}", f"{overlap['control']:.2f}", f"{overlap['farther']:.0%}")
                    if overlap
                    else ("-", "-", "-")
                ),
                *((f"{pairs['generated']:.2f}", f"{pairs['control']:.2f}") if pairs else ("-", "-")),
            ]
        )
    return heading, cells


def _mean(figure: dict[str, Any], who: str) -> str:
    if figure["kind"] != "scalar":
        return ""
    of_set = figure[who]
    return "-" if of_set["mean"] is None else f"{of_set['mean']:.3g} ± {of_set['deviation']:.2g}"


def originality_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of what each writer, and held-out human music, shares with the training split."""
    heading = [
        "", "longest run", "largest", "bits", "largest",
        *(f"{line}, {n}" for line in ("texture", "melody") for n in NGRAMS_SHOWN), "beyond human",
    ]  # fmt: skip
    if not report["originality"]:
        return heading, []
    cells = [_originality_cells(one["name"], one["generated"], one["beyond_human"]) for one in report["originality"]]
    return heading, [*cells, _originality_cells("held-out music", report["originality"][0]["held_out"], None)]


def _originality_cells(name: str, found: dict[str, Any], beyond_human: float | None) -> list[str]:
    shares = [found["ngrams"][line][n] for line in ("texture", "melody") for n in NGRAMS_SHOWN]
    return [
        name,
        f"{found['longest_notes']['mean']:.1f}",
        f"{found['longest_notes']['largest']:.0f}",
        f"{found['most_bits']['mean']:.0f}",
        f"{found['most_bits']['largest']:.0f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
        "" if beyond_human is None else f"{beyond_human:.0%}",
    ]


def copy_rows(found: dict[str, Any], names: Mapping[str, str], *, most: int = 5) -> Rows:
    """Returns headings and cells of the most telling runs that a writer's pieces share with training pieces.

    Args:
        found: of one writer, from `originality`.
        names: what training pieces are called, by id; others are called by their id.
        most: so many are named.
    """
    cells = [
        [
            f"{copy['piece'] + 1}",
            f"{copy['num_notes']}",
            f"{copy['bits']:.0f}",
            f"{copy['quarter']:g}",
            f"{names.get(copy['source'], '')} {copy['source'][:12]}".strip(),
            f"{copy['source_quarter']:g}",
            f"{copy['transposition']:+d}" if copy["transposition"] else "0",
            "-" if copy["stretch"] is None else f"{copy['stretch']:.3g}",
        ]
        for copy in found["copies"][:most]
    ]
    heading = ["piece", "notes", "bits", "from quarter", "training piece", "from quarter", "semitones", "slower by"]
    return heading, cells


def checkpoint_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of likelihood and originality along the run."""
    cells = [
        [
            f"{row['step']:,}",
            f"{row['nats_per_note']:.3f}",
            f"{row['generated']['longest_notes']:.1f}",
            f"{row['held_out']['longest_notes']:.1f}",
            f"{row['generated']['most_bits']:.0f}",
            f"{row['held_out']['most_bits']:.0f}",
            f"{row['beyond_human']:.0%}",
        ]
        for row in report["checkpoints"]
    ]
    return ["step", "nats/note", "longest run", "held-out music", "bits", "held-out music", "beyond human"], cells


def paper_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of the paper's table."""
    cells = [
        [row["metric"], f"{row['initial']:.4g}", f"{row['final']:.4g}", _per_cent(row["improvement"])]
        for row in report["paper_table"]
    ]
    return ["metric", "initial", "final", "improvement"], cells


def interval(bounds: list[float] | None, style: str) -> str:
    """Returns a confidence interval, or a dash where there is none."""
    if bounds is None:
        return "-"
    between = " to " if bounds[0] < 0 else "–"  # noqa: RUF001  # an interval
    return f"{bounds[0]:{style}}{between}{bounds[1]:{style}}"


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
