"""A Flink session cluster of one job manager and two task managers, each with its pool of Python workers.

The parts are those of launch/beam/flink.yaml, side by side on this machine.
"""

from typing import NamedTuple

import pytest

from tests.cluster.conftest import BEGINS, assert_gave_up, num_read_before, prepare, start_prepare, wait_for_stage
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
    wait_for_worker_pools,
)
from tests.prepare_process import content

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


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    with servers_in(tmp_path_factory.mktemp("flink")) as servers:
        yield start_flink(servers)


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


def jobs(flink: Flink) -> list[dict[str, str]]:
    return get_json(f"{flink.rest}/jobs/overview")["jobs"]


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_flink_prepares_the_same_bytes_on_two_task_managers(flink, collection, tmp_path):
    prepare(flink.servers, collection.midi, tmp_path / "dataset", *flink.options)
    assert content(tmp_path / "dataset") == content(collection.dataset)

    (job,) = jobs(flink)
    assert job["state"] == "FINISHED"
    for vertex in get_json(f"{flink.rest}/jobs/{job['jid']}")["vertices"]:
        ran = get_json(f"{flink.rest}/jobs/{job['jid']}/vertices/{vertex['id']}/taskmanagers")["taskmanagers"]
        assert {one["taskmanager-id"] for one in ran} == set(flink.task_managers), vertex["name"]
    for number in (1, 2):
        assert "Starting worker" in flink.servers.log(f"pool-{number}").read_text()


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_the_next_command_goes_on_when_a_task_manager_and_its_pool_die_in_each_stage(flink, collection, tmp_path):
    servers, dataset = flink.servers, tmp_path / "dataset"
    read = []
    for stage in BEGINS:
        start_prepare(servers, collection.midi, dataset, *flink.options)
        number = wait_for_stage(servers, dataset, stage)
        for name in (f"task-manager-{number}", f"pool-{number}"):
            servers.kill(name)
        code, said = servers.finish("prepare", timeout_s=100)
        assert_gave_up(code, said, dataset)
        if stage != "scan":
            read.append(num_read_before(said))
        for name in (f"pool-{number}", f"task-manager-{number}"):
            servers.restart(name)
        wait_for_worker_pools(servers, 2)
        servers.wait_until(lambda: num_task_managers(flink) == 2)
    prepare(servers, collection.midi, dataset, *flink.options)
    read.append(num_read_before(servers.log("prepare").read_text()))
    (some, total), *others = read
    assert 1 <= some < total
    assert others == [(total, total)] * 2
    assert content(dataset) == content(collection.dataset)
