import json

import numpy as np
import pytest

from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.memorization.originality import compare_originality, originality
from ostinato.music.piece import make_piece
from tests.evaluation.metrics.made import quarters
from tests.midi_files import tune

CORPUS = [tune(seed) for seed in range(20)]
HELD_OUT = [tune(seed) for seed in range(100, 112)]


def _moved(piece, semitones):
    notes = piece.notes._asdict()
    return make_piece(**notes | {"pitch": notes["pitch"] + semitones}, ticks_per_quarter=piece.ticks_per_quarter)


@pytest.fixture(scope="module")
def index():
    return CopyIndex.build((str(number), piece) for number, piece in enumerate(CORPUS))


def test_pieces_learnt_by_heart_stand_out_from_human_ones(index):
    found = compare_originality(index, [_moved(piece, 2) for piece in CORPUS[:6]], HELD_OUT)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["beyond_human"] == 1.0
    assert found["generated"]["ngrams"]["texture"]["16"] > 0.9
    assert found["held_out"]["ngrams"]["texture"]["16"] < 0.2
    assert {copy["transposition"] for copy in found["generated"]["copies"]} == {2}


def test_new_pieces_of_the_same_kind_do_not_stand_out(index):
    found = compare_originality(index, [tune(seed) for seed in range(200, 212)], HELD_OUT)
    for figure in ("longest_notes", "most_bits"):
        ours, human = (found[name][figure]["median"] for name in ("generated", "held_out"))
        assert ours == pytest.approx(human, rel=0.3), figure


def test_shares_count_the_runs_of_n_notes():
    index = CopyIndex.build([("0", quarters(60, 62, 64, 65, 67))])
    # Two more than five notes: of four runs of four notes two are known, of two runs of six none.
    found = originality(index, [quarters(70, 72, 74, 75, 77, 50, 51)])
    assert found["longest_notes"]["values"] == [5]
    assert found["ngrams"]["melody"] == {
        "4": 0.5, "6": 0.0, "8": None, "12": None, "16": None, "24": None, "32": None
    }  # fmt: skip
    assert found["ngrams"]["texture"] == found["ngrams"]["melody"]
    (copy,) = found["copies"]
    assert (copy["piece"], copy["source"], copy["transposition"], copy["stretch"]) == (0, "0", 10, 1)


def test_longer_human_pieces_are_cut_before_they_are_compared(index):
    short = [quarters(*np.random.default_rng(seed).integers(50, 80, 20).tolist()) for seed in range(4)]
    found = compare_originality(index, short, HELD_OUT)
    assert (found["generated"]["median_notes"], found["held_out"]["median_notes"]) == (20, 20)


def test_no_pieces_are_a_mistake(index):
    with pytest.raises(ValueError, match="no pieces were given"):
        originality(index, [])
