import numpy as np
import pytest

from ostinato.beam_pipelines.duplicates.aligned import MAX_CHANGED, MAX_LINE, line_of, link_aligned
from ostinato.beam_pipelines.duplicates.fingerprint import Fingerprints, stack
from ostinato.beam_pipelines.duplicates.links import no_links
from ostinato.beam_pipelines.duplicates.pieces import open_pieces
from tests.found import Found

NOTES = 100


def line(seed: int, count: int = NOTES) -> np.ndarray:
    return np.random.default_rng(seed).integers(55, 80, count).astype(np.uint8)


def with_wrong_notes(notes: np.ndarray, places: range) -> np.ndarray:
    changed = notes.copy()
    changed[list(places)] += 64
    return changed


def print_of(notes: np.ndarray) -> Fingerprints:
    return Found("", 1).fingerprints()._replace(line=notes)


def links(*lines: np.ndarray, group: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    with open_pieces() as (pieces, _):
        prints = pieces.prints
        prints.add(stack([print_of(notes) for notes in lines]))
        known = np.array(group, np.int32) if group else no_links(len(lines))
        found = list(link_aligned(prints.lines, known, prints.whole.read()))
    return [pair for one, other in found for pair in zip(one.tolist(), other.tolist(), strict=True)]


ALLOWED = int(MAX_CHANGED * NOTES)


@pytest.mark.parametrize(
    ("other", "linked"),
    [
        (line(0), True),
        (with_wrong_notes(line(0), range(60, 60 + ALLOWED)), True),
        (with_wrong_notes(line(0), range(60 - ALLOWED, 61)), False),
        (np.insert(line(0), 50, line(1, 40)), True),  # 40 of 140 were added
        (np.delete(line(0), range(0, 100, 4)), False),  # no run of seven is whole
        (np.concatenate([line(0)[:50], line(1)[:50]]), False),  # a phrase in common
        (np.tile(line(0), 2), False),
        (line(2), False),
    ],
)
def test_two_short_pieces_are_one_work_if_few_notes_differ(other: np.ndarray, linked: bool):
    assert links(line(0), other) == links(other, line(0)) == [(0, 1)] * linked


def test_what_is_in_one_group_or_too_long_or_too_short_is_not_compared():
    assert links(line(0), line(0), line(0), group=(0, 0, 2)) == [(0, 2)]
    assert [len(line_of(line(0, count))) for count in (31, 32, MAX_LINE, MAX_LINE + 1)] == [0, 32, MAX_LINE, 0]
    assert links(line(0, 0), line(0, 0)) == []
    assert links(line(0, MAX_LINE), line(0, MAX_LINE)) == [(0, 1)]


def test_an_accompaniment_of_a_few_notes_says_nothing():
    notes = np.random.default_rng(0).integers(50, 55, NOTES).astype(np.uint8)
    assert len(line_of(notes)) == 0
    assert len(line_of(np.concatenate([line(0), notes + 128]))) == 2 * NOTES


def test_a_run_that_many_groups_have_makes_no_candidates():
    shared = [np.append(line(0, 90), [128 + number] * 10).astype(np.uint8) for number in range(30)]
    assert len(links(*shared[:8])) == 28
    assert links(*shared) == []
