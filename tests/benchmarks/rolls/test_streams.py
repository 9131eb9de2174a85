import numpy as np
import pytest

from ostinato.benchmarks.rolls.read import NUM_KEYS
from ostinato.benchmarks.rolls.streams import cut, lay_out, possible_shifts, transpose


def random_pieces(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.random((length, NUM_KEYS)) < 0.05).astype(np.uint8) for length in lengths]


def pieces_of(steps):
    """Reads the pieces back out of the rows: the frame that starts one, and every target until the next start."""
    found = []
    for b in range(steps.starts_tb.shape[1]):
        for t in np.flatnonzero(steps.starts_tb[:, b]):
            end = t + 1
            while end < len(steps.real_tb) and steps.real_tb[end, b] and not steps.starts_tb[end, b]:
                end += 1
            np.testing.assert_array_equal(steps.inputs_tbk[t + 1 : end, b], steps.targets_tbk[t : end - 1, b])
            found.append(np.concatenate([steps.inputs_tbk[t : t + 1, b], steps.targets_tbk[t:end, b]]))
    return found


@pytest.mark.parametrize("num_rows", [1, 3, 8])
def test_every_piece_is_there_once_and_whole(num_rows):
    pieces = random_pieces([7, 2, 13, 5, 5])
    steps = lay_out(pieces, num_rows, 4)
    assert steps.real_tb.sum() == sum(len(piece) - 1 for piece in pieces)
    assert len(steps.real_tb) % 4 == 0
    key = lambda piece: piece.tobytes()  # noqa: E731
    for found, expected in zip(sorted(pieces_of(steps), key=key), sorted(pieces, key=key), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_pieces_of_one_frame_or_none_take_no_step():
    steps = lay_out([*random_pieces([1, 0]), *random_pieces([3], seed=1)], 2, 2)
    assert steps.real_tb.sum() == 2
    assert steps.starts_tb.sum() == 1


def test_stretches_in_order_make_up_the_whole():
    steps = lay_out(random_pieces([9, 4, 6]), 2, 3)
    for field, parts in zip(steps, zip(*cut(steps, 3), strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), field)


def test_the_order_within_a_row_is_the_one_given():
    pieces = random_pieces([4, 4, 4])
    steps = lay_out(pieces, 1, 1, order=[2, 0, 1])
    np.testing.assert_array_equal(steps.inputs_tbk[[0, 3, 6], 0], [pieces[n][0] for n in (2, 0, 1)])


def test_a_transposed_piece_keeps_all_its_notes():
    piece = np.zeros((2, NUM_KEYS), np.uint8)
    piece[0, 3] = piece[1, 80] = 1
    assert possible_shifts(piece, 5) == (-3, 5)
    assert possible_shifts(piece, 12) == (-3, 7)
    moved = transpose(piece, 7)
    assert np.argwhere(moved).tolist() == [[0, 10], [1, 87]]


def test_a_silent_piece_is_left_where_it_is():
    assert possible_shifts(np.zeros((3, NUM_KEYS), np.uint8), 6) == (0, 0)
