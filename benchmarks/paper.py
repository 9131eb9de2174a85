"""The paper's experiment, to its end: its model on two corpora, its Table 1, and the other systems that it speaks of.

    python -m ostinato.benchmarks.paper --data FOLDER [--output paper] [--seeds 3]

FOLDER holds nottingham.zip and giantmidi.zip. Days on two cores, hours on an accelerator. It may be ended at any
moment: each training is a run that goes on at its latest checkpoint, and what is measured is kept; the same command
goes on from there. With `--hidden-size 64 --num-epochs 10 --seeds 1` it is minutes, to see that all of it works. Prints
the tables; --results and --docs write them for the repository, with the cells that are filled, and say which are not.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from ostinato.benchmarks import figures, paper_tables
from ostinato.benchmarks.paper_systems import CORPORA, OUTCOME, RUNS, SYSTEMS, WINDOWS, Effort, fill_cell, plan
from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.launch.cache import cache_compilations
from ostinato.launch.commands.show import print_table, say


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path
    """Folder of nottingham.zip and giantmidi.zip."""
    output: Path = Path("paper")
    """Keeps datasets, runs and what was measured."""
    seeds: int = 3
    """Trainings of each system on each corpus."""
    corpora: tuple[Literal["nottingham", "giantmidi"], ...] = ("nottingham", "giantmidi")
    """Only these."""
    systems: tuple[Literal["paper", "windows", "embedding", "rnn", "default"], ...] = (
        "paper", "windows", "embedding", "rnn", "default",
    )  # fmt: skip
    """Only these. windows: the paper's model where windows and not pieces are dealt to the two splits. rules and Markov
    chains come with paper."""
    hidden_size: int = 0
    """Units of each layer; 0 is as the presets have it, 512 for the paper's model."""
    num_epochs: int = 0
    """At most so many; 0 is as the presets have it, 100 for the paper's model."""
    max_files: int = 0
    """Of each corpus, evenly spread; 0 is all."""
    num_samples: int = 32
    """Pieces that each system writes to be compared."""
    judge: bool = True
    """Let a judge learn to tell them from real ones."""
    results: Path | None = None
    """Folder for paper.json."""
    docs: Path | None = None
    """Folder for paper.svg."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.num_epochs, self.max_files) < 0 or self.seeds < 1 or self.num_samples < 4:
            raise UserError(
                "--seeds is from 1 on, --num-samples from 4, --hidden-size, --num-epochs, --max-files from 0"
            )


def draw(cells: paper_tables.Cells, output: Path) -> None:
    """Draws the loss of the paper's model over the steps of training, on both corpora; a line for each seed."""
    figure, panels = figures.new_figure(len(CORPORA), 9, 3.4)
    for panel, (corpus, known) in zip(panels, CORPORA.items(), strict=True):
        for place, cell in cells.items():
            if place.corpus == corpus and place.system in ("paper", WINDOWS):
                color, label = ("C0", "by piece") if place.system == "paper" else ("C1", "by window")
                for split, style in (("train", ":"), ("validation", "-")):
                    steps, losses = _smooth(cell["curves"][split], 50 if split == "train" else 1)
                    panel.plot(steps, losses, style, color=color, lw=1, label=f"{split}, split {label}")
        panel.set(title=known.title, xlabel="steps", ylabel="nats per event")
        panel.grid(alpha=0.3)
        handles, labels = panel.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        panel.legend(once.values(), once.keys(), fontsize=8)
    figures.save(figure, output)


def _smooth(points: Sequence[Sequence[float]], parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns means of so many neighbouring parts where there are more points: single batches are far apart."""
    steps, losses = np.array(points, float).reshape(-1, 2).T
    if parts == 1 or len(steps) <= parts:
        return steps, losses
    groups = np.array_split(np.arange(len(steps)), parts)
    return np.array([steps[one].mean() for one in groups]), np.array([losses[one].mean() for one in groups])


def document(cells: paper_tables.Cells, effort: Effort, seeds: int) -> dict[str, Any]:
    """Returns what benchmarks/results/paper.json holds; `not_done` names the cells that are not filled yet."""
    tables = {"windows": paper_tables.of_windows(cells)}
    for corpus in CORPORA:
        tables[f"training-{corpus}"] = paper_tables.of_training(cells, corpus)
        tables[f"systems-{corpus}"] = paper_tables.of_systems(cells, corpus)
    changed = {name: value for name, value in effort._asdict().items() if value != Effort._field_defaults[name]}
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in changed.items())
    return {
        "command": f"python -m ostinato.benchmarks.paper --data FOLDER --seeds {seeds}{options}",
        "not_done": [place.name for place in plan(tuple(CORPORA), tuple(SYSTEMS), seeds) if place not in cells],
        "published": paper_tables.PUBLISHED,
        "contradictions": paper_tables.contradictions(),
        "tables": {name: {"columns": list(one.heading), "rows": list(one.rows)} for name, one in tables.items()},
        "cells": {place.name: cell for place, cell in cells.items()},
    }


def main(options: Options) -> dict[str, Any]:
    """Fills one cell after the other, after each writes what there is by now, and returns all of it.

    Raises:
        UserError: an archive is missing, or --output was begun with other settings.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    cache_compilations()
    effort = Effort(*(getattr(options, name) for name in Effort._fields))
    everything = plan(tuple(CORPORA), tuple(SYSTEMS), options.seeds)
    wanted = plan(options.corpora, options.systems, options.seeds)
    done = [place for place in everything if (options.output / RUNS / place.name / OUTCOME).is_file()]
    cells = {place: fill_cell(options.output, options.data, place, effort) for place in done}
    for place in wanted:
        cells[place] = fill_cell(options.output, options.data, place, effort)
        say(f"{place.name}: lowest validation loss {cells[place]['best_loss']:.4f}")
        _write(cells, effort, options)
    found = document(cells, effort, options.seeds)
    for name, table in found["tables"].items():
        if table["rows"]:
            print_table(name, table["columns"], table["rows"], words=(0, 1))
    for sentence in found["contradictions"]:
        say(sentence)
    return found


def _write(cells: paper_tables.Cells, effort: Effort, options: Options) -> None:
    text = json.dumps(document(cells, effort, options.seeds), indent=1).encode()
    for folder in {options.output, options.results or options.output}:
        write_atomically(folder / "paper.json", text)
    if options.docs:
        draw(cells, options.docs / "paper.svg")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
