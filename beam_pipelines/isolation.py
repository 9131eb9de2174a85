"""A pool of child processes in which a crash, a hang or a runaway allocation of one item costs that item alone.

Children are plain subprocesses, started once and reused; `isolated_child` is what they run. Pools that are built on
`multiprocessing`, such as pebble's, do not serve: they refuse to start children in a daemonic process, which Dask's
workers are; children outlive a parent that is killed; one that calls exit(0) is waited for until the time is up; and
what costs itself alone has to be sent by itself, which takes a third as long as reading a MIDI file.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import Pipe
from typing import Any, Literal, NamedTuple, TypeVar

from more_itertools import constrained_batches

from ostinato.beam_pipelines import isolated_child

T = TypeVar("T")
R = TypeVar("R")

ITEMS_PER_BATCH = 64
BYTES_PER_BATCH = 4 << 20
START_S = 300
"""A child that is not ready by then, on however busy a machine, never will be."""
MAX_STARTS = 3
"""A child may be killed while it starts; when so many in a row are, something is wrong with all of them."""

_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Threads of BLAS would not help, and their stacks take address space."""


class IsolationError(RuntimeError):
    """Child processes cannot be started."""


class Limits(NamedTuple):
    """What one item may use."""

    memory_mb: int = 1024
    """Address space above what the child has once it has imported the function's module (Linux only)."""
    cpu_s: int = 20
    """Up to one second more is granted."""
    wall_s: int = 60


class Killed(NamedTuple):
    """Stands in the place of the result of an item that did not survive."""

    reason: Literal["crashed", "out_of_memory", "timed_out"]
    detail: str


class IsolatedPool:
    """Child processes that apply functions to items; they end when this process does.

    Any number of threads may use one pool at once.
    """

    def __init__(self, num_workers: int, limits: Limits = Limits()) -> None:  # noqa: B008  # immutable
        """Takes how many children, and the limits for each item; a child is started when it is first needed."""
        self._tasks: _Tasks = queue.SimpleQueue()
        self._num_workers = num_workers
        for _ in range(num_workers):
            _Child(self._tasks, limits)

    def imap(
        self, function: Callable[[T], R], items: Iterable[T], *, size: Callable[[T], int] = sys.getsizeof
    ) -> Iterator[R | Killed]:
        """Yields the result of each item, in order, or a `Killed`; items are taken some batches ahead.

        The items of a batch that has ended a child are tried one by one. What ends two more is given up: an item is not
        blamed for what an earlier one did to the child, nor for a machine that was asleep or full.

        Args:
            function: of a module that the children can import (not __main__), or a `functools.partial` of one.
            items: anything that can be pickled.
            size: bytes of an item.

        Raises:
            Exception: what `function` raises, except for MemoryError.
            IsolationError: no child can be started.
        """
        ahead: deque[Future[list[Any]]] = deque()
        try:
            for batch in constrained_batches(items, BYTES_PER_BATCH, ITEMS_PER_BATCH, get_len=size, strict=False):
                ahead.append(Future())
                self._tasks.put((function, batch, ahead[-1]))
                if len(ahead) > self._num_workers + 1:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for results in ahead:
                results.cancel()


_shared_pools: dict[tuple[int, Limits], IsolatedPool] = {}
os.register_at_fork(after_in_child=_shared_pools.clear)  # it does not inherit their threads


def shared_pool(num_workers: int, limits: Limits = Limits()) -> IsolatedPool:  # noqa: B008  # immutable
    """Returns this process's pool with these properties."""
    with _sharing:
        if (num_workers, limits) not in _shared_pools:
            _shared_pools[num_workers, limits] = IsolatedPool(num_workers, limits)
        return _shared_pools[num_workers, limits]


_sharing = threading.Lock()
_Tasks = queue.SimpleQueue[tuple[Callable[[Any], Any], Sequence[Any], Future[list[Any]]]]


class _DiedError(Exception):
    """The child is of no more use; the one argument is a `Killed`."""


class _Child:
    """A child process and the thread that feeds it; it is started when it is needed, and again when it has died."""

    def __init__(self, tasks: "_Tasks", limits: Limits) -> None:
        self._tasks = tasks
        self._limits = limits
        self._process: Any = None
        # A daemon: the end of the program does not wait for it. It outlives its child, as PDEATHSIG wants it.
        threading.Thread(target=self._work, name="isolated-pool", daemon=True).start()

    def _work(self) -> None:
        while True:
            function, items, results = self._tasks.get()
            if results.set_running_or_notify_cancel():
                try:
                    results.set_result(self._apply(function, items))
                except Exception as error:
                    results.set_exception(error)

    def _apply(self, function: Callable[[Any], Any], items: Sequence[Any], *, is_retry: bool = False) -> list[Any]:
        try:
            return self._ask(function, items)
        except _DiedError as died:
            if is_retry:
                return list(died.args)
            results = [self._apply(function, [item], is_retry=len(items) == 1) for item in items]
            return [result for (result,) in results]

    def _ask(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        request = pickle.dumps((function, items), protocol=pickle.HIGHEST_PROTOCOL)
        for start in range(MAX_STARTS + 1):
            if not self._process:
                self._start()
            self._read_complaints()  # those of earlier items
            try:
                with contextlib.suppress(OSError):  # a child that has died shows when its answer is read
                    self._connection.send_bytes(request)
                self._receive(START_S)
                break
            except _DiedError as died:
                if start == MAX_STARTS:
                    raise IsolationError(f"a child process did not get ready ({died.args[0].detail})") from None
        return self._receive(self._limits.wall_s)

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        numbers = (os.getpid(), self._limits.memory_mb << 20, self._limits.cpu_s)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", f"from {isolated_child.__name__} import serve; serve{numbers}"],
                    bufsize=0,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(sys.path)},
                    process_group=0,  # Ctrl-C in a terminal does not reach it
                )
            except OSError as error:
                self._connection.close()
                raise IsolationError(f"cannot start a child process: {error}") from error
        os.set_blocking(self._process.stderr.fileno(), False)

    def _receive(self, timeout_s: int) -> list[Any]:
        """Returns what the child answers, or raises what the function raised."""
        try:
            if not self._connection.poll(timeout_s):
                raise _DiedError(self._end(Killed("timed_out", f"not done after {timeout_s} s")))
            answer = self._connection.recv_bytes()
        except (EOFError, OSError):
            raise _DiedError(self._end(None)) from None
        error, results = pickle.loads(answer)
        if isinstance(error, MemoryError):
            raise _DiedError(self._end(Killed("out_of_memory", f"more than {self._limits.memory_mb} MB")))
        if error:
            raise error
        return results

    def _end(self, killed: Killed | None) -> Killed:
        """Ends the process, if it still runs, and returns why it had to end."""
        self._connection.close()
        if not killed:  # it has ended, or is about to, and how says why
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
        self._process.kill()
        status = self._process.wait()
        complaints = self._read_complaints()
        self._process.stderr.close()
        self._process = None
        if killed:
            return killed
        if status == -signal.SIGXCPU:
            return Killed("timed_out", f"more than {self._limits.cpu_s} s of CPU time")
        if status == -signal.SIGKILL:
            return Killed("out_of_memory", "killed by SIGKILL, as the system does where memory runs out")
        ending = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        return Killed("crashed", ": ".join([ending, *complaints[-1:]]))

    def _read_complaints(self) -> list[str]:
        """Returns the lines that the child has written to its standard error since the last call."""
        return (self._process.stderr.read() or b"").decode(errors="replace").splitlines()
