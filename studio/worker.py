"""The one thread that generates music: first it compiles, then it takes one request after the other.

Requests come from the event loop and hear of their piece by a queue of their own. One that nobody waits for any more
leaves the line, or stops computing at the next chunk of rows.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Literal

from ostinato.studio.request import Request

MAX_WAITING = 16
"""Requests in line, beside the one that is generated."""

_logger = logging.getLogger(__name__)


class BusyError(Exception):
    """There are too many requests in line."""


class CancelledError(Exception):
    """Nobody waits for the piece any more."""


class Job:
    """A request in line. To be made in the event loop that reads `events`."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()

    def send(self, event: str, **values: Any) -> None:
        """Puts an event into the queue, from any thread."""
        if not self._loop.is_closed():  # else nobody listens: the server has ended
            self._loop.call_soon_threadsafe(self.events.put_nowait, {"event": event, **values})


class Worker:
    """Generates pieces in the order in which they are asked for."""

    def __init__(self, warm_up: Callable[[], None], generate: Callable[[Job], None]) -> None:
        """Makes a worker that does nothing before `start`, and then warms up.

        `generate` makes the piece of a job and sends how it goes, at last an event `done`. A ValueError is what the
        musician can mend.
        """
        self._warm_up, self._generate = warm_up, generate
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._line: list[Job] = []
        self._now: Job | None = None
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self.state: Literal["getting ready", "ready", "failed"] = "getting ready"

    def start(self) -> None:
        """Begins to compile."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the chunk of rows that it is at."""
        with self._lock:
            for job in [*self._line, *([self._now] if self._now else [])]:
                job.cancelled.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Puts a job at the end of the line.

        Raises:
            BusyError: there are too many.
        """
        with self._lock:
            if len(self._line) >= MAX_WAITING:
                raise BusyError
            self._line.append(job)
        self._queue.put(job)

    def withdraw(self, job: Job) -> None:
        """Says that nobody waits for a job any more."""
        with self._lock:
            job.cancelled.set()
            self._line = [other for other in self._line if other is not job]

    def num_before(self, job: Job) -> int:
        """Returns how many others come first, the one at work counted too; -1 once the job is not in line."""
        with self._lock:
            return self._line.index(job) + (self._now is not None) if job in self._line else -1

    @property
    def num_open(self) -> int:
        """How many jobs are in line or at work."""
        with self._lock:
            return len(self._line) + (self._now is not None)

    def _run(self) -> None:
        try:
            self._warm_up()
            self.state = "ready"
        except Exception:
            self.state = "failed"
            _logger.exception("the model cannot generate")
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.cancelled.is_set():
                    continue
                self._line.remove(job)
                self._now = job
            self._serve(job)
            self._now = None

    def _serve(self, job: Job) -> None:
        job.send("writing")
        try:
            self._generate(job)
        except CancelledError:
            job.send("failed", message="stopped")
        except ValueError as error:
            job.send("failed", message=" ".join(str(error).split()))
        except Exception:
            _logger.exception("a piece failed")
            job.send("failed", message="the studio has made a mistake; its terminal says which")
