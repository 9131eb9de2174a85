"""How unlike pieces are, and a set of unlike ones."""

import dataclasses

import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.sample.diversity import choose_unlike, describe_notes, describe_set, distance_table, distances
from ostinato.sample.rank import new_music
from ostinato.sample.request import make_pieces
from tests.midi_files import piece_of, tune
from tests.sample.runs import untrained


def test_distances_are_nothing_in_another_key_and_grow_with_rhythm_and_melody():
    piece = tune(1)
    notes = piece.notes
    higher = dataclasses.replace(piece, notes=notes._replace(pitch=notes.pitch + 5, velocity=notes.velocity // 2))
    slower = dataclasses.replace(piece, notes=notes._replace(onset=2 * notes.onset, duration=2 * notes.duration))
    table = distance_table([piece, higher, tune(2), slower, piece_of((0, 7, 60, 80, 128), (100, 7, 36, 80, 128))])
    assert np.allclose(table, table.T)
    assert table[0, 1] == pytest.approx(0, abs=1e-9)
    assert 0 < table[0, 2] < table[0, 3] < table[0, 4] < 1


def test_pieces_with_no_value_in_common_are_one_apart():
    ones = np.zeros((2, describe_notes(tune(1)).size))
    sizes = np.array([41, 41, 41, 74, 50, 129])
    assert sizes.sum() == ones.shape[1]
    begins = np.r_[0, np.cumsum(sizes)[:-1]]
    ones[0, begins], ones[1, begins + 1] = 1, 1
    assert distances(ones[0], ones).tolist() == pytest.approx([0, 1])


def test_each_piece_is_of_its_better_half_the_one_least_like_those_before():
    music = {number: tune(number // 2) for number in range(8)}
    table = distance_table([music[number] for number in range(8)])
    candidates = [[0, 1, 4, 6], [0, 2, 4, 6], [4, 1, 2, 0]]
    chosen = choose_unlike(candidates, lambda one: -one, music.__getitem__)
    assert chosen == [0, 2, 1 if table[1, [0, 2]].min() > table[0, [0, 2]].min() else 0]
    assert choose_unlike(candidates[:2], lambda one: -one, music.__getitem__) == chosen[:2], "whatever comes after"
    assert choose_unlike([[3], [2]], lambda one: -one, music.__getitem__) == [3, 2]


def test_a_set_says_how_unlike_its_pieces_are():
    assert describe_set([tune(1)]) is None
    found = describe_set([tune(1), tune(2), tune(1)])
    assert found["least"] == 0 < found["mean"]


@pytest.mark.slow
def test_a_diverse_set_is_less_alike_and_piece_by_piece_the_same_when_fewer_are_asked_for():
    run = untrained()
    config = SampleConfig(num_pieces=3, num_notes=24, best_of=6, diverse=True, batch_size=32)
    unlike = make_pieces(run, config, {})
    usual = make_pieces(run, dataclasses.replace(config, diverse=False), {})
    np.testing.assert_array_equal(unlike[0].steps, usual[0].steps)
    least = [describe_set([new_music(one, run.codec) for one in pieces])["least"] for pieces in (unlike, usual)]
    assert least[0] > least[1]
    again = make_pieces(run, config, {}, num_pieces=2)
    np.testing.assert_array_equal(again[1].steps, unlike[1].steps)


def test_a_set_needs_candidates_to_choose_from():
    with pytest.raises(UserError, match="best_of must be at least 2"):
        SampleConfig(diverse=True)
