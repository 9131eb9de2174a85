"""How far a prepare job is, read from the notes that its stages leave in the work folder, on whatever runner."""

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.files import StorageError
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.pipeline import SUMMARY

logger = logging.getLogger(__name__)

LOCAL_PERIOD_S = 0.5
REMOTE_PERIOD_S = 5.0


class Progress(NamedTuple):
    """What has been done so far."""

    inputs: int
    """Scanned."""
    rejected: int
    total: int | None
    """Inputs in all; None while only reading can tell."""
    shards: int
    """Written."""
    num_shards: int | None
    """In all; None while scanning."""


@contextlib.contextmanager
def watched(job: Job, total: int | None, watch: Callable[[Progress], None]) -> Iterator[None]:
    """Calls `watch` now and then, from a thread of its own, while the context is open, and once more at its end."""
    done = threading.Event()
    observer = _Observer(job, total)
    period_s = REMOTE_PERIOD_S if files.is_remote(job.work) else LOCAL_PERIOD_S

    def report() -> None:
        try:
            watch(observer.look())
        except StorageError as error:  # of a server that is busy: no reason to give up the job
            logger.warning("the progress cannot be read: %s", error)

    def run() -> None:
        while not done.wait(period_s):
            report()

    thread = threading.Thread(target=run, name="prepare-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    report()


class _Observer:
    """Adds up the notes; each is read once."""

    def __init__(self, job: Job, total: int | None) -> None:
        self._job = job
        self._seen: set[str] = set()
        self._progress = Progress(0, 0, total, 0, None)

    def look(self) -> Progress:
        for path in self._new_notes("scanned"):
            note = json.loads(files.read_bytes(path))
            inputs, rejected = self._progress.inputs + note["inputs"], self._progress.rejected + note["rejected"]
            self._progress = self._progress._replace(inputs=inputs, rejected=rejected)
        for path in self._new_notes("assigned", SUMMARY):
            note = json.loads(files.read_bytes(path))
            self._progress = self._progress._replace(num_shards=note["shards"], total=note["inputs"])
        shards = self._progress.shards + sum(1 for _ in self._new_notes("written"))
        self._progress = self._progress._replace(shards=shards)
        return self._progress

    def _new_notes(self, stage: str, name: str = "") -> Iterator[str]:
        for path in files.list_files(files.join(self._job.work, stage)):
            if path.endswith(f"{name}.json") and path not in self._seen:
                self._seen.add(path)
                yield path
