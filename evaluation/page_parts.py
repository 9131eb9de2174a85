"""What the page of an evaluation is built from: tables, figures, and text from outside."""

from collections.abc import Sequence, Set

from ostinato.evaluation.tables import Rows
from ostinato.report.text import as_html


def figure(svg: str, caption: str = "") -> str:
    """Returns a picture with what stands under it."""
    said = f"<figcaption>{as_html(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{said}</figure>"


def table(
    rows: Rows, *, ours: Set[str] = frozenset(), human: str = "", words: Sequence[int] = (0,), caption: str = ""
) -> str:
    """Returns a table, or nothing where it has no rows.

    Args:
        rows: headings and cells.
        ours: names in the first column that are set off.
        human: the name of the row of human music.
        words: columns that hold words, which may break.
        caption: what stands above it.
    """
    heading, cells = rows
    if not cells:
        return ""
    kinds = [' class="words"' if number in words else "" for number in range(len(heading))]
    head = "".join(f'<th scope="col"{kind}>{as_html(cell)}</th>' for kind, cell in zip(kinds, heading, strict=True))
    body = "".join(
        f"<tr{' class=ours' if row[0] in ours else ' class=human' if human and row[0] == human else ''}>"
        + "".join(f"<td{kind}>{as_html(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in cells
    )
    said = f'<p class="soft">{as_html(caption)}</p>' if caption else ""
    found = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'{said}<div class="scroll" tabindex="0">{found}</div>'
