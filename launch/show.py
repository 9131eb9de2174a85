"""Prints what datasets and runs hold, for people and for scripts."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table


def spinner(text: str) -> Status:
    """Returns a context that shows on a terminal that work goes on, and says nothing elsewhere."""
    return Console(stderr=True).status(text)


def print_table(title: str, heading: list[str], cells: list[list[str]]) -> None:
    """Prints a table: the first column to the left, figures to the right."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(heading):
        table.add_column(name, justify="right" if number else "left")
    for row in cells:
        table.add_row(*row)
    console = Console()
    # A table for a file or a pipe is not squeezed into 80 columns.
    Console(width=None if console.is_terminal else 120).print(table)


def show_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Prints what a dataset holds and what was left out of it."""
    heading = ["split", "pieces", "rows", "notes", "shards"]
    cells = [
        [name, *(f"{split[key]:,}" for key in ("pieces", "steps", "notes")), str(len(split["shards"]))]
        for name, split in manifest["splits"].items()
    ]
    print_table(str(path), heading, cells)
    counts = manifest.get("counts")
    if counts:
        line = "{inputs:,} inputs: {accepted:,} accepted, {duplicates:,} duplicates, {rejected:,} rejected".format(
            **counts
        )
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in manifest["rejected_by_reason"].items())
        Console().print(line + (f" ({reasons}; see rejects.jsonl)" if reasons else ""), highlight=False)


def show_dataset(path: Path, split: str, number: int) -> None:
    """Prints a dataset's manifest and the first rows of one piece."""
    from ostinato.music.records import Dataset

    dataset = Dataset.open(path)
    show_manifest(path, dataset.manifest)
    source = dataset.source(split)
    if not 0 <= number < len(source):
        raise ValueError(f"{path}: the {split} split has pieces 0 to {len(source) - 1}, not {number}")
    record = source[number]
    piece = dataset.codec.decode(record.steps)
    style = f", style {record.style}" if record.style else ""
    Console().print(
        f"piece {number} of {split}: {piece.num_notes} notes, {piece.duration_s:.1f} s{style}, id {record.id[:16]}",
        highlight=False,
    )
    rows = [[str(i), *map(str, row)] for i, row in enumerate(record.steps[:24].tolist())]
    print_table("its first rows", ["row", *(field.name for field in dataset.codec.fields)], rows)


def show_run(workdir: Path, *, as_json: bool) -> None:
    """Prints how far a run is."""
    from ostinato.train.runs import show

    state = show(workdir)
    if as_json:
        print(json.dumps(state))
        return
    cells = [[name, str(value)] for name, value in state.items() if not isinstance(value, dict)]
    print_table(str(workdir), ["", ""], cells)


def show_runs(folder: Path) -> None:
    """Prints one line for each run in a folder."""
    from ostinato.train.checkpoint import FOLDER
    from ostinato.train.runs import show

    workdirs = sorted(path.parent for path in folder.glob(f"**/{FOLDER}") if path.is_dir())
    if not workdirs:
        raise ValueError(f"{folder}: no training run in it; run 'ostinato train' first")
    cells = []
    for workdir in workdirs:
        state = show(workdir)
        best = state["best_validation_loss"]
        cells.append(
            [
                str(workdir),
                str(state["step"]),
                "yes" if state["finished"] else "no",
                "" if best is None else f"{best:.4f} at {state['best_step']}",
            ]
        )
    print_table(str(folder), ["run", "step", "finished", "best validation loss"], cells)
