"""Pages, studio and listening test look alike: what they name alike has one colour, in light and in dark."""

import re
from pathlib import Path

import ostinato
from ostinato.report.style import PAGE_STYLE
from ostinato.sample.output import piano_roll

ROOT = Path(ostinato.__file__).parent


def _palette(style: str) -> list[dict[str, str]]:
    """Returns the variables of the light and of the dark palette."""
    style = " ".join(style.split())
    return [
        dict(re.findall(r"(--[\w-]+): ([^;]+);", block)) for block in re.findall(r":root {(.*?)}", style, re.DOTALL)
    ]


def test_every_page_has_one_palette() -> None:
    sheets = [
        PAGE_STYLE,
        *((ROOT / name).read_text() for name in ("studio/static/studio.css", "listen/web/static/listen.css")),
    ]
    for page, studio, listen in zip(*map(_palette, sheets), strict=True):
        for one, other in ((page, studio), (listen, studio)):
            shared = one.keys() & other.keys()
            assert {"--paper", "--ink", "--soft", "--line", "--panel", "--accent"} <= shared
            assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_instruments_have_the_same_colours_in_pictures_and_in_the_studio() -> None:
    light = re.search(r"LIGHT = \[(.*?)\]", (ROOT / "report/static/roll.js").read_text())
    assert light is not None
    assert tuple(re.findall(r"#\w+", light[1])) == piano_roll.COLOURS
