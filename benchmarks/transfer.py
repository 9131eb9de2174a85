"""What pretraining is worth: a small style learnt from k pieces, from scratch and from a model of other music.

    ostinato prepare --midi pop909.zip nottingham.zip giantmidi.zip --output OLD --codec.style none
    ostinato prepare --midi jsfakes.zip --output NEW --codec.style none --duplicates variants
    python -m ostinato.benchmarks.transfer --old OLD --new NEW --output FOLDER [--seeds 3 2 1]

Pretrains on OLD, then learns from k training pieces of NEW with each method of `transfer_runs.METHODS`, and measures
all on the same held-out pieces of both. What is done is kept in FOLDER: the same command goes on from there, also with
more seeds. Prints two tables and one line of JSON; --results and --docs write them for the repository.

Letters: s seeds, p pieces.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from jaxtyping import Float

from ostinato.benchmarks import figures
from ostinato.benchmarks.transfer_data import keep_apart
from ostinato.benchmarks.transfer_runs import (
    FINE_TUNED,
    METHODS,
    SCRATCH,
    Bench,
    Effort,
    Task,
    open_bench,
    pretrain,
    small_runs,
)  # fmt: skip
from ostinato.configs.errors import UserError
from ostinato.configs.schema import ModelConfig
from ostinato.data.records import Dataset
from ostinato.evaluation.bootstrap import interval, resampled_sums
from ostinato.launch.cache import cache_compilations
from ostinato.launch.commands.show import print_table, say

SMOKE = Effort(
    methods=(SCRATCH._replace(learning_rates=(4e-3, 2e-3)), FINE_TUNED._replace(learning_rates=(1e-3,)), *METHODS[2:]),
    model=ModelConfig(embedding_size=8, hidden_size=16, num_layers=2, head_size=8),
    pretrain_steps=4,
    pretrain_evaluations=1,
    num_steps=((2, 2),),
    num_evaluations=1,
    batch_size=4,
    sequence_length=16,
    num_validation=2,
    num_old=4,
)


class Row(NamedTuple):
    """What one method needs on held-out music after k pieces; of each seed the best learning rate counts."""

    k: int
    method: str
    learning_rate: float
    best_steps: list[int]
    nats_sp: dict[str, Float[np.ndarray, "s p"]]
    """By the names new and old."""


def run(output: Path, new: Dataset, old: Dataset, effort: Effort, seeds: Sequence[int]) -> tuple[Bench, list[Row]]:
    """Trains and measures everything that is not there yet; the first row is the pretrained model as it is.

    Args:
        output: keeps what is done.
        new: dataset of the small style.
        old: dataset to pretrain on.
        effort: how much is done.
        seeds: runs of each kind, for each k.
    """
    if new.codec.to_json() != old.codec.to_json():
        raise UserError(f"{new.path} and {old.path} have different codecs; prepare both with --codec.style none")
    apart = keep_apart(new, old)
    say(
        f"{len(apart.train)} training pieces to choose from, {apart.left_out} left out since a held-out one repeats "
        f"them; no held-out piece is in the old corpus of {apart.old_pieces}"
    )
    bench = open_bench(output, new, old, apart, effort)
    pretrained = pretrain(bench)
    outcomes = []
    for task, outcome in small_runs(bench, seeds):
        outcomes.append((task, outcome))
        say(
            f"{task.name}: validation loss {outcome['validation_loss']:.4f} at step {outcome['best_step']} of "
            f"{outcome['steps']}"
        )
    nats_sp = {name: np.array([nats]) for name, nats in pretrained["nats"].items()}
    as_it_is = Row(0, "pretrained, not fine-tuned", np.nan, [pretrained["best_step"]], nats_sp)
    return bench, [as_it_is, *collect(outcomes)]


def collect(outcomes: Iterable[tuple[Task, dict[str, Any]]]) -> list[Row]:
    """Returns a row for each k and method: of each seed the run with the lowest validation loss counts."""
    best: dict[tuple[int, str], dict[int, tuple[Task, dict[str, Any]]]] = defaultdict(dict)
    for task, outcome in outcomes:
        by_seed = best[task.num_pieces, task.method.name]
        if task.seed not in by_seed or outcome["validation_loss"] < by_seed[task.seed][1]["validation_loss"]:
            by_seed[task.seed] = task, outcome
    rows = []
    for (k, method), by_seed in best.items():
        tasks, found = zip(*by_seed.values(), strict=True)
        nats_sp = {name: np.array([one["nats"][name] for one in found]) for name in found[0]["nats"]}
        rows.append(Row(k, method, tasks[0].learning_rate, [one["best_step"] for one in found], nats_sp))
    return rows


def table_of(rows: Sequence[Row], corpus: str, notes_p: Float[np.ndarray, " p"]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of nats per held-out note of the new corpus, or of the old one and what was forgotten.

    The seeds' mean on each piece is compared, with a paired bootstrap over the held-out pieces.
    """
    is_new = corpus == "new"
    heading = ["k", "", "nats/note", "seeds", "less than from scratch" if is_new else "more than before", "95 %"]
    scratch = {row.k: row.nats_sp["new"] for row in rows if row.method == SCRATCH.name}
    cells = []
    for row in rows:
        if row.method == SCRATCH.name and not is_new:
            continue
        nats_sp = row.nats_sp[corpus]
        difference = ["", ""]
        if row.k and not is_new:
            difference = _difference(rows[0].nats_sp["old"], nats_sp, notes_p)
        elif row.k in scratch and row.method != SCRATCH.name:
            difference = _difference(nats_sp, scratch[row.k], notes_p)
        seeds = ", ".join(f"{nats / notes_p.sum():.3f}" for nats in nats_sp.sum(1)) if row.k else ""
        line = [str(row.k), row.method, f"{nats_sp.mean(0).sum() / notes_p.sum():.3f}", seeds, *difference]
        if is_new:
            line += [f"{row.learning_rate:g}", ", ".join(map(str, row.best_steps))] if row.k else ["", ""]
        cells.append(line)
    return heading + (["learning rate", "best step"] if is_new else []), cells


def _difference(ours_sp: np.ndarray, theirs_sp: np.ndarray, notes_p: np.ndarray) -> list[str]:
    """Returns by how much ours needs fewer nats a note than theirs, and the interval."""
    sums_pc = np.stack([theirs_sp.mean(0) - ours_sp.mean(0), notes_p], axis=1)
    less, notes = sums_pc.sum(0)
    if len(notes_p) < 2:
        return [f"{less / notes:.3f}", ""]
    less_r, notes_r = resampled_sums(sums_pc).T
    low, high = interval(less_r / notes_r)
    return [f"{less / notes:.3f}", f"{low:.3f}–{high:.3f}"]  # noqa: RUF001  # an interval


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Returns how many times the nats of held-out new music are from scratch what they are otherwise."""
    nats = {(row.k, row.method): row.nats_sp["new"].mean(0).sum() for row in rows if row.k}
    return {
        f"k = {k}: nats per note, from scratch over {method}": round(nats[k, SCRATCH.name] / one, 3)
        for (k, method), one in nats.items()
        if method != SCRATCH.name and (k, SCRATCH.name) in nats
    }


def draw(rows: Sequence[Row], notes_p: dict[str, np.ndarray], output: Path) -> None:
    """Draws nats per note over k, on both corpora; bars are the lowest and the highest seed."""
    figure, panels = figures.new_figure(2, 9, 3.6)
    titles = {"new": "new corpus", "old": "old corpus: what was forgotten"}
    for panel, (corpus, title) in zip(panels, titles.items(), strict=True):
        seeds = {(row.k, row.method): row.nats_sp[corpus].sum(1) / notes_p[corpus].sum() for row in rows}
        for number, method in enumerate(METHODS):
            sizes = sorted(k for k, name in seeds if name == method.name)
            if not sizes or (corpus == "old" and not method.is_pretrained):
                continue
            found = [seeds[k, method.name] for k in sizes]
            means, lows, highs = (np.array([pick(one) for one in found]) for pick in (np.mean, np.min, np.max))
            places = np.array(sizes) * 1.03 ** (number - 1.5)  # side by side, since some lie on one another
            bars = [means - lows, highs - means]
            panel.errorbar(places, means, bars, fmt="o-", ms=3, color=f"C{number}", label=method.name)
        panel.axhline(seeds[0, rows[0].method].mean(), color="grey", ls=":", label=rows[0].method)
        panel.set_xscale("log")
        panel.set_xticks(sorted({k for k, _ in seeds if k}))
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.minorticks_off()
        panel.set(title=title, xlabel="pieces to learn from", ylabel="nats per held-out note")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figures.save(figure, output)


@dataclass(frozen=True, kw_only=True)
class Options:
    old: Path
    """Dataset to pretrain on."""
    new: Path
    """Dataset of the small style."""
    output: Path = Path("transfer")
    """Keeps runs and outcomes."""
    pieces: tuple[int, ...] = tuple(k for k, _ in Effort().num_steps)
    """k, ascending."""
    seeds: tuple[int, ...] = (1,)
    """Runs of each kind, each with other pieces; or one number for each k."""
    results: Path | None = None
    """Folder for transfer.md."""
    docs: Path | None = None
    """Folder for transfer.svg."""
    smoke: bool = False
    """Tiny models for seconds, to see that it runs."""


def main(options: Options) -> None:
    """Runs, prints and writes what was asked for."""
    known = dict(Effort().num_steps)
    effort = SMOKE if options.smoke else Effort(num_steps=tuple((k, known[k]) for k in options.pieces))
    num_kinds = len(effort.num_steps)
    seeds = options.seeds * num_kinds if len(options.seeds) == 1 else options.seeds
    if len(seeds) != num_kinds:
        raise SystemExit(f"--seeds {options.seeds} must be one number, or one for each of {num_kinds} k")
    options.output.mkdir(parents=True, exist_ok=True)
    cache_compilations()
    bench, rows = run(options.output, Dataset.open(options.new), Dataset.open(options.old), effort, seeds)
    notes_p = {corpus: held.material.notes_p for corpus, held in bench.held_out.items()}
    text = f"# `python -m ostinato.benchmarks.transfer --seeds {' '.join(map(str, options.seeds))}`\n\n"
    text += "What is what: [docs/transfer.md](../../docs/transfer.md).\n"
    for corpus, notes in notes_p.items():
        title = f"Held-out pieces of the {corpus} corpus ({len(notes)})"
        heading, cells = table_of(rows, corpus, notes)
        print_table(title, heading, cells, words=(0, 1))
        lines = [heading, [("---" if name in ("", "k") else "---:") for name in heading], *cells]
        text += f"\n## {title}\n\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines)
    if options.results:
        (options.results / "transfer.md").write_text(text)
    if options.docs:
        draw(rows, notes_p, options.docs / "transfer.svg")
    print(json.dumps({"ratios": ratios(rows)}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
