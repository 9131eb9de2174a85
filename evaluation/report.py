"""ostinato evaluate: likelihood on every split beside baselines on the same rows, as a table, JSON and one HTML page.

ostinato evaluate --workdir RUN --dataset DATASET --output FOLDER
"""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ostinato.evaluation.baselines import LOOK_UP, UNIGRAM, CountingModel, uniform
from ostinato.evaluation.likelihood import score_model
from ostinato.evaluation.paper_table import paper_table
from ostinato.music.records import Dataset, write_atomically
from ostinato.train.checkpoint import load_params
from ostinato.train.metrics import FILE

HELD_OUT = ("test", "validation")
"""The first of these that the dataset has is what the summary speaks of."""


def evaluate_run(
    workdir: Path, dataset: Dataset, output: Path, *, checkpoint: Literal["best", "latest"], batch_size: int
) -> dict[str, Any]:
    """Measures a run on every split of a dataset, writes report.json and report.html, and returns the report.

    Baselines are counted on the training split alone.

    Raises:
        ValueError: the model was trained with another codec than the dataset's, or there is no checkpoint.
    """
    run = load_params(workdir, checkpoint)
    if run.codec.to_json() != dataset.codec.to_json():
        raise ValueError(
            f"{workdir}: trained with another codec ({_codec_line(run.codec)}) than {dataset.path} has "
            f"({_codec_line(dataset.codec)}); give the dataset that the run was trained on"
        )
    field_names = tuple(field.name for field in dataset.codec.fields)
    sources = {split: dataset.source(split) for split in dataset.splits}
    pieces = {split: [source[i].steps for i in range(len(source))] for split, source in sources.items()}
    counted = [
        CountingModel("unigram", pieces["train"], dataset.codec, UNIGRAM),
        CountingModel("look-up", pieces["train"], dataset.codec, LOOK_UP),
    ]
    splits = {}
    for split, source in sources.items():
        scores = [
            score_model(run, source, batch_size=batch_size, name=run.config.model.cell),
            *(model.score(pieces[split]) for model in counted),
            uniform(pieces[split], dataset.codec),
        ]
        splits[split] = [score.as_json(field_names) for score in scores]
    report = {
        "workdir": str(workdir),
        "dataset": {"path": str(dataset.path), "fingerprint": dataset.fingerprint},
        "step": run.step,
        "params_sha256": run.params_sha256,
        "held_out": next(split for split in (*HELD_OUT, "train") if split in splits),
        "splits": splits,
        "paper_table": [{**row._asdict(), "improvement": row.improvement} for row in paper_table(workdir)],
    }
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(output / "report.html", _page(report, workdir).encode())
    return report


def score_rows(report: dict[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of a split's table: each predictor with its figures."""
    scores = report["splits"][split]
    fields = list(scores[0]["fields"])
    heading = ["", "nats/note", "perplexity", "accuracy", *(f"{name} acc." for name in fields)]
    cells = [
        [
            score["name"],
            f"{score['nats_per_note']:.3f}",
            f"{score['perplexity']:.4g}",
            f"{score['accuracy']:.1%}",
            *(f"{score['fields'][name]['accuracy']:.1%}" for name in fields),
        ]
        for score in scores
    ]
    return heading, cells


def paper_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of the paper's table."""
    cells = [
        [row["metric"], f"{row['initial']:.4g}", f"{row['final']:.4g}", _per_cent(row["improvement"])]
        for row in report["paper_table"]
    ]
    return ["metric", "initial", "final", "improvement"], cells


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _codec_line(codec: Any) -> str:
    return f"{codec.name} with " + ", ".join(f"{field.name} {field.size}" for field in codec.fields)


def _page(report: dict[str, Any], workdir: Path) -> str:
    """Returns one self-contained HTML page."""
    sections = [
        f"<h2>{html.escape(split)} split</h2>{_html_table(*score_rows(report, split))}" for split in report["splits"]
    ]
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
<p>Nats per note: everything a piece costs, control rows included, over its notes; perplexity is exp of it. Accuracy:
rows predicted whole. A field is predicted from the true fields before it. All predictors see the same rows.</p>
{"".join(sections)}
<h2>The paper's table</h2>
<p>From the run's own metrics; losses in nats per row.</p>
{_html_table(*paper_rows(report))}
<h2>Loss</h2>
<p><img alt="Training and validation loss by step" src="data:image/png;base64,{curve}"></p>
</html>
"""


def _html_table(heading: list[str], cells: list[list[str]]) -> str:
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
