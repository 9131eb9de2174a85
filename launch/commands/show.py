"""Prints what datasets and runs hold, for people and for scripts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ostinato.configs.errors import UserError

SHOWN_ROWS = 24


def spinner(text: str) -> Status:
    """Returns a context that shows on a terminal that work goes on, and says nothing elsewhere."""
    return Console(stderr=True).status(text)


def print_table(title: str, heading: list[str], cells: list[list[str]], *, words: Sequence[int] = (0,)) -> None:
    """Prints a table: the columns of words to the left, figures to the right."""
    table = Table(title=Text(title), title_justify="left")
    for number, name in enumerate(heading):
        table.add_column(Text(name), justify="left" if number in words else "right", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # plain text: names of files and styles may look like rich's markup
    console = Console()
    # A table for a file or a pipe is not squeezed into 80 columns.
    Console(width=None if console.is_terminal else 120).print(table)


def show_prepared(output: str, manifest: dict[str, Any]) -> None:
    """Prints what a dataset holds that has just been prepared, here or in another store."""
    from ostinato.beam_pipelines.inputs import files

    if not files.is_remote(output):
        show_manifest(Path(output), manifest)
        return
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        name = "statistics.json"
        Path(folder, name).write_bytes(files.read_bytes(files.join(output, name)))
        show_manifest(Path(folder), manifest, title=output)
    Console().print(f"see {files.join(output, 'report.html')}", highlight=False, markup=False, soft_wrap=True)


def show_manifest(path: Path, manifest: dict[str, Any], *, title: str = "") -> None:
    """Prints what a dataset holds and what was left out of it, under its path or another title."""
    from ostinato.beam_pipelines import summary as tables

    summary = tables.summarise(path, manifest)
    splits = tables.split_table(summary)
    print_table(title or str(path), splits.heading, splits.rows)
    line = tables.counts_line(summary)
    if line:
        Console().print(line, highlight=False)
    for key in tables.COUNTED:
        _print_if_any(tables.count_table(summary, key))
    if (path / "report.html").is_file():
        Console().print(f"see {path / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def show_dataset(path: Path, split: str, number: int) -> None:
    """Prints the tables of a dataset's report, and one piece: its first notes and its first rows."""
    from ostinato.beam_pipelines import summary as tables
    from ostinato.beam_pipelines.text import NO_STATISTICS
    from ostinato.data.records import Dataset
    from ostinato.report.text import printable

    dataset = Dataset.open(path)
    source = dataset.source(split)
    if not 0 <= number < len(source):
        raise UserError(f"{path}: the {split} split has pieces 0 to {len(source) - 1}, not {number}")
    show_manifest(path, dataset.manifest)
    summary = tables.summarise(path, dataset.manifest)
    if summary.splits:
        for table in (tables.style_table(summary), tables.music_table(summary), tables.program_table(summary)):
            _print_if_any(table)
    else:
        Console().print(NO_STATISTICS, highlight=False)
    record = source[number]
    piece = dataset.codec.decode(record.steps)
    style = f", style {printable(record.style)}" if record.style else ""
    Console().print(
        f"piece {number} of {split}: {piece.num_notes} notes, {piece.duration_s:.1f} s{style}, id {record.id[:16]}",
        highlight=False,
        markup=False,
    )
    heading = ["beat", "instrument", "pitch", "length", "velocity"]
    print_table("its first notes", heading, _first_notes(piece), words=(1,))
    rows = [[str(i), *map(str, row)] for i, row in enumerate(record.steps[:SHOWN_ROWS].tolist())]
    print_table("its first rows", ["row", *(field.name for field in dataset.codec.fields)], rows)


def _print_if_any(table: Any) -> None:
    from ostinato.report.text import printable

    if table.rows:
        cells = [[printable(cell) for cell in row] for row in table.rows]
        print_table(table.title, table.heading, cells, words=table.words)


def _first_notes(piece: Any) -> list[list[str]]:
    """Returns onset in quarter notes, instrument, pitch, length in quarter notes and velocity."""
    from ostinato.beam_pipelines.text import note_name
    from ostinato.music.midi_write import instrument_name
    from ostinato.music.piece import DRUMS

    columns = (piece.notes.onset, piece.notes.duration, piece.notes.pitch, piece.notes.velocity, piece.notes.program)
    rows = zip(*(column[:SHOWN_ROWS].tolist() for column in columns), strict=True)
    return [
        [
            f"{onset / piece.ticks_per_quarter:.2f}",
            instrument_name(program),
            str(pitch) if program == DRUMS else note_name(pitch),
            f"{duration / piece.ticks_per_quarter:.2f}",
            str(velocity),
        ]
        for onset, duration, pitch, velocity, program in rows
    ]
