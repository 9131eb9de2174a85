"""A primer ends where it was asked to end, whatever stands there, and can be left out of what is written."""

import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.music import midi
from ostinato.music.bars import bar_lines
from ostinato.music.piece import make_piece
from ostinato.music.score_rows import METER, REST, TEMPO
from ostinato.sample.finished import finished_piece, new_notes
from ostinato.sample.generate import Generated
from ostinato.sample.primers import load_primers
from tests.midi_files import tune
from tests.sample.tiny_models import NOTES, SCORE, assert_legal, leaning, tiny_model, write

QUARTER = 24


@pytest.fixture(scope="module")
def model():
    return tiny_model(SCORE)


def _file(path, onsets, *, last=1, meters=((0, 4, 4),)):
    """A file of quarter notes at these quarters; the last one lasts longer."""
    length = np.append(np.ones(len(onsets) - 1, int), last)
    tick, numerator, denominator = zip(*meters, strict=True)
    piece = make_piece(
        onset=480 * np.array(onsets), duration=480 * length, pitch=60 + np.arange(len(onsets)) % 12,
        velocity=np.full(len(onsets), 80), program=np.zeros(len(onsets)),
        meters=(480 * np.array(tick), numerator, denominator), ticks_per_quarter=480,
    )  # fmt: skip
    path.write_bytes(midi.write(piece))
    return str(path)


CASES = {
    "a whole note at the end": ({"onsets": [*range(12), 12], "last": 4}, 4, 16, 4),
    "rests at the end of the file": ({"onsets": range(8)}, 4, 16, 4),
    "rests, and then more music": ({"onsets": [*range(9), *range(20, 30)]}, 4, 16, 4),
    "a note that sounds over the bar line": ({"onsets": range(8), "last": 20}, 2, 8, 4),
    "a pickup": ({"onsets": range(6), "meters": [(0, 1, 4), (1, 4, 4)]}, 4, 13, 4),
    "a change of meter before rests": ({"onsets": range(5), "meters": [(0, 4, 4), (8, 3, 4)]}, 4, 14, 3),
    "a change of meter in the rests of a longer piece": (
        {"onsets": [*range(5), 20, 21], "meters": [(0, 4, 4), (8, 3, 4), (14, 5, 4)]}, 4, 14, 3,
    ),
    "long rests": ({"onsets": [0, 1]}, 40, 160, 4),
}  # fmt: skip


@pytest.mark.parametrize(("file", "bars", "quarters", "beats"), CASES.values(), ids=CASES)
def test_new_music_begins_with_the_bar_after_the_primer_and_has_all_its_bars(
    model, tmp_path, file, bars, quarters, beats
):
    config = SampleConfig(primer_bars=bars, num_bars=3)
    (primer,) = load_primers(_file(tmp_path / "a.mid", **file), SCORE, config)
    assert primer.end == quarters * QUARTER
    steady = leaning(model, output_bias_1={METER: -50.0, REST: -50.0})
    written = write(steady, [primer], config)
    new = [new_notes(SCORE.decode(piece.steps), piece, SCORE) for piece in written]
    assert_legal(written)
    assert all(piece.notes.onset.min(initial=primer.end) >= primer.end for piece in new)
    end = primer.end + 3 * beats * QUARTER
    assert end - beats * QUARTER < max(piece.end_tick for piece in new) <= end
    assert all(len(bar_lines(piece)) - 1 <= bars + 3 for piece in new)


def test_the_model_may_change_meter_and_tempo_only_after_the_primer(model, tmp_path):
    restless = leaning(model, output_bias_1={METER: 5.0, TEMPO: 5.0})
    config = SampleConfig(primer_bars=4, num_bars=3)
    (primer,) = load_primers(_file(tmp_path / "a.mid", onsets=range(7)), SCORE, config)
    written = write(restless, [primer], config)
    assert_legal(written)
    changes = [np.r_[piece.meters.tick, piece.tempos.tick] for piece in (SCORE.decode(one.steps) for one in written)]
    assert min(tick[tick > 0].min(initial=9999) for tick in changes) in range(primer.end, 9999)


def test_seconds_are_counted_from_the_end_of_the_primer(model, tmp_path):
    config = SampleConfig(primer_bars=4, num_seconds=4, tempo=120, meter="4/4")
    (primer,) = load_primers(_file(tmp_path / "a.mid", onsets=range(7)), SCORE, config)
    ends = [SCORE.decode(piece.steps).end_tick for piece in write(model, [primer], config)]
    assert primer.end + 4 * QUARTER < max(ends) <= primer.end + 8 * QUARTER


def test_bars_of_chords_end_where_they_were_asked_to_end(tmp_path):
    (tmp_path / "a.mid").write_bytes(midi.write(tune(0)))  # its chords are the vocabulary
    bars = len(bar_lines(tune(0))) + 2
    config = SampleConfig(num_pieces=4, batch_size=8, primer_bars=bars, num_bars=2)
    (primer,) = load_primers(str(tmp_path / "a.mid"), NOTES, config)
    assert primer.end == bars * 48
    for piece in write(tiny_model(NOTES), [primer], config, codec=NOTES):
        new = new_notes(NOTES.decode(piece.steps), piece, NOTES)
        assert primer.end <= new.notes.onset.min() <= new.notes.onset.max() < primer.end + 2 * 48


def test_without_the_primer_new_bars_are_the_first_ones(model, tmp_path):
    file = _file(tmp_path / "a.mid", onsets=range(6), meters=[(0, 4, 4), (4, 3, 4)])
    config = SampleConfig(primer_bars=3, num_bars=2, tempo=72.5, without_primer=True)
    generated, *_ = write(model, load_primers(file, SCORE, config), config)
    piece, whole = finished_piece(generated, SCORE, config), SCORE.decode(generated.steps)
    new = new_notes(whole, generated, SCORE)
    np.testing.assert_array_equal(piece.notes.onset, new.notes.onset - 10 * QUARTER)
    np.testing.assert_array_equal(piece.notes.pitch, new.notes.pitch)
    assert piece.meters.tick[0] == 0
    assert piece.tempos.us_per_quarter.tolist() == [round(60e6 / 72.5)]


def test_without_a_primer_of_notes_the_first_bar_is_that_in_which_it_ends(model, tmp_path):
    config = SampleConfig(primer_notes=6, num_notes=5, without_primer=True)
    primers = load_primers(_file(tmp_path / "a.mid", onsets=range(9)), SCORE, config)
    generated, *_ = write(model, primers, config)
    piece, whole = finished_piece(generated, SCORE, config), SCORE.decode(generated.steps)
    np.testing.assert_array_equal(piece.notes.onset, whole.notes.onset[6:] - 4 * QUARTER)


def test_nothing_new_leaves_no_notes(model, tmp_path):
    config = SampleConfig(primer_bars=9, without_primer=True)
    (primer,) = load_primers(_file(tmp_path / "a.mid", onsets=range(6)), SCORE, config)
    steps = np.concatenate([primer.steps, [SCORE.end]])
    nothing = Generated(steps, len(primer.steps), True, np.zeros(len(steps)), 0, primer_end=primer.end)
    assert finished_piece(nothing, SCORE, config).num_notes == 0


def test_the_tempo_is_written_as_it_was_asked_for_and_seconds_are_those_of_it(model):
    config = SampleConfig(num_seconds=6, tempo=72.6)
    written = write(model, config=config)
    assert {tuple(SCORE.decode(piece.steps).tempos.us_per_quarter) for piece in written} == {(round(60e6 / 73),)}
    pieces = [finished_piece(piece, SCORE, config) for piece in written]
    assert {tuple(piece.tempos.us_per_quarter) for piece in pieces} == {(round(60e6 / 72.6),)}
    assert 5 < max(piece.duration_s for piece in pieces) <= 6 + 1e-4
