"""A page holds the whole score, the same bytes each time."""

from itertools import pairwise
from xml.etree import ElementTree

from ostinato.music.sheet import page
from ostinato.music.sheet.rounding import rounded
from ostinato.music.sheet.score import to_musicxml
from tests.music.sheet.readers import piece_of


def _score() -> bytes:
    return to_musicxml(rounded(piece_of([(24 * i, 24, 60 + i % 12, 73) for i in range(96)])), title="A title")


def _heads(svg: bytes) -> int:
    return sum("notehead" in element.get("class", "").split() for element in ElementTree.fromstring(svg).iter())


def test_a_page_has_every_note_and_is_the_same_each_time():
    score = _score()
    svg = page.engrave(score)
    assert (score, svg) == (_score(), page.engrave(_score()))
    assert _heads(svg) == 96
    assert b"A title" in svg


def test_what_does_not_fit_on_one_page_is_below_it(monkeypatch):
    monkeypatch.setitem(page._OPTIONS, "pageHeight", 600)
    svg = ElementTree.fromstring(page.engrave(_score()))
    pages = [element for element in svg if element.tag.endswith("svg")]
    assert len(pages) > 1
    assert _heads(ElementTree.tostring(svg)) == 96
    places = [(int(one.get("y", "")), int(one.get("height", ""))) for one in pages]
    assert all(before + height == after for (before, height), (after, _) in pairwise(places))
