import numpy as np
from hypothesis import given

from ostinato.music.packed import pack, unpack
from ostinato.music.piece import DRUMS, make_piece
from tests.strategies import pieces


@given(pieces())
def test_a_piece_comes_back_as_it_was(piece):
    back = unpack(pack(piece))
    assert back == piece
    assert all(column.dtype == np.int64 for column in back.notes + back.tempos + back.meters)


def test_the_largest_values_a_file_can_hold_come_back():
    piece = make_piece(
        onset=[0, 2**31 - 2],
        duration=[2**31 - 1, 1],
        pitch=[0, 127],
        velocity=[1, 127],
        program=[127, DRUMS],
        tempos=([2**31 - 1], [2**24 - 1]),
        meters=([2**31 - 1], [255], [64]),
        ticks_per_quarter=32767,
    )
    assert unpack(pack(piece)) == piece
    assert len(pack(piece)) == 16 + 2 * 11 + 8 + 6
