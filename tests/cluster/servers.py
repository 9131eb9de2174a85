"""Programs that a test starts and that are gone when it ends, whatever happens; and the jars that some of them need."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
START_S = 120
"""A server that is not ready by then has failed; the cores are shared with others."""

# The servers live for seconds: compiling little and one thread for the garbage saves half of their CPU time.
SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# What Flink and Spark read of Java's insides; their own start scripts say the same.
OPEN_PACKAGES = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.io", "java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.nio", "java.time",
        "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs",
        "sun.security.action", "sun.util.calendar",
    )
)  # fmt: skip


class Servers:
    """Starts programs and ends them, with all that they started themselves."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder for the logs and for what the programs leave behind."""
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[Sequence[object], Mapping[str, str] | None]] = {}

    def start(self, name: str, command: Sequence[object], env: Mapping[str, str] | None = None) -> None:
        """Starts a program whose output goes to a log file."""
        self._started[name] = command, env
        with open(self.log(name), "wb") as log:
            self._running[name] = subprocess.Popen(
                list(map(str, command)),
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its children can be found and ended with it
            )

    def restart(self, name: str) -> None:
        """Starts a program that was killed as before; its log begins anew."""
        self.start(name, *self._started[name])

    def names(self) -> list[str]:
        """Returns the programs that run, in the order in which they were started."""
        return list(self._running)

    def pid(self, name: str) -> int:
        """Returns the process id of a program that runs."""
        return self._running[name].pid

    def log(self, name: str) -> Path:
        """Returns where a program's output is."""
        return self.folder / f"{name}.log"

    def wait_until(self, ready: Callable[[], bool], *, every_s: float = 0.2) -> None:
        """Waits until `ready()`, which is asked every so often; an error in reaching a server means not yet.

        Raises:
            AssertionError: a program ended, or the time is up; shows the ends of all logs.
        """
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            gone = [name for name, process in self._running.items() if process.poll() is not None]
            assert not gone, f"{', '.join(gone)} ended by itself\n{self.tails()}"
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(every_s)
        raise AssertionError(f"not ready after {START_S} s\n{self.tails()}")

    def finish(self, name: str, *, timeout_s: int) -> tuple[int | None, str]:
        """Waits until a program ends; returns its exit code (None: it did not) and its output."""
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._running[name].wait(timeout_s)
        self.kill(name)
        return code, self.log(name).read_text(errors="replace")

    def kill(self, name: str) -> None:
        """Ends a program and what it started without giving them a chance to say anything."""
        process = self._running.pop(name)
        # The session outlives its first process for as long as a child of that process runs.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def tails(self) -> str:
        """Returns the ends of all logs, for messages; without what Java tells when all is well."""
        tails = []
        for log in sorted(self.folder.glob("*.log")):
            lines = [line for line in log.read_text(errors="replace").splitlines() if " INFO " not in line]
            tails.append("\n".join((f"--- {log.name}", *lines[-25:])))
        return "\n".join(tails)

    def stop(self) -> None:
        """Ends everything: politely, then for good."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        for name in list(self._running):
            self.kill(name)


@contextlib.contextmanager
def servers_in(folder: Path) -> Iterator[Servers]:
    """Yields a Servers whose programs are ended on leaving, also by an error or Ctrl-C."""
    folder.mkdir(parents=True, exist_ok=True)
    servers = Servers(folder)
    try:
        yield servers
    finally:
        servers.stop()


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def can_connect(port: int) -> bool:
    """Tells whether a server of this machine listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def get_json(url: str) -> Any:
    """Returns what a server of this machine answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def job_server(name: str) -> Path:
    """Returns the folder with job-server.jar and its jars/, which `name`.xml describes; made once for each description.

    The jars come by mvn from the repository that it is set up for, and stay in the user's cache.
    """
    for program in ("java", "mvn"):
        if not shutil.which(program):
            pytest.skip(f"needs Java 17 and Maven; there is no {program} on the PATH")
    description = (HERE / f"{name}.xml").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "cluster"
    finished = cache / f"{name}-{hashlib.sha256(description).hexdigest()[:12]}"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            (Path(folder) / "pom.xml").write_bytes(description)
            command = ["mvn", "--batch-mode", "--quiet", "--file", folder, "package"]
            made = subprocess.run(command, capture_output=True, text=True, timeout=280)
            assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
            with contextlib.suppress(OSError):  # another test run was faster
                (Path(folder) / "target").rename(finished)
    return finished


def cluster_jars(job_server: Path) -> list[Path]:
    """Returns the jars of the cluster's own software: Beam's reach it with the job, as on a cluster elsewhere."""
    return sorted(path for path in (job_server / "jars").iterdir() if not path.name.startswith("beam-"))


def start_worker_pools(servers: Servers, num_pools: int) -> tuple[str, list[Path]]:
    """Starts one pool of Python workers for each JVM that runs tasks.

    Each JVM needs a pool of its own: Beam numbers the workers from 1 in each, and a pool that two share ends the wrong
    one. In a Kubernetes pod that is the one on localhost; here the JVMs stand on one machine, so the name worker-pool
    means another address to each.

    Returns:
        The address of the pool, the same for all, and for each JVM a file of hosts (see `hosts_option`).
    """
    (port,) = free_ports(1)
    hosts = []
    for number in range(1, num_pools + 1):
        address = f"127.0.0.{number}"
        servers.start(f"pool-{number}", [sys.executable, HERE / "worker_pool.py", f"{address}:{port}"], worker_env())
        path = servers.folder / f"hosts-{number}"
        path.write_text(f"{address} worker-pool\n127.0.0.1 localhost\n127.0.0.1 {socket.gethostname()}\n")
        hosts.append(path)
    wait_for_worker_pools(servers, num_pools)
    return f"worker-pool:{port}", hosts


def wait_for_worker_pools(servers: Servers, num_pools: int) -> None:
    """Waits until all pools can be asked for workers."""
    logs = [servers.log(f"pool-{number}") for number in range(1, num_pools + 1)]
    servers.wait_until(lambda: all("listening" in log.read_text() for log in logs))


def hosts_option(hosts: Path) -> str:
    """Returns the option by which a JVM looks names up in a file."""
    return f"-Djdk.net.hosts.file={hosts}"


def worker_env() -> dict[str, str]:
    """Returns what Beam's pool needs to start workers: it calls `python`, which has to be this one."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
