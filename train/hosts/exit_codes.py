"""The exit codes of `ostinato train`, which launchers act upon: start again after 75 and 76, and only then.

`ostinato launch local`, the Slurm script and the JobSet manifests read their meaning here.
"""

from typing import Final

FINISHED: Final = 0
"""The run is whole, or early stopping ended it."""
FAILED: Final = 1
"""An error that nobody foresaw; the traceback is in the log."""
USAGE: Final = 2
"""A mistake in the flags, the data or the machine (a full disk) that the user can mend; one line says how."""
PREEMPTED: Final = 75
"""SIGTERM came (a preempted node, a time limit); a checkpoint was saved. The same command goes on. EX_TEMPFAIL."""
PEER_LOST: Final = 76
"""Another process died, stalled or never came. The same command goes on from the last checkpoint."""
NON_FINITE: Final = 77
"""The loss or its gradient is no longer a number; the same command would meet it again."""
INTERRUPTED: Final = 130
"""Ctrl-C."""

RESTART: Final = frozenset({PREEMPTED, PEER_LOST})
"""What the same command, given again, mends."""


class StoppedError(Exception):
    """The program has to end with a certain exit code; the message is its one line."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        """Takes the line and one of the codes of this module."""
        super().__init__(message)
        self.exit_code = exit_code


class PeerLostError(StoppedError):
    """Another process of the run is gone, stalled, or never came."""

    def __init__(self, message: str) -> None:
        """Takes the line, which names the process."""
        super().__init__(message, exit_code=PEER_LOST)
