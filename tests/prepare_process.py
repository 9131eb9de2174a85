"""`ostinato prepare` as a process of its own, with all the processes that it starts."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "ostinato.launch.cli", "prepare"]
DEADLINE_S = 250


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    output: str
    complaints: list[str]
    """Lines on its standard error."""

    @property
    def last_words(self) -> str:
        """The one line by which a job that fails says why."""
        assert "Traceback" not in "\n".join(self.complaints)
        said = [line for line in self.complaints if line.startswith("ostinato: ")]
        assert said == self.complaints[-1:]
        return said[0].removeprefix("ostinato: ")


@contextlib.contextmanager
def started(*arguments, command=COMMAND, **environment):
    """Starts prepare in a session of its own, by which its children are found even when they are orphans.

    None of them outlives the context.
    """
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | environment,
    )
    with process:
        try:
            yield process
        finally:
            for member in session(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)


def end(process):
    output, complaints = process.communicate(timeout=DEADLINE_S)
    return Ended(process.returncode, output, complaints.splitlines())


def run(*arguments, **options):
    with started(*arguments, **options) as process:
        return end(process)


def content(dataset):
    """Returns the bytes of every file of a dataset by its path in it."""
    return {str(path.relative_to(dataset)): path.read_bytes() for path in dataset.rglob("*") if path.is_file()}


def session(leader):
    """Returns the processes of a session that are alive."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(session) == leader and state not in "ZX":
            members.append(int(folder.name))
    return members


def children(process):
    return [pid for pid in session(process.pid) if pid != process.pid]


def assert_no_orphans(process):
    end_s = time.monotonic() + 20  # an instant, on a machine that has nothing else to do
    while members := session(process.pid):
        assert time.monotonic() < end_s, members
        time.sleep(0.01)
