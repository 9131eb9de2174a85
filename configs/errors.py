"""One tree of errors, and the exit codes that the command makes of them.

    OstinatoError          whoever catches it catches all that Ostinato raises on purpose
    ├── UserError          a mistake that the user can mend: one line (or a list) on stderr and exit code 2
    └── StoppedError       the program has to end with a certain exit code, which launchers act upon

A folder that needs a kind of its own derives it from one of these. Anything else that is raised, also a ValueError or
an OSError, is a mistake of ours or of a library: its traceback is shown and the exit code is 1.
"""

import contextlib
import enum
from collections.abc import Iterator
from pathlib import Path


class ExitCode(enum.IntEnum):
    """What `ostinato` ends with. Launchers start a run again after PREEMPTED and PEER_LOST, and only then."""

    FINISHED = 0
    """The work is whole, or early stopping ended it."""
    FAILED = 1
    """An error that nobody foresaw; the traceback is in the log."""
    USAGE = 2
    """A mistake in the options, the data or the machine (a full disk) that the user can mend; the message says how."""
    PREEMPTED = 75
    """SIGTERM came (a preempted node, a time limit); a checkpoint was saved. The same command resumes. EX_TEMPFAIL."""
    PEER_LOST = 76
    """Another process died, stalled or never came. The same command resumes from the last checkpoint."""
    NON_FINITE = 77
    """The loss or its gradient is no longer a number; the same command would meet it again."""
    INTERRUPTED = 130
    """Ctrl-C."""
    OUTPUT_CLOSED = 141
    """What read the output has closed it, as `head` does when it has its lines. What a shell says of SIGPIPE."""


RESTART = frozenset({ExitCode.PREEMPTED, ExitCode.PEER_LOST})
"""What the same command, given again, mends."""


class OstinatoError(Exception):
    """The root of the tree."""


class Lines(str):
    """A message that has lines of its own, such as a list. In other messages a line feed is part of a name."""

    __slots__ = ()

    @classmethod
    def of(cls, *lines: str) -> "Lines":
        """Returns a message of lines; line feeds in them are written out."""
        return cls("\n".join(line.replace("\n", "\\n") for line in lines))


class UserError(OstinatoError, ValueError):
    """A mistake that the user can mend: the message says what was found, what was allowed, and where."""


class StoppedError(OstinatoError):
    """The program has to end with a certain exit code; the message is its one line."""

    def __init__(self, message: str, *, exit_code: ExitCode) -> None:
        """Takes the line and the code."""
        super().__init__(message)
        self.exit_code = exit_code


class PeerLostError(StoppedError):
    """Another process of the run is gone, stalled, or never came."""

    def __init__(self, message: str) -> None:
        """Takes the line, which names the process."""
        super().__init__(message, exit_code=ExitCode.PEER_LOST)


@contextlib.contextmanager
def file_errors(path: object) -> Iterator[None]:
    """Turns an OSError into a UserError that names the path: for files that the user named or will have to mend.

    Raises:
        UserError: the body raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path if concerns(path, error) else error.filename}: {error.strerror or error}") from error


def concerns(path: object, error: OSError) -> bool:
    """Returns whether an error is about a path: writing names no file, opening may name a temporary one beside it."""
    if error.filename is None:
        return True
    named, path = Path(str(error.filename)), Path(str(path))
    return named.parent == path.parent or named in path.parents
