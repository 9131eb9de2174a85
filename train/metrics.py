"""Where the numbers of a run go: metrics.jsonl, events.jsonl and TensorBoard; a progress bar or log lines.

Each line of metrics.jsonl is one JSON object: `step` (updates done), `split` ("train": that one batch, or "validation")
and the values, among them `loss` in nats per step; null stands for what is not a number. Names that end in `_s` are
measured by the clock; all other numbers are the same each time the run is repeated. events.jsonl says when a run began,
resumed, was rolled back, skipped a step or met a spike. Process 0 alone writes and shows them.
"""

import json
import logging
import math
import os
import re
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jax
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ostinato.configs import documents
from ostinato.configs.errors import UserError, file_errors
from ostinato.data import tfrecord
from ostinato.data.atomic import write_atomically

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
EVENTS = "events.jsonl"
TENSORBOARD = "tensorboard"

Split = Literal["train", "validation"]
Step = Annotated[int, Meta(ge=-1, le=2**53)]
"""-1 is before a new run."""


class Tracker:
    """Takes the numbers of a run, and does nothing with them: that of all processes but the first."""

    def write(self, step: int, split: Split, values: dict[str, float]) -> None: ...

    def event(self, step: int, kind: str, **values: Any) -> None: ...

    def close(self) -> None: ...


class RunTracker(Tracker):
    """Writes metrics.jsonl, events.jsonl and TensorBoard's events under `workdir`."""

    def __init__(self, workdir: Path, *, first_step: int) -> None:
        """Opens the files; what they say of later steps than `first_step`, the step that is resumed, is dropped.

        Args:
            workdir: the folder of the run.
            first_step: updates done before; -1 for a new run.

        Raises:
            UserError: the folder cannot be written to, or, from here and all methods, the disk is full.
        """
        kept = [record for record in read_lines(workdir / FILE) if record["step"] <= first_step]
        self._metrics = _rewritten(workdir / FILE, kept)
        self._events = _rewritten(workdir / EVENTS, read_lines(workdir / EVENTS, Event))
        self._board = _TensorBoard(workdir / TENSORBOARD, first_step=first_step)

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        """Adds a line."""
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._metrics.append(_json_line({"step": step, "split": split, **numbers}))
        self._board.write(step, {f"{split}/{name}": value for name, value in values.items()})

    def event(self, step: int, kind: str, **values: Any) -> None:
        """Adds a line about something that happened, with the time of day."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._events.append(_json_line({"step": step, "event": kind, "time": now, **values}))

    def close(self) -> None:
        for file in (self._metrics, self._events, self._board):
            file.close()


class Line(TypedDict):
    """Of metrics.jsonl; other names have numbers, too."""

    step: Step
    split: NotRequired[str]
    loss: NotRequired[float | None]
    accuracy: NotRequired[float | None]
    perplexity: NotRequired[float | None]
    notes_per_s: NotRequired[float | None]


class Event(TypedDict):
    """A line of events.jsonl, which says more of each kind."""

    step: Step
    event: str
    time: Annotated[datetime, Meta(tz=True)]


def read_lines(path: Path, kind: Any = Line) -> list[dict[str, Any]]:
    """Returns the whole lines of metrics.jsonl or, of the kind Event, of events.jsonl.

    A process may have died in the middle of the last one, a machine among the last ones: `documents.read_lines` leaves
    out what was cut off, or holds zeros, at the end.

    Raises:
        UserError: the file is damaged, or cannot be read; it names the line and the field.
    """
    return list(documents.read_lines(path, kind, advice="take the line out")) if path.exists() else []


def _json_line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _rewritten(path: Path, records: list[dict[str, Any]]) -> "_WholeRecords":
    """Returns a file of lines that holds these, to be added to."""
    with file_errors(path):
        write_atomically(path, b"".join(map(_json_line, records)))
    return _WholeRecords(path)


class _WholeRecords:
    """A file that grows by whole records: of one that does not fit on the disk nothing stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with file_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def append(self, record: bytes) -> None:
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, record) == len(record):
                return
            reason = "the disk is full"
        except OSError as error:
            reason = str(error.strerror)
        os.ftruncate(self._file, size)
        raise UserError(f"{self._path}: cannot be written ({reason}); make room and give the same command again")

    def close(self) -> None:
        """Closes the file; what it holds is on disk then, as it is with each checkpoint."""
        try:
            with file_errors(self._path):
                os.fsync(self._file)
        finally:
            os.close(self._file)


class _TensorBoard:
    """Scalars in TensorBoard's files of events, which are TFRecords.

    tensorboardX would write them from a thread that dies when the disk is full; from then on the run hangs.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from tensorboardX.proto import event_pb2, summary_pb2  # takes a second, and only a run that trains needs it

        self._event: Any = event_pb2  # made at run time
        self._summary: Any = summary_pb2
        with file_errors(folder):
            folder.mkdir(exist_ok=True)
            numbers = [int(found[1]) for path in folder.iterdir() if (found := re.match(r"\D+(\d+)\.", path.name))]
        number = max(int(time.time()), *(n + 1 for n in numbers), 0)  # sorted by name is the order of writing
        self._file = _WholeRecords(folder / f"events.out.tfevents.{number:010d}.{socket.gethostname()}")
        self._append(file_version="brain.Event:2")
        # What earlier files say of these steps is not shown.
        self._append(step=first_step + 1, session_log=self._event.SessionLog(status=self._event.SessionLog.START))

    def write(self, step: int, values: dict[str, float]) -> None:
        scalars = [self._summary.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._append(step=step, summary=self._summary.Summary(value=scalars))

    def close(self) -> None:
        self._file.close()

    def _append(self, **content: Any) -> None:
        self._file.append(tfrecord.frame(self._event.Event(wall_time=time.time(), **content).SerializeToString()))


class ProgressView:
    """Shows how far the run is: a progress bar if standard error is a terminal, log lines otherwise."""

    def __init__(self, num_steps: int, *, first_step: int) -> None:
        self._num_steps = num_steps
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
        is_shown = jax.process_index() == 0 and sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not is_shown)
        self._task = self._bar.add_task("train", total=num_steps, completed=first_step, text="")
        self._bar.start()

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def tell(self, step: int, text: str, *, left: str = "") -> None:
        """Shows what is new after a step; `left` only in the log, for the bar knows how long the rest takes."""
        self._bar.update(self._task, completed=step, text=text)
        if self._bar.disable and jax.process_index() == 0:
            logger.info("step %d of %d: %s%s", step, self._num_steps, text, left)

    def warn(self, text: str) -> None:
        if jax.process_index() == 0:  # all hosts see the same
            logger.warning("%s", text)

    def close(self) -> None:
        self._bar.stop()
