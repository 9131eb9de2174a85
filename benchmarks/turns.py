"""Variants of a training step, each in a process of its own, that take turns on pinned cores (Linux)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

KEEP_FREED_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""What `train.memory` asks of glibc, as its environment variables: for libraries that do not ask for it themselves."""


class Variant(NamedTuple):
    """What a process is to run."""

    file: str
    """The module in this folder that makes the steps."""
    request: Mapping[str, Any]
    """What it needs to know."""
    python: str = sys.executable
    environment: Mapping[str, str] = {}
    threads: int = 1


class Turns(NamedTuple):
    """What one variant took, for one step, in each round."""

    cpu_s: list[float]
    wall_s: list[float]
    page_faults: list[float]
    losses: list[float]
    """Of the last step of each round."""


def measure(
    variants: Mapping[str, Variant], *, num_rounds: int, round_s: float, warm_together: bool = False
) -> dict[str, Turns]:
    """Returns what the variants took. Each runs for about `round_s` seconds in every round, and nothing runs beside it.

    A process warms up first: one step compiles, some more show how many fill a round. Where there are cores enough for
    all of them, the first steps may run `warm_together`.

    Raises:
        RuntimeError: a process ended by itself; with the end of what it wrote to standard error.
    """
    turns = {label: Turns([], [], [], []) for label in variants}
    with ExitStack() as stack:
        workers = {label: stack.enter_context(started(label, variant)) for label, variant in variants.items()}
        if warm_together:
            with ThreadPoolExecutor(len(workers)) as pool:
                list(pool.map(lambda worker: worker.run(1), workers.values()))
        num_steps = {label: _steps_per_round(worker, round_s) for label, worker in workers.items()}
        for _ in range(num_rounds):
            for label, worker in workers.items():
                answer, count = worker.run(num_steps[label]), num_steps[label]
                turns[label].cpu_s.append(answer["cpu_s"] / count)
                turns[label].wall_s.append(answer["wall_s"] / count)
                turns[label].page_faults.append(answer["page_faults"] / count)
                turns[label].losses.append(answer["loss"])
    return turns


def _steps_per_round(worker: "Worker", round_s: float) -> int:
    worker.run(1)
    count = 1
    # More and more, since what a loader has prefetched takes no time.
    while (wall_s := worker.run(count)["wall_s"]) < round_s / 4:
        count *= 4
    return max(1, round(count * round_s / wall_s))


def ratio(others: Sequence[float], ours: Sequence[float]) -> float:
    """Returns how many times as long the others took: the median over the rounds, so that a slow one is so for both."""
    return median(other / own for other, own in zip(others, ours, strict=True))


class Worker(NamedTuple):
    """A process that takes its turns."""

    label: str
    process: subprocess.Popen[str]
    errors: Any

    def run(self, num_steps: int) -> dict[str, float]:
        """Returns what the process answered; `benchmarks.worker` says what is in it."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(num_steps, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"{self.label}: exit code {self.process.returncode}\n{self.errors.read()[-2000:]}")
        return json.loads(line)


@contextmanager
def started(label: str, variant: Variant) -> Iterator[Worker]:
    """Yields the process of a variant; it ends with the block."""
    folder = Path(__file__).parent
    cores = sorted(os.sched_getaffinity(0))[-variant.threads :]  # the first core serves the machine's interrupts
    request = {**variant.request, "cores": cores, "threads": variant.threads}
    command = [
        variant.python, "-P", str(folder / "worker.py"), str(folder / variant.file), json.dumps(request)
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, **variant.environment},
        )  # fmt: skip
        try:
            yield Worker(label, process, errors)
        finally:
            process.communicate()  # closes its input, which ends it
