"""Where the numbers of a run go: metrics.jsonl, events.jsonl, TensorBoard, a progress bar or log lines.

Each line of metrics.jsonl is one JSON object: `step` (updates done), `split` ("train": that one batch, or "validation")
and the values, among them `loss` in nats per step; null stands for what is not a number. Names that end in `_s` are
measured by the clock; all other numbers are the same each time the run is repeated. events.jsonl says when a run began,
went on, went back, skipped a step or met a spike.
"""

import json
import logging
import math
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ostinato.data import tfrecord
from ostinato.data.records import write_atomically

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
EVENTS = "events.jsonl"
TENSORBOARD = "tensorboard"

Split = Literal["train", "validation"]


@runtime_checkable  # for the check of types in tests
class MetricsLog(Protocol):
    """Takes the numbers of a run."""

    def write(self, step: int, split: Split, values: dict[str, float]) -> None: ...

    def event(self, step: int, kind: str, **values: Any) -> None: ...

    def close(self) -> None: ...


def open_metrics(workdir: Path, *, first_step: int) -> MetricsLog:
    """Returns the metrics of a run; on all processes but the first they go nowhere."""
    return RunMetrics(workdir, first_step=first_step) if jax.process_index() == 0 else _NoMetrics()


class _NoMetrics:
    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        pass

    def event(self, step: int, kind: str, **values: Any) -> None:
        pass

    def close(self) -> None:
        pass


class RunMetrics:
    """Writes metrics.jsonl, events.jsonl and TensorBoard's events under `workdir`."""

    def __init__(self, workdir: Path, *, first_step: int) -> None:
        """Opens the files; what they say of later steps than `first_step`, the step that is resumed, is dropped.

        Args:
            workdir: the folder of the run.
            first_step: updates done before; -1 for a run that starts anew.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = workdir / FILE
        kept = [record for record in read_lines(path) if record["step"] <= first_step]
        self._metrics = _rewritten(path, kept)
        self._events = _rewritten(workdir / EVENTS, read_lines(workdir / EVENTS))
        self._board = _TensorBoard(workdir / TENSORBOARD, first_step=first_step)

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        """Adds a line.

        Raises:
            OSError: the disk is full; the file ends with the line before.
        """
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._metrics.append((json.dumps({"step": step, "split": split, **numbers}) + "\n").encode())
        self._board.write(step, {f"{split}/{name}": value for name, value in values.items()})

    def event(self, step: int, kind: str, **values: Any) -> None:
        """Adds a line about something that happened, with the time of day."""
        line = {"step": step, "event": kind, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **values}
        self._events.append((json.dumps(line) + "\n").encode())

    def close(self) -> None:
        self._metrics.close()
        self._events.close()
        self._board.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the whole lines of a file of JSON lines: a process may have died in the middle of the last one."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _rewritten(path: Path, records: list[dict[str, Any]]) -> "_WholeRecords":
    """Returns a file of lines that holds these, to be added to."""
    try:
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    except OSError as error:
        raise OSError(
            f"{path}: cannot be written ({error.strerror}); make room and give the same command again"
        ) from error
    return _WholeRecords(path)


class _WholeRecords:
    """A file that grows by whole records: of one that does not fit on the disk nothing stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
        raise OSError(f"{self._path}: cannot be written ({reason}); make room and give the same command again")

    def close(self) -> None:
        os.close(self._file)


class _TensorBoard:
    """Scalars in TensorBoard's files of events, which are TFRecords.

    tensorboardX would write them from a thread that dies when the disk is full; from then on the run hangs.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from tensorboardX.proto import event_pb2, summary_pb2  # takes a second, and only a run that trains needs it

        self._event: Any = event_pb2  # made at run time
        self._summary: Any = summary_pb2
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


@runtime_checkable  # for the check of types in tests
class ProgressView(Protocol):
    """Shows a person how far the run is."""

    def advance(self, step: int) -> None: ...

    def tell(self, step: int, text: str) -> None: ...


@contextmanager
def progress_view(num_steps: int, *, first_step: int) -> Iterator[ProgressView]:
    """Yields a progress bar if standard error is a terminal, log lines otherwise; on process 0 only."""
    if jax.process_index() != 0:
        yield _NoView()
    elif not sys.stderr.isatty():
        yield _LogLines(num_steps)
    else:
        with _bar() as bar:
            yield _BarView(bar, bar.add_task("train", total=num_steps, completed=first_step, text=""))


class _NoView:
    def advance(self, step: int) -> None:
        pass

    def tell(self, step: int, text: str) -> None:
        pass


class _LogLines:
    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps

    def advance(self, step: int) -> None:
        pass

    def tell(self, step: int, text: str) -> None:
        logger.info("step %d of %d: %s", step, self._num_steps, text)


class _BarView:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def tell(self, step: int, text: str) -> None:
        self._bar.update(self._task, completed=step, text=text)


def _bar() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    return Progress(*columns, console=Console(stderr=True))
