import numpy as np
import pytest

from ostinato.data.ngram_files import in_memory
from ostinato.evaluation.baselines.simple import LOOK_UP, MARKOV, Uniform, make_baseline, make_baselines
from ostinato.evaluation.likelihood import measure_material, score_predictors
from ostinato.evaluation.memorization.split_leakage import find_leak
from tests.evaluation.pieces import CODEC, tunes, windows, write_pieces


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines") / "data"
    return write_pieces(folder, train=tunes(*range(16)), test=tunes(*range(16, 22)))


def _counts(dataset):
    source = dataset.source("train")
    return in_memory([source[i].steps for i in range(len(source))])


def _leak(dataset):
    source = dataset.source("test")
    return find_leak(make_baseline(LOOK_UP, _counts(dataset), CODEC), source, np.arange(len(source)))


def test_uniform_costs_the_logarithm_of_the_number_of_values(dataset):
    source = dataset.source("test")
    (score,) = score_predictors([Uniform(CODEC)], source, np.arange(len(source)))
    sizes = np.array([field.size for field in CODEC.fields])
    rows_p = np.array([len(source[i].steps) - 1 for i in range(len(source))])
    np.testing.assert_allclose(score.nats_pf, rows_p[:, None] * np.log(sizes))
    np.testing.assert_allclose(score.top1_pf, rows_p[:, None] / sizes, err_msg="a guess among equals is a guess")
    np.testing.assert_allclose(score.top5_pf, rows_p[:, None] * 5 / sizes)


def test_all_baselines_are_there_and_the_more_they_know_the_fewer_nats_the_training_pieces_cost(dataset):
    baselines = make_baselines(_counts(dataset), CODEC)
    assert [baseline.name for baseline in baselines] == ["uniform", "unigram", *MARKOV, "look-up"]
    nats = [score.nats_p.sum() for score in score_predictors(baselines[:-1], dataset.source("train"), np.arange(5))]
    assert nats == sorted(nats, reverse=True)


def test_the_look_up_table_knows_what_it_has_seen_and_little_else(dataset):
    look_up = make_baseline(LOOK_UP, _counts(dataset), CODEC)
    accuracy = {}
    for split in ("train", "test"):
        source, pieces = dataset.source(split), np.arange(6)
        (score,) = score_predictors([look_up], source, pieces)
        accuracy[split] = score.whole_p.sum() / measure_material(source, pieces).rows_p.sum()
    assert accuracy["train"] > 0.85
    assert accuracy["test"] < 0.5


def test_whole_pieces_on_one_side_of_a_split_are_no_leak(dataset):
    found = _leak(dataset)
    assert found["warning"] is None
    assert found["suspect_pieces"] == 0
    assert found["pieces"] == 6
    assert found["accuracy"] < 0.5


def test_windows_of_the_same_pieces_on_both_sides_are_reported(tmp_path):
    """The paper's leak: excerpts are cut first and split at random afterwards."""
    pieces = tunes(*range(10))
    dataset = write_pieces(
        tmp_path / "data", train=windows(pieces, begin=4, step=5), test=windows(pieces, begin=7, step=10)
    )
    found = _leak(dataset)
    assert found["accuracy"] > 0.9
    assert found["warning"] == (
        f"the look-up table predicts {found['accuracy']:.0%} of the held-out rows (test split): "
        "are the same pieces in both splits?"
    )


def test_a_few_pieces_on_both_sides_are_reported_too(tmp_path):
    pieces = tunes(*range(16))
    dataset = write_pieces(tmp_path / "data", train=pieces, test=[*tunes(*range(20, 28)), *pieces[3:5]])
    found = _leak(dataset)
    assert found["accuracy"] < 0.5
    assert found["suspect_pieces"] == 2
    assert found["examples"] == ["test-8", "test-9"]
    assert (
        "of the rows of 2 of 10 held-out pieces (test split): are the same pieces in both splits?" in found["warning"]
    )


def test_pieces_too_short_for_a_context_are_no_evidence(tmp_path):
    pieces = tunes(*range(4))
    dataset = write_pieces(tmp_path / "data", train=pieces, test=[rows[:6] for rows in pieces])
    found = _leak(dataset)
    assert (found["accuracy"], found["pieces"], found["warning"]) == (None, 0, None)
