"""One child process of `isolation.IsolatedPool` as its parent sees it: how it is started, asked, and ended."""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ostinato.beam_pipelines import isolated_child

START_S = 300
"""A child that is not ready by then, on however busy a machine, never will be."""

_CHILD_CODE = f"""
import sys
numbers, sys.path[:] = sys.argv[1:5], sys.argv[5:]
from {isolated_child.__name__} import serve
serve(*map(int, numbers))
"""
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Threads of BLAS would not help, and their stacks take address space."""


class IsolationError(RuntimeError):
    """Child processes cannot be started, or the pool was closed while it was at work."""


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


class ChildDiedError(Exception):
    """A child is of no more use."""


class Child:
    """A child process and the sockets to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._verdict: Killed | None = None
        self._connection, theirs = socket.socketpair()
        self._complaints, their_complaints = socket.socketpair()
        # What nobody has read when the buffer is full is lost: the child does not wait.
        self._complaints.setblocking(False)
        their_complaints.setblocking(False)
        numbers = (theirs.fileno(), os.getpid(), limits.memory_mb << 20, limits.cpu_s)
        with theirs, their_complaints:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", _CHILD_CODE, *map(str, numbers), *sys.path],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=their_complaints.fileno(),
                    pass_fds=[theirs.fileno()],
                    env=os.environ | _ONE_THREAD,
                    process_group=0,  # Ctrl-C in a terminal does not reach it
                )
            except OSError as error:
                self._connection.close()
                self._complaints.close()
                raise IsolationError(f"cannot start a child process: {error}") from error
        self._answers = self._connection.makefile("rb")

    def begin(self, function: Callable[[Any], Any], items: list[Any], *, is_careful: bool) -> None:
        """Sends items and waits until the child has them."""
        self._read_complaints()  # those of earlier items
        request = pickle.dumps((function, items, is_careful), protocol=pickle.HIGHEST_PROTOCOL)
        self._connection.settimeout(START_S)
        with contextlib.suppress(OSError):  # a child that has died shows when its answer is read
            self._connection.sendall(request)
        self.next_value()
        self._connection.settimeout(self._limits.wall_s)

    def next_value(self) -> Any:
        """Returns the value of the next answer.

        Raises:
            Exception: what the function raised.
            ChildDiedError: there is no answer.
        """
        try:
            kind, value = pickle.load(self._answers)
        except TimeoutError:
            self._verdict = Killed("timed_out", f"not done after {self._connection.gettimeout():g} s")
            raise ChildDiedError from None
        except (EOFError, ConnectionError):
            raise ChildDiedError from None
        except Exception as error:
            self._verdict = Killed("crashed", f"sent what is no answer ({type(error).__name__}: {error})")
            raise ChildDiedError from error
        if kind == isolated_child.OUT_OF_MEMORY:
            self._verdict = Killed("out_of_memory", f"more than {self._limits.memory_mb} MB")
            raise ChildDiedError
        if kind == isolated_child.ERROR:
            raise value
        return value

    def end(self) -> Killed:
        """Ends the process, if it goes on, and returns why it had to end."""
        if self._verdict is None:  # it has ended, or is about to, and how says why
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        self.process.kill()
        status = self.process.wait()
        complaints = self._read_complaints()
        self._answers.close()
        self._connection.close()
        self._complaints.close()
        return self._verdict or self._explain(status, complaints)

    def _explain(self, status: int, complaints: str) -> Killed:
        if status == -signal.SIGXCPU:
            return Killed("timed_out", f"more than {self._limits.cpu_s} s of CPU time")
        if status == -signal.SIGKILL:
            return Killed("out_of_memory", "killed by SIGKILL, as the system does where memory runs out")
        ending = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        last = complaints.splitlines()[-1:]
        return Killed("crashed", ": ".join([ending, *last]))

    def _read_complaints(self) -> str:
        """Returns what the child has written to its standard error since the last call."""
        text = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while part := self._complaints.recv(1 << 16):
                text += part
        return text.decode(errors="replace").strip()
