"""Lengths are written as musicians write them."""

import pytest

from ostinato.music.meters import Meter
from ostinato.music.sheet.rhythm import values_of


def _written(events, length=96, meter=(4, 4)):
    values = values_of(events, length, Meter(*meter))
    return " ".join(
        "[" * value.bracket.startswith("start") + value.kind + "." * value.dots + "]" * ("top" in value.bracket)
        for value in values
    )


@pytest.mark.parametrize(
    ("events", "written"),
    [
        ([(0, 96, False)], "whole"),
        ([(0, 36, False), (36, 96, True)], "quarter. eighth half"),
        ([(0, 12, False), (12, 36, False), (36, 48, False), (48, 96, True)], "eighth quarter eighth half"),
        ([(0, 24, False), (24, 60, False), (60, 96, False)], "quarter quarter eighth quarter."),  # the middle is seen
        ([(0, 8, False), (8, 24, False), (24, 96, False)], "[eighth quarter] half."),
        ([(0, 16, False), (16, 32, False), (32, 48, False), (48, 96, True)], "[quarter quarter quarter] half"),
        ([(0, 4, False), (4, 8, False), (8, 12, False), (12, 96, True)], "[16th 16th 16th] eighth quarter half"),
        ([(0, 5, False), (5, 96, True)], "[16th 64th 64th 32nd quarter] quarter half"),
    ],
)  # fmt: skip
def test_a_bar_of_four_quarters(events, written):
    assert _written(events) == written


def test_beats_of_compound_meters_are_seen():
    assert _written([(0, 24, False), (24, 48, False), (48, 72, True)], 72, (6, 8)) == "quarter eighth eighth quarter"
    assert _written([(0, 72, False)], 72, (6, 8)) == "half."
