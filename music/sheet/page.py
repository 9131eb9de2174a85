"""A score as a page: MusicXML engraved by verovio (extra `notation`) as SVG, all systems below each other."""

import re
from typing import Any

from ostinato.music.sheet.libraries import check_libraries

PAGE_WIDTH, PHONE_WIDTH = 2100, 1000
"""In tenths of a millimetre before scaling: of paper, and of what is read on a phone."""

_VIEW_BOX = re.compile(r'viewBox="0 0 (\d+) (\d+)"')

_OPTIONS: dict[str, Any] = {
    "adjustPageHeight": True,
    "breaks": "auto",
    "footer": "none",
    "header": "auto",
    "pageHeight": 60_000,  # the longest that there is
    "scale": 40,
    "svgViewBox": True,
    "svgRemoveXlink": True,
    "xmlIdSeed": 1,
}


def engrave(musicxml: bytes, *, width: int = PAGE_WIDTH) -> bytes:
    """Returns a score as one SVG, as high as it needs; the same bytes for the same score.

    Raises:
        UserError: music21 or verovio is not installed.
    """
    check_libraries()
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**_OPTIONS, "pageWidth": width})
    if not toolkit.loadData(musicxml.decode()):
        raise RuntimeError("verovio cannot read a score that was written here")
    return _stacked([toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]).encode()


def _stacked(pages: list[str]) -> str:
    """Returns one picture of all pages, each below the one before; very long pieces have several."""
    if len(pages) == 1:
        return pages[0]
    placed, width, height = [], 0, 0
    for page in pages:
        size = _VIEW_BOX.search(page)
        assert size is not None  # verovio writes it
        width, page_height = int(size[1]), int(size[2])
        placed.append(page.replace("<svg ", f'<svg y="{height}" width="{width}" height="{page_height}" ', 1))
        height += page_height
    inside = "\n".join(placed)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">\n{inside}\n</svg>\n'
