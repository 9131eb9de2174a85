from ostinato.beam_pipelines.grouping import Found, assign
from ostinato.beam_pipelines.sources import Locator


def _found(number, whole=None, parts=()):
    name = f"{number:04d}"
    return Found(Locator(f"/m/{name}.mid", "", "m"), name, whole or name.encode(), tuple(parts) or (name.encode(),))


def _splits(assignment):
    return {piece.id: split for (split, _, _), pieces in assignment.shards.items() for piece in pieces}


def test_the_split_does_not_depend_on_the_order_of_the_inputs():
    pieces = [_found(i) for i in range(200)]
    one = assign(pieces, split=(80, 10, 10), seed=0, num_shards=3)
    two = assign(pieces[::-1], split=(80, 10, 10), seed=0, num_shards=3)
    assert one == two
    assert assign(pieces, split=(80, 10, 10), seed=1, num_shards=3) != one


def test_another_piece_moves_none_of_the_others():
    before = _splits(assign([_found(i) for i in range(200)], split=(80, 10, 10), seed=0, num_shards=1))
    after = _splits(assign([_found(i) for i in range(201)], split=(80, 10, 10), seed=0, num_shards=1))
    assert {name: after[name] for name in before} == before


def test_the_split_has_about_the_wanted_shares():
    splits = list(_splits(assign([_found(i) for i in range(5000)], split=(80, 10, 10), seed=0, num_shards=1)).values())
    shares = [splits.count(name) / 5000 for name in ("train", "validation", "test")]
    assert all(abs(share - wanted) < 0.02 for share, wanted in zip(shares, (0.8, 0.1, 0.1), strict=True))


def test_pieces_connected_through_others_share_a_split():
    chain = [_found(i, parts=(f"p{i}".encode(), f"p{i + 1}".encode())) for i in range(50)]
    splits = _splits(assign(chain, split=(34, 33, 33), seed=0, num_shards=1))
    assert len(set(splits.values())) == 1


def test_of_pieces_with_the_same_music_the_first_by_path_is_kept():
    assignment = assign([_found(3, b"w"), _found(1, b"w"), _found(2)], split=(100, 0, 0), seed=0, num_shards=1)
    assert sorted(_splits(assignment)) == ["0001", "0002"]
    assert assignment.duplicates == [("/m/0003.mid", "/m/0001.mid")]


def test_no_wanted_split_is_empty_when_there_are_pieces_enough():
    for count in range(3, 12):
        for seed in range(20):
            splits = _splits(assign([_found(i) for i in range(count)], split=(80, 10, 10), seed=seed, num_shards=1))
            assert set(splits.values()) == {"train", "validation", "test"}
            assert set(_splits(assign([_found(seed)], split=(34, 33, 33), seed=0, num_shards=1)).values()) == {"train"}


def test_shards_are_of_even_size_and_none_is_empty():
    shards = assign([_found(i) for i in range(1000)], split=(80, 10, 10), seed=0, num_shards=8).shards
    sizes = [len(pieces) for (split, _, _), pieces in shards.items() if split == "train"]
    assert len(sizes) == 8
    assert max(sizes) - min(sizes) <= 1
    few = assign([_found(i) for i in range(4)], split=(100, 0, 0), seed=0, num_shards=8).shards
    assert [len(pieces) for pieces in few.values()] == [1, 1, 1, 1]
