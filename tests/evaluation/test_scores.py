import numpy as np
import pytest

from ostinato.evaluation.scores import PieceScores, SplitStats, compare, expected_hits, score_as_json

STATS = SplitStats(
    ["calm", "wild"], rows_p=np.array([4.0, 6.0]), notes_p=np.array([2.0, 5.0]), seconds_p=np.array([1.0, 3.0]),
    beats_p=np.array([2.0, 6.0]),
)  # fmt: skip
SCORE = PieceScores(
    "ours", nats_pf=np.array([[1.0, 2.0], [3.0, 4.0]]), top1_pf=np.array([[4.0, 2.0], [6.0, 3.0]]),
    top5_pf=np.array([[4.0, 3.0], [6.0, 6.0]]), exact_match_p=np.array([2.0, 3.0]),
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return score_as_json(SCORE, STATS, ("shift", "pitch"))


def test_the_figures_are_those_of_a_hand_count(found):
    wanted = {
        "pieces": 2, "rows": 10, "notes": 7, "seconds": 4.0, "beats": 8.0, "accuracy": 0.5, "nats_per_row": 1.0,
        "nats_per_note": 10 / 7, "perplexity": np.exp(10 / 7), "bits_per_second": 10 / np.log(2) / 4,
        "bits_per_beat": 10 / np.log(2) / 8,
    }  # fmt: skip
    assert found["name"] == "ours"
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    wanted = {
        "nats_per_note": 6 / 7, "nats_per_row": 0.6, "perplexity": np.exp(0.6), "accuracy": 0.5, "top5_accuracy": 0.9
    }  # fmt: skip
    assert {name: found["fields"]["pitch"][name] for name in wanted} == pytest.approx(wanted)


def test_perplexity_is_exp_of_the_loss():
    """The paper reports a perplexity of 15.2 beside a loss of 0.65."""
    rows = np.array([1000.0])
    score = PieceScores("paper", rows[:, None] * 0.65, rows[:, None], rows[:, None], rows)
    stats = SplitStats([""], rows, rows, rows, rows)
    assert score_as_json(score, stats, ("note",))["perplexity"] == pytest.approx(1.9155, abs=1e-4)


def test_each_style_has_its_own_figures(found):
    calm, wild = found["styles"]["calm"], found["styles"]["wild"]
    assert (calm["nats_per_note"], wild["nats_per_note"]) == pytest.approx((3 / 2, 7 / 5))
    assert wild["fields"]["shift"]["accuracy"] == 1.0
    assert "styles" not in score_as_json(SCORE, STATS._replace(styles=["calm", "calm"]), ("shift", "pitch"))


def test_one_piece_has_no_interval_and_two_have_one_around_the_figure(found):
    assert found["nats_per_note_interval"] == pytest.approx([7 / 5, 3 / 2])
    assert found["fields"]["pitch"]["nats_per_note_interval"] == pytest.approx([4 / 5, 2 / 2])
    assert found["styles"]["calm"]["nats_per_note_interval"] is None


def test_a_comparison_is_paired():
    """Pieces differ a lot from each other, and the second predictor always needs a quarter more."""
    rng = np.random.default_rng(0)
    notes = rng.integers(10, 200, 30).astype(float)
    nats = (notes * rng.uniform(1, 4, 30))[:, None]
    stats = SplitStats([""] * 30, notes, notes, notes, notes)
    ours, other = (PieceScores(name, nats * by, nats, nats, notes) for name, by in (("ours", 0.75), ("other", 1.0)))
    found = compare(ours, other, stats)
    assert (found["model"], found["against"]) == ("ours", "other")
    assert found["share_less"] == pytest.approx(0.25)
    assert found["share_less_interval"] == pytest.approx([0.25, 0.25])
    low, high = found["nats_per_note_less_interval"]
    assert low < found["nats_per_note_less"] < high


def test_a_draw_counts_as_the_chance_to_guess_right():
    assert expected_hits(np.array([0, 0, 1, 4, 5]), np.array([1, 4, 1, 2, 1]), 1).tolist() == [1, 0.25, 0, 0, 0]
    assert expected_hits(np.array([0, 0, 4, 4, 5]), np.array([1, 10, 1, 2, 1]), 5).tolist() == [1, 0.5, 1, 0.5, 0]
