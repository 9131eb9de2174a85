"""Text from outside on a page: names of files, pieces and styles may hold anything."""

import html


def printable(text: str) -> str:
    """Returns text in which control characters, marks that change the direction and broken bytes are written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def as_html(text: str) -> str:
    """Returns any text as it may stand in HTML, in an attribute too."""
    return html.escape(printable(text))
