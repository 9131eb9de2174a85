"""The transfer benchmark as figures, tables and a plot."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ostinato.benchmarks.transfer_runs import METHODS, SCRATCH, Bench, Measured, Task
from ostinato.evaluation.scores import PieceScores, compare

Outcomes = Iterable[tuple[Task, dict[str, Any]]]


def summarise(bench: Bench, pretrained: dict[str, Any], outcomes: Outcomes) -> dict[str, Any]:
    """Returns the figures, ready for JSON: of each k, method and corpus the nats per note of each seed.

    Of each seed the learning rate with the lowest validation loss counts. `less` says how many nats per note fewer than
    from scratch, the seeds' mean on each piece, with a paired bootstrap over the held-out pieces.
    """
    found: dict[tuple[int, str], dict[int, tuple[Task, dict[str, Any]]]] = defaultdict(dict)
    tried: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for task, outcome in outcomes:
        key = task.num_pieces, task.method.name
        if task.seed == 0:
            tried[key][f"{task.learning_rate:g}"] = outcome["validation_loss"]
        kept = found[key].get(task.seed)
        if kept is None or outcome["validation_loss"] < kept[1]["validation_loss"]:
            found[key][task.seed] = task, outcome
    rows = []
    for (num_pieces, method), by_seed in found.items():
        row: dict[str, Any] = {"k": num_pieces, "method": method}
        row["learning_rate"] = next(iter(by_seed.values()))[0].learning_rate
        row["validation_loss_by_learning_rate"] = tried[num_pieces, method]
        row["best_steps"] = [outcome["best_step"] for _, outcome in by_seed.values()]
        row["steps"] = [outcome["steps"] for _, outcome in by_seed.values()]
        for name, held in bench.held_out.items():
            scores = [_nats_per_note(outcome, name, held) for _, outcome in by_seed.values()]
            row[name] = {"nats_per_note": float(np.mean(scores)), "seeds": scores}
            ours = _mean_score(by_seed.values(), name, method)
            row[name]["less_than_before"] = compare(ours, _score(pretrained, name), held.material)
            scratch = found.get((num_pieces, SCRATCH.name))
            if scratch and method != SCRATCH.name:
                row[name]["less_than_scratch"] = compare(
                    ours, _mean_score(scratch.values(), name, SCRATCH.name), held.material
                )
        rows.append(row)
    return {
        "held_out": {
            name: {"pieces": len(held.pieces), "notes": int(held.material.notes_p.sum())}
            for name, held in bench.held_out.items()
        },
        "train_pieces_left_out": bench.apart.left_out,
        "effort": {
            **bench.effort._asdict(),
            "model": vars(bench.effort.model),
            "methods": [method._asdict() for method in bench.effort.methods],
        },
        "pretrained": {
            "best_step": pretrained["best_step"],
            "validation_loss": pretrained["validation_loss"],
            **{name: _nats_per_note(pretrained, name, held) for name, held in bench.held_out.items()},
        },
        "rows": rows,
    }


def ratios(summary: dict[str, Any]) -> dict[str, float]:
    """Returns how many times the nats per note of held-out new music are from scratch what they are otherwise."""
    scratch = {row["k"]: row["new"]["nats_per_note"] for row in summary["rows"] if row["method"] == SCRATCH.name}
    return {
        f"k = {row['k']}: nats per note, from scratch over {row['method']}": round(
            scratch[row["k"]] / row["new"]["nats_per_note"], 3
        )
        for row in summary["rows"]
        if row["method"] != SCRATCH.name and row["k"] in scratch
    }


def new_rows(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of nats per held-out note of the new corpus."""
    heading = ["k", "", "nats/note", "seeds", "less than from scratch", "95 %", "learning rate", "best step"]
    cells = [["0", "pretrained, not fine-tuned", f"{summary['pretrained']['new']:.3f}", *[""] * 5]]
    for row in summary["rows"]:
        less = row["new"].get("less_than_scratch")
        cells.append(
            [
                str(row["k"]),
                row["method"],
                f"{row['new']['nats_per_note']:.3f}",
                _each(row["new"]["seeds"]),
                "" if less is None else f"{less['nats_per_note_less']:.3f}",
                "" if less is None else _interval(less["nats_per_note_less_interval"]),
                f"{row['learning_rate']:g}",
                ", ".join(map(str, row["best_steps"])),
            ]
        )
    return heading, cells


def old_rows(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of nats per held-out note of the old corpus: what those who had learnt it forgot."""
    heading = ["k", "", "nats/note", "seeds", "more than before", "95 %"]
    cells = [["0", "pretrained, not fine-tuned", f"{summary['pretrained']['old']:.3f}", "", "", ""]]
    for row in (row for row in summary["rows"] if row["method"] != SCRATCH.name):
        less = row["old"]["less_than_before"]
        bounds = less["nats_per_note_less_interval"]
        cells.append(
            [
                str(row["k"]),
                row["method"],
                f"{row['old']['nats_per_note']:.3f}",
                _each(row["old"]["seeds"]),
                f"{-less['nats_per_note_less']:.3f}",
                _interval(bounds and [-bounds[1], -bounds[0]]),
            ]
        )
    return heading, cells


def markdown_table(heading: list[str], cells: list[list[str]]) -> str:
    """Returns a table for results/transfer.md."""
    lines = [heading, [("---" if name in ("", "k") else "---:") for name in heading], *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def draw(summary: dict[str, Any], output: Path) -> None:
    """Draws nats per note over k, on both corpora, as SVG; bars are the lowest and the highest seed."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    for panel, (name, title) in zip(
        figure.subplots(1, 2), (("new", "new corpus"), ("old", "old corpus: what was forgotten")), strict=True
    ):
        for number, method in enumerate(METHODS):
            rows = [row for row in summary["rows"] if row["method"] == method.name]
            if not rows or (name == "old" and not method.is_pretrained):
                continue
            sizes = np.array([row["k"] for row in rows])
            means = np.array([row[name]["nats_per_note"] for row in rows])
            lows, highs = (np.array([pick(row[name]["seeds"]) for row in rows]) for pick in (min, max))
            # Side by side, since some lie on one another.
            panel.errorbar(
                sizes * 1.03 ** (number - 1.5),
                means,
                [means - lows, highs - means],
                fmt="o-",
                ms=3,
                color=f"C{number}",
                label=method.name,
            )
        panel.axhline(summary["pretrained"][name], color="grey", ls=":", label="pretrained, not fine-tuned")
        panel.set_xscale("log")
        panel.set_xticks(sorted({row["k"] for row in summary["rows"]}))
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.minorticks_off()
        panel.set(title=title, xlabel="pieces to learn from", ylabel="nats per held-out note")
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    # The same numbers give the same file; letters stay text, which is smaller.
    with mpl.rc_context({"svg.hashsalt": output.name, "svg.fonttype": "none"}):
        figure.savefig(output, metadata={"Date": None})


def _score(outcome: dict[str, Any], corpus: str, name: str = "pretrained") -> PieceScores:
    nats_pf = np.array(outcome["nats"][corpus])[:, None]
    nothing = np.zeros_like(nats_pf)
    return PieceScores(name, nats_pf, nothing, nothing, nothing[:, 0])


def _mean_score(outcomes: Iterable[tuple[Task, dict[str, Any]]], corpus: str, name: str) -> PieceScores:
    nats = np.mean([outcome["nats"][corpus] for _, outcome in outcomes], axis=0)
    return _score({"nats": {corpus: nats}}, corpus, name)


def _nats_per_note(outcome: dict[str, Any], corpus: str, held: Measured) -> float:
    return float(np.sum(outcome["nats"][corpus]) / held.material.notes_p.sum())


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _interval(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f}–{bounds[1]:.3f}"  # noqa: RUF001  # an interval
