"""Prints lines and tables; rich is imported where it draws, so that `--help` opens without it."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.beam_pipelines.summary import Table

logger = logging.getLogger(__name__)

COMPILING = "compiling takes up to a minute the first time"
"""What keeps the first use of a network waiting."""


def say(*lines: str) -> None:
    """Prints lines as they are, however long. Names in them may hold anything, also what no terminal should get."""
    from rich.console import Console

    from ostinato.report.text import printable

    for line in lines:
        Console().print(printable(line), highlight=False, markup=False, soft_wrap=True)


def starting(line: str, *names: object) -> None:
    """Logs what a command is about to do. Names may hold anything, which not only our own log has to stand."""
    from ostinato.report.text import printable

    logger.info(line, *(printable(str(name)) for name in names))


def spinner(text: str) -> AbstractContextManager[object]:
    """Returns a context that shows on a terminal that work goes on, and says nothing elsewhere."""
    from rich.console import Console

    return Console(stderr=True).status(text)


def print_table(
    title: str, heading: Sequence[str], cells: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)
) -> None:
    """Prints a table: the columns of words to the left, figures to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ostinato.report.text import printable

    def plain(name: str) -> Text:  # names of files and styles may look like rich's markup, and hold anything
        return Text(printable(name))

    table = Table(title=plain(title), title_justify="left")
    for number, name in enumerate(heading):
        table.add_column(plain(name), justify="left" if number in words else "right", overflow="fold")
    for row in cells:
        table.add_row(*map(plain, row))
    # A table for a file or a pipe is not squeezed into 80 columns.
    Console(width=None if Console().is_terminal else 120).print(table)


def show_manifest(path: Path, manifest: Mapping[str, Any], *, title: str = "") -> None:
    """Prints what a dataset holds and what was left out of it, under its path or another title."""
    from ostinato.beam_pipelines import summary as tables

    summary = tables.summarise(path, manifest)
    splits = tables.split_table(summary)
    print_table(title or str(path), splits.heading, splits.rows)
    line = tables.counts_line(summary)
    if line:
        say(line)
    for key in tables.COUNTED:
        print_rows(tables.count_table(summary, key))
    print_rows(tables.note_table(summary))
    if (path / "report.html").is_file():
        say(f"see {path / 'report.html'}")


def print_rows(table: "Table") -> None:
    """Prints a table of a dataset's report, if it has rows."""
    if table.rows:
        print_table(table.title, table.heading, table.rows, words=table.words)
