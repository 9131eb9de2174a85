"""The one Jinja2 environment of every page that Ostinato writes; whatever is not Markup is escaped in it.

A room keeps its templates in a folder `templates` of its own and extends `base.html` here, which has the style sheet.
"""

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ostinato.report.style import PAGE_STYLE
from ostinato.report.text import printable

_SHARED = Path(__file__).parent / "templates"


@functools.cache
def environment(folder: Path) -> Environment:
    """Returns the environment whose templates are in a folder, and beside them those that all pages share."""
    made = Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["page_style"] = Markup(PAGE_STYLE)
    return made


def render(folder: Path, template: str, **values: Any) -> str:
    """Returns a page made of a template in a folder."""
    return environment(folder).get_template(template).render(**values)


def _printable(value: Any) -> Any:
    """Writes out control characters and marks that change the direction, in all text that is put into a page."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
