import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.evaluation.baselines.compose import describe_composer
from ostinato.evaluation.baselines.simple import LONGEST_MATCH, MARKOV, Uniform, make_baseline, make_baselines
from ostinato.evaluation.likelihood import score_predictors, split_stats
from ostinato.evaluation.memorization.split_leakage import find_leakage
from tests.evaluation.pieces import CODEC, counts_of, leaking, tunes, write_pieces


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_pieces(tmp_path_factory.mktemp("simple") / "data", train=tunes(*range(16)), test=tunes(*range(16, 22)))


def _leakage(dataset):
    source = dataset.source("test")
    pieces = np.arange(len(source))
    longest_match = make_baseline(LONGEST_MATCH, counts_of(dataset), CODEC)
    return find_leakage(longest_match, source, pieces, split_stats(source, pieces))


def test_uniform_costs_the_logarithm_of_the_number_of_values(dataset):
    source = dataset.source("test")
    (score,) = score_predictors([Uniform(CODEC)], source, np.arange(len(source)))
    sizes = np.array([field.size for field in CODEC.fields])
    rows_p = np.array([len(source[i].steps) - 1 for i in range(len(source))])
    np.testing.assert_allclose(score.nats_pf, rows_p[:, None] * np.log(sizes))
    np.testing.assert_allclose(score.top1_pf, rows_p[:, None] / sizes, err_msg="a guess among equals is a guess")
    np.testing.assert_allclose(score.top5_pf, rows_p[:, None] * 5 / sizes)


def test_all_baselines_are_there_and_the_more_they_know_the_fewer_nats_the_training_pieces_cost(dataset):
    baselines = make_baselines(counts_of(dataset), CODEC)
    assert [baseline.name for baseline in baselines] == ["uniform", "unigram", *MARKOV, "look-up"]
    nats = [score.nats_p.sum() for score in score_predictors(baselines[:-1], dataset.source("train"), np.arange(5))]
    assert nats == sorted(nats, reverse=True)


def test_the_longest_match_baseline_knows_what_it_has_seen_and_little_else(dataset):
    longest_match, pieces = make_baseline(LONGEST_MATCH, counts_of(dataset), CODEC), np.arange(6)
    for split, low, high in (("train", 0.85, 1.0), ("test", 0.0, 0.5)):
        source = dataset.source(split)
        (score,) = score_predictors([longest_match], source, pieces)
        assert low < score.exact_match_p.sum() / split_stats(source, pieces).rows_p.sum() < high


def test_whole_pieces_on_one_side_of_a_split_are_no_leak(dataset):
    found = _leakage(dataset)
    assert (found["warning"], found["suspect_pieces"], found["pieces"]) == (None, 0, 6)
    assert found["accuracy"] < 0.5


def test_windows_of_the_same_pieces_on_both_sides_are_reported(tmp_path):
    """The paper's leak: excerpts are cut first and split at random afterwards."""
    found = _leakage(leaking(tmp_path / "data"))
    assert found["accuracy"] > 0.9
    assert found["warning"] == (
        f"the longest-match baseline predicts {found['accuracy']:.0%} of the held-out rows (test split): "
        "are the same pieces in both splits?"
    )


def test_a_few_pieces_on_both_sides_are_reported_too(tmp_path):
    pieces = tunes(*range(16))
    found = _leakage(write_pieces(tmp_path / "data", train=pieces, test=[*tunes(*range(20, 28)), *pieces[3:5]]))
    assert found["accuracy"] < 0.5
    assert (found["suspect_pieces"], found["examples"]) == (2, ["test-8", "test-9"])
    assert "of the rows of 2 of 10 held-out pieces (test split)" in found["warning"]


def test_pieces_too_short_for_a_context_are_no_evidence(tmp_path):
    pieces = tunes(*range(4))
    found = _leakage(write_pieces(tmp_path / "data", train=pieces, test=[rows[:6] for rows in pieces]))
    assert (found["accuracy"], found["pieces"], found["warning"]) == (None, 0, None)


def test_two_baselines_on_one_dataset_do_not_claim_the_same_parameters(dataset):
    origins = [
        describe_composer(model, dataset, SampleConfig(), piece=0) for model in ("markov:3", "markov:4", "rules")
    ]
    digests = {origin["params_sha256"] for origin in origins}
    assert len(digests) == 3
    assert dataset.fingerprint not in digests
    assert {origin["inputs"]["dataset"]["sha256"] for origin in origins} == {dataset.fingerprint}
