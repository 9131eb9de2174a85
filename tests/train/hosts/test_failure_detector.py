"""Who is lost: decided from heartbeats and times that are passed in."""

import pytest

from ostinato.train.hosts.activity import Activity
from ostinato.train.hosts.failure_detector import FailureDetector
from ostinato.train.hosts.heartbeat import Heartbeat


def beat(i, number, position=5, waits_for="the devices at step 5", **more):
    return Heartbeat(i, f"host{i}", 100 + i, number, position, waits_for, **more)


def at_devices(begin_s, position=6):
    return Activity("devices", "the devices at step 6", begin_s, position)


@pytest.fixture
def detector():
    """Process 1 of three, with a limit of ten seconds."""
    return FailureDetector(1, 3, timeout_s=10.0, begin_s=0.0)


def first_failure(detector, seconds, heartbeats, activity, **more):
    """Returns the second in which somebody is lost, when these were heard in each second, and what is said."""
    for second in range(seconds):
        detector.hear({heartbeat.process_id: heartbeat for heartbeat in heartbeats(second)}, second)
        if said := detector.failure(activity(second), second, **more):
            return second, said
    return None


def test_as_long_as_all_give_heartbeats_and_get_on_nobody_is_lost(detector):
    assert not first_failure(
        detector, 100, lambda s: [beat(i, s, position=s) for i in (0, 2)], lambda s: at_devices(s - 1, s + 1)
    )


@pytest.mark.parametrize(
    ("heartbeats", "activity", "second", "said"),
    [
        (
            lambda s: [beat(0, s), beat(2, min(s, 7))],
            at_devices,
            17,
            "process 2 (host2, pid 102) was lost: no heartbeat for 10 s",
        ),
        (lambda s: [beat(0, s)], at_devices, 10, "process 2 (never heard of) was lost: no heartbeat for 10 s"),
        (  # process 2 reads its data for ever; process 0 waits as this one does
            lambda s: [beat(0, s, position=6), beat(2, s, waits_for="batch 5 of the training data")],
            lambda s: at_devices(2.0),
            12,
            "process 2 (host2, pid 102) stalled: waiting for batch 5 of the training data for 12 s",
        ),
        (  # who compiles is given ten times as long
            lambda s: [beat(0, s), beat(2, s)],
            lambda s: at_devices(0.0)._replace(kind="compiling"),
            100,
            "process 0 (host0, pid 100) stalled: waiting for the devices at step 5 for 100 s",
        ),
        (  # process 2 was behind when it was heard last: it has not stalled, it will turn out to be lost
            lambda s: [beat(0, s, position=6), beat(2, min(s, 5))],
            lambda s: at_devices(1.0),
            15,
            "process 2 (host2, pid 102) was lost: no heartbeat for 10 s",
        ),
    ],
)
def test_who_is_lost_or_has_stalled_is_named_when_its_time_is_up(detector, heartbeats, activity, second, said):
    assert first_failure(detector, 200, heartbeats, activity) == (second, said)


def test_without_answers_it_is_the_coordinator_that_is_lost(detector):
    detector.hear({i: beat(i, 1) for i in (0, 2)}, 3.0)
    assert detector.failure(at_devices(3.0), 12.0) is None
    said = detector.failure(at_devices(3.0), 13.5)
    assert said == "process 0 (host0, pid 100) was lost: it has not answered for 10 s"


def test_when_all_wait_for_each_other_a_step_gets_ten_times_its_median(detector):
    second, said = first_failure(
        detector, 60, lambda s: [beat(i, s, position=6) for i in (0, 2)], lambda s: at_devices(0.0), usual_s=5.0
    )
    assert second == 50
    assert "none is behind; is the network between two of them cut" in said


def test_a_process_that_failed_is_quoted_at_once_and_one_that_is_done_is_not_missed(detector):
    detector.hear({0: beat(0, 1, ended=True), 2: beat(2, 1, ended=True, failure="a.tfrecord: damaged")}, 1.0)
    assert detector.failure(at_devices(1.0), 1.0) == "process 2 (host2, pid 102) failed: a.tfrecord: damaged"
    for second in (2.0, 30.0):
        detector.hear({i: beat(i, 1, ended=True) for i in (0, 2)}, second)
    assert detector.failure(at_devices(29.0), 31.0) is None


def test_a_process_that_was_stopped_itself_gives_the_others_time_again(detector):
    detector.hear({i: beat(i, 1) for i in (0, 2)}, 1.0)
    assert detector.failure(at_devices(1.0), 1000.0) is not None
    detector.restart(1000.0)
    assert detector.failure(at_devices(1.0), 1009.0) is None
    assert detector.failure(at_devices(1.0), 1010.0) is not None


def test_the_suspect_at_an_abort_is_the_silent_one_or_else_the_coordinator(detector):
    for second in range(9):
        detector.hear({0: beat(0, second), 2: beat(2, min(second, 2))}, second)
    assert detector.suspect(9.0, silence_limit_s=4.0).startswith("process 2 (host2, pid 102) was lost")
    assert detector.suspect(9.0, silence_limit_s=8.0).startswith("process 0 (host0, pid 100) was lost")
