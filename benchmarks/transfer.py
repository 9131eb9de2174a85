"""What pretraining is worth: a small style learnt from k pieces, from scratch and from a model of other music.

    ostinato prepare --midi pop909.zip nottingham.zip giantmidi.zip --output OLD --codec.style none
    ostinato prepare --midi jsfakes.zip --output NEW --codec.style none --duplicates variants
    python -m ostinato.benchmarks.transfer --old OLD --new NEW --output FOLDER [--seeds 3 2 1]

Pretrains on OLD, then learns from k training pieces of NEW with each method of `transfer_runs.METHODS`, and measures
all on the same held-out pieces of both. What is done is kept in FOLDER: the same command goes on from there, also with
more seeds. Prints two tables and one line of JSON; --results and --docs write them for the repository.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.benchmarks.prepared import console
from ostinato.benchmarks.transfer_data import keep_apart
from ostinato.benchmarks.transfer_page import draw, markdown_table, new_rows, old_rows, ratios, summarise
from ostinato.benchmarks.transfer_runs import (
    FINE_TUNED,
    METHODS,
    SCRATCH,
    Effort,
    open_bench,
    pretrain,
    small_runs,
)
from ostinato.configs.schema import ModelConfig
from ostinato.data.records import Dataset
from ostinato.launch.cache import cache_compilations
from ostinato.launch.commands.show import print_table

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


def run(output: Path, new: Dataset, old: Dataset, effort: Effort, seeds: Sequence[int]) -> dict[str, Any]:
    """Trains and measures everything that is not there yet, and returns the figures.

    Args:
        output: keeps what is done.
        new: dataset of the small style.
        old: dataset to pretrain on.
        effort: how much is done.
        seeds: runs of each kind, for each k.
    """
    if new.codec.to_json() != old.codec.to_json():
        raise SystemExit(f"{new.path} and {old.path} have different codecs; prepare both with --codec.style none")
    apart = keep_apart(new, old)
    console.print(
        f"{len(apart.train)} training pieces to choose from, {apart.left_out} left out since a held-out one repeats "
        f"them; no held-out piece is in the old corpus of {apart.old_pieces}",
        highlight=False,
    )
    bench = open_bench(output, new, old, apart, effort)
    pretrained = pretrain(bench)
    outcomes = []
    for task, outcome in small_runs(bench, seeds):
        outcomes.append((task, outcome))
        nats = {name: sum(outcome["nats"][name]) / held.material.notes_p.sum() for name, held in bench.held_out.items()}
        console.print(
            f"{task.name}: validation loss {outcome['validation_loss']:.4f} at step {outcome['best_step']} of "
            f"{outcome['steps']}, nats/note {nats['new']:.3f} new, {nats['old']:.3f} old",
            highlight=False,
        )
    return summarise(bench, pretrained, outcomes)


def main() -> None:
    """Reads the flags, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, help="dataset to pretrain on")
    parser.add_argument("--new", type=Path, required=True, help="dataset of the small style")
    parser.add_argument("--output", type=Path, default=Path("transfer"), help="keeps runs and outcomes")
    sizes = [num_pieces for num_pieces, _ in Effort().num_steps]
    parser.add_argument("--pieces", type=int, nargs="+", choices=sizes, default=sizes, help="k, ascending")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], help="runs of each kind, each with other pieces; or one for each k"
    )
    parser.add_argument("--results", type=Path, help="folder for transfer.json and transfer.md")
    parser.add_argument("--docs", type=Path, help="folder for transfer.svg")
    parser.add_argument("--smoke", action="store_true", help="tiny models for seconds, to see that it runs")
    options = parser.parse_args()
    seeds = options.seeds * len(options.pieces) if len(options.seeds) == 1 else options.seeds
    if len(seeds) != len(options.pieces) or min(seeds) < 1:
        parser.error(f"--seeds {options.seeds} must be one number, or one for each of {len(options.pieces)} k")
    options.output.mkdir(parents=True, exist_ok=True)
    cache_compilations()
    steps = tuple((num_pieces, steps) for num_pieces, steps in Effort().num_steps if num_pieces in options.pieces)
    effort = SMOKE if options.smoke else Effort(num_steps=steps)
    new, old = Dataset.open(options.new), Dataset.open(options.old)
    summary = run(options.output, new, old, effort, seeds[: len(effort.num_steps)])
    tables = {
        f"Held-out pieces of the new corpus ({summary['held_out']['new']['pieces']})": new_rows(summary),
        f"Held-out pieces of the old corpus ({summary['held_out']['old']['pieces']})": old_rows(summary),
    }
    for title, (heading, cells) in tables.items():
        print_table(title, heading, cells, words=(0, 1))
    summary = {"ratios": ratios(summary), "seeds": options.seeds, **summary}
    if options.results:
        (options.results / "transfer.json").write_text(json.dumps(summary, indent=1) + "\n")
        text = "".join(f"\n## {title}\n\n{markdown_table(*table)}" for title, table in tables.items())
        (options.results / "transfer.md").write_text(
            f"# `python -m ostinato.benchmarks.transfer --seeds {' '.join(map(str, options.seeds))}`\n\n"
            f"What is what: [docs/transfer.md](../../docs/transfer.md).\n{text}"
        )
    if options.docs:
        draw(summary, options.docs / "transfer.svg")
    print(json.dumps({"ratios": summary["ratios"]}))


if __name__ == "__main__":
    main()
