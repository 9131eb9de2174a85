"""The line of requests, and how one leaves it."""

import asyncio
import threading

import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.studio.compose import compose
from ostinato.studio.pieces import Pieces
from ostinato.studio.request import Request
from ostinato.studio.worker import MAX_WAITING, BusyError, CancelledError, Job, Worker
from tests.studio.studios import tiny_model

LONG = Request(SampleConfig(num_pieces=1, num_notes=8192), {})


def test_a_piece_that_nobody_waits_for_stops_at_the_next_rows(tmp_path):
    async def use():
        job = Job(LONG)
        job.send = lambda event, **_: (sent.append(event), job.cancelled.set())
        with pytest.raises(CancelledError):
            compose(tiny_model(), tmp_path, Pieces(tmp_path), job)

    sent = []
    asyncio.run(use())
    assert sent == ["notes"]
    assert list(tmp_path.iterdir()) == []


def _serve(use):
    """Runs a coroutine with a worker whose first piece lasts until it may end."""
    may_end, begun = threading.Event(), []

    def generate(job):
        begun.append(job)
        assert may_end.wait(60)
        if job.cancelled.is_set():
            raise CancelledError
        job.send("done")

    worker = Worker(lambda: None, generate)
    worker.start()
    try:
        asyncio.run(use(worker, may_end, begun))
    finally:
        may_end.set()
        worker.stop()


async def _last(job):
    while (event := await asyncio.wait_for(job.events.get(), 60))["event"] == "writing":
        pass
    return event["event"]


def test_pieces_are_generated_one_after_the_other_and_who_waits_knows_the_place():
    async def use(worker, may_end, begun):
        jobs = [Job(LONG) for _ in range(3)]
        for job in jobs:
            worker.submit(job)
        assert (await asyncio.wait_for(jobs[0].events.get(), 60))["event"] == "writing"
        assert [worker.num_before(job) for job in jobs] == [-1, 1, 2]
        worker.withdraw(jobs[1])
        assert worker.num_before(jobs[2]) == 1
        may_end.set()
        assert [await _last(jobs[0]), await _last(jobs[2])] == ["done", "done"]
        assert begun == [jobs[0], jobs[2]]

    _serve(use)


def test_a_long_line_is_refused_instead_of_growing():
    async def use(worker, may_end, begun):
        first = Job(LONG)
        worker.submit(first)
        assert (await asyncio.wait_for(first.events.get(), 60))["event"] == "writing"
        for _ in range(MAX_WAITING):
            worker.submit(Job(LONG))
        with pytest.raises(BusyError):
            worker.submit(Job(LONG))

    _serve(use)


def test_a_mistake_of_the_studio_is_logged_and_the_next_piece_is_generated(caplog):
    async def use():
        def generate(job):
            if job.request.config.seed == 0:
                raise RuntimeError("lost a wheel")
            job.send("done")

        worker = Worker(lambda: None, generate)
        worker.start()
        jobs = [Job(Request(SampleConfig(seed=seed), {})) for seed in (0, 1)]
        for job in jobs:
            worker.submit(job)
        assert [await _last(job) for job in jobs] == ["failed", "done"]
        worker.stop()

    asyncio.run(use())
    assert "lost a wheel" in caplog.text
