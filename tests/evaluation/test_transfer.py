"""Before and after fine-tuning, with runs that were trained."""

import dataclasses
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.evaluation.likelihood import score_network, split_stats
from ostinato.evaluation.tables import transfer_rows
from ostinato.evaluation.transfer import measure_transfer
from ostinato.music.notes_codec import END, NUM_SPECIAL, START, NoteEvent, NotesCodec
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import train
from ostinato.train.run_metadata import CheckpointError

pytestmark = pytest.mark.slow  # two trainings

CODEC = NotesCodec(tuple(NoteEvent(1, 1, (pitch,)) for pitch in range(48, 72)))
CONFIG = TrainConfig(
    model=ModelConfig(embedding_size=8, hidden_size=16, head_size=8, num_layers=1, dropout=0.0),
    data=DataConfig(batch_size=4, sequence_length=16),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=1),
    num_steps=3,
    keep_checkpoints=1,
)


def _write(folder, *, train, test, codec=CODEC):
    """Writes random pieces, by their seeds."""

    def piece(seed):
        notes = np.random.default_rng(seed).integers(NUM_SPECIAL, codec.fields[0].size, 30)
        return Record(f"piece {seed}", "", np.r_[START, notes, END].astype(np.uint16)[:, None])

    write_dataset(folder, {"train": [*map(piece, train)], "test": [*map(piece, test)]}, codec)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pretrained run, one that was fine-tuned from it, and their datasets."""
    folder = tmp_path_factory.mktemp("transfer")
    old = _write(folder / "old", train=range(4), test=range(4, 6))
    new = _write(folder / "new", train=range(10, 12), test=range(12, 15))
    train(CONFIG, old, folder / "pretrained")
    train(dataclasses.replace(CONFIG, seed=1), new, folder / "tuned", init_from=folder / "pretrained")
    return folder


def _measured(folder, *, run="tuned", dataset="new", old_dataset=None):
    options = {"checkpoint": "best", "batch_size": 4, "old_dataset": old_dataset}
    return measure_transfer(folder / run, Dataset.open(folder / dataset), **options)


@pytest.fixture(scope="module")
def found(folder):
    return _measured(folder)


@contextmanager
def _moved(path, aside):
    path.rename(aside)
    try:
        yield aside
    finally:
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)


def test_both_runs_are_measured_on_both_corpora(folder, found):
    splits = [(one["corpus"], one["split"], one["after"]["pieces"]) for one in found["corpora"]]
    assert splits == [("new", "test", 3), ("old", "test", 2)]
    for one in found["corpora"]:
        source = Dataset.open(folder / one["corpus"]).source("test")
        pieces = np.arange(one["after"]["pieces"])
        num_notes = split_stats(source, pieces).notes_p.sum()
        for when, name in (("before", "pretrained"), ("after", "tuned")):
            nats = score_network(load_params(folder / name), source, pieces, batch_size=4, name="").nats_p.sum()
            assert one[when]["nats_per_note"] == pytest.approx(nats / num_notes)
        difference = one["before"]["nats_per_note"] - one["after"]["nats_per_note"]
        assert difference != 0
        assert one["gain"]["nats_per_note_less"] == pytest.approx(difference)
        low, high = one["gain"]["nats_per_note_less_interval"]
        assert low <= difference <= high
        assert one["heard_before"] == 0


def test_the_table_shows_a_gain_as_less(found):
    heading, cells = transfer_rows({"transfer": found})
    assert [row[0] for row in cells] == ["the new corpus, new (test)", "the old corpus, old (test)"]
    assert all(len(row) == len(heading) for row in cells)
    new = found["corpora"][0]
    before, after = (new[when]["nats_per_note"] for when in ("before", "after"))
    low, high = new["gain"]["nats_per_note_less_interval"]
    assert cells[0][1::2] == [f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"]
    assert cells[0][6] == f"{-high:+.3f} to {-low:+.3f}"


def test_a_run_that_began_by_itself_has_no_before(folder):
    assert _measured(folder, run="pretrained", dataset="old") is None
    assert transfer_rows({"transfer": None})[1] == transfer_rows({})[1] == []


def test_an_old_corpus_that_has_moved_is_asked_for(folder, found, tmp_path):
    with _moved(folder / "old", tmp_path / "moved") as moved:
        without, named = _measured(folder), _measured(folder, old_dataset=Dataset.open(moved))
    assert without["corpora"][0] == named["corpora"][0] == found["corpora"][0]
    assert "name the old corpus with --old-dataset" in without["corpora"][1]["missing"]
    assert transfer_rows({"transfer": without})[1][1][1:] == ["-"] * 6
    assert named["corpora"][1]["after"] == found["corpora"][1]["after"]


def test_another_dataset_or_run_in_the_place_of_the_old_one_is_not_taken_for_it(folder, tmp_path):
    with _moved(folder / "old", tmp_path / "aside"):
        _write(folder / "old", train=[40], test=[41])
        assert "has the fingerprint" in _measured(folder)["corpora"][1]["missing"]
    with _moved(folder / "pretrained", tmp_path / "aside"):
        shutil.copytree(folder / "tuned", folder / "pretrained")
        assert all("and the run began with" in one["missing"] for one in _measured(folder)["corpora"])


def test_a_checkpoint_that_is_no_longer_there_is_named(folder):
    with pytest.raises(CheckpointError, match="there is no checkpoint of step 2 any more, only of 3"):
        load_params(folder / "pretrained", 2)


def test_held_out_pieces_that_were_learnt_before_are_counted(folder):
    source = Dataset.open(folder / "old").source("train")
    mixed = [source[0], *(Dataset.open(folder / "new").source("test")[i] for i in range(2))]
    write_dataset(folder / "mixed", {"train": [source[1]], "test": mixed}, source.codec)
    report = _measured(folder, dataset="mixed")
    assert report["corpora"][0]["heard_before"] == 1
    assert "1 of 3 were in the old training split" in transfer_rows({"transfer": report})[1][0][0]


def test_an_old_corpus_of_another_codec_is_refused(folder, tmp_path):
    other = _write(tmp_path / "other", train=[1], test=[2], codec=NotesCodec(CODEC.vocabulary[1:]))
    with pytest.raises(ValueError, match="trained with another codec"):
        _measured(folder, old_dataset=other)
