"""The part of an evaluation's page that people have spoken in, if there was a listening test."""

from typing import Any, NamedTuple

from ostinato.evaluation.page_parts import table
from ostinato.evaluation.tables import Rows
from ostinato.report.text import as_html


class Listening(NamedTuple):
    """What a listening test found, in the words and tables of the stage that held it."""

    results: dict[str, Any]
    """For report.json."""
    sentences: list[str]
    tables: dict[str, Rows]
    """Headings and cells, by title."""


def listening_section(listening: Listening | None) -> str:
    """Returns a section of the page, or nothing."""
    if listening is None:
        return ""
    tables = "".join(f"<h3>{as_html(title)}</h3>{table(rows)}" for title, rows in listening.tables.items() if rows[1])
    return f"<h2>What people heard</h2>{''.join(f'<p>{as_html(line)}</p>' for line in listening.sentences)}{tables}"
