"""Who is lost, and what is slow: decided from signs and times that are passed in."""

import logging

import jax
import pytest

from ostinato.train.hosts.peers import Life
from ostinato.train.hosts.watchdog import Judge, SlowTasks, Task, Watchdog, lost_touch


def life(number, *, beat, position=5, waits_for="the devices at step 5", **more):
    return Life(number, f"host{number}", 100 + number, beat, position, waits_for, **more)


def at_devices(begin_s, position=6):
    return Task("devices", "the devices at step 6", begin_s, position)


@pytest.fixture
def judge():
    """Process 1 of three, with a limit of ten seconds."""
    return Judge(1, 3, timeout_s=10.0, begin_s=0.0)


def test_as_long_as_all_give_signs_and_get_on_nobody_is_lost(judge):
    for second in range(100):
        judge.hear({i: life(i, beat=second, position=second) for i in (0, 2)}, second)
        assert judge.verdict(at_devices(second - 1, second + 1), second) is None


def test_a_process_without_signs_is_lost_after_the_limit(judge):
    for second in range(20):
        judge.hear({0: life(0, beat=second), 2: life(2, beat=min(second, 7))}, second)
        said = judge.verdict(at_devices(second), second)
        assert (said is not None) == (second >= 17)
    assert said == "process 2 (host2, pid 102) was lost: no sign of life for 12 s"


def test_a_process_that_never_came_is_lost_too(judge):
    judge.hear({0: life(0, beat=1)}, 9.0)
    assert judge.verdict(at_devices(8.0), 9.0) is None
    assert judge.verdict(at_devices(8.0), 10.0) == "process 2 (never heard of) was lost: no sign of life for 10 s"


def test_without_answers_it_is_the_coordinator_that_is_lost(judge):
    judge.hear({i: life(i, beat=1) for i in (0, 2)}, 3.0)
    assert judge.verdict(at_devices(3.0), 12.0) is None
    said = judge.verdict(at_devices(3.0), 13.5)
    assert said == "process 0 (host0, pid 100) was lost: it has not answered for 10 s"


def test_a_process_that_lives_but_is_behind_has_stalled(judge):
    """Process 2 reads its data for ever; process 0 waits as this one does."""
    for second in range(20):
        lives = {0: life(0, beat=second, position=6), 2: life(2, beat=second, waits_for="batch 5 of the training data")}
        judge.hear(lives, second)
        said = judge.verdict(at_devices(2.0), second)
        assert (said is not None) == (second >= 12)
    assert said == "process 2 (host2, pid 102) stalled: waiting for batch 5 of the training data for 19 s"


def test_who_compiles_is_given_more_time(judge):
    for second in range(150):
        judge.hear({0: life(0, beat=second), 2: life(2, beat=second)}, second)
        said = judge.verdict(at_devices(0.0)._replace(kind="compiling"), second)
        assert (said is not None) == (second >= 100)


def test_who_was_heard_a_while_ago_is_not_called_stalled_but_lost_when_its_time_is_up(judge):
    """Process 2 was behind when it was heard last."""
    for second in range(20):
        judge.hear({0: life(0, beat=second, position=6), 2: life(2, beat=min(second, 5))}, second)
        said = judge.verdict(at_devices(1.0), second)
        assert (said is not None) == (second >= 15)
    assert said == "process 2 (host2, pid 102) was lost: no sign of life for 14 s"


def test_an_error_of_what_processes_do_together_is_known_also_below_others():
    together = jax.errors.JaxRuntimeError("UNAVAILABLE: connection reset")
    wrapped = ValueError("a checkpoint could not be written")
    wrapped.__cause__ = together
    assert all(map(lost_touch, (together, wrapped, ValueError("UNKNOWN: Gloo AllGather failed: Read error"))))
    own = (None, ValueError("no such file"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"))
    assert not any(map(lost_touch, own))


def test_when_all_wait_for_each_other_a_step_gets_ten_times_its_median(judge):
    for second in range(60):
        judge.hear({i: life(i, beat=second, position=6) for i in (0, 2)}, second)
        said = judge.verdict(at_devices(0.0), second, usual_s=5.0)
        assert (said is not None) == (second >= 50)
    assert "none is behind; is the network between two of them cut" in said


def test_a_process_that_failed_is_quoted_at_once_and_one_that_is_done_is_not_missed(judge):
    judge.hear({0: life(0, beat=1, ended=True), 2: life(2, beat=1, ended=True, failure="a.tfrecord: damaged")}, 1.0)
    assert judge.verdict(at_devices(1.0), 1.0) == "process 2 (host2, pid 102) failed: a.tfrecord: damaged"
    judge.hear({i: life(i, beat=1, ended=True) for i in (0, 2)}, 2.0)
    judge.hear({i: life(i, beat=1, ended=True) for i in (0, 2)}, 30.0)
    assert judge.verdict(at_devices(29.0), 31.0) is None


def test_a_process_that_was_stopped_itself_gives_the_others_time_again(judge):
    judge.hear({i: life(i, beat=1) for i in (0, 2)}, 1.0)
    assert judge.verdict(at_devices(1.0), 1000.0) is not None
    judge.restart(1000.0)
    assert judge.verdict(at_devices(1.0), 1009.0) is None
    assert judge.verdict(at_devices(1.0), 1010.0) is not None


def test_the_guess_at_an_abort_is_the_silent_one_or_else_the_coordinator(judge):
    for second in range(9):
        judge.hear({0: life(0, beat=second), 2: life(2, beat=min(second, 2))}, second)
    assert judge.guess(9.0, silence_limit_s=4.0).startswith("process 2 (host2, pid 102) was lost")
    assert judge.guess(9.0, silence_limit_s=8.0).startswith("process 0 (host0, pid 100) was lost")


def test_a_step_that_takes_ten_times_its_median_is_reported_once_with_what_it_waits_for():
    slow = SlowTasks()
    task = Task("input", "batch 7 of the training data", 100.0, 3)
    assert slow.report(task, 1000.0) is None  # it is not known yet what is usual
    for seconds in (0.2, 0.3, 0.4, 9.0, 0.1):
        slow.done("step", seconds)
    assert slow.report(task, 102.9) is None
    said = slow.report(task, 103.1)
    assert said == "waiting for batch 7 of the training data for 3.1 s; a step takes 0.3 s as a rule"
    assert slow.report(task, 200.0) is None
    assert slow.report(task._replace(position=4), 104.0) is not None


def test_short_waits_are_not_worth_a_line_and_compiling_takes_its_time():
    slow = SlowTasks()
    slow.done("step", 0.001)
    assert slow.report(Task("devices", "the devices at step 3", 0.0, 1), 0.9) is None
    assert slow.report(Task("compiling", "the devices at step 1", 0.0, 1), 900.0) is None
    slow.done("validation", 2.0)
    assert slow.report(Task("validation", "the validation", 0.0, 2), 29.0) is None
    assert "a validation takes 2 s as a rule" in str(slow.report(Task("validation", "the validation", 0.0, 2), 31.0))


def test_a_process_alone_is_watched_and_never_ended(caplog):
    with caplog.at_level(logging.WARNING), Watchdog(timeout_s=0.01) as watchdog:
        for _ in range(3):
            watchdog.doing("devices", "the devices")
            watchdog.stepped()
    with pytest.raises(KeyError), Watchdog(timeout_s=0.01):
        raise KeyError
