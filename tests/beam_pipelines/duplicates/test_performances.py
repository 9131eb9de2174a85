import numpy as np
import pytest

from ostinato.beam_pipelines.duplicates.fingerprint import Fingerprints, stack
from ostinato.beam_pipelines.duplicates.performances import MIN_IN_ORDER, NUM_BINS, link_performances
from ostinato.beam_pipelines.duplicates.pieces import open_pieces
from tests.found import Found


def sketch(places: list[int]) -> np.ndarray:
    """The same runs in the first bins of each sketch, at these places; the other bins are empty."""
    made = np.full(NUM_BINS, np.iinfo(np.uint32).max, np.uint32)
    made[: len(places)] = (np.arange(len(places)) + 1) << 8 | places
    return made


def links(*sketches: np.ndarray) -> list[tuple[int, int]]:
    with open_pieces() as (pieces, _):
        prints = pieces.prints
        prints.add(stack([print_of(sketch) for sketch in sketches]))
        found = list(link_performances(prints.performance, prints.bins))
    return [pair for one, other in found for pair in zip(one.tolist(), other.tolist(), strict=True)]


def print_of(sketch: np.ndarray) -> Fingerprints:
    return Found("", 1).fingerprints()._replace(performance=sketch)


IN_ORDER = list(range(MIN_IN_ORDER))


@pytest.mark.parametrize(
    ("places", "linked"),
    [
        (IN_ORDER, True),
        ([5] * MIN_IN_ORDER, True),
        (IN_ORDER[1:], False),
        ([1, 0, *IN_ORDER[2:]], False),
        ([1, 0, *IN_ORDER[2:], 99], True),
        (IN_ORDER[::-1] * 3, False),
    ],
)
def test_enough_runs_in_the_same_order_make_a_link(places: list[int], linked: bool) -> None:
    other = sketch(list(range(100, 100 + len(places))))
    assert links(sketch(places), other) == links(other, sketch(places)) == [(0, 1)] * linked


def test_each_pair_is_compared_once_and_others_are_not_hidden_by_it() -> None:
    assert sorted(links(*[sketch(IN_ORDER)] * 4)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
