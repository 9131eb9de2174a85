import jax
import numpy as np
import pytest

from ostinato.data.ngram_files import in_memory
from ostinato.evaluation import likelihood
from ostinato.evaluation.baselines.simple import make_baseline
from ostinato.evaluation.likelihood import score_network, score_predictors, split_stats
from ostinato.model.network import initial_carry
from ostinato.train.data import evaluation_batches
from ostinato.train.step import evaluate, make_eval_step, make_mesh
from tests.evaluation.pieces import CODEC, tunes, write_pieces
from tests.sample.runs import untrained

LENGTHS = (20, 5, 48, 33, 12)
ALL = np.arange(len(LENGTHS))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    pieces = [tunes(seed, num_notes=length)[0] for seed, length in enumerate(LENGTHS)]
    return write_pieces(tmp_path_factory.mktemp("likelihood") / "data", train=pieces, test=pieces).source("test")


@pytest.fixture(scope="module")
def run():
    return untrained(codec=CODEC)


@pytest.fixture(scope="module")
def scored(run, source):
    return score_network(run, source, ALL, batch_size=4, name="lstm")


def test_the_stats_are_what_the_pieces_say(source):
    stats = split_stats(source, np.array([1, 2]))
    assert stats.rows_p.tolist() == [len(source[i].steps) - 1 for i in (1, 2)]
    pieces = [CODEC.decode(source[i].steps) for i in (1, 2)]
    assert stats.notes_p.tolist() == [piece.num_notes for piece in pieces]
    np.testing.assert_allclose(stats.seconds_p, [piece.duration_s for piece in pieces])
    np.testing.assert_allclose(stats.beats_p, stats.seconds_p * 2, err_msg="120 beats a minute")


def test_every_piece_costs_what_the_network_says_of_it_alone(run, source, scored):
    """Chunks of 16 steps, rows of several lengths side by side, a last batch that is not full."""
    pieces = [source[number].steps.astype(np.int32) for number in ALL]
    rows_btf = np.stack([np.resize(rows, (max(map(len, pieces)), rows.shape[1])) for rows in pieces])
    starts_bt = np.zeros((len(pieces), rows_btf.shape[1] - 1), bool)
    starts_bt[:, 0] = True
    carry = initial_carry(run.model.config, len(pieces))
    inputs, targets = rows_btf[:, :-1], rows_btf[:, 1:]
    logits, _ = jax.jit(run.model.apply)({"params": run.params}, inputs, targets, starts_bt, carry)
    for number, rows in enumerate(pieces):
        for field, of_field in enumerate(logits):
            values = np.asarray(of_field, np.float64)[number, : len(rows) - 1]
            chosen = np.take_along_axis(values, rows[1:, field, None], 1)
            nats = np.log(np.exp(values).sum(1)) - chosen[:, 0]
            assert scored.nats_pf[number, field] == pytest.approx(nats.sum(), rel=1e-5)
            rank = (values > chosen).sum(1)
            assert scored.top1_pf[number, field] == (rank < 1).sum()
            assert scored.top5_pf[number, field] == (rank < 5).sum()


def test_the_sums_are_those_of_the_evaluation_during_training(run, source, scored):
    mesh = make_mesh(4)
    batches = evaluation_batches(source, 4, run.config.data.sequence_length)
    totals = evaluate(make_eval_step(run.model, mesh), run.params, run.model, batches, mesh=mesh, batch_size=4)
    np.testing.assert_allclose(scored.nats_pf.sum(0), totals.nll_f, rtol=1e-5)
    np.testing.assert_allclose(scored.top1_pf.sum(0), totals.correct_f)
    assert scored.exact_match_p.sum() == totals.all_correct


def test_only_the_chosen_pieces_are_scored_in_their_order(run, source, scored):
    chosen = np.array([3, 0])
    some = score_network(run, source, chosen, batch_size=4, name="lstm")
    np.testing.assert_allclose(some.nats_pf, scored.nats_pf[chosen], rtol=1e-5)


def test_predictors_cost_the_same_however_many_rows_are_in_memory(source, monkeypatch):
    model = make_baseline("markov:2", in_memory([source[i].steps for i in range(3)]), CODEC)
    (whole,) = score_predictors([model], source, ALL)
    monkeypatch.setattr(likelihood, "ROWS_READ", 60)
    monkeypatch.setattr(likelihood, "PROBABILITIES_AT_ONCE", 7 * 248)
    (parts,) = score_predictors([model], source, ALL)
    for column, other in zip(whole[1:], parts[1:], strict=True):
        np.testing.assert_allclose(column, other)


def test_a_predictor_that_is_sure_and_right_costs_nothing(source):
    class Sure:
        name = "sure"

        def probabilities(self, tape, field):
            return np.eye(CODEC.fields[field].size)[tape.rows[:, field]]

    (score,) = score_predictors([Sure()], source, ALL)
    assert score.nats_pf.sum() == 0
    np.testing.assert_array_equal(score.exact_match_p, split_stats(source, ALL).rows_p)
    (late,) = score_predictors([Sure()], source, ALL, first_row=9)
    np.testing.assert_array_equal(late.exact_match_p, np.maximum(score.exact_match_p - 8, 0))
