import hashlib
import itertools

import numpy as np
import pytest

from ostinato.beam_pipelines.duplicates.fingerprint import TELLING
from ostinato.beam_pipelines.duplicates.grouping import Assigned, Duplicate, DuplicatePolicy
from tests.found import Found, assign_all, groups_of, scan_result_of, splits_of


def _assign(rows, *, split=(80, 10, 10), seed=0, num_shards=1, duplicates: DuplicatePolicy = "drop"):
    return assign_all([scan_result_of(rows)], split=split, seed=seed, num_shards=num_shards, duplicates=duplicates)


def _pieces(count):
    return [Found(f"{i:04d}", 2 * i) for i in range(count)]


def _without_places(assignment):
    """Returns the assignment but for where the pieces lie in the spool."""
    shards = {key: [piece._replace(spool=0, offset=0) for piece in pieces] for key, pieces in assignment.shards.items()}
    return assignment._replace(shards=shards)


def _mixed_rows():
    """Returns rows with duplicates of every kind, fixed splits, and groups that only share a track."""
    rng = np.random.default_rng(0)
    return [
        Found(
            f"{i:03d}", int(rng.integers(300)), tuple(rng.integers(1000, 1800, 2).tolist()),
            (tuple(rng.integers(0, 22, 16).tolist()),), int(rng.integers(10, 99)),
            str(rng.integers(250)).encode(), str(rng.choice(["", "", "", "", "train", "test"])),
        )
        for i in range(300)
    ]  # fmt: skip


@pytest.mark.parametrize("duplicates", ["drop", "variants", "keep"])
def test_every_input_is_in_the_dataset_or_repeats_one_that_is_whatever_the_order_of_the_inputs(duplicates):
    rows = _mixed_rows()
    rng = np.random.default_rng(1)
    expected = _without_places(_assign(rows, num_shards=3, duplicates=duplicates))
    inside, left_out = splits_of(expected), {duplicate.path: duplicate.kept for duplicate in expected.duplicates}
    assert len(left_out) > 50 or duplicates == "keep"
    assert inside.keys().isdisjoint(left_out)
    assert inside.keys() | left_out.keys() == {row.name for row in rows}
    assert set(left_out.values()) <= inside.keys()
    assert sum(map(len, expected.shards.values())) == len(inside)
    for _ in range(5):
        mixed = [rows[i] for i in rng.permutation(len(rows))]
        cuts = [0, *sorted(rng.integers(0, len(rows), 4).tolist()), len(rows)]
        units = [scan_result_of(mixed[a:b], spool=i) for i, (a, b) in enumerate(itertools.pairwise(cuts))]
        found = assign_all(units[::-1], split=(80, 10, 10), seed=0, num_shards=3, duplicates=duplicates)
        assert _without_places(found) == expected


def test_pieces_know_where_they_lie_and_what_they_are():
    row = Found("b", 2, data=b"bytes")
    unit = scan_result_of([Found("a", 1), row], spool=7)._replace(metadata=["", '{"composer": "Bach"}'])
    assignment = assign_all([unit], split=(100, 0, 0), seed=0, num_shards=1, duplicates="drop")
    identity = hashlib.sha256(b"bytes").hexdigest()
    expected = Assigned(7, 1000, 10, identity, "b", "style of b", identity, '{"composer": "Bach"}')
    assert expected in assignment.shards["train", 0, 1]


def test_nothing_found_is_nothing_assigned():
    for units in ([], [scan_result_of([])], [scan_result_of([]), scan_result_of([])]):
        empty = assign_all(units, split=(80, 10, 10), seed=0, num_shards=1, duplicates="drop")
        assert empty == ({}, [], 0, 0)


def test_the_split_has_about_the_wanted_shares_and_another_piece_moves_none_of_the_others():
    splits = splits_of(_assign(_pieces(5000)))
    shares = [list(splits.values()).count(name) / 5000 for name in ("train", "validation", "test")]
    assert all(abs(share - wanted) < 0.02 for share, wanted in zip(shares, (0.8, 0.1, 0.1), strict=True))
    assert splits != splits_of(_assign(_pieces(5000), seed=1))
    assert splits_of(_assign(_pieces(5001))).items() >= splits.items()


def test_pieces_that_share_a_track_share_the_group_of_the_smallest_id_and_the_split():
    chain = [Found(f"{i:02d}", 1000 + i, (5000 + i, 2 * i + TELLING, 2 * i + 2 + TELLING)) for i in range(50)]
    assignment = _assign(chain, split=(34, 33, 33))
    smallest = min(hashlib.sha256(row.name.encode()).hexdigest() for row in chain)
    assert set(groups_of(assignment).values()) == {smallest}
    assert len(set(splits_of(assignment).values())) == 1
    assert (len(splits_of(assignment)), assignment.num_groups) == (50, 1)


def test_of_pieces_with_the_same_music_the_one_with_the_most_notes_is_kept_and_then_the_first_by_name():
    rows = [
        Found("c", 1, num_notes=5),
        Found("b", 1, num_notes=6),
        Found("a", 1, num_notes=5),
        Found("d", 1, num_notes=6),
    ]
    assignment = _assign(rows)
    assert list(splits_of(assignment)) == ["b"]
    assert assignment.duplicates == [("a", "b", "music"), ("c", "b", "music"), ("d", "b", "music")]


def test_what_is_left_out_depends_on_the_policy():
    bands, alike = (tuple(range(16)),), ((*range(8), *range(90, 98)),)
    rows = [
        Found("file", 1, (10,), bands, 90, b"x"),
        Found("copy of the file", 1, (10,), bands, 90, b"x"),
        Found("faster", 1, (10,), bands, 80, b"y"),
        Found("other ending", 2, (20,), alike, 70, b"z"),
        Found("melody", 3, (30,), (), 60, b"m"),
        Found("with the melody", 4, (40, 30), (), 100, b"n"),
        Found("alone", 5, (50,), (), 60, b"a"),
    ]
    file = "copy of the file"
    assert _assign(rows).duplicates == [
        Duplicate("faster", file, "music"),
        Duplicate("file", file, "bytes"),
        Duplicate("melody", "with the melody", "near"),
        Duplicate("other ending", file, "near"),
    ]
    variants = _assign(rows, duplicates="variants")
    assert variants.duplicates == [Duplicate("faster", file, "music"), Duplicate("file", file, "bytes")]
    keep = _assign(rows, duplicates="keep")
    assert keep.duplicates == []
    for assignment in (variants, keep):
        groups = groups_of(assignment)
        assert groups[file] == groups["other ending"]
        assert groups["melody"] == groups["with the melody"]
        assert assignment.num_groups == len(set(groups.values())) == 3
    assert len({piece for piece, group in groups_of(keep).items() if group == groups_of(keep)[file]}) == 4


@pytest.mark.parametrize(
    ("names", "expected", "moved"),
    [
        (("test", "", ""), "test", 0),
        (("train", "", ""), "train", 0),
        (("train", "validation", "train"), "validation", 2),
        (("train", "validation", "test", "test"), "test", 2),
    ],
)
def test_a_fixed_split_decides_for_the_whole_group_and_held_out_wins(names, expected, moved):
    rows = [Found(str(i), i, (2 * i, 2 * 77 + TELLING), split=name) for i, name in enumerate(names)]
    assignment = _assign(rows + _pieces(40)[10:])
    splits = splits_of(assignment)
    assert {splits[str(i)] for i in range(len(names))} == {expected}
    assert assignment.moved == moved


def test_a_fixed_split_of_a_piece_that_is_left_out_decides_too_and_only_kept_pieces_count_as_moved():
    rows = [Found("a", 1, num_notes=9, split="train"), Found("b", 1, num_notes=5, split="test")]
    assignment = _assign(rows + _pieces(40)[10:])
    assert splits_of(assignment)["a"] == "test"
    assert assignment.moved == 1
    rows[0], rows[1] = rows[0]._replace(num_notes=5), rows[1]._replace(num_notes=9)
    assert _assign(rows + _pieces(40)[10:]).moved == 0


def test_no_wanted_split_is_empty_when_there_are_pieces_enough():
    for count in range(3, 12, 2):
        for seed in range(4):
            splits = splits_of(_assign(_pieces(count), seed=seed))
            assert set(splits.values()) == {"train", "validation", "test"}
    for seed in range(10):
        assert set(splits_of(_assign([Found(str(seed), 1)], split=(34, 33, 33))).values()) == {"train"}


def test_a_group_with_a_fixed_split_is_never_moved_to_fill_another():
    rows = [row._replace(split="train") for row in _pieces(20)]
    assert set(splits_of(_assign(rows)).values()) == {"train"}
    assert set(splits_of(_assign([*rows, Found("free", 999)])).values()) == {"train", "validation"}


def test_shards_are_of_even_size_and_none_is_empty():
    shards = _assign(_pieces(1000), num_shards=8).shards
    sizes = [len(pieces) for (split, _, _), pieces in shards.items() if split == "train"]
    assert len(sizes) == 8
    assert max(sizes) - min(sizes) <= 1
    assert all([piece.id for piece in pieces] == sorted(piece.id for piece in pieces) for pieces in shards.values())
    few = _assign(_pieces(4), split=(100, 0, 0), num_shards=8).shards
    assert [len(pieces) for pieces in few.values()] == [1, 1, 1, 1]
    held_out = [row._replace(split="test") for row in _pieces(20)]
    assert list(_assign(held_out, num_shards=4).shards) == [("test", i, 4) for i in range(4)]
    by_size = {split: count for split, _, count in _assign(_pieces(5000), num_shards=0).shards}
    assert by_size == {"train": 4, "validation": 1, "test": 1}
