import asyncio
import gc
import logging
import sys
from types import SimpleNamespace

import pytest

from ostinato.train.orbax_threads import silence_late_errors


async def fail(message):
    raise ValueError(message)


async def leave_failures_behind(messages):
    tasks = [asyncio.create_task(fail(message)) for message in messages]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del tasks
    gc.collect()


@pytest.fixture
def dropped(monkeypatch):
    """Late answers are dropped; what the hook before was asked is in the list."""
    asked = []
    monkeypatch.setattr(sys, "unraisablehook", asked.append)
    silence_late_errors()
    silence_late_errors()
    return asked


@pytest.mark.usefixtures("dropped")
def test_only_tasks_of_orbax_and_tensorstore_are_dropped_from_the_log(caplog):
    asyncio.run(leave_failures_behind(["DATA_LOSS ... tensorstore_spec ...", "something else"]))
    (record,) = caplog.records
    assert "something else" in record.getMessage()
    logging.getLogger("asyncio").warning("a word about orbax")
    assert caplog.messages[1:] == ["a word about orbax"]


def test_only_calls_into_a_closed_loop_are_kept_from_the_hook_before(dropped):
    coroutine = fail("of ours")
    for unraisable in (
        SimpleNamespace(object=None, exc_value=RuntimeError("Event loop is closed")),
        SimpleNamespace(object=None, exc_value=RuntimeError("something else")),
        SimpleNamespace(object=coroutine, exc_value=RuntimeWarning("was never awaited")),
    ):
        sys.unraisablehook(unraisable)
    coroutine.close()
    assert [str(unraisable.exc_value) for unraisable in dropped] == ["something else", "was never awaited"]
