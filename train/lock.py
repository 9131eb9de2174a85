"""One run in one folder: `run.lock`, held with flock(2) while the run is at work.

The kernel releases the lock however its process ends, so a run that was killed resumes at once. The file also names the
holder, as JSON, for whoever is refused. That text decides nothing: what a dead process or an earlier version of
ostinato left in it does no harm.

The lock is of the file, not of its name: where `run.lock` is removed, or the folder is put back from a copy, a second
run gets another file. So the holder looks at each beat of the watchdog whether the name is still that of its file.

Network file systems: NFS, GPFS, and Lustre mounted with `-o flock` pass the lock on to their server, which keeps hosts
apart. Where flock fails, as on Lustre without that option, the run goes ahead with a warning; where it is local to each
host (`-o localflock`, `-o local_lock=flock`), two hosts do not see each other. In both cases it is left to the user to
start only one run in a folder.
"""

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from ostinato.configs.documents import Count, read_document
from ostinato.configs.errors import UserError, file_errors

logger = logging.getLogger(__name__)

FILE = "run.lock"
TRIES, RETRY_S = 5, 0.1
"""`is_locked` holds the lock for an instant; a run that starts just then tries again."""


_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Of a stranger's folder: the file is emptied, so it may not be a link to another; and opening a pipe waits."""
MAX_BYTES = 4096


class Holder(TypedDict):
    """What the file says."""

    pid: Count
    host: Annotated[str, Meta(pattern=r"\A[!-~]{1,255}\Z")]


class LockedError(UserError):
    """Another process works in the folder."""


@contextmanager
def run_lock(workdir: Path) -> Iterator[Callable[[], str | None]]:
    """Holds the lock of a run's folder.

    Yields:
        What returns why the lock is not held any more, in one line; None while it is.

    Raises:
        LockedError: another process holds it; the message names that process and its host.
        UserError: the file cannot be opened for writing.
    """
    path = workdir / FILE
    with file_errors(path):
        file = os.open(path, _FLAGS | os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(file, workdir)
        held = os.fstat(file)
        if lost := _lost(path, held):  # between opening and locking
            raise LockedError(lost)
        try:
            _write(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            yield lambda: _lost(path, held)
        finally:
            _write(file, "")
    finally:
        os.close(file)


def is_locked(workdir: Path) -> bool:
    """Returns whether a process works in the folder."""
    try:
        file = os.open(workdir / FILE, _FLAGS | os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(file)
    return False


def holder(workdir: Path) -> str | None:
    """Returns the process that holds the lock or died with it; None if the last one gave it back."""
    try:
        found = read_document(workdir / FILE, Holder, max_bytes=MAX_BYTES)
    except UserError:
        return None
    return f"process {found['pid']} on {found['host']}"


def _lost(path: Path, held: os.stat_result) -> str | None:
    """Returns why a name is not that of the file that was locked, None if it is."""
    try:
        if os.path.samestat(os.stat(path), held):
            return None
        what = "is another file now: a second run may be at work in the folder"
    except FileNotFoundError:
        what = "was removed: a second run could begin in the folder"
    except OSError:  # a file system on the network that is away for a while
        return None
    return f"{path}: {what}; this one ends, and its checkpoints stay as they are"


def _write(file: int, text: str) -> None:
    with suppress(OSError):  # a full disk: the lock is held all the same, without a name
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)


def _acquire(file: int, workdir: Path) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not tries_left:
                raise LockedError(
                    f"{workdir}: {holder(workdir) or 'another process'} trains in this folder; wait for it, stop it, "
                    "or choose another --workdir"
                ) from None
            time.sleep(RETRY_S)
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); start no second run in it", workdir, error.strerror)
            return None
    return None
