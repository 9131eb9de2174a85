"""A pool of child processes in which a crash, a hang or a runaway allocation of one item costs that item alone.

Children are plain subprocesses that talk over a socket, started once and reused; `isolated_child` is what they run.
`multiprocessing` and the pools built on it do not serve here: they refuse to start children in a daemonic process,
which Dask's workers are, and their children outlive a parent that is killed. pebble's pool, moreover, waits for ever
for a child that has called exit(0).
"""

import atexit
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from ostinato.beam_pipelines.isolated_process import Child, ChildDiedError, IsolationError, Limits
from ostinato.beam_pipelines.isolated_process import Killed as Killed

T = TypeVar("T")
R = TypeVar("R")

ITEMS_PER_BATCH = 64
BYTES_PER_BATCH = 4 << 20
MAX_STARTS = 3
"""A child may be killed while it starts; when so many in a row are, something is wrong with all of them."""


def _num_bytes(item: Any) -> int:
    if isinstance(item, bytes | bytearray | memoryview):
        return len(item)
    return sum(map(_num_bytes, item)) if isinstance(item, tuple | list) else 0


class IsolatedPool:
    """Child processes that apply functions to items. Any number of threads may use one pool at once."""

    def __init__(self, num_workers: int, limits: Limits = Limits()) -> None:  # noqa: B008  # immutable
        """Starts nothing yet: each child is started when it is first needed.

        Args:
            num_workers: how many children.
            limits: for each item.
        """
        self.num_workers = num_workers
        self.limits = limits
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._keepers = [_Keeper(self._batches, limits) for _ in range(num_workers)]

    def imap(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        size: Callable[[T], int] = _num_bytes,
    ) -> Iterator[R | Killed]:
        """Yields the result of each item, in order, or a `Killed`.

        Items are taken as results are asked for, some batches ahead. An item is given up when it has failed twice; as
        crashed or out of memory only if it was then the first of a fresh child, so that it is not blamed for what an
        earlier one did to the child, nor for a machine that was asleep or full at that moment.

        Args:
            function: of a module that the children can import (not __main__), or a `functools.partial` of one. What it
                prints is lost.
            items: anything that can be pickled.
            size: bytes of an item; by default those of its `bytes`.

        Raises:
            Exception: what `function` raises, except for MemoryError.
            IsolationError: no child can be started, or the pool is closed.
        """
        ahead: deque[Future[list[Any]]] = deque()
        try:
            for batch in _batched(items, size):
                ahead.append(self._submit(function, batch))
                if len(ahead) > self.num_workers + 1:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def close(self) -> None:
        """Ends the children, whatever they are doing; those who wait for results get an IsolationError."""
        with self._lock:
            self._is_closed = True
        for keeper in self._keepers:
            keeper.stop()
            self._batches.put(None)

    def _submit(self, function: Callable[[Any], Any], items: list[Any]) -> Future[list[Any]]:
        batch = _Batch(function, items, Future())
        with self._lock:  # behind the batches of a closed pool is its end, so that each is answered
            if self._is_closed:
                raise IsolationError("the pool is closed")
            self._batches.put(batch)
        return batch.future


_shared_pools: dict[tuple[int, int, Limits], IsolatedPool] = {}
"""By process, number of workers and limits: a forked process inherits pools whose threads it does not have."""
_shared_pools_lock = threading.Lock()


def shared_pool(num_workers: int, limits: Limits = Limits()) -> IsolatedPool:  # noqa: B008  # immutable
    """Returns this process's pool with these properties, which is closed when the process ends."""
    key = (os.getpid(), num_workers, limits)
    with _shared_pools_lock:
        if key not in _shared_pools:
            _shared_pools[key] = IsolatedPool(num_workers, limits)
            atexit.unregister(_close_shared_pools)
            atexit.register(_close_shared_pools)
        return _shared_pools[key]


def _close_shared_pools() -> None:
    for (pid, _, _), pool in _shared_pools.items():
        if pid == os.getpid():
            pool.close()


def _batched(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    batch: list[T] = []
    num_bytes = 0
    for item in items:
        item_bytes = size(item)
        if batch and (len(batch) == ITEMS_PER_BATCH or num_bytes + item_bytes > BYTES_PER_BATCH):
            yield batch
            batch, num_bytes = [], 0
        batch.append(item)
        num_bytes += item_bytes
    if batch:
        yield batch


class _Batch(NamedTuple):
    function: Callable[[Any], Any]
    items: list[Any]
    future: Future[list[Any]]


class _Keeper:
    """A thread that keeps one child alive and feeds it."""

    def __init__(self, batches: "queue.SimpleQueue[_Batch | None]", limits: Limits) -> None:
        self._batches = batches
        self._limits = limits
        self._child: Child | None = None
        self._is_stopped = False
        # A daemon: the end of the program does not wait for it. It outlives its child, as PDEATHSIG wants it.
        threading.Thread(target=self._work, name="isolated-pool", daemon=True).start()

    def stop(self) -> None:
        self._is_stopped = True
        child = self._child
        if child is not None:
            child.process.kill()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            if batch.future.set_running_or_notify_cancel():
                try:
                    batch.future.set_result(self._run(batch.function, batch.items))
                except Exception as error:
                    batch.future.set_exception(error)
        if self._child is not None:
            self._child.end()

    def _run(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        results: list[Any] = []
        is_careful = False  # until a child has died: only then it matters which item did it
        failed_starts = 0
        while len(results) < len(items):
            is_fresh = self._child is None
            self._child = child = self._child or Child(self._limits)
            first = len(results)
            is_ready = False
            try:
                if self._is_stopped:
                    raise ChildDiedError
                child.begin(function, items[first:], is_careful=is_careful)
                is_ready = True
                while len(results) < len(items):
                    results += child.next_value()
            except ChildDiedError:
                self._child = None
                killed = child.end()
                if self._is_stopped:
                    raise IsolationError("the pool was closed before all results were there") from None
                failed_starts += is_fresh and not is_ready
                if failed_starts == MAX_STARTS:
                    raise IsolationError(f"a child process did not get ready ({killed.detail})") from None
                is_alone = is_fresh and len(results) == first
                if is_ready and is_careful and (is_alone or killed.reason == "timed_out"):
                    results.append(killed)
                is_careful = True
        return results
