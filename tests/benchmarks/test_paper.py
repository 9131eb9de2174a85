import numpy as np
import pytest

from ostinato.benchmarks.outcomes import kept
from ostinato.benchmarks.paper import document
from ostinato.benchmarks.paper_systems import Cell, Effort, plan, train_config, write_windows
from ostinato.benchmarks.paper_tables import contradictions
from ostinato.configs.presets import paper
from ostinato.data.records import Dataset
from tests.evaluation.pieces import tunes, write_pieces


def test_windows_of_all_pieces_are_dealt_to_the_splits_and_overlap(tmp_path):
    pieces = write_pieces(tmp_path / "pieces", train=tunes(0, 1, 2), validation=tunes(3))
    (tmp_path / "windows").mkdir()  # of a command that was ended
    write_windows(pieces, tmp_path / "windows", 10)
    dataset = Dataset.open(tmp_path / "windows")
    learned, held_out = (dataset.source(split) for split in ("train", "validation"))
    assert set(learned.lengths) == set(held_out.lengths) == {11}
    assert 0 < len(held_out) * 10 <= pieces.source("validation").lengths.sum()
    seen = {row.tobytes() for number in range(len(learned)) for row in learned[number].steps}
    shared = [row.tobytes() in seen for number in range(len(held_out)) for row in held_out[number].steps]
    assert np.mean(shared) > 0.9


def test_windows_are_trained_for_as_many_steps_as_pieces():
    config = train_config(Cell("nottingham", "windows", 2), Effort(num_epochs=3), 7)
    assert (config.num_steps, config.evaluate_every, config.seed) == (21, 7, 2)
    assert train_config(Cell("nottingham", "paper", 0), Effort(), 7).model == paper().train.model


def test_what_is_kept_is_not_made_again_and_other_settings_are_refused(tmp_path):
    assert kept(tmp_path / "cell.json", {"a": (1, 2)}, lambda: {"b": 3}) == {"b": 3}
    assert kept(tmp_path / "cell.json", {"a": (1, 2)}, lambda: {"b": 4}) == {"b": 3}
    with pytest.raises(ValueError, match="was made with other settings"):
        kept(tmp_path / "cell.json", {"a": (1, 3)}, lambda: {"b": 4})


def test_the_results_say_which_cells_are_not_done_and_what_contradicts_itself():
    found = document({}, Effort(num_epochs=2), 1)
    assert len(found["not_done"]) == len(plan(("nottingham", "giantmidi"), ("a",) * 5, 1)) == 10
    assert found["command"].endswith("--seeds 1 --num-epochs 2")
    assert not any(table["rows"] for table in found["tables"].values())
    assert "1.92, not 15.2" in contradictions()[0]
