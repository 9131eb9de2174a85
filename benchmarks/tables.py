"""The tables of figures in README.md and docs/, made from the files in benchmarks/results.

    python -m ostinato.benchmarks.tables             # in a checkout: writes all tables into their pages
    python -m ostinato.benchmarks.tables --check     # says which pages are not current, and changes nothing

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`. NAME is one of TABLES, which is made
from what a benchmark writes, or FILE/NAME, which stands in benchmarks/results/FILE.json as it is, with its `command`.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import tyro

from ostinato.benchmarks.growing import sizes
from ostinato.benchmarks.rolls.table import PUBLISHED, TITLES
from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
_BLOCK = re.compile(r"^( *)(<!-- table: (\S+) -->\n).*?(?=^ *<!-- end of table -->)", re.DOTALL | re.MULTILINE)


class Table(NamedTuple):
    """What stands in a page."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Returns its lines."""
        lines = [self.heading, ["---"] * len(self.heading), *self.rows]
        return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def growing() -> Table:
    """What preparing collections of growing size takes."""
    return Table(*sizes.table_of(json.loads((RESULTS / "growing.json").read_text())))


def growing_flink() -> Table:
    """The same on Flink."""
    return Table(*sizes.table_of(json.loads((RESULTS / "growing_flink.json").read_text())))


def cells() -> Table:
    """NLL of the LSTM and the mLSTM at equal parameters and steps, a figure for each seed, and the mean difference."""
    titles = {"nottingham": "Nottingham"}
    rows = []
    for corpus, found in json.loads((RESULTS / "cells.json").read_text()).items():
        nats = [_of_all_seeds(found["runs"], cell, "nats per note") for cell in ("lstm", "mlstm")]
        mean = found["mean nats a note"]
        rows.append([titles.get(corpus, corpus), *nats, f"{mean['mlstm'] - mean['lstm']:.3f}"])
    return Table(["nats a note, test split", "LSTM", "mLSTM", "mLSTM is worse by"], rows)


def _of_all_seeds(runs: dict[str, dict[str, str]], network: str, figure: str) -> str:
    """Returns a figure of the runs of one network, which are called `network-seed`."""
    return ", ".join(run[figure] for name, run in runs.items() if name.startswith(f"{network}-"))


_FORM = (
    "nats per note", "Fréchet", "repetition at 8 quarters", "repetition at 16 quarters", "repetition at 32 quarters",
    "distinct bars", "block coherence", "repetition density", "pitch-class transition", "pieces that loop",
    "CPU s of training",
)  # fmt: skip


def networks(corpus: str, titles: dict[str, str]) -> Table:
    """Likelihood and form of networks at equal steps on one corpus, one figure for each seed."""
    found = json.loads((RESULTS / "networks.json").read_text())[corpus]
    runs, real = found["runs"], found["real music"]
    figures = [figure for figure in _FORM if figure in real]
    rows = [[figure, *(_of_all_seeds(runs, key, figure) for key in titles), real[figure]] for figure in figures]
    return Table([f"{found['steps']:,} steps", *titles.values(), "real music with itself"], rows)


def performances() -> Table:
    """How many performances of one work are found, the corpora with the most first."""
    found = json.loads((RESULTS / "performances.json").read_text())["recall"]
    names = {"pop909": "POP909", "giantmidi": "GiantMIDI", "freedoom": "Freedoom", "openmsx": "OpenMSX",
             "nottingham": "Nottingham", "jsfakes": "jsfakes (chorales)"}  # fmt: skip
    shares = sorted({share for one in found.values() for share in one}, key=float)
    heading = ["corpus", *("no wrong notes" if share == "0.0" else f"{float(share):.0%} wrong" for share in shares)]
    order = sorted(found, key=lambda corpus: -found[corpus][shares[-1]])
    rows = [[names.get(one, one), *(f"{found[one][share]:.0%}" for share in shares)] for one in order]
    return Table([cell.replace("%", " %") for cell in heading], [[c.replace("%", " %") for c in row] for row in rows])


def rolls() -> Table:
    """NLL of the published piano rolls, the best of the published models and ours, both columns."""
    results = json.loads((RESULTS / "rolls.json").read_text())["results"]
    shown = {"A": ("frame", ("LSTM, tuned (Zakovskis et al. 2021)", "TCN (Bai et al. 2018)")),
             "B": ("chord", ("RNN-NADE (Boulanger-Lewandowski et al. 2012)",))}  # fmt: skip
    rows: list[list[str]] = []
    for letter, (column, models) in shown.items():
        for model in models:
            scores = PUBLISHED[column][model]
            rows.append([f"{letter}: {model}", *(f"{scores[name]:.2f}" if name in scores else "" for name in TITLES)])
        ours = {
            name: [r["test_nats"] for r in results if (r["dataset"], r["column"]) == (name, column)] for name in TITLES
        }
        rows.append([f"{letter}: Ostinato", *(f"{mean(nats):.3f} ± {stdev(nats):.3f}" for nats in ours.values())])
    return Table(["", *TITLES.values()], rows)


def transfer() -> Table:
    """Fine-tuning: both tables of transfer.md side by side."""
    new, old = list(_tables((RESULTS / "transfer.md").read_text()))
    after = {(row[0], row[1]): row[2] for row in old.rows}
    rows = []
    for k, name, nats, _, less, interval, *_ in new.rows:
        name = "as pretrained" if name.startswith("pretrained") else name
        gain = f"{less} ({interval})" if less else ""
        rows.append(
            [k, name, nats, gain, after.get((k, name), after[k, "pretrained, not fine-tuned"] if k == "0" else "")]
        )
    return Table(["k", "", "chorales", "less than from scratch, 95 % over pieces", "old music"], rows)


TABLES: dict[str, Callable[[], Table]] = {
    "cells": cells,
    "networks_nottingham": lambda: networks(
        "nottingham",
        {"lstm": "LSTM with the gate", "two-lags": "gate of two lags", "no-gate": "LSTM", "transformer": "transformer"},
    ),
    "networks_nottingham_seeds": lambda: networks("nottingham_seeds", {"lstm": "LSTM with the gate"}),
    "networks_nottingham_metrical": lambda: networks(
        "nottingham_metrical", {"metrical": "with metrical inputs", "lstm": "without"}
    ),
    "networks_jsfakes": lambda: networks(
        "jsfakes", {"metrical": "with gate and metrical inputs", "lstm": "with the gate", "no-gate": "without"}
    ),
    "networks_pop909": lambda: networks("pop909", {"lstm": "with the gate", "no-gate": "without"}),
    "growing": growing,
    "growing_flink": growing_flink,
    "performances": performances,
    "rolls": rolls,
    "transfer": transfer,
}


def _tables(text: str) -> Iterator[Table]:
    """Yields the tables of a page in Markdown."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heading, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        yield Table(heading, rows)


def table(name: str) -> Table:
    """Returns a table by its name.

    Raises:
        UserError: there is none of this name.
    """
    if name in TABLES:
        return TABLES[name]()
    file, _, inner = name.partition("/")
    path = RESULTS / f"{file}.json"
    found = json.loads(path.read_text())["tables"] if inner and path.is_file() else {}
    if inner not in found:
        raise UserError(f"there is no table {name}; {path.name} has {', '.join(found) or 'none'}")
    return Table(found[inner]["columns"], found[inner]["rows"])


def current(page: str) -> str:
    """Returns a page with its tables as benchmarks/results has them."""

    def written(found: re.Match[str]) -> str:
        indent, mark, name = found.groups()
        return indent + mark + "".join(indent + line for line in table(name).markdown().splitlines(keepends=True))

    return _BLOCK.sub(written, page)


def pages() -> list[Path]:
    """Returns the pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True, kw_only=True)
class Options:
    check: bool = False
    """Change nothing; exit with 1 where a page is not current."""


def main(options: Options) -> int:
    """Writes the pages that have changed, and names them."""
    changed = {path: text for path in pages() if (text := current(path.read_text())) != path.read_text()}
    for path, text in changed.items():
        print(path.relative_to(ROOT))
        if not options.check:
            write_atomically(path, text.encode())
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
