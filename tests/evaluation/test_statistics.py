import json

import numpy as np
import pytest

from ostinato.evaluation.excerpts import cut_alike
from ostinato.evaluation.statistics import compare_statistics
from ostinato.music.piece import make_piece
from tests.evaluation.metrics.made import quarters
from tests.midi_files import tune

REAL = [tune(seed) for seed in range(24)]


def _random_notes(seed):
    rng = np.random.default_rng(seed)
    return make_piece(
        onset=np.cumsum(rng.integers(1, 900, 60)), duration=rng.integers(1, 2000, 60), pitch=rng.integers(21, 109, 60),
        velocity=np.full(60, 80), program=np.zeros(60), ticks_per_quarter=480,
    )  # fmt: skip


@pytest.fixture(scope="module")
def of_noise():
    return compare_statistics([_random_notes(seed) for seed in range(8)], REAL, num_splits=6)


def test_the_report_is_json_and_the_same_for_the_same_pieces(of_noise):
    assert json.loads(json.dumps(of_noise, allow_nan=False)) == of_noise
    assert of_noise["pieces"] == {"generated": 8, "real": 24}
    assert compare_statistics([_random_notes(seed) for seed in range(8)], REAL, num_splits=6) == of_noise


def test_noise_is_farther_from_the_real_than_the_real_is(of_noise):
    assert of_noise["frechet"]["farther"] == 1.0
    assert of_noise["frechet"]["generated"] > 5 * of_noise["frechet"]["control"]
    for figure in ("pitch", "pitch-class transition", "duration", "scale consistency", "groove consistency"):
        overlap = of_noise["features"][figure]["overlap"]
        assert overlap["farther"] == 1.0, figure
        assert overlap["generated"] < overlap["control_range"][0], figure


def test_more_of_the_same_music_is_as_far_as_its_own_halves():
    found = compare_statistics([tune(seed) for seed in range(100, 124)], REAL, num_splits=6)
    assert found["frechet"]["generated"] == pytest.approx(found["frechet"]["control"], rel=0.5)
    overlaps = [figure["overlap"] for figure in found["features"].values() if figure.get("overlap")]
    assert abs(np.mean([overlap["generated"] - overlap["control"] for overlap in overlaps])) < 0.05


def test_copies_of_one_piece_are_seen_in_the_distances_between_pieces():
    found = compare_statistics([tune(3)] * 12, REAL, num_splits=6)["features"]["pitch class"]
    assert found["pair_overlap"]["generated"] < 0.95
    assert found["overlap"]["farther"] == 1.0


def test_long_pieces_are_cut_at_the_longest_of_the_other_set():
    short, long = quarters(60, 62), quarters(*range(60, 70))
    first, second = cut_alike([short, quarters(60, 62, 64)], [long, short])
    assert [[piece.num_notes for piece in pieces] for pieces in (first, second)] == [[2, 3], [3, 2]]


def test_a_figure_that_few_pieces_have_is_not_compared():
    found = compare_statistics([quarters(*range(60, 70))] * 4, [quarters(*range(50, 60))] * 5, num_splits=3)
    figure = found["features"]["structure at 32 quarters"]
    assert figure["generated"] == {"pieces": 0, "mean": None, "deviation": None}
    assert "overlap" not in figure
    assert "structure at 32 quarters" in found["frechet"]["left_out"]


def test_too_few_pieces_are_a_mistake():
    with pytest.raises(ValueError, match="3 generated pieces cannot be compared; give at least 4"):
        compare_statistics(REAL[:3], REAL)
