"""What is slow, whose fault an error is, and the watching thread of a process alone."""

import logging
import time

import jax
import pytest

from ostinato.train.hosts.abort import is_communication_error
from ostinato.train.hosts.activity import Activity, SlowActivities
from ostinato.train.hosts.watchdog import Watchdog


def test_a_step_that_takes_ten_times_its_median_is_reported_once_with_what_it_waits_for():
    slow = SlowActivities()
    activity = Activity("input", "batch 7 of the training data", 100.0, 3)
    assert slow.report(activity, 1000.0) is None  # it is not known yet what is usual
    for seconds in (0.2, 0.3, 0.4, 9.0, 0.1):
        slow.done("step", seconds)
    assert slow.report(activity, 102.9) is None
    said = slow.report(activity, 103.1)
    assert said == "waiting for batch 7 of the training data for 3.1 s; a step takes 0.3 s as a rule"
    assert slow.report(activity, 200.0) is None
    assert slow.report(activity._replace(position=4), 104.0) is not None


def test_short_waits_are_not_worth_a_line_and_compiling_takes_its_time():
    slow = SlowActivities()
    for kind, seconds in (("step", 0.001), ("checkpoint", 0.2)):
        slow.done(kind, seconds)
    assert slow.report(Activity("devices", "the devices at step 3", 0.0, 1), 0.9) is None
    assert slow.report(Activity("compiling", "the devices at step 1", 0.0, 1), 900.0) is None
    checkpoint = Activity("checkpoint", "the checkpoint of step 3", 0.0, 2)
    assert slow.report(checkpoint, 29.0) is None
    assert "a checkpoint takes 0.2 s as a rule" in str(slow.report(checkpoint, 31.0))


def test_a_validation_is_compared_as_a_whole_with_those_before(caplog):
    """Also where it has one batch, whose time is taken for compiling."""
    with caplog.at_level(logging.WARNING), Watchdog(timeout_s=6.0) as watchdog:
        for step in (0, 5):
            with watchdog.validation(step):
                watchdog.set_activity("compiling", "the devices in the validation")
        with watchdog.validation(10):
            watchdog.set_activity("compiling", "the devices in the validation")
            end_s = time.monotonic() + 60
            while not caplog.messages and time.monotonic() < end_s:
                time.sleep(0.01)
    (line,) = caplog.messages
    assert line.startswith("waiting for the validation after step 10 for ")
    assert line.endswith(" s as a rule; now it waits for the devices in the validation")


def test_an_error_of_what_processes_do_together_is_known_also_below_others():
    together = jax.errors.JaxRuntimeError("UNAVAILABLE: connection reset")
    wrapped = ValueError("a checkpoint could not be written")
    wrapped.__cause__ = together
    gloo = ValueError("UNKNOWN: Gloo AllGather failed: Read error")
    assert all(map(is_communication_error, (together, wrapped, gloo)))
    own = (None, ValueError("no such file"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"))
    assert not any(map(is_communication_error, own))


def test_a_process_alone_is_watched_and_never_ended():
    with Watchdog(timeout_s=0.01) as watchdog:
        for _ in range(3):
            watchdog.set_activity("devices", "the devices")
            watchdog.step_done()
    with pytest.raises(KeyError), Watchdog(timeout_s=0.01):
        raise KeyError
