"""A Flink session cluster of one job manager and two task managers, each with its pool of Python workers.

The parts are those of launch/beam/flink.yaml, side by side on this machine. To run a command while they are there:

    python -m tests.cluster.flink COMMAND…

The options of Beam that send a job to the cluster are added to its words, and before them `--also` with the numbers of
the servers' processes, as `benchmarks.growing.sizes` wants them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.cluster.servers import (
    OPEN_PACKAGES,
    SMALL_JVM,
    Servers,
    can_connect,
    cluster_jars,
    free_ports,
    get_json,
    hosts_option,
    job_server,
    servers_in,
    start_worker_pools,
)

MEMORY = {
    "task.heap.size": "96m",
    "task.off-heap.size": "16m",
    "framework.heap.size": "64m",
    "framework.off-heap.size": "32m",
    "managed.size": "64m",
    "network.min": "32m",
    "network.max": "32m",
    "jvm-metaspace.size": "128m",
    "jvm-overhead.min": "64m",
    "jvm-overhead.max": "64m",
}


class Flink(NamedTuple):
    """A running cluster."""

    servers: Servers
    rest: str
    """URL of the job manager's REST interface."""
    options: tuple[str, ...]
    """What sends a Beam job to it."""
    task_managers: list[str]
    """Their names."""


def start_flink(servers: Servers) -> Flink:
    """Starts everything; without Flink's own scripts, which leave demons behind."""
    home = job_server("flink")
    pool, hosts = start_worker_pools(servers, 2)
    rpc, rest, job_port, artifact_port = free_ports(4)
    settings = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.port": rest,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1.0,
        "cluster.registration.error-delay": 500,  # in ms; the job manager may be up last
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 10_000,  # 50 s by default; a test waits for one that is dead
        "io.tmp.dirs": servers.folder,
    } | {f"taskmanager.memory.{name}": size for name, size in MEMORY.items()}
    (servers.folder / "flink-conf.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))

    java = ["java", *SMALL_JVM, *OPEN_PACKAGES, f"-Djava.io.tmpdir={servers.folder}"]
    cluster = [*java, "-cp", ":".join(map(str, cluster_jars(home)))]
    entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    servers.start("job-manager", [*cluster, "-Xmx192m", entry, "--configDir", servers.folder])
    entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    task_managers = [f"task-manager-{number}" for number in range(1, len(hosts) + 1)]
    for name, path in zip(task_managers, hosts, strict=True):
        command = [*cluster, "-Xmx224m", hosts_option(path), entry, "--configDir", servers.folder]
        servers.start(name, [*command, "-D", f"taskmanager.resource-id={name}"])
    ports = ["--job-port", job_port, "--artifact-port", artifact_port, "--expansion-port", 0]
    folders = ["--flink-master", f"127.0.0.1:{rest}", "--artifacts-dir", servers.folder / "artifacts"]
    servers.start("job-server", [*java, "-Xmx256m", "-jar", home / "job-server.jar", *ports, *folders])
    options = (
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{job_port}",
        f"--artifact_endpoint=localhost:{artifact_port}",
        "--parallelism=2",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
    )
    flink = Flink(servers, f"http://127.0.0.1:{rest}", options, task_managers)
    servers.wait_until(lambda: can_connect(job_port) and num_task_managers(flink) == len(hosts))
    return flink


def num_task_managers(flink: Flink) -> int:
    return get_json(f"{flink.rest}/overview")["taskmanagers"]


def main(command: list[str]) -> int:
    """Runs a command beside a cluster and returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="flink-") as folder, servers_in(Path(folder)) as servers:
        flink = start_flink(servers)
        pids = [str(servers.pid(name)) for name in servers.names()]
        code = subprocess.run([*command, "--also", *pids, *flink.options]).returncode
        if code:
            print(servers.tails(), file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
