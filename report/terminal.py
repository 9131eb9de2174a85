"""What reaches a terminal or a log: names in it may hold anything, and what steers a terminal is written out.

It is done where lines are written, not where they are made: by the formatter of the log, and by the streams of the
process for all else, libraries and warnings too.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from ostinato.report.text import printable, printable_lines

# A terminal's colours and its cursor, by which progress is drawn; then control characters but for tab and line feed,
# marks that change the direction or take no place, separators of lines, and bytes that are no text.
_STEERING = re.compile(
    "(\x1b\\[[0-9;?]*[A-HJKhlm]|\r)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


class PlainFormatter(logging.Formatter):
    """Formats a record as one line, whatever its arguments hold; a traceback below it has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Returns the record without its traceback."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """Returns the traceback."""
        return printable_lines(super().formatException(ei))


class OutputClosedError(BaseException):
    """What read the standard output has closed it. No `Exception`: like an interruption it is nobody's mistake."""


class _PlainStream:
    """A stream to which only text is written that does not steer a terminal, but for colours and progress."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def write(self, text: str) -> int:
        self._stream.write(_STEERING.sub(self._written, text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def _written(self, found: re.Match[str]) -> str:
        return found[0] if found[1] and self._is_terminal else found[0].encode("unicode_escape").decode("ascii")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _PlainOutput(_PlainStream):
    """The standard output, which may be read by a program that stops when it has enough."""

    def write(self, text: str) -> int:
        with _closed_output():
            return super().write(text)

    def flush(self) -> None:
        with _closed_output():
            super().flush()


@contextlib.contextmanager
def _closed_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error


def discard_output() -> None:
    """Sends what is still to be written to the standard output nowhere: Python's last flush would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Makes the standard streams plain while a command runs.

    Raises:
        OutputClosedError: from `print` and what else writes to the standard output, when nobody reads it any more.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _PlainOutput(sys.stdout)), cast(TextIO, _PlainStream(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
