import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.evaluation.memorization.suffixes import find_longest, suffix_array
from ostinato.evaluation.memorization.symbols import END

# Few different symbols, in two intervals with two times each, so that runs are long and end in either half.
_line = st.lists(st.sampled_from([16 * 3 + 1, 16 * 3 + 2, 16 * 4 + 1, 16 * 4 + 2]), min_size=1, max_size=30)
_lines = st.lists(_line, min_size=1, max_size=6)


def _join(lines):
    return np.array([symbol for line in lines for symbol in [*line, END]], np.uint16)


def _suffix(text, begin):
    end = begin + int(np.flatnonzero(text[begin:] == END)[0])
    return text[begin : end + 1].tolist()


@settings(max_examples=100, deadline=None)
@given(_lines)
def test_suffixes_are_in_order(lines):
    text = _join(lines)
    order = suffix_array(text)
    assert sorted(order.tolist()) == list(range(len(text)))
    found = [_suffix(text, begin) for begin in order]
    assert found == sorted(found)


@settings(max_examples=100, deadline=None)
@given(_lines, _lines)
def test_the_longest_match_is_what_a_slow_search_finds(lines, query_lines):
    text, query = _join(lines), _join(query_lines)
    matches = find_longest(text, suffix_array(text), query)
    for position in range(len(query)):
        best = max(_shared_halves(text, place, query, position) for place in range(len(text)))
        assert matches.halves[position] == best
        assert _shared_halves(text, int(matches.place[position]), query, position) == best


def _shared_halves(text, place, query, position):
    """Intervals and times that are equal, one after the other."""
    halves = 0
    while text[place] == query[position] != END:
        halves, place, position = halves + 2, place + 1, position + 1
    same_interval = text[place] >> 4 == query[position] >> 4 and END not in (text[place], query[position])
    return halves + same_interval


def test_long_equal_lines_end_the_sorting():
    line = [16 * 3] * 2000
    text = _join([line] * 5)
    order = suffix_array(text)
    lengths = [2000 - begin % 2001 for begin in order]
    assert lengths == sorted(lengths)


@pytest.mark.slow
def test_half_a_million_symbols_are_sorted():
    rng = np.random.default_rng(0)
    text = rng.choice(np.array([0, 16, 17, 32, 33], np.uint16), 500_000, p=[0.001, 0.4, 0.3, 0.2, 0.099])
    text[-1] = END
    order = suffix_array(text)
    for first, second in zip(order[::5000], order[1::5000], strict=False):
        assert _suffix(text, first) <= _suffix(text, second)
