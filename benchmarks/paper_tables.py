"""The tables of the paper's experiment, from the cells that are filled."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ostinato.benchmarks.paper_systems import COMPOSERS, CORPORA, SYSTEMS, WINDOWS, Cell
from ostinato.benchmarks.tables import Table

PUBLISHED = {"loss": 0.65, "perplexity": 15.2}
"""What the paper says of its trained model, as far as it is known here; not of which split the loss is."""

Cells = Mapping[Cell, dict[str, Any]]
_METRICS = ("training loss", "validation loss", "validation accuracy", "perplexity")


def of_training(cells: Cells, corpus: str) -> Table:
    """Returns the paper's Table 1 of its model on a corpus, means over the seeds, beside what the paper says."""
    runs = [_by_metric(cell) for place, cell in cells.items() if place[:2] == (corpus, "paper")]
    rows = []
    for metric in _METRICS:
        found = [run[metric] for run in runs if metric in run]
        if not found:
            continue
        first, last, better = (_mean([row[name] for row in found]) for name in ("initial", "final", "improvement"))
        gain = "" if better is None else f"{100 * better:.0f} %"
        said = f"{PUBLISHED[metric]:g}" if metric in PUBLISHED else ""
        rows.append([metric, _number(first), _number(last), gain, said])
    if rows:
        rows.append(["loss (of which split is not said here)", "", "", "", f"{PUBLISHED['loss']:g}"])
    return Table(["", "first", "last", "better by", "the paper, last"], rows)


def contradictions() -> list[str]:
    """Returns a sentence for each of the paper's figures that cannot be true beside another."""
    loss, perplexity = PUBLISHED["loss"], PUBLISHED["perplexity"]
    found = []
    if not math.isclose(math.exp(loss), perplexity, rel_tol=0.05):
        found.append(
            f"Perplexity is the exp of the loss: a loss of {loss:g} is a perplexity of {math.exp(loss):.2f}, not "
            f"{perplexity:g}, and a perplexity of {perplexity:g} is a loss of {math.log(perplexity):.2f}."
        )
    return found


def of_windows(cells: Cells) -> Table:
    """Returns what is measured where windows are dealt to the splits, beside pieces, of the same seeds."""
    rows = []
    for corpus in CORPORA:
        pairs = [
            (cells[Cell(corpus, "paper", seed)], cells[Cell(corpus, WINDOWS, seed)])
            for seed in sorted(place.seed for place in cells if place[:2] == (corpus, WINDOWS))
            if Cell(corpus, "paper", seed) in cells
        ]
        for name, side in (("by piece", 0), ("by window", 1)):
            if pairs:
                tables = [_by_metric(pair[side]) for pair in pairs]
                best = [pair[side]["best_loss"] for pair in pairs]
                loss, accuracy = mean(best), _mean([table["validation accuracy"]["final"] for table in tables])
                rows.append(
                    [
                        CORPORA[corpus].title,
                        name,
                        _number(loss),
                        f"{math.exp(loss):.1f}",
                        _number(accuracy),
                        str(len(pairs)),
                    ]
                )
    return Table(["", "split", "validation loss, lowest", "perplexity", "validation accuracy, last", "seeds"], rows)


def of_systems(cells: Cells, corpus: str) -> Table:
    """Returns what each system writes, means over the seeds that are measured (± their deviation), and real music.

    Accuracy and nats are left out of a system that reads other rows than the paper's (its notes have lengths, too).
    """
    measured = [
        (place, cell["writers"]) for place, cell in cells.items() if place.corpus == corpus and "writers" in cell
    ]
    rows = []
    for name, title in COMPOSERS.items():
        rows += _system_row(title, [writers[name] for place, writers in measured if place.system == "paper"])
    for name, system in SYSTEMS.items():
        found = [writers["run"] for place, writers in measured if place.system == name]
        if system.preset.prepare.codec != SYSTEMS["paper"].preset.prepare.codec:
            found = [{**one, "accuracy": None, "nats": None} for one in found]
        rows += _system_row(system.title, found)
    rows += _system_row("real music", [writers["real"] for place, writers in measured if place.system == "paper"])
    heading = ["", "accuracy", "nats per note", "structure", "variety", "longest shared run", "judge is right", "seeds"]
    return Table(heading, rows)


def _system_row(title: str, found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Returns a row, or none where nothing is measured yet."""
    if not found:
        return []
    first = [[one[name][0] if one[name] else None for one in found] for name in ("accuracy", "nats", "judge")]
    accuracy, nats, judge = first
    structure, variety, copied = ([one[name] for one in found] for name in ("structure", "variety", "originality"))
    # One seed has no deviation, but the interval over pieces.
    bounds = found[0]["judge"] and found[0]["judge"][1] if len(found) == 1 else None
    said = _percent(judge) + (f" ({100 * bounds[0]:.0f}–{100 * bounds[1]:.0f})" if bounds else "")  # noqa: RUF001
    cells = [_percent(accuracy), _spread(nats, 3), _spread(structure, 2), _spread(variety, 2), _spread(copied, 1), said]
    return [[title, *cells, str(len(found))]]


def _by_metric(cell: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in cell["paper_table"]}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) >= 100 else f"{value:.2f}"


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{mean(known):.{digits}f}" + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")


def _percent(values: Sequence[float | None]) -> str:
    shown = _spread([None if value is None else 100 * value for value in values], 0)
    return f"{shown} %" if shown else ""
