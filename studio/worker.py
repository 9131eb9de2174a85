"""The one thread that writes music: first it compiles, then it takes one request after the other.

Requests come from the event loop and hear of their piece by a queue of their own. One that nobody waits for any more
leaves the line, or stops computing at the next chunk of rows.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ostinato.configs.schema import SampleConfig
from ostinato.studio.compose import CancelledError, Tell

MAX_WAITING = 16
"""Requests in line, beside the one that is written."""

State = Literal["getting ready", "ready", "failed"]

_logger = logging.getLogger(__name__)


class BusyError(Exception):
    """There are too many requests in line."""


class Job:
    """A request for one piece. To be made in the event loop that reads `events`."""

    def __init__(self, config: SampleConfig, primer: Path | None) -> None:
        self.config, self.primer = config, primer
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()

    def tell(self, event: dict[str, Any]) -> None:
        """Puts an event into the queue, from any thread."""
        if not self._loop.is_closed():  # else nobody listens: the server has ended
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)


class Worker:
    """Writes pieces in the order in which they are asked for."""

    def __init__(
        self,
        warm_up: Callable[[], None],
        write: Callable[[Job, Tell], None],
    ) -> None:
        """Makes a worker that does nothing before `start`.

        Args:
            warm_up: what comes before the first piece.
            write: writes the piece of a job and tells how it goes, at last an event `done`. A ValueError is what the
                musician can mend.
        """
        self._warm_up, self._write = warm_up, write
        self._line: deque[Job] = deque()
        self._now: Job | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self.state: State = "getting ready"

    def start(self) -> None:
        """Begins to compile."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the chunk of rows that it is at."""
        with self._changed:
            self._stopping = True
            for job in [*self._line, *([self._now] if self._now else [])]:
                job.cancelled.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Puts a job at the end of the line.

        Raises:
            BusyError: there are too many.
        """
        with self._changed:
            if len(self._line) >= MAX_WAITING:
                raise BusyError
            self._line.append(job)
            self._changed.notify_all()

    def withdraw(self, job: Job) -> None:
        """Says that nobody waits for a job any more."""
        with self._changed:
            job.cancelled.set()
            if job in self._line:
                self._line.remove(job)

    def num_before(self, job: Job) -> int:
        """Returns how many others come first, the one that is written counted too; -1 once the job is not in line."""
        with self._changed:
            place = next((place for place, other in enumerate(self._line) if other is job), None)
            return -1 if place is None else place + (self._now is not None)

    @property
    def num_open(self) -> int:
        """How many jobs are in line or being written."""
        with self._changed:
            return len(self._line) + (self._now is not None)

    def _run(self) -> None:
        try:
            self._warm_up()
            self.state = "ready"
        except Exception:
            self.state = "failed"
            _logger.exception("the model cannot write")
        while True:
            with self._changed:
                self._now = None
                while not self._line and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                self._now = self._line.popleft()
                job = self._now
            self._serve(job)

    def _serve(self, job: Job) -> None:
        if job.cancelled.is_set():
            return
        job.tell({"event": "writing"})
        try:
            self._write(job, job.tell)
        except CancelledError:
            job.tell({"event": "failed", "message": "stopped"})
        except ValueError as error:
            job.tell({"event": "failed", "message": " ".join(str(error).split())})
        except Exception:
            _logger.exception("a piece failed")
            job.tell({"event": "failed", "message": "the studio has made a mistake; its terminal says which"})
