import math

import pytest

from ostinato.data.statistics import Statistics
from ostinato.sample.rank import distance
from tests.midi_files import tune


def test_the_distance_grows_with_the_difference_and_is_nothing_for_the_same_music():
    one, alike, other = (
        Statistics.from_piece(piece) for piece in (tune(1), tune(2), tune(2, program=40, num_notes=200))
    )
    assert distance(one, one) == pytest.approx(0, abs=1e-12)
    assert 0 < distance(one, alike) < distance(one, other) < math.log(2)
    assert distance(one, other) == pytest.approx(distance(other, one))
