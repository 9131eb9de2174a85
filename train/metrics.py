"""Where the numbers of a run go: metrics.jsonl, TensorBoard, a progress bar or log lines.

Each line of metrics.jsonl is one JSON object: `step` (updates done), `split` ("train": that one batch, or "validation")
and the values, among them `loss` in nats per step. Names that end in `_s` are measured by the clock; all other numbers
are the same each time the run is repeated.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ostinato.music.records import write_atomically

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"

Split = Literal["train", "validation"]


@runtime_checkable  # for the check of types in tests
class MetricsLog(Protocol):
    """Takes the numbers of a run."""

    def write(self, step: int, split: Split, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


def open_metrics(workdir: Path, *, first_step: int) -> MetricsLog:
    """Returns the metrics of a run; on all processes but the first they go nowhere."""
    return RunMetrics(workdir, first_step=first_step) if jax.process_index() == 0 else _NoMetrics()


class _NoMetrics:
    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class RunMetrics:
    """Writes metrics.jsonl and TensorBoard's events under `workdir`."""

    def __init__(self, workdir: Path, *, first_step: int) -> None:
        """Opens the files; what they say of later steps than `first_step`, the step that is resumed, is dropped.

        Args:
            workdir: the folder of the run.
            first_step: updates done before; -1 for a run that starts anew.
        """
        from tensorboardX import SummaryWriter  # takes a second, and only a run that trains needs it

        path = workdir / FILE
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= first_step]
        write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        self._events.close()


def _whole_lines(path: Path) -> list[str]:
    """Returns the lines that were finished: a process may have died in the middle of the last one."""
    if not path.exists():
        return []
    return [line[:-1] for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]


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
