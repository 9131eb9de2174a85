import itertools

import numpy as np
import pytest

from ostinato.beam_pipelines import count_ngrams as module
from ostinato.beam_pipelines.count_ngrams import count_ngrams
from ostinato.beam_pipelines.runners import BeamOptionsError
from ostinato.data import ngrams
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.ngram_files import in_memory, open_counts
from ostinato.data.records import Dataset, Record
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import tune

CODEC = ScoreCodec()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ngrams") / "data"
    pieces = [Record(f"{seed:064x}", "", CODEC.encode(tune(seed))) for seed in range(12)]
    write_dataset(folder, {"train": pieces[:10], "test": pieces[10:]}, CODEC)
    return Dataset.open(folder)


def _assert_same(counts, expected, pieces):
    tape = ngrams.make_tape(pieces)
    for field in range(5):
        homes = ngrams.context_hashes(tape, field, 1)
        for order in ngrams.orders_of(field):
            contexts = ngrams.context_hashes(tape, field, order)
            asked = contexts, homes if order >= 1 else None
            some, others = (
                np.array(sorted(zip(*one.followers(*asked, num_values=1 << 16), strict=True)))
                for one in (counts, expected)
            )
            np.testing.assert_array_equal(some, others)
            for continuations in (False, True):
                np.testing.assert_array_equal(
                    counts.discounts(field, order, continuations=continuations),
                    expected.discounts(field, order, continuations=continuations),
                )


def test_the_job_counts_what_a_loop_over_the_training_pieces_counts(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_RANGE", 200)  # so that there are several ranges
    count_ngrams(dataset, tmp_path / "ngrams")
    source = dataset.source("train")
    pieces = [source[i].steps for i in range(len(source))]
    _assert_same(open_counts(tmp_path / "ngrams", dataset.fingerprint), in_memory(pieces), pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["ngrams"], "nothing unfinished is left"


def test_a_job_of_several_parts_answers_alike_and_replaces_what_was_there(dataset, tmp_path, monkeypatch):
    (tmp_path / "ngrams").mkdir()
    (tmp_path / "ngrams" / "something old").touch()
    monkeypatch.setattr(module, "ROWS_PER_PART", 250)
    count_ngrams(dataset, tmp_path / "ngrams")
    assert len(list((tmp_path / "ngrams").glob("part-*"))) > 1
    assert not (tmp_path / "ngrams" / "something old").exists()
    counts = open_counts(tmp_path / "ngrams", dataset.fingerprint)
    source = dataset.source("train")
    pieces = [source[i].steps for i in range(len(source))]
    _assert_same(counts, in_memory(pieces), pieces)


def test_pieces_are_counted_in_other_keys_too_where_that_is_wanted(dataset, tmp_path):
    count_ngrams(dataset, tmp_path / "ngrams", max_transpose=1)
    source = dataset.source("train")
    pieces = [
        CODEC.transform("transpose", source[i].steps, change) for i in range(len(source)) for change in (-1, 0, 1)
    ]
    _assert_same(open_counts(tmp_path / "ngrams", dataset.fingerprint), in_memory(pieces), pieces)


def test_counts_of_another_dataset_are_not_taken(dataset, tmp_path):
    count_ngrams(dataset, tmp_path / "ngrams")
    assert open_counts(tmp_path / "ngrams", "another") is None
    assert open_counts(tmp_path / "nowhere", dataset.fingerprint) is None


def test_an_unknown_option_of_beam_is_refused_before_anything_is_written(dataset, tmp_path):
    with pytest.raises(BeamOptionsError, match="--frobnicate"):
        count_ngrams(dataset, tmp_path / "ngrams", ["--frobnicate=3"])
    assert not list(tmp_path.iterdir())


def test_ranges_hold_every_piece_once():
    lengths = np.array([70_000, 10, 20, 65_536, 5, 200_000, 7])
    ranges = module._ranges(lengths)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(lengths)
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(ranges))
    assert all(begin < end for begin, end in ranges)
