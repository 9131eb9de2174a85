"""ostinato evaluate: what `measure` found, as JSON, as one HTML page and as tables for the terminal.

ostinato evaluate --workdir RUN --dataset DATASET --output FOLDER
"""

import base64
import html
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ostinato.evaluation.measure import measure_run
from ostinato.music.ngram_files import NgramCounts
from ostinato.music.records import Dataset, write_atomically
from ostinato.train.metrics import FILE


def evaluate_run(
    workdir: Path,
    dataset: Dataset,
    output: Path,
    *,
    counts: Callable[[], NgramCounts],
    others: Sequence[Path] = (),
    checkpoint: Literal["best", "latest"],
    batch_size: int,
    max_train_pieces: int,
) -> dict[str, Any]:
    """Measures runs on every split of a dataset, writes report.json and report.html, and returns the report.

    The arguments are those of `measure_run`, which says what may go wrong.
    """
    report = measure_run(
        workdir,
        dataset,
        counts=counts,
        others=others,
        checkpoint=checkpoint,
        batch_size=batch_size,
        max_train_pieces=max_train_pieces,
    )
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(output / "report.html", _page(report, workdir).encode())
    return report


def score_rows(report: dict[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of a split's table: each predictor with its figures; rows: share predicted whole."""
    heading = ["", "nats/note", "95 %", "perplexity", "bits/beat", "bits/s", "rows"]
    cells = [
        [
            score["name"],
            f"{score['nats_per_note']:.3f}",
            _interval(score["nats_per_note_interval"], ".2f"),
            f"{score['perplexity']:.4g}",
            f"{score['bits_per_beat']:.2f}",
            f"{score['bits_per_second']:.2f}",
            f"{score['accuracy']:.1%}",
        ]
        for score in report["splits"][split]
    ]
    return heading, cells


def field_rows(report: dict[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
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


def style_rows(report: dict[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of each predictor's nats per note by style; no cells where there is one style only."""
    scores = report["splits"][split]
    styles = list(scores[0].get("styles", {}))
    cells = [
        [score["name"], *(f"{score['styles'][style]['nats_per_note']:.3f}" for style in styles)] for score in scores
    ]
    return ["nats/note", *(style or "(no name)" for style in styles)], cells if styles else []


def comparison_rows(report: dict[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of how much less the run needs than each other predictor."""
    cells = [
        [
            row["against"],
            f"{row['nats_per_note_less']:.3f}",
            _interval(row["nats_per_note_less_interval"], ".3f"),
            f"{row['share_less']:.1%}",
            _interval(row["share_less_interval"], ".1%"),
        ]
        for row in report["comparisons"][split]
    ]
    return ["needs less than", "nats/note", "95 %", "share", "95 %"], cells


def _interval(bounds: list[float] | None, style: str) -> str:
    return "-" if bounds is None else f"{bounds[0]:{style}}–{bounds[1]:{style}}"  # noqa: RUF001  # an interval


def paper_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of the paper's table."""
    cells = [
        [row["metric"], f"{row['initial']:.4g}", f"{row['final']:.4g}", _per_cent(row["improvement"])]
        for row in report["paper_table"]
    ]
    return ["metric", "initial", "final", "improvement"], cells


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _page(report: dict[str, Any], workdir: Path) -> str:
    """Returns one self-contained HTML page."""
    sections = [
        f"<h2>{html.escape(split)} split</h2>{_html_table(*score_rows(report, split))}"
        f"{_html_table(*field_rows(report, split))}{_html_table(*style_rows(report, split))}"
        f"{_html_table(*comparison_rows(report, split))}"
        for split in report["splits"]
    ]
    warnings = "".join(f"<p><strong>{html.escape(warning)}</strong></p>" for warning in report["warnings"])
    curve = base64.b64encode(_loss_curve(workdir)).decode()
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ostinato: evaluation</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child, th:first-child {{ text-align: left }} img {{ max-width: 100% }}
</style>
<h1>Evaluation</h1>
<p>Run <code>{html.escape(report["workdir"])}</code>, checkpoint of step {report["step"]}
(parameters {report["params_sha256"][:12]}), dataset <code>{html.escape(report["dataset"]["path"])}</code>
({report["dataset"]["fingerprint"][:12]}).</p>
<p>Nats per note: everything a piece costs, control rows included, over its notes; perplexity is exp of it. Rows: share
predicted whole. Of each field: share of rows whose value was the likeliest, and among the five likeliest. A field is
predicted from the true fields before it. A beat is a quarter note. All predictors see the same rows. 95 %: bootstrap
over pieces, {report["bootstrap"]["resamples"]:,} resamples, percentiles.</p>
{warnings}
{"".join(sections)}
<h2>The paper's table</h2>
<p>From the run's own metrics; losses in nats per row.</p>
{_html_table(*paper_rows(report))}
<h2>Loss</h2>
<p><img alt="Training and validation loss by step" src="data:image/png;base64,{curve}"></p>
</html>
"""


def _html_table(heading: list[str], cells: list[list[str]]) -> str:
    if not cells:
        return ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _loss_curve(workdir: Path) -> bytes:
    lines = [json.loads(line) for line in (workdir / FILE).read_text().splitlines()]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for split in ("train", "validation"):
        points = [(line["step"], line["loss"]) for line in lines if line["split"] == split]
        if points:
            axes.plot(*zip(*points, strict=True), label=split)
    axes.set(xlabel="step", ylabel="nats per row")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
