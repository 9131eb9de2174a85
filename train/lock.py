"""One run in one folder: a lock that dies with its process and that other hosts understand.

`run.lock` is locked with flock, which the kernel takes back however the process ends, and which NFS passes on to the
server. Some shared file systems ignore flock. So the file also says who holds it, in JSON, with a count that the
holder raises every few seconds. Whether the count still rises is seen without comparing the clocks of two hosts.
"""

import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ostinato.configs.errors import UserError

logger = logging.getLogger(__name__)

FILE = "run.lock"
BEAT_S = 5.0
"""The holder raises its count this often."""
STALE_BEATS = 3
"""A holder on another host whose count does not rise for so many beats is gone."""


class LockedError(UserError):
    """Another process works in the folder."""


class Holder(NamedTuple):
    """Who holds a lock, or held it last."""

    host: str
    pid: int
    started: str
    """When the kernel started the process: another process may have its number today."""
    token: str
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class RunLock:
    """The lock of a folder, held until `close` or the end of the process."""

    def __init__(self, workdir: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Takes the lock.

        Args:
            workdir: an existing folder.
            sleep: waits while it is watched whether a holder on another host is alive.

        Raises:
            LockedError: another process holds it.
            OSError: the folder cannot be written to.
        """
        self.path = workdir / FILE
        self._me = Holder(socket.gethostname(), os.getpid(), _start_of(os.getpid()) or "", uuid.uuid4().hex)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._take(sleep)
        except BaseException:
            os.close(self._file)
            raise
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lock of the run", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gives the lock back."""
        self._closed.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # a full disk, or the file system is gone: the lock goes with the process
            os.ftruncate(self._file, 0)
        os.close(self._file)

    def _take(self, sleep: Callable[[float], None]) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(_refusal(self.path, _read(self.path))) from None
        except OSError as error:  # flock is not supported here: what is written has to do
            logger.debug("%s: no flock (%s)", self.path, error)
        holder = _read(self.path)
        if holder is not None and is_alive(self.path, holder, sleep=sleep):
            raise LockedError(_refusal(self.path, holder))
        if holder is not None:
            logger.info("%s: %s is gone; its lock is taken over", self.path.parent, holder)
        self._write()

    def _keep(self) -> None:
        while not self._closed.wait(BEAT_S):
            self._me = self._me._replace(beat=self._me.beat + 1)
            try:
                self._write()
            except OSError as error:
                logger.warning("%s; the lock is not renewed", error)

    def _write(self) -> None:
        line = json.dumps(self._me._asdict()).encode().ljust(511) + b"\n"  # always as long: never half of two lines
        try:
            os.pwrite(self._file, line, 0)
        except OSError as error:
            raise OSError(f"{self.path}: cannot be written ({error.strerror})") from error


def holder_of(workdir: Path) -> Holder | None:
    """Returns who holds the lock of a run or held it when it died; None if the last one gave it back."""
    return _read(workdir / FILE)


def is_alive(path: Path, holder: Holder, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Returns whether the holder still runs; for one on another host its count is watched for some seconds."""
    start = _start_of(holder.pid)
    if start is not None and start == holder.started and holder.host == socket.gethostname():
        return True
    if holder.started.split()[:1] == [_boot_id()]:
        return False  # it ran on this machine, whatever its containers are called
    for _ in range(STALE_BEATS):
        sleep(BEAT_S)
        now = _read(path)
        if now is None:
            return False
        if now != holder:
            return True
    return False


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # empty: given back; half a line: its writer died while taking it
        return None


def _refusal(path: Path, holder: Holder | None) -> str:
    who = "another process" if holder is None else str(holder)
    return f"{path.parent}: {who} trains in this folder; wait for it, stop it, or choose another --workdir"


def _start_of(pid: int) -> str | None:
    """Returns boot and start time of a process, None if there is none (or only its exit code, a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        try:  # not Linux
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return ""
    return None if fields[0] in "ZX" else f"{_boot_id()} {fields[19]}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def seems_alive(workdir: Path) -> bool:
    """Returns whether a run is at work in a folder, at a glance: by the clock of the file system if on another host."""
    holder = holder_of(workdir)
    if holder is None:
        return False
    path = workdir / FILE
    if is_alive(path, holder, sleep=lambda _: None):
        return True
    on_this_machine = holder.started.split()[:1] == [_boot_id()]
    return not on_this_machine and time.time() - path.stat().st_mtime < 2 * STALE_BEATS * BEAT_S
