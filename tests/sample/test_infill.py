import logging

import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.music.bars import ticks_of_bars
from ostinato.music.piece import Notes, Piece, make_piece
from ostinato.sample import progress
from ostinato.sample.infill import fill, harmonise
from tests.midi_files import tune
from tests.sample.test_progress import assert_growing, shares_told
from tests.sample.tiny_models import CONFIG, MLSTM, NOTES, SCORE, assert_legal, leaning, tiny_model


@pytest.fixture(scope="module")
def model():
    return _model(CONFIG)


def _model(config):
    return leaning(tiny_model(SCORE, config), output_bias_1={40: 3.0, 73: 3.0})


def _same_notes(one: Notes, other: Notes) -> None:
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _where(piece: Piece, which) -> Notes:
    return Notes(*(column[which] for column in piece.notes))


def _long_gaps() -> Piece:
    """Notes far apart, changes of tempo and meter, and a chord, to the end of bar 12."""
    onset = np.array([0, 0, 480, 480 * 9, 480 * 30, 480 * 30 + 10, 480 * 47])
    return make_piece(
        onset=onset, duration=np.array([480, 960, 240, 4800, 480, 480, 480]), pitch=[60, 64, 62, 50, 70, 72, 60],
        velocity=np.full(7, 90), program=[0, 0, 0, 5, 0, 0, 0], tempos=([0, 4800], [500_000, 600_000]),
        meters=([0, 7680], [4, 3], [4, 4]), ticks_per_quarter=480,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("config", "given"), [(CONFIG, tune(3)), (CONFIG, _long_gaps()), (MLSTM, tune(3))])
def test_given_notes_stay_where_they_are_and_others_play_around_them(config, given, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger=progress.__name__)
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    model = _model(config)
    wanted = SampleConfig(num_pieces=2, particles=8, instruments=("Violin", "Flute", "drums"), pitch_range=("C3", "C6"))
    pieces = harmonise(*model, SCORE, wanted, given)
    assert len(pieces) == 2
    assert_legal(pieces)
    quantised = SCORE.quantise(given)
    for generated in pieces:
        piece = SCORE.decode(generated.steps)
        is_given = np.isin(piece.notes.program, np.unique(given.notes.program))
        _same_notes(_where(piece, is_given), quantised.notes)
        others = _where(piece, ~is_given)
        assert len(others.onset) > 5
        assert set(others.program) <= {40, 73, 128}
        assert others.pitch[others.program != 128].min() >= 48
        assert (others.onset + others.duration).max() <= quantised.end_tick
        np.testing.assert_array_equal(piece.tempos.tick, quantised.tempos.tick)
        np.testing.assert_array_equal(piece.meters.numerator, quantised.meters.numerator)
    assert not np.array_equal(pieces[0].steps, pieces[1].steps)
    assert_growing(shares_told(caplog))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "piece", "bars"),
    [
        (CONFIG, tune(3), (3, 2)),
        (CONFIG, tune(3), (1, 1)),
        (CONFIG, _long_gaps(), (2, 4)),
        (MLSTM, tune(3), (3, 2)),
    ],
)
def test_only_the_hole_is_written_anew(config, piece, bars):
    wanted = SampleConfig(num_pieces=4, particles=16, fill_bars=bars, instruments=("Violin", "0"))
    pieces = fill(*_model(config), SCORE, wanted, piece)
    assert_legal(pieces)
    whole = SCORE.quantise(piece)
    start, end = ticks_of_bars(whole, *bars)
    outside = (whole.notes.onset < start) | (whole.notes.onset >= end)
    for generated in pieces:
        found = SCORE.decode(generated.steps)
        in_hole = (found.notes.onset >= start) & (found.notes.onset < end)
        _same_notes(_where(found, ~in_hole), _where(whole, outside))
        new = _where(found, in_hole)
        assert set(new.program) <= {0, 40}
        assert (new.onset + new.duration <= end).all()
    assert len({generated.steps.tobytes() for generated in pieces}) == 4
    likelihoods = [generated.log_likelihood for generated in pieces]
    assert likelihoods == sorted(likelihoods, reverse=True)


def test_what_cannot_be_is_refused(model):
    with pytest.raises(ValueError, match="no instrument is left to play with Acoustic Grand Piano, Acoustic Bass"):
        harmonise(*model, SCORE, SampleConfig(instruments=("0", "32")), tune(1))
    with pytest.raises(ValueError, match="the melody has no notes"):
        harmonise(*model, SCORE, SampleConfig(melody=("Tuba",)), tune(1))
    with pytest.raises(ValueError, match="no bars 7 to 99"):
        fill(*model, SCORE, SampleConfig(fill_bars=(7, 93)), tune(1))
    last = len(range(0, SCORE.quantise(tune(1)).end_tick, 96))
    with pytest.raises(ValueError, match="no note follows bar"):
        fill(*model, SCORE, SampleConfig(fill_bars=(last, 1)), tune(1))
    with pytest.raises(ValueError, match="only a model with the score codec"):
        harmonise(*tiny_model(NOTES), NOTES, SampleConfig(), tune(1))
