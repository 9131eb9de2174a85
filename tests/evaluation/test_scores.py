import numpy as np
import pytest

from ostinato.evaluation.scores import Material, PieceScores, compare, expected_hits, score_as_json

MATERIAL = Material(
    ["calm", "wild"], rows_p=np.array([4.0, 6.0]), notes_p=np.array([2.0, 5.0]), seconds_p=np.array([1.0, 3.0]),
    beats_p=np.array([2.0, 6.0]),
)  # fmt: skip
SCORE = PieceScores(
    "ours", nats_pf=np.array([[1.0, 2.0], [3.0, 4.0]]), top1_pf=np.array([[4.0, 2.0], [6.0, 3.0]]),
    top5_pf=np.array([[4.0, 3.0], [6.0, 6.0]]), whole_p=np.array([2.0, 3.0]),
)  # fmt: skip


def test_the_figures_are_those_of_a_hand_count():
    found = score_as_json(SCORE, MATERIAL, ("shift", "pitch"))
    assert found["name"] == "ours"
    assert (found["pieces"], found["rows"], found["notes"], found["seconds"], found["beats"]) == (2, 10, 7, 4.0, 8.0)
    assert found["nats_per_note"] == pytest.approx(10 / 7)
    assert found["perplexity"] == pytest.approx(np.exp(10 / 7))
    assert found["nats_per_row"] == pytest.approx(1.0)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["bits_per_second"] == pytest.approx(10 / np.log(2) / 4)
    assert found["bits_per_beat"] == pytest.approx(10 / np.log(2) / 8)
    pitch = found["fields"]["pitch"]
    assert pitch["nats_per_note"] == pytest.approx(6 / 7)
    assert pitch["nats_per_row"] == pytest.approx(0.6)
    assert pitch["perplexity"] == pytest.approx(np.exp(0.6))
    assert (pitch["accuracy"], pitch["top5_accuracy"]) == pytest.approx((0.5, 0.9))


def test_perplexity_is_exp_of_the_loss():
    """The paper reports a perplexity of 15.2 beside a loss of 0.65."""
    rows = np.array([1000.0])
    material = Material([""], rows, rows, rows, rows)
    score = PieceScores("paper", rows[:, None] * 0.65, rows[:, None], rows[:, None], rows)
    assert score_as_json(score, material, ("note",))["perplexity"] == pytest.approx(1.9155, abs=1e-4)


def test_each_style_has_its_own_figures():
    styles = score_as_json(SCORE, MATERIAL, ("shift", "pitch"))["styles"]
    assert styles["calm"]["nats_per_note"] == pytest.approx(3 / 2)
    assert styles["wild"]["nats_per_note"] == pytest.approx(7 / 5)
    assert styles["wild"]["fields"]["shift"]["accuracy"] == 1.0
    alone = Material(["calm", "calm"], *MATERIAL[1:])
    assert "styles" not in score_as_json(SCORE, alone, ("shift", "pitch"))


def test_one_piece_has_no_interval_and_two_have_one_around_the_figure():
    found = score_as_json(SCORE, MATERIAL, ("shift", "pitch"))
    low, high = found["nats_per_note_interval"]
    assert low == pytest.approx(7 / 5)
    assert high == pytest.approx(3 / 2)
    assert low < found["nats_per_note"] < high
    assert found["styles"]["calm"]["nats_per_note_interval"] is None


def test_a_comparison_is_paired():
    """Pieces differ a lot from each other, and the second predictor always needs a quarter more."""
    rng = np.random.default_rng(0)
    notes = rng.integers(10, 200, 30).astype(float)
    nats = (notes * rng.uniform(1, 4, 30))[:, None]
    material = Material([""] * 30, notes, notes, notes, notes)
    ours, other = (PieceScores(name, nats * by, nats, nats, notes) for name, by in (("ours", 0.75), ("other", 1.0)))
    found = compare(ours, other, material)
    assert (found["model"], found["against"]) == ("ours", "other")
    assert found["share_less"] == pytest.approx(0.25)
    assert found["share_less_interval"] == pytest.approx([0.25, 0.25])
    low, high = found["nats_per_note_less_interval"]
    assert low < found["nats_per_note_less"] < high


def test_a_draw_counts_as_the_chance_to_guess_right():
    assert expected_hits(np.array([0, 0, 1, 4, 5]), np.array([1, 4, 1, 2, 1]), 1).tolist() == [1, 0.25, 0, 0, 0]
    assert expected_hits(np.array([0, 0, 4, 4, 5]), np.array([1, 10, 1, 2, 1]), 5).tolist() == [1, 0.5, 1, 0.5, 0]
