"""What asyncio still has to say after Orbax gave up a read.

Orbax reads all arrays at once, gives up at the first that cannot be read and closes its event loop. The others, mostly
damaged in the same way, answer later: as errors of tasks and futures that nobody asked, as coroutines that never began,
as calls into a closed loop. Each is many lines on stderr, and would hide the one line that says what is wrong.
"""

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LATE = re.compile(r"(Task|Future|_GatheringFuture) exception was never retrieved|Task was destroyed but it is pending")
_LATE_COROUTINE = r"coroutine .* was never awaited"


@contextmanager
def late_answers_dropped() -> Iterator[None]:
    """Drops them from now on; after an error until the end of the process, for they may come until then."""
    before, log = sys.unraisablehook, logging.getLogger("asyncio")
    failed_before = _is_no_late_answer in log.filters

    def hook(unraisable: Any) -> None:
        if not (inspect.iscoroutine(unraisable.object) or str(unraisable.exc_value) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook
    log.addFilter(_is_no_late_answer)
    try:
        yield
    except Exception:
        warnings.filterwarnings("ignore", _LATE_COROUTINE, RuntimeWarning)
        raise
    sys.unraisablehook = before
    if not failed_before:
        log.removeFilter(_is_no_late_answer)


def _is_no_late_answer(record: logging.LogRecord) -> bool:
    return not _LATE.match(record.getMessage())
