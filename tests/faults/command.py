"""The real `ostinato` command in processes of its own, cheaply: a process that has imported everything forks them.

Run as `python -m tests.faults.command`, it is that process: it takes one JSON object a line and answers each with one.
"""

import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.power import CHANGES, path_of, take_images
from tests.xla import flags

ROOT = Path(__file__).parents[2]
DEADLINE_S = 240.0
"""No test waits longer for a process; a busy machine needs some of it."""

TINY = [
    "debug", "--model.hidden-size", "16", "--model.embedding-size", "8", "--model.head-size", "8",
    "--model.dropout", "0.3", "--data.batch-size", "4", "--data.sequence-length", "8",
    "--optimizer.schedule", "constant", "--optimizer.warmup-steps", "2", "--patience", "0", "--log-every", "1",
]  # fmt: skip
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000  # linux/sched.h
READS = ROOT / "tests/faults/reads"
INPUTS_PER_UNIT = 4
"""Of a `prepare` whose reads are noted; small, so that there are many units."""
NEVER = ("", -1, signal.SIGKILL)
NO_IMAGES = ("", "", 0, 0)
BY_THE_CLOCK = ("/work/progress/", "/work/reading/")
"""What `prepare` writes there to be watched it writes the more often the slower a machine is."""


class Running:
    """A command that was started."""

    def __init__(self, forker: "Forker", pid: int, output: Path) -> None:
        self._forker = forker
        self.pid = pid
        self._output = output

    @property
    def said(self) -> str:
        """What it has written so far, to standard output and error."""
        return self._output.read_text()

    @property
    def last_line(self) -> str:
        return self.said.splitlines()[-1]

    @property
    def error(self) -> str:
        """The error that it ended with, and the lines that it lists."""
        before, found, error = ("\n" + self.said).rpartition("\nostinato: ")
        assert found, before
        return f"ostinato: {error}"

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def code(self) -> int | None:
        """Returns its exit code, None if it still runs; below 0, the signal that ended it."""
        return self._forker.ask({"poll": self.pid})["code"]

    def wait(self) -> int:
        """Returns its exit code when it has ended."""
        self.wait_until(lambda: False)
        code = self.code()
        assert code is not None
        return code

    def wait_until(self, condition) -> bool:
        """Waits until something is so, or the process has ended; returns whether it is so."""
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            if self.code() is not None:
                return condition()
            assert time.monotonic() < end_s, self.said
            time.sleep(0.005)
        return True


class Forker:
    """The process that forks."""

    def __init__(self, folder: Path) -> None:
        """Starts it; outputs and compiled functions go to the folder."""
        self._folder = folder
        self._count = 0
        environ = os.environ | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(folder / "cache"), "XLA_FLAGS": flags(1)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.command"],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        *arguments: object,
        die_at: tuple[str, int, signal.Signals] = NEVER,
        images: tuple[str, str, int, int] = NO_IMAGES,
        host: str = "",
        **environ: str,
    ) -> Running:
        """Starts `ostinato` with these arguments and variables.

        `die_at` names a folder, a number and a signal, which the process sends itself before it creates, renames or
        removes a file there for the so many-th time, those BY_THE_CLOCK not counted. What it did is noted in
        `<folder>.touches`.
        `images` names a folder, one for images of it after a loss of power, after how many changes one is taken on
        average, and a seed; the last one is of the end of the process; see `power.take_images`.
        `host` is a network namespace, in which the process has a machine of that name to itself.
        With the variable OSTINATO_READS, `prepare` and its workers note there which MIDI files they open.
        """
        self._count += 1
        output = self._folder / f"output-{self._count}.txt"
        words = [str(argument) for argument in arguments]
        question = {"arguments": words, "environ": environ, "output": str(output), "die_at": die_at, "host": host}
        question["images"] = images
        return Running(self, self.ask(question)["pid"], output)

    def run(self, *arguments: object, **options: Any) -> Running:
        """Starts a command and waits for its end; `options` are those of `start`."""
        running = self.start(*arguments, **options)
        running.wait()
        return running

    def ask(self, question: dict) -> dict:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends it, and with it what it forked and what still runs."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve() -> None:
    import tensorboardX.proto.event_pb2  # noqa: F401

    import ostinato.beam_pipelines.prepare
    import ostinato.launch.cache
    import ostinato.launch.cli
    import ostinato.train.hosts.distributed
    import ostinato.train.hosts.preemption
    import ostinato.train.loop
    import ostinato.train.profiling  # noqa: F401  # all that training imports; nothing has asked JAX for devices yet

    codes: dict[int, int | None] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "poll" in question:
            pid = question["poll"]
            if codes[pid] is None:
                done, status = os.waitpid(pid, os.WNOHANG)
                codes[pid] = os.waitstatus_to_exitcode(status) if done else None
            print(json.dumps({"code": codes[pid]}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(question)
        codes[pid] = None
        print(json.dumps({"pid": pid}), flush=True)
    for pid, code in codes.items():
        if code is None and os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)


def _become(question: dict) -> None:
    """The child: runs the command as the shell would, and ends."""
    from ostinato.beam_pipelines import prepare
    from ostinato.launch.cli import main

    output = os.open(question["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    _die_at(*question["die_at"])
    if question["host"]:
        _move_to(question["host"])
    os.environ.update(question["environ"])
    if "OSTINATO_READS" in os.environ:
        runpy.run_path(str(READS / "sitecustomize.py"))
        os.environ["PYTHONPATH"] = str(READS)
        prepare.INPUTS_PER_UNIT = INPUTS_PER_UNIT
    root, target, every, seed = question["images"]
    take = take_images(Path(root), Path(target), every=every, seed=seed) if root else None
    code = main(question["arguments"])
    if take:
        take()
    sys.exit(code)


def _die_at(folder: str, number: int, sent: signal.Signals) -> None:
    """Notes what is done to files in a folder, and sends this process a signal before the so many-th time."""
    if not folder:
        return
    done = 0
    notes = os.open(f"{folder}.touches", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def hear(event: str, arguments: tuple) -> None:
        nonlocal done
        opened = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax"
        if not (opened or event in (*CHANGES, "os.truncate")):
            return
        path = path_of(event, arguments)
        if path.startswith(folder) and not any(name in path for name in BY_THE_CLOCK):
            done += 1
            os.write(notes, f"{event} {path}\n".encode())
            if done == number:
                os.kill(os.getpid(), sent)

    sys.addaudithook(hear)


def _move_to(host: str) -> None:
    """Enters a network namespace, with a host name and a hosts file of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/var/run/netns", host).open() as namespace:
        assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    assert libc.unshare(CLONE_NEWNS | CLONE_NEWUTS) == 0, os.strerror(ctypes.get_errno())
    socket.sethostname(host)
    for command in (["mount", "--make-rprivate", "/"], ["mount", "--bind", f"/etc/netns/{host}/hosts", "/etc/hosts"]):
        subprocess.run(command, check=True)


if __name__ == "__main__":
    _serve()
