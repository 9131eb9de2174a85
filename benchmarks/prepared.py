"""One run of `ostinato prepare` as the benchmarks measure it, and how they show what they measured."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ostinato.benchmarks.processes import Cost, run

KEEP_ALL = ("--duplicates", "keep", "--min-notes", "1")
"""What we are compared with writes every file, so that we do too; finding duplicates is in our time all the same."""

console = Console(width=110)


class Prepared(NamedTuple):
    """What a run took and what came out."""

    cost: Cost
    manifest: dict[str, Any]
    rejected: set[str]
    """Paths."""


def prepare(inputs: Sequence[Path], output: Path, *options: str) -> Prepared:
    """Runs the command in processes of its own and removes the dataset."""
    ostinato = str(Path(sys.executable).with_name("ostinato"))
    cost = run([ostinato, "prepare", "--midi", *map(str, inputs), "--output", str(output), *options])
    manifest = json.loads((output / "manifest.json").read_text())
    rejected = {json.loads(line)["path"] for line in (output / "rejects.jsonl").read_text().splitlines()}
    shutil.rmtree(output)
    return Prepared(cost, manifest, rejected)


def make_table(title: str, headings: Sequence[str]) -> Table:
    """Returns an empty table; the column without a heading names the rows."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    return table
