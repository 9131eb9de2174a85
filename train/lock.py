"""One run in one folder: `run.lock`, held with flock(2) while the run is at work.

The kernel releases the lock however its process ends, so a run that was killed resumes at once. The file also names the
holder, as JSON, for whoever is refused. That text decides nothing: what a dead process or an earlier version of
ostinato left in it does no harm.

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
from collections.abc import Iterator
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
def run_lock(workdir: Path) -> Iterator[None]:
    """Holds the lock of a run's folder.

    Raises:
        LockedError: another process holds it; the message names that process and its host.
        UserError: the file cannot be opened for writing.
    """
    path = workdir / FILE
    with file_errors(path):
        file = os.open(path, _FLAGS | os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(file, workdir)
        try:
            _write(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            yield
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
