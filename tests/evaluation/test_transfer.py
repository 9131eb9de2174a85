"""Before and after fine-tuning, with runs that were trained."""

import dataclasses
import shutil

import numpy as np
import pytest

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.data.records import Dataset, Record, write_dataset
from ostinato.evaluation.likelihood import measure_material, score_network
from ostinato.evaluation.transfer import measure_transfer, transfer_rows
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
OPTIONS = {"checkpoint": "best", "batch_size": 4}


def write(folder, *, train, test, codec=CODEC):
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
    old = write(folder / "old", train=range(4), test=range(4, 6))
    new = write(folder / "new", train=range(10, 12), test=range(12, 15))
    train(CONFIG, old, folder / "pretrained")
    train(dataclasses.replace(CONFIG, seed=1), new, folder / "tuned", init_from=folder / "pretrained")
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return measured(folder, Dataset.open(folder / "new"))


def measured(folder, dataset, old_dataset=None):
    """The report of the fine-tuned run."""
    report = measure_transfer(folder / "tuned", dataset, old_dataset=old_dataset, **OPTIONS)
    assert report is not None
    return report


def test_both_runs_are_measured_on_both_corpora(folder, found):
    assert [(one["corpus"], one["split"], one["after"]["pieces"]) for one in found["corpora"]] == [
        ("new", "test", 3),
        ("old", "test", 2),
    ]
    for one in found["corpora"]:
        source = Dataset.open(folder / one["corpus"]).source("test")
        pieces = np.arange(one["after"]["pieces"])
        num_notes = measure_material(source, pieces).notes_p.sum()
        for when, name in (("before", "pretrained"), ("after", "tuned")):
            run = load_params(folder / name)
            nats = score_network(run, source, pieces, batch_size=4, name="").nats_p.sum()
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
    assert cells[0][1] == f"{new['before']['nats_per_note']:.3f}"
    assert cells[0][3] == f"{new['after']['nats_per_note']:.3f}"
    assert cells[0][5] == f"{new['after']['nats_per_note'] - new['before']['nats_per_note']:+.3f}"
    low, high = new["gain"]["nats_per_note_less_interval"]
    assert cells[0][6] == f"{-high:+.3f} to {-low:+.3f}"


def test_a_run_that_began_by_itself_has_no_before(folder):
    old = Dataset.open(folder / "old")
    assert measure_transfer(folder / "pretrained", old, old_dataset=None, **OPTIONS) is None
    assert transfer_rows({"transfer": None})[1] == transfer_rows({})[1] == []


def test_an_old_corpus_that_has_moved_is_asked_for(folder, found, tmp_path):
    (folder / "old").rename(tmp_path / "moved")
    try:
        new, moved = Dataset.open(folder / "new"), Dataset.open(tmp_path / "moved")
        without = measured(folder, new)
        named = measured(folder, new, moved)
    finally:
        (tmp_path / "moved").rename(folder / "old")
    assert without["corpora"][0] == named["corpora"][0] == found["corpora"][0]
    assert "name the old corpus with --old-dataset" in without["corpora"][1]["missing"]
    assert transfer_rows({"transfer": without})[1][1][1:] == ["-"] * 6
    assert named["corpora"][1]["after"] == found["corpora"][1]["after"]


def test_another_dataset_in_the_place_of_the_old_one_is_not_taken_for_it(folder, tmp_path):
    (folder / "old").rename(tmp_path / "aside")
    write(folder / "old", train=[40], test=[41])
    try:
        report = measured(folder, Dataset.open(folder / "new"))
    finally:
        shutil.rmtree(folder / "old")
        (tmp_path / "aside").rename(folder / "old")
    assert "has the fingerprint" in report["corpora"][1]["missing"]


def test_another_run_in_the_place_of_the_first_one_is_not_taken_for_it(folder, tmp_path):
    (folder / "pretrained").rename(tmp_path / "aside")
    shutil.copytree(folder / "tuned", folder / "pretrained")
    try:
        report = measured(folder, Dataset.open(folder / "new"))
    finally:
        shutil.rmtree(folder / "pretrained")
        (tmp_path / "aside").rename(folder / "pretrained")
    assert ["and the run began with" in one["missing"] for one in report["corpora"]] == [True, True]


def test_a_checkpoint_that_is_no_longer_there_is_named(folder):
    with pytest.raises(CheckpointError, match="there is no checkpoint of step 2 any more, only of 3"):
        load_params(folder / "pretrained", 2)


def test_held_out_pieces_that_were_learnt_before_are_counted(folder, tmp_path):
    source = Dataset.open(folder / "old").source("train")
    mixed = [source[0], *(Dataset.open(folder / "new").source("test")[i] for i in range(2))]
    write_dataset(tmp_path / "mixed", {"train": [source[1]], "test": mixed}, source.codec)
    report = measured(folder, Dataset.open(tmp_path / "mixed"))
    assert report["corpora"][0]["heard_before"] == 1
    assert "1 of 3 were in the old training split" in transfer_rows({"transfer": report})[1][0][0]


def test_an_old_corpus_of_another_codec_is_refused(folder, tmp_path):
    other = write(tmp_path / "other", train=[1], test=[2], codec=NotesCodec(CODEC.vocabulary[1:]))
    with pytest.raises(ValueError, match="trained with another codec"):
        measured(folder, Dataset.open(folder / "new"), other)
