"""Ctrl-C that is heard wherever it comes.

Python raises KeyboardInterrupt at whatever instruction the main thread is at. In a finalizer or in the callback of a
weak reference that is printed and forgotten, and where the interpreter is already ending it is a traceback, too.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

_AGAIN_AFTER_S = 0.01


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Raises an interruption again that was raised where exceptions are ignored; afterwards, none is heard any more.

    For a command that is its process: when the block has ended nothing is left that could be interrupted.
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = threading.Timer(_AGAIN_AFTER_S, _interrupt_main_thread)
            again.daemon = True
            again.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):  # ends what the thread waits for, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
