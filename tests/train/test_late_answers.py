import asyncio
import gc
import logging

import pytest

from ostinato.train.late_answers import late_answers_dropped


async def fail():
    raise ValueError("an array")


async def leave_two_failures_behind():
    tasks = [asyncio.create_task(fail()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del tasks
    gc.collect()


def logged(caplog):
    messages = [record.getMessage().splitlines()[0] for record in caplog.records]
    caplog.clear()
    return messages


@pytest.fixture
def without_filter():
    """The filter that a failure leaves behind is taken away, before and after."""
    log = logging.getLogger("asyncio")
    before = log.filters[:]
    log.filters.clear()
    yield
    log.filters[:] = before


@pytest.mark.usefixtures("without_filter")
def test_late_answers_are_dropped_while_reading_and_for_ever_after_a_failure(caplog):
    with late_answers_dropped():
        asyncio.run(leave_two_failures_behind())
    assert logged(caplog) == []
    asyncio.run(leave_two_failures_behind())
    assert logged(caplog) == ["Task exception was never retrieved"] * 2, "a read that succeeds leaves nothing behind"
    with pytest.raises(ValueError, match="a checkpoint"), late_answers_dropped():
        raise ValueError("a checkpoint")
    with late_answers_dropped():
        pass
    asyncio.run(leave_two_failures_behind())
    assert logged(caplog) == []
    logging.getLogger("asyncio").warning("something else")
    assert logged(caplog) == ["something else"]
