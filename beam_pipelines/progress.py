"""How far a prepare job is, from the notes that its stages leave in the work folder, on whatever runner.

The process that started the job adds them up and leaves a note of its own there, progress/job.json, for whoever else
wants to know: `ostinato prepare --status OUTPUT`, on any machine that sees the folder.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.pipeline import SUMMARY
from ostinato.configs.documents import MAX_BYTES, Count, check_document, parse_document
from ostinato.configs.errors import UserError
from ostinato.data import manifest

logger = logging.getLogger(__name__)

LOCAL_PERIOD_S = 0.5
REMOTE_PERIOD_S = 5.0
NOTE_PERIOD_S = 5.0
"""Between two notes about the progress."""
SILENT_S = 60.0
"""A job in a store whose last note is older is taken for dead."""
_RATE_S = 300.0
"""Rates are those of the last so many seconds: what an earlier command had read was quick, and a collection differs."""


class StatusError(UserError):
    """There is no job to be asked after."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What has been done so far; progress/job.json. Times are in seconds since 1970."""

    stage: Literal["reading", "grouping", "writing", "describing", "finished"] = "reading"
    inputs: Count = 0
    """Scanned."""
    total: Count | None = None
    """Inputs in all; None while only reading can tell."""
    rejected: Count = 0
    notes: Count = 0
    """In the pieces that were scanned."""
    shards: Count = 0
    """Written."""
    num_shards: Count | None = None
    """In all; None while scanning."""
    inputs_per_s: float | None = None
    notes_per_s: float | None = None
    left_s: float | None = None
    """Of this stage; None while it is not known."""
    reading: list[str] = dataclasses.field(default_factory=list)
    """What the workers read, the latest first: an archive, or the first file of many."""
    time_s: float = 0.0
    """When it was so."""


@contextlib.contextmanager
def watched(job: Job, total: int | None, watch: Callable[[Progress], None] | None) -> Iterator[None]:
    """Calls `watch` now and then, from a thread of its own, while the context is open, and once more at its end."""
    done = threading.Event()
    observer = _Observer(job, total)
    period_s = REMOTE_PERIOD_S if files.is_remote(job.work) else LOCAL_PERIOD_S

    def report() -> None:
        try:
            progress = observer.look()
            observer.leave_note(progress)
        except StorageError as error:  # of a server that is busy: no reason to give up the job
            logger.warning("the progress cannot be read or noted: %s", error)
        else:
            if watch:
                watch(progress)

    def run() -> None:
        while not done.wait(period_s):
            report()

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
        self._progress = Progress(total=total)
        self._began_s = time.time()
        self._before: deque[Progress] = deque()
        self._noted_s = 0.0

    def look(self) -> Progress:
        now = self._progress
        for path in self._new_notes("scanned"):
            note = json.loads(files.read_bytes(path))
            now = dataclasses.replace(
                now,
                inputs=now.inputs + note["inputs"],
                rejected=now.rejected + note["rejected"],
                notes=now.notes + note["notes"],
            )
        for path in self._new_notes("assigned", SUMMARY):
            note = json.loads(files.read_bytes(path))
            now = dataclasses.replace(now, num_shards=note["shards"], total=note["inputs"])
        shards = now.shards + sum(1 for _ in self._new_notes("written"))
        now = dataclasses.replace(now, shards=shards, time_s=time.time())
        now = dataclasses.replace(now, stage=_stage(now))
        reading = self._reading() if now.stage == "reading" else []
        self._progress = dataclasses.replace(now, reading=reading, **self._rates(now))
        return self._progress

    def leave_note(self, progress: Progress) -> None:
        """Writes the note that `read_status` reads, unless a fresh one names the same stage."""
        is_new = not self._before or self._before[-1].stage != progress.stage
        self._before.append(progress)
        if is_new or progress.time_s - self._noted_s >= NOTE_PERIOD_S:
            self._job.write_note("progress", "job", dataclasses.asdict(progress))
            self._noted_s = progress.time_s

    def _rates(self, now: Progress) -> dict[str, float | None]:
        while self._before and now.time_s - self._before[0].time_s > _RATE_S:
            self._before.popleft()
        since = next((one for one in self._before if one.stage == now.stage), None)
        if since is None or now.time_s <= since.time_s:
            return {"inputs_per_s": None, "notes_per_s": None, "left_s": None}
        elapsed_s = now.time_s - since.time_s
        inputs, notes, shards = now.inputs - since.inputs, now.notes - since.notes, now.shards - since.shards
        left_s = None
        if now.stage == "reading" and now.total is not None and inputs:
            left_s = (now.total - now.inputs) * elapsed_s / inputs
        if now.stage == "writing" and now.num_shards is not None and shards:
            left_s = (now.num_shards - now.shards) * elapsed_s / shards
        return {"inputs_per_s": inputs / elapsed_s, "notes_per_s": notes / elapsed_s, "left_s": left_s}

    def _reading(self) -> list[str]:
        """Returns what the workers of this command read; each has one note, which it replaces."""
        found = [json.loads(files.read_bytes(path)) for path in files.list_files(files.join(self._job.work, "reading"))]
        ours = [note for note in found if note["time_s"] > self._began_s - SILENT_S]
        return list(dict.fromkeys(note["path"] for note in sorted(ours, key=lambda note: -note["time_s"])))

    def _new_notes(self, stage: str, name: str = "") -> Iterator[str]:
        for path in files.list_files(files.join(self._job.work, stage)):
            if path.endswith(f"{name}.json") and path not in self._seen:
                self._seen.add(path)
                yield path


def _stage(now: Progress) -> Literal["reading", "grouping", "writing", "describing"]:
    if now.num_shards is not None:
        return "writing" if now.shards < now.num_shards else "describing"
    return "grouping" if now.inputs == now.total else "reading"


def read_status(output: str) -> tuple[Progress, bool]:
    """Returns how far the job is that writes a dataset, here or on another machine, and whether it is alive.

    It is where its last note is fresh, or where it holds the lock of the folder, which tells more on this machine.

    Raises:
        StatusError: there is no such dataset, and nobody prepares one.
    """
    output = output.rstrip("/")
    if files.is_file(files.join(output, manifest.FILE)):
        return _finished(output), False
    partial = output + ".partial"
    path = files.join(partial, *(() if files.is_remote(output) else ("work",)), "progress", "job.json")
    if not files.is_file(path):
        raise StatusError(f"{output}: no dataset, and no prepare that has begun to write one ({path} is missing)")
    data = files.read_bytes(path, max_bytes=MAX_BYTES)
    values = parse_document(data, dict[str, Any], where=path, error=StatusError, is_python=True)
    check_document(values, Progress, where=path, error=StatusError)
    known = {field.name: values[field.name] for field in dataclasses.fields(Progress) if field.name in values}
    progress = Progress(**known)
    return progress, time.time() - progress.time_s < SILENT_S or _is_locked(partial)


def _finished(output: str) -> Progress:
    path = files.join(output, manifest.FILE)
    data = files.read_bytes(path, max_bytes=MAX_BYTES)
    found = parse_document(data, manifest.Manifest, where=path, error=StatusError)
    splits, counts = found["splits"].values(), found.get("counts")
    num_shards = sum(len(split["shards"]) for split in splits)
    pieces = sum(split["pieces"] for split in splits)
    return Progress(
        stage="finished",
        inputs=counts["inputs"] if counts else pieces,
        total=counts["inputs"] if counts else pieces,
        rejected=counts["rejected"] if counts else 0,
        notes=sum(split["notes"] for split in splits),
        shards=num_shards,
        num_shards=num_shards,
    )


def _is_locked(partial: str) -> bool:
    """Tells whether a job on this machine writes in a folder; one that begins at this very moment would be refused."""
    if files.is_remote(partial):
        return False
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # NFS: the age of the note has to do
            return False
        finally:
            os.close(folder)
    return False
