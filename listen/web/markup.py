"""What all pages of a listening test are made of: the document around them, groups of answers, lists, links.

What comes from a study or a listener goes through `html.escape`.
"""

import functools
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

STATIC_FILES = {
    "listen.css": "text/css; charset=utf-8",
    "listen.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What every page loads."""

STATIC_SCRIPT = "static.js"
"""Does the server's part in the static export."""


class Screen(NamedTuple):
    """What one page shows."""

    title: str
    body: str
    kind: str = "words"
    """`task` where clips are heard."""


def read_static(name: str) -> bytes:
    """Returns a style sheet, script or picture of ours."""
    return importlib.resources.files("ostinato.listen.web").joinpath("static", name).read_bytes()


@functools.cache
def version_of(name: str) -> str:
    """Returns what changes when a file of ours changes, so that browsers may keep it."""
    return hashlib.sha256(read_static(name)).hexdigest()[:12]


def document(
    screen: Screen, study_title: str, *, root: str, scripts: Sequence[str] = ("listen.js",), policy: str = ""
) -> str:
    """Returns a whole page.

    Args:
        screen: what it shows.
        study_title: stands behind its title.
        root: the path of the study, with a slash at its end.
        scripts: run when the page is there, in this order.
        policy: a content security policy, where no server sends one.
    """
    loaded = "\n".join(f'<script src="{static_path(root, name)}" defer></script>' for name in scripts)
    meta = f'\n<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">' if policy else ""
    title = screen.title if screen.title == study_title else f"{screen.title} · {study_title}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">{meta}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{escape(title)}</title>
<link rel="icon" href="{static_path(root, "icon.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="{static_path(root, "listen.css")}">
{loaded}
</head>
<body class="{screen.kind}">
<a class="skip" href="#content">Skip to the content</a>
{screen.body}
</body>
</html>
"""


def static_path(root: str, name: str) -> str:
    """Returns where a file of ours is found."""
    return f"{escape(root)}static/{name}?v={version_of(name)}"


ORNAMENT = '<div class="stave ornament" aria-hidden="true">' + '<i class="done"></i>' * 8 + "</div>"
"""An ostinato, once."""


def choices(name: str, ask: str, labels: Mapping[str, str], given: Mapping[str, str], layout: str) -> str:
    """Returns a question with one answer of several, each a radio button; `given` says which is chosen."""
    options = "\n".join(
        f'<label class="choice"><input type="radio" name="{name}" value="{escape(value)}" required'
        f"{' checked' if given.get(name) == value else ''}><span>{escape(label)}</span></label>"
        for value, label in labels.items()
    )
    return f"""<fieldset class="question">
<legend>{escape(ask)}</legend>
<div class="choices {layout}">
{options}
</div>
</fieldset>"""


def problem_line(problem: str) -> str:
    """Returns the line that says what is wrong, if anything is; screen readers say it when it changes."""
    return f'<p class="message" role="alert">{escape(problem)}</p>'


def contact_link(contact: str) -> str:
    """Returns an address of mail as a link, anything else as it is."""
    name, at, host = contact.partition("@")
    if at and name and "." in host and not any(c.isspace() or c in "?&<>\"'" for c in contact):
        return f'<a href="mailto:{escape(contact)}">{escape(contact)}</a>'
    return escape(contact)


def items(texts: Sequence[str]) -> str:
    """Returns the points of a list."""
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def count_of(number: int, noun: str) -> str:
    """Returns a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
