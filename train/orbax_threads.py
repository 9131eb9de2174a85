"""Silences what Orbax's threads and tasks still report after a checkpoint could not be read or written.

Orbax reads and writes all arrays at once, gives up at the first that fails and closes its event loop. The others, most
of them failing for the same reason, report later: as errors of tasks and futures that nobody awaits, as coroutines that
never ran, as calls into a closed loop. Each is many lines on stderr, and hides the one line that says what is wrong.
"""

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

_NEVER_RETRIEVED = re.compile(r"\w+ exception was never retrieved\n.*(orbax[/\\.]|tensorstore)", re.DOTALL)
_FORMATTER = logging.Formatter()  # the message, and under it the traceback, which names the files


def silence_late_errors() -> None:
    """Silences them until the end of the process: a save fails at any moment. May be called again."""
    logging.getLogger("asyncio").addFilter(_is_not_of_orbax)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


def silence_unawaited_coroutines() -> None:
    """Silences the warnings about them. Only for after a failure: they do not say whose coroutine it was."""
    warnings.filterwarnings("ignore", r"coroutine .* was never awaited", RuntimeWarning)


class _Hook:
    """A `sys.unraisablehook` before another."""

    def __init__(self, before: Callable[[Any], Any]) -> None:
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        is_coroutine = inspect.iscoroutine(unraisable.object) and "orbax/" in unraisable.object.cr_code.co_filename
        if not (is_coroutine or str(unraisable.exc_value) == "Event loop is closed"):
            self._before(unraisable)


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return not _NEVER_RETRIEVED.match(_FORMATTER.format(record))
