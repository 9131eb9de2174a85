"""The one Jinja2 environment of every page that Ostinato writes; whatever is not Markup is escaped in it.

A room keeps its templates in a folder `templates` of its own and extends `base.html` here, which has the style sheet.
`macros.html` has what pages are made of: tables, figures, players. What the studio loads, too, is in
`static`.
"""

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ostinato.report.style import PAGE_STYLE
from ostinato.report.text import printable

SHARED_STATIC = ("ostinato.report", "static")
"""Scripts that pages include and the studio serves, as Starlette names a folder of a package."""

_HERE = Path(__file__).parent
_LONGEST_TEXT = 160


@functools.cache
def environment(folder: Path) -> Environment:
    """Returns the environment whose templates are in a folder, and beside them those that all pages share."""
    made = Environment(
        loader=FileSystemLoader([folder, _HERE / "templates", _HERE / "static"]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["page_style"] = Markup(PAGE_STYLE)
    made.filters["shortened"] = _shortened
    return made


def render(folder: Path, template: str, **values: Any) -> str:
    """Returns a page made of a template in a folder."""
    return environment(folder).get_template(template).render(**values)


def _printable(value: Any) -> Any:
    """Writes out control characters and marks that change the direction, in all text that is put into a page."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _shortened(text: Any) -> Any:
    """Returns text of any length for a cell: what is cut out of its middle is in its title."""
    if not isinstance(text, str) or len(text) <= _LONGEST_TEXT:
        return text
    text, half = printable(text), _LONGEST_TEXT // 2
    return Markup('<span title="{}">{} … {}</span>').format(text[:2000], text[:half], text[-half:])
