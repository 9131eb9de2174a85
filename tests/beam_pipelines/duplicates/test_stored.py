import numpy as np
import pytest

from ostinato.beam_pipelines.duplicates import stored
from ostinato.beam_pipelines.duplicates.links import best_of, connect, no_links
from ostinato.beam_pipelines.duplicates.pairs import PairSet, link_equal, recurring
from ostinato.beam_pipelines.duplicates.runs import SortedRuns
from ostinato.beam_pipelines.duplicates.stored import Column
from tests.found import Found, assign_all, scan_result_of


@pytest.mark.parametrize("dtype", [np.uint64, np.uint32])
def test_a_column_in_ranges_has_each_row_once_and_equal_values_together(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(stored, "_RANGE_ROWS", 50)
    monkeypatch.setattr(stored, "_BLOCK_ROWS", 64)
    rng = np.random.default_rng(0)
    values = rng.choice(rng.integers(0, np.iinfo(dtype).max, 300, dtype), 1000)
    column = Column(tmp_path / "column", dtype)
    for part in np.split(values, [10, 10, 500]):
        column.append(part)
    ranges = list(column.in_ranges())
    assert len(ranges) == 32
    assert max(len(rows) for rows, _ in ranges) < 100
    assert sorted(np.concatenate([rows for rows, _ in ranges]).tolist()) == list(range(1000))
    for rows, found in ranges:
        assert (values[rows] == found).all()
        assert (np.diff(rows) > 0).all()
    of_value = [set(found.tolist()) for _, found in ranges]
    assert sum(map(len, of_value)) == len(set().union(*of_value))
    assert (column.read(990) == values[990:]).all()
    chosen = rng.permutation(1000)[:70]
    assert (column.take(chosen) == values[chosen]).all()
    column.close()


def test_what_is_found_does_not_depend_on_the_ranges(monkeypatch):
    rng = np.random.default_rng(1)
    whole, part, band = (rng.integers(0, 2**62, count).tolist() for count in (250, 1500, 40))
    rows = [
        Found(
            f"{i:03d}", whole[rng.integers(250)], tuple(part[j] for j in rng.integers(0, 1500, 2)),
            (tuple(band[j] % 2**32 for j in rng.integers(0, 40, 16)),), int(rng.integers(10, 99)),
        )
        for i in range(300)
    ]  # fmt: skip
    options = {"split": (80, 10, 10), "seed": 0, "num_shards": 2, "duplicates": "drop"}
    at_once = assign_all([scan_result_of(rows)], **options)
    monkeypatch.setattr(stored, "_RANGE_ROWS", 10)
    assert assign_all([scan_result_of(rows)], **options) == at_once
    assert len(at_once.duplicates) > 50
    assert at_once.num_groups > 20


def test_links_that_come_a_few_at_a_time_connect_as_all_at_once_do():
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 200, (2, 120))
    label = no_links(200)
    for i in range(0, 120, 7):
        label = connect(label, (one[i : i + 7], other[i : i + 7]))
    plain = list(range(200))
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        low, high = sorted((plain[a], plain[b]))
        plain = [low if value == high else value for value in plain]
    assert label.tolist() == plain
    rank = rng.permutation(200).astype(np.int32)
    best = [max((i for i in range(200) if plain[i] == value), key=lambda i: rank[i]) for value in plain]
    assert best_of(label, rank).tolist() == best


def test_recurring_and_equal_values_are_those_of_counting():
    values = np.array([3, 1, 3, 2, 2, 9, 3])
    assert recurring(values).tolist() == [True, False, True, True, True, False, True]
    one, other = link_equal(values, np.arange(7) + 10)
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == [(10, 12), (12, 16), (13, 14)]


def test_a_pair_is_new_once():
    rng = np.random.default_rng(3)
    pairs, seen = PairSet(), set()
    for _ in range(20):
        one = rng.integers(0, 30, 50)
        other = one + rng.integers(1, 9, 50)
        found = [
            pair for some in pairs.add([(one, other)]) for pair in zip(*(end.tolist() for end in some), strict=True)
        ]
        drawn = set(zip(one.tolist(), other.tolist(), strict=True))
        assert found == sorted(drawn - seen)
        seen |= drawn


def test_runs_are_merged_in_order(tmp_path):
    rng = np.random.default_rng(4)
    rows = [(f"name {number}\n\u00e9", number) for number in rng.permutation(1000).tolist()]
    runs = SortedRuns(tmp_path / "runs")
    for begin in range(0, 1000, 170):
        runs.add(rows[begin : begin + 170])
    runs.add([])
    assert list(runs.merged()) == sorted(rows)
    runs.close()
