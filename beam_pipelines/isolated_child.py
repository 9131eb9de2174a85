"""What runs in a child process of `isolation.IsolatedPool`: it applies a function to items under limits.

Imports little: this is what each child costs before the function's own module. The child reads pickles of (function,
items, is_careful) from a socket and answers each with pickles of (kind, value): READY as soon as it could import what
they need, then RESULTS, lists of results in the order of the items, until all are sent or something else has happened.
If careful it sends each result at once, otherwise several together, which costs less.
"""

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any

READY, RESULTS, OUT_OF_MEMORY, ERROR = range(4)

SEND_EVERY_S = 0.05

_PR_SET_PDEATHSIG = 1


def serve(file_descriptor: int, parent_pid: int, memory_bytes: int, cpu_s: int) -> None:
    """Answers requests until the parent closes the socket, or a request cannot be read.

    Args:
        file_descriptor: of a connected stream socket.
        parent_pid: the child ends when this process does, however it ends.
        memory_bytes: by which an item may make the address space grow.
        cpu_s: CPU time for each item.
    """
    _end_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    sys.dont_write_bytecode = True  # or importing would fill folders with empty files
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with socket.socket(fileno=file_descriptor) as connection:
        requests, answers = connection.makefile("rb"), connection.makefile("wb")
        with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed the socket, or has died
            first_bytes = 0
            while num_bytes := _answer(requests, answers, memory_bytes, cpu_s):
                first_bytes = first_bytes or num_bytes
                if num_bytes > first_bytes + memory_bytes // 2:
                    break  # something leaks; the parent starts another child


def _end_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        # A child that computes or sleeps would not notice that its socket is closed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)


def _answer(requests: IO[bytes], answers: IO[bytes], memory_bytes: int, cpu_s: int) -> int:
    """Returns the size of the address space, in bytes, before the items; 0 if there was no way to begin with them."""
    try:
        function, items, is_careful = pickle.load(requests)
    except (EOFError, ConnectionError):
        raise
    except Exception as error:
        _send(answers, ERROR, _portable(error))
        return 0
    num_bytes = _address_space_bytes()
    _limit_address_space(num_bytes + memory_bytes)
    _send(answers, READY, None)
    for kind, value in _apply(function, items, cpu_s, send_every_s=0 if is_careful else SEND_EVERY_S):
        if _send(answers, kind, value) != kind:
            break
    _limit_address_space(resource.RLIM_INFINITY)  # importing the next function's module is not the items' affair
    return num_bytes


def _apply(
    function: Callable[[Any], Any], items: list[Any], cpu_s: int, *, send_every_s: float
) -> Iterator[tuple[int, Any]]:
    results: list[Any] = []
    send_at_s = time.monotonic() + send_every_s
    for item in items:
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + cpu_s)
        try:
            results.append(function(item))
        except MemoryError:
            yield RESULTS, results
            yield OUT_OF_MEMORY, None
            return
        except Exception as error:
            yield RESULTS, results
            yield ERROR, _portable(error)
            return
        if time.monotonic() >= send_at_s:
            yield RESULTS, results
            results = []
            send_at_s = time.monotonic() + send_every_s
    if results:
        yield RESULTS, results


def _address_space_bytes() -> int:
    if sys.platform != "linux":
        return 1  # nothing to be had, nothing to be limited
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _limit_address_space(num_bytes: int) -> None:
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, num_bytes)


def _limit(kind: int, value: int) -> None:
    """Sets a soft limit as far as the hard one allows, which a batch system may have set and only root can raise."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = hard if value == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _send(answers: IO[bytes], kind: int, value: Any) -> int:
    """Returns the kind that was sent: results may be too large, or of a type that cannot be pickled."""
    try:
        message = pickle.dumps((kind, value), protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        kind, message = OUT_OF_MEMORY, pickle.dumps((OUT_OF_MEMORY, None))
    except Exception as error:
        kind, message = ERROR, pickle.dumps((ERROR, _portable(error)))
    answers.write(message)
    answers.flush()
    return kind


def _portable(error: Exception) -> Exception:
    """Returns the error, or one that can be pickled in its place, with the traceback as a note."""
    note = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"In a child process:\n{note}")
    return error
