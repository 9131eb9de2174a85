"""Text from outside on a page or a terminal: names of files, pieces and styles may hold anything."""

import unicodedata


def printable(text: str) -> str:
    """Returns text in which control characters, marks that change the direction and broken bytes are written out.

    So is all that takes no place, such as U+200B. Letters of any script, and spaces of any width, stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """Returns printable text that may have lines and tabs of its own."""
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
