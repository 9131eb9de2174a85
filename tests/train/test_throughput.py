"""How long the rest of a run takes is told once it is known."""

import pytest

from ostinato.train import throughput
from ostinato.train.throughput import TimeLeft


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])
    return now


def test_the_rest_is_the_median_step_and_the_median_validation_as_often_as_they_are_left(clock):
    left = TimeLeft(100, 20, validates=True)
    assert left.text(0) == ""

    def validate(seconds):
        with left.validating():
            clock[0] += seconds

    validate(30.0)
    left.steps_took(60.0)  # compiled
    assert left.seconds(1) is None
    for seconds in (0.5, 0.4, 9.0):
        left.steps_took(seconds)
    assert left.seconds(10) == pytest.approx(90 * 0.5 + 5 * 30)  # the first validation, as long as there is no other
    validate(2.0)
    assert left.seconds(20) == pytest.approx(80 * 0.5 + 4 * 2)
    assert left.text(20) == ", about 48 s left"
    assert left.text(100) == ""


@pytest.mark.parametrize(
    ("num_steps", "text"), [(100, ", about 50 s left"), (200, ", about 2 min left"), (20_000, ", about 2.8 h left")]
)
def test_it_is_told_in_units_that_one_reads_at_a_glance(num_steps, text):
    left = TimeLeft(num_steps, 7, validates=False)
    for seconds in (20.0, 0.5):
        left.steps_took(seconds)
    assert left.text(0) == text


def test_a_last_validation_after_an_odd_number_of_steps_counts(clock):
    left = TimeLeft(25, 10, validates=True)
    with left.validating():
        clock[0] += 3.0
    for seconds in (5.0, 1.0):
        left.steps_took(seconds)
    assert left.seconds(20) == pytest.approx(5 + 3)
