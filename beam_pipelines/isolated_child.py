"""What runs in a child process of `isolation.IsolatedPool`. Imports little: this is what each child costs at least.

On standard input, a connection, come pickles of (function, items). Each is answered twice with a pickle of (error or
None, results): without results when all that the request needs is imported, then with those of all items.
"""

import contextlib
import ctypes
import functools
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1
_MAX_FILE_BYTES = 64 << 20
"""Of a temporary file; a function that calls a program which writes one has to raise the limit of 0 for that time."""


def serve(parent_pid: int, memory_bytes: int, cpu_s: int) -> None:
    """Answers requests, with so much memory and with CPU time for each item, until the parent ends or wants no more."""
    if sys.platform == "linux":  # a child that computes or sleeps would not notice that the connection is closed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    os.set_blocking(sys.stderr.fileno(), False)  # what nobody reads is lost
    sys.dont_write_bytecode = True  # or importing would fill folders with empty files
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, _MAX_FILE_BYTES))
    connection = Connection(sys.stdin.fileno())
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request = connection.recv_bytes()
            try:
                function, items = pickle.loads(request)
                _limit_address_space(memory_bytes)
                connection.send_bytes(pickle.dumps((None, [])))
                results = []
                for item in items:
                    _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + cpu_s)
                    results.append(function(item))
                answer = pickle.dumps((None, results), protocol=pickle.HIGHEST_PROTOCOL)
            except MemoryError:
                answer = pickle.dumps((MemoryError(), []))
            except Exception as error:
                error.add_note(f"In a child process:\n{traceback.format_exc()}")
                answer = pickle.dumps((error, []))
            connection.send_bytes(answer)


@functools.cache  # once and for all: a child that leaks ends, and another one takes its place
def _limit_address_space(growth_bytes: int) -> None:
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            num_pages = int(file.read().split()[0])
        _limit(resource.RLIMIT_AS, num_pages * resource.getpagesize() + growth_bytes)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)  # a batch system may have set it, and only root can raise it
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
