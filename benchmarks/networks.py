"""The network of the preset `chorales` beside others, at equal steps, on this machine's CPU.

    python -m ostinato.benchmarks.networks DATASET … --networks lstm mlstm --output FOLDER --num-steps 400 --seeds 0 1

Trains each network on each dataset with each seed, one after the other, and measures them all with `ostinato evaluate`
as `benchmarks.form` shows it. What is already in the folder is not done again.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from ostinato.benchmarks.form import rows
from ostinato.benchmarks.processes import run
from ostinato.launch.commands.show import print_table

NETWORKS = {
    "lstm": (),
    "mlstm": ("--model.cell", "mlstm", "--model.hidden-size", "272", "--optimizer.learning-rate", "1e-3"),
    "metrical": ("--model.metrical-inputs",),
    "two-lags": ("--model.copy-lags", "1", "2"),
    "no-gate": ("--model.no-copy",),
    "transformer": (
        *("--model.no-copy", "--model.cell", "transformer", "--model.num-layers", "4"),
        *("--model.hidden-size", "144", "--model.embedding-size", "144", "--optimizer.learning-rate", "2e-3"),
    ),
    "plain": ("--model.no-copy", "--model.norm", "none", "--data.misheard", "0", "--data.no-mark-transposed"),
}
"""Options of each. Of the preset's 1,510,379 parameters are in 2 layers of 256 units, embeddings and head 1,450,367;
matrix memory has 1,508,827 and the transformer, which has no gate either, 1,453,711; the learning rate of 4e-3 is too
much for both. Two lags are those of magenta's lookback encoder. `plain` has neither the pre-norm residual stream nor
what only the gate asks of the data.
"""


def train(dataset: Path, folder: Path, network: str, seed: int, num_steps: int) -> float:
    """Trains a run, if it is not there yet, and returns the CPU seconds that it took, with compiling and validation."""
    noted = folder / "cpu_s.json"
    if not noted.exists():
        words = "train", "--dataset", str(dataset), "--workdir", str(folder), "chorales", *NETWORKS[network]
        steps = "--seed", str(seed), "--num-steps", str(num_steps), "--evaluate-every", str(num_steps // 2)
        cost = run([sys.executable, "-m", "ostinato", *words, *steps])
        noted.write_text(json.dumps(cost.cpu_s))
    return float(json.loads(noted.read_text()))


def compare(
    dataset: Path, folder: Path, networks: list[str], seeds: list[int], num_steps: int, num_samples: int
) -> dict[str, Any]:
    """Prints the table of one dataset, and returns what is in it, and the mean nats a note of each network."""
    runs = {f"{network}-{seed}": (network, seed) for seed, network in itertools.product(seeds, networks)}
    cpu_s = {name: train(dataset, folder / name, *each, num_steps) for name, each in runs.items()}
    report = folder / "report" / "report.json"
    if not report.exists():
        first, *others = [str(folder / name) for name in runs]
        options = "--num-samples", str(num_samples), "--no-audio", "--output", str(report.parent)
        run([sys.executable, "-m", "ostinato", "evaluate", "--workdir", first, "--runs", *others,
             "--dataset", str(dataset), *options])  # fmt: skip
    found = json.loads(report.read_text())
    heading, *figures = rows(found)
    names = [Path(row[0]).name.split(" ")[0] for row in figures[:-1]]
    columns = [[*row, f"{cpu_s[name]:.0f}"] for name, row in zip(names, figures, strict=False)]
    columns.append([*figures[-1], ""])  # real music
    heading = [*heading[1:], "CPU s of training"]
    table = list(zip(heading, *(column[1:] for column in columns), strict=True))
    print_table(f"{dataset.name}, {num_steps} steps", ("", *names, "real music"), table)
    nats = {Path(score["name"]).name.split(" ")[0]: score["nats_per_note"] for score in found["splits"]["test"]}
    return {
        "steps": num_steps,
        "mean nats a note": {network: mean(nats[f"{network}-{seed}"] for seed in seeds) for network in networks},
        "runs": {
            name: dict(zip(heading, column[1:], strict=True)) for name, column in zip(names, columns, strict=False)
        },
        "real music": dict(zip(heading, columns[-1][1:], strict=True)),
    }


def main() -> None:
    """Measures each dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lstm", "mlstm"])
    parser.add_argument("--output", type=Path, required=True, help="folder for runs and reports")
    parser.add_argument("--num-steps", type=int, default=400)
    parser.add_argument("--num-samples", type=int, default=32, help="pieces that each run writes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--results", type=Path, help="a JSON file for the numbers")
    arguments = parser.parse_args()
    found = {}
    for dataset in arguments.datasets:
        folder = arguments.output / dataset.name
        found[dataset.name] = compare(
            dataset, folder, arguments.networks, arguments.seeds, arguments.num_steps, arguments.num_samples
        )
        if arguments.results:
            arguments.results.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
