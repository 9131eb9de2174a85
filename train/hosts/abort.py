"""The end of a process whose peers are lost: at once, with one line, since a normal exit would wait for them."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import jax

from ostinato.configs.errors import ExitCode

OWN_FAULT = "RESOURCE_EXHAUSTED"
"""An error of XLA that is no other process's fault."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_installed: list[object] = []
"""Keeps the function alive that C calls."""


def exit_now(line: str, code: ExitCode = ExitCode.PEER_LOST) -> NoReturn:
    """Says why and ends the process, with the exit code of a lost peer or another one."""
    sys.stdout.flush()
    advice = "; the same command resumes from the last checkpoint" if code == ExitCode.PEER_LOST else ""
    os.write(2, f"ostinato: {line}{advice}\n".encode())
    os._exit(code)


def is_communication_error(error: BaseException | None) -> bool:
    """Returns whether an error comes of something that processes do together, at the bottom of what was made of it."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, jax.errors.JaxRuntimeError):
        return OWN_FAULT not in str(error)
    # What is so small that it is computed within the call fails with a ValueError.
    return isinstance(error, ValueError) and "Gloo" in str(error)


def on_abort(call: Callable[[], object] | None) -> None:
    """Lets abort() call a function, in the thread that aborts; None undoes it.

    A handler of Python's own would run in the main thread, which waits for the peer. When the coordinator dies JAX
    aborts within a second, and asking it not to is not possible (its callback ends in std::bad_cast, jaxlib 0.10.2).
    """
    if not sys.platform.startswith("linux"):
        return
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    handler = None if call is None else _HANDLER(lambda _: call())
    set_handler(signal.SIGABRT, handler and ctypes.cast(handler, ctypes.c_void_p))
    _installed[:] = [handler]
