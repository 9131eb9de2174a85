import numpy as np
import pytest

from ostinato.configs.listen import StudyConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.listen.design.prompts import draw_prompts, first_seconds, human_split
from ostinato.listen.design.study import StudyError
from tests.listen.music import tunes_dataset
from tests.midi_files import piece_of, tune
from tests.sample.tiny_models import SCORE


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tunes_dataset(tmp_path_factory.mktemp("prompts") / "data")


def _draw(dataset, number=8, *, least=None, **changes):
    config = StudyConfig(**{"clip_seconds": 10.0, "prompt_seconds": 3.0} | changes)
    return draw_prompts(dataset, "test", number, config, least=least or number)


def test_a_prompt_is_the_fewest_whole_bars_that_are_long_enough(dataset):
    for prompt in _draw(dataset):
        assert (prompt.num_bars, prompt.num_beats, prompt.end_s) == (2, 8, pytest.approx(4.0))
        beginning, whole = SCORE.decode(prompt.rows), prompt.piece
        inside = whole.seconds(whole.notes.onset) < 4.0
        np.testing.assert_array_equal(beginning.notes.onset, whole.notes.onset[inside])
        np.testing.assert_array_equal(beginning.notes.pitch, whole.notes.pitch[inside])
        assert tuple(prompt.rows[0]) == SCORE.start
        assert tuple(prompt.rows[-1]) != SCORE.end
        assert prompt.style == 1


def test_prompts_are_drawn_by_lot_from_held_out_pieces_and_each_once(dataset):
    drawn = _draw(dataset)
    assert len({prompt.record_id for prompt in drawn}) == 8
    assert all(prompt.record_id.startswith("test-") for prompt in drawn)
    assert [prompt.record_id for prompt in drawn] == [prompt.record_id for prompt in _draw(dataset)]
    assert [prompt.record_id for prompt in drawn] != [prompt.record_id for prompt in _draw(dataset, seed=1)]


def test_where_too_few_pieces_are_long_enough_it_is_said_how_many(dataset):
    with pytest.raises(StudyError, match=r"12 of 12 pieces .* 30 are needed"):
        _draw(dataset, 30)
    with pytest.raises(StudyError, match="0 of 12 pieces of the test split last 100 s"):
        _draw(dataset, clip_seconds=100.0)


def test_pieces_that_begin_with_silence_are_not_used(tmp_path):
    late = piece_of(*[(480 * 4 + 480 * i, 480, 60 + i % 5, 80, 0) for i in range(60)])
    records = {"test": [Record("late", "wild", SCORE.encode(late, 1)), Record("tune", "", SCORE.encode(tune(0)))]}
    write_dataset(tmp_path / "data", records, SCORE)
    (prompt,) = _draw(Dataset.open(tmp_path / "data"), 2, least=1)
    assert prompt.record_id == "tune"


def test_human_music_is_never_taken_from_what_models_were_trained_on(dataset):
    assert human_split(dataset, "") == "test"
    with pytest.raises(StudyError, match="must be held out"):
        human_split(dataset, "train")
    with pytest.raises(StudyError, match="has no split validation"):
        human_split(dataset, "validation")


def test_a_piece_is_cut_at_a_second_and_notes_with_it():
    # Quarters of half a second; the second note would end at 1.5 s.
    piece = piece_of((0, 480, 60, 80, 0), (480, 960, 62, 80, 0), (960, 480, 64, 80, 0))
    cut = first_seconds(piece, 1.0)
    assert cut.notes.pitch.tolist() == [60, 62]
    assert cut.notes.duration.tolist() == [480, 480]
    assert cut.duration_s == pytest.approx(1.0)
