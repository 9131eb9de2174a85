import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.music import midi
from ostinato.music.score_rows import TEMPO
from ostinato.sample.primers import load_primers, read_piece
from tests.midi_files import tune, write_tunes
from tests.sample.tiny_models import SCORE


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tune.mid"
    path.write_bytes(midi.write(tune(1)))
    return str(path)


def test_a_primer_is_as_many_notes_as_are_asked_for(file):
    ((primer, _),) = load_primers(file, SCORE, SampleConfig(primer_notes=10))
    assert SCORE.count_notes(primer).sum() == 10
    np.testing.assert_array_equal(primer, SCORE.encode(tune(1))[: len(primer)])


def test_a_primer_is_the_bars_that_are_asked_for(file):
    ((primer, _),) = load_primers(file, SCORE, SampleConfig(primer_start=3, primer_bars=2))
    notes, whole = SCORE.decode(primer).notes, SCORE.quantise(tune(1)).notes
    inside = (whole.onset >= 2 * 96) & (whole.onset < 4 * 96)
    np.testing.assert_array_equal(notes.pitch, whole.pitch[inside])
    np.testing.assert_array_equal(notes.onset, whole.onset[inside] - 2 * 96)


def test_a_primer_is_in_the_tempo_meter_and_style_that_are_asked_for(file):
    ((primer, _),) = load_primers(file, SCORE, SampleConfig(primer_bars=2, tempo=60, meter="3/4", style="wild"))
    piece = SCORE.decode(primer)
    assert primer[1, 2] == 1
    assert piece.tempos.us_per_quarter.tolist() == [1_000_000]
    assert piece.meters.numerator.tolist() == [3]
    assert (primer[:, 1] == TEMPO).sum() == 1


def test_a_bar_that_is_not_there_is_refused_with_the_file(file):
    with pytest.raises(ValueError, match=r"tune\.mid: there are no bars 90 to 189"):
        load_primers(file, SCORE, SampleConfig(primer_start=90, primer_bars=100))


def test_bars_after_the_end_of_the_file_are_rests_and_are_told(file, caplog):
    caplog.set_level("INFO", "ostinato")
    (short,), (long,) = (load_primers(file, SCORE, SampleConfig(primer_bars=bars)) for bars in (10, 20))
    np.testing.assert_array_equal(short.steps, long.steps)
    assert (short.end, long.end) == (10 * 96, 20 * 96)
    assert "bars; those up to bar 20 are rests" in caplog.text


def test_primers_come_from_a_folder_in_order(tmp_path):
    write_tunes(tmp_path, 3)
    primers = load_primers(str(tmp_path), SCORE, SampleConfig(num_pieces=2))
    assert len(primers) == 2
    np.testing.assert_array_equal(primers[1].steps, SCORE.encode(tune(1))[: len(primers[1].steps)])
    with pytest.raises(ValueError, match="neither a MIDI file"):
        load_primers(str(tmp_path / "nothing"), SCORE, SampleConfig())


def test_scores_are_primers_alone_and_in_a_folder_of_midi_files(tmp_path):
    pytest.importorskip("verovio", reason="the extra notation is not installed")
    notes = "".join(f"4{note}\n" for note in "cdefgab" * 3)
    (tmp_path / "b.krn").write_text(f"**kern\n*M4/4\n{notes}*-\n")
    (tmp_path / "c.ABC").write_text("X:1\nM:3/4\nL:1/4\nK:C\nC|DEF|GAB|cde|\n")
    write_tunes(tmp_path / "a", 1)
    assert read_piece(tmp_path / "b.krn").num_notes == 21
    assert read_piece(tmp_path / "c.ABC").meters.numerator.tolist() == [1, 3]  # it begins with a pickup
    primers = load_primers(str(tmp_path), SCORE, SampleConfig(primer_notes=4, num_pieces=3))
    pitches = [SCORE.decode(primer.steps).notes.pitch.tolist() for primer in primers]
    assert pitches[1:] == [[60, 62, 64, 65], [60, 62, 64, 65]]
