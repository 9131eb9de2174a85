"""The tables of an evaluation: headings and cells made of report.json, for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Rows = tuple[list[str], list[list[str]]]
"""Headings, and the cells of each row; no rows where there is nothing to say."""

HUMAN = "held-out music"
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
"""Figures of `metrics.features`, as people look for them; all others are structure."""

_LABELS = {"look-up": "longest match"}
"""What people read where report.json has an older name."""


class Listening(NamedTuple):
    """What a listening test found, in the words and tables of the stage that held it."""

    results: dict[str, Any]
    """For report.json."""
    sentences: list[str]
    tables: dict[str, Rows]
    """Headings and cells, by title."""


def score_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of a split's table: each predictor with its figures."""
    heading = ["", "nats/note", "95 %", "perplexity", "bits/beat", "bits/s", "exact match"]
    figures = "{nats_per_note:.3f}|{between}|{perplexity:.4g}|{bits_per_beat:.2f}|{bits_per_second:.2f}|{accuracy:.1%}"
    cells = [
        [label(score["name"]), *_cells(figures, score, between=interval(score["nats_per_note_interval"], ".2f"))]
        for score in report["splits"][split]
    ]
    return heading, cells


def field_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of each predictor's nats per note, top-1 and top-5 accuracy of each field."""
    figures = "{nats_per_note:.2f} {accuracy:.0%} {top5_accuracy:.0%}"
    cells = [
        [label(score["name"]), *(figures.format(**field) for field in score["fields"].values())]
        for score in report["splits"][split]
    ]
    return ["nats, top 1, 5", *report["splits"][split][0]["fields"]], cells


def style_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of each predictor's nats per note by style; no cells where there is one style only."""
    scores = report["splits"][split]
    cells = [
        [
            style or "(no name)",
            f"{figures['pieces']:,}",
            *(f"{score['styles'][style]['nats_per_note']:.3f}" for score in scores),
        ]
        for style, figures in scores[0].get("styles", {}).items()
    ]
    return ["nats/note", "pieces", *(label(score["name"]) for score in scores)], cells


def comparison_rows(report: dict[str, Any], split: str) -> Rows:
    """Returns headings and cells of the run's NLL reduction over each other predictor."""
    cells = [
        [
            label(row["against"]),
            *(f"{row['nats_per_note_less']:.3f}", interval(row["nats_per_note_less_interval"], ".3f")),
            *(f"{row['share_less']:.1%}", interval(row["share_less_interval"], ".1%")),
        ]
        for row in report["comparisons"][split]
    ]
    return ["NLL reduction over", "nats/note", "95 %", "share", "95 %"], cells


def rule_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of how much of each held-out split the composer by rules could have written."""
    cells = [
        [split, *_cells("{beats:,}|{known:.1%}|{possible:.1%}", found)] for split, found in report["rules"].items()
    ]
    return ["split", "beats", "known", "possible moves"], cells


def transfer_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of nats per note before and after, by corpus; no cells where nothing was fine-tuned.

    A change below zero is a gain.
    """
    cells = []
    for found in (report.get("transfer") or {"corpora": []})["corpora"]:
        name = f"the {found['corpus']} corpus"
        if "missing" in found:
            cells.append([f"{name}: not measured, {found['missing']}", *["-"] * 6])
            continue
        name += f", {Path(found['dataset']['path']).name} ({found['split']})"
        if found["heard_before"]:
            name += f"; {found['heard_before']} of {found['after']['pieces']} were in the old training split"
        row = [name]
        for score in (found["before"], found["after"]):
            row += [f"{score['nats_per_note']:.3f}", interval(score["nats_per_note_interval"], ".2f")]
        gain, bounds = found["gain"]["nats_per_note_less"], found["gain"]["nats_per_note_less_interval"]
        cells.append([*row, f"{-gain:+.3f}", interval(bounds and [-bounds[1], -bounds[0]], "+.3f")])
    return ["held-out pieces of", "before", "95 %", "after", "95 %", "change", "95 %"], cells


def distance_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells: Fréchet distance and mean overlap of each writer, beside real music and itself."""
    cells = []
    for found in report["statistics"]:
        overlaps = farthest(found)
        totals = sum(ours for _, ours, _ in overlaps), sum(real for *_, real in overlaps)
        means = [f"{total / max(len(overlaps), 1):.2f}" for total in totals]
        worst = ", ".join(name for name, *_ in overlaps[:3])
        cells.append([found["name"], *_compared(found["frechet"], ".1f"), *means, worst])
    return ["", "Fréchet", "real", "farther", "overlap", "real", "differs most in"], cells


def judge_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of the classifier two-sample test of each writer, real music against itself last."""
    found = report["two_sample"] or {"writers": [], "control": None}
    tests = [*found["writers"], *([{"name": HUMAN, **found["control"]}] if found["control"] else [])]
    figures = "{name}|{accuracy:.1%}|{between}|{p_value:.2g}|{real_right:.0%}|{written_right:.0%}|{learned}|{tested}"
    cells = [_cells(figures, test, between=interval(test["accuracy_interval"], ".0%")) for test in tests]
    heading = ["", "accuracy", "95 %", "p", "right on real", "on generated", "learned from", "tested on"]
    return heading, cells if found["writers"] else []


def diversity_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells: how unlike each other the pieces of each writer are, and real ones last."""
    cells = []
    sets = [(found["name"], found["diversity"], "generated") for found in report["statistics"]]
    sets += [(HUMAN, found["diversity"], "real") for found in report["statistics"][:1]]
    for name, found, who in sets:
        pairs = (found[space][who] for space in ("features", "notes"))
        cells.append(
            [name, *(cell for one in pairs for cell in (f"{one['mean']:.3f}", interval(one["interval"], ".3f")))]
        )
    return ["", "features", "95 %", "notes", "95 %"], cells


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
    heading = ["", "generated", "real", "overlap", "real with real", "farther", "pairs", "real with real"]
    cells = []
    for name in names:
        figure = found["features"][name]
        means = [_mean(figure[who]) if figure["kind"] == "scalar" else "" for who in ("generated", "real")]
        overlap, pairs = (_compared(figure.get(kind), ".2f") for kind in ("overlap", "pair_overlap"))
        cells.append([name, *means, *overlap, *pairs[:2]])
    return heading, cells


def originality_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of what each writer, and held-out human music, shares with the training split."""
    heading = [
        "", "longest run", "largest", "bits", "largest",
        *(f"{line}, {n}" for line in ("texture", "melody") for n in NGRAMS_SHOWN), "beyond human",
    ]  # fmt: skip
    if not report["originality"]:
        return heading, []
    shown = [(one["name"], one["generated"], f"{one['beyond_human']:.0%}") for one in report["originality"]]
    shown.append((HUMAN, report["originality"][0]["held_out"], ""))
    runs = "{longest_notes[mean]:.1f}|{longest_notes[largest]:.0f}|{most_bits[mean]:.0f}|{most_bits[largest]:.0f}"
    cells = []
    for name, found, beyond_human in shown:
        shares = [_per_cent(found["ngrams"][line][n]) for line in ("texture", "melody") for n in NGRAMS_SHOWN]
        cells.append([name, *_cells(runs, found), *shares, beyond_human])
    return heading, cells


def copy_rows(found: dict[str, Any], names: Mapping[str, str], *, most: int = 5) -> Rows:
    """Returns headings and cells of the `most` telling runs that a writer's pieces share with training pieces.

    `names` are what training pieces are called, by id; others are called by their id.
    """
    cells = []
    for copy in found["copies"][:most]:
        source = f"{names.get(copy['source'], '')} {copy['source'][:12]}".strip()
        where = _cells("{num_notes}|{bits:.0f}|{quarter:g}", copy)
        transposition = f"{copy['transposition']:+d}" if copy["transposition"] else "0"
        stretch = "-" if copy["stretch"] is None else f"{copy['stretch']:.3g}"
        cells.append([f"{copy['piece'] + 1}", *where, source, f"{copy['source_quarter']:g}", transposition, stretch])
    heading = ["piece", "notes", "bits", "from quarter", "training piece", "from quarter", "semitones", "slower by"]
    return heading, cells


def checkpoint_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of likelihood and originality along the run."""
    figures = (
        "{step:,}|{nats_per_note:.3f}|{generated[longest_notes]:.1f}|{held_out[longest_notes]:.1f}|"
        "{generated[most_bits]:.0f}|{held_out[most_bits]:.0f}|{beyond_human:.0%}"
    )
    cells = [_cells(figures, row) for row in report["checkpoints"]]
    return ["step", "nats/note", "longest run", HUMAN, "bits", HUMAN, "beyond human"], cells


def paper_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of the paper's table."""
    cells = [
        [*_cells("{metric}|{initial:.4g}|{final:.4g}", row), _per_cent(row["improvement"])]
        for row in report["paper_table"]
    ]
    return ["metric", "initial", "final", "improvement"], cells


def provenance_rows(report: dict[str, Any]) -> Rows:
    """Returns headings and cells of what the report was made of, and with what."""
    dataset = report["dataset"]
    facts = [
        *(
            ("run", f"{run['workdir']}: step {run['step']:,}, parameters {run['params_sha256'][:16]} ({run['name']})")
            for run in report["runs"]
        ),
        ("dataset", f"{dataset['path']}: fingerprint {dataset['fingerprint'][:16]}"),
        *((name.replace("_", " "), str(value)) for name, value in report["options"].items()),
        ("made by", f"ostinato {report['version']}"),
        *report["libraries"].items(),
    ]
    return ["what", "value"], [list(fact) for fact in facts]


def label(name: str) -> str:
    """Returns what people read for the name of a predictor in report.json."""
    return _LABELS.get(name, name)


def interval(bounds: Sequence[float] | None, style: str) -> str:
    """Returns a confidence interval, or a dash where there is none."""
    if bounds is None:
        return "-"
    between = " to " if bounds[0] < 0 or "+" in style else "–"  # noqa: RUF001  # an interval
    return f"{bounds[0]:{style}}{between}{bounds[1]:{style}}"


def _cells(figures: str, values: Mapping[str, Any], **others: str) -> list[str]:
    """Returns the cells that a format string with bars between them describes."""
    return figures.format(**values, **others).split("|")


def _compared(found: Mapping[str, Any] | None, style: str) -> tuple[str, str, str]:
    """Returns the cells of a comparison beside its control, and how often it was farther."""
    if not found or "generated" not in found:
        return "-", "-", "-"
    return f"{found['generated']:{style}}", f"{found['control']:{style}}", f"{found['farther']:.0%}"


def _mean(of_set: dict[str, Any]) -> str:
    return "-" if of_set["mean"] is None else f"{of_set['mean']:.3g} ± {of_set['deviation']:.2g}"


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
