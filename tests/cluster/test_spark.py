"""A standalone Spark cluster of one master and two workers, each with its pool of Python workers."""

import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.conftest import BEGINS, assert_gave_up, num_read_before, prepare, start_prepare, wait_for_stage
from tests.cluster.servers import (
    OPEN_PACKAGES,
    SMALL_JVM,
    Servers,
    cluster_jars,
    free_ports,
    get_json,
    hosts_option,
    job_server,
    servers_in,
    start_worker_pools,
)
from tests.prepare_process import content, session

EXECUTOR_MB = 512
"""Spark refuses less than 450."""


class Spark(NamedTuple):
    """A running cluster."""

    servers: Servers
    page: str
    """Address of the master's page."""
    options: tuple[str, ...]
    """What sends a Beam job to it."""


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    with servers_in(tmp_path_factory.mktemp("spark")) as servers, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")  # the driver is a child of the command
        jars = job_server("spark")
        pool, hosts = start_worker_pools(servers, 2)
        master, page = start_spark(servers, cluster_jars(jars), hosts)
        jvm_options = (*SMALL_JVM, "-Xmx512m", f"-Dspark.executor.memory={EXECUTOR_MB}m", "-Dspark.ui.enabled=false")
        options = (
            "--runner=SparkRunner",
            f"--spark_master_url={master}",
            f"--spark_job_server_jar={jars / 'job-server.jar'}",
            *(f"--job_server_jvm_properties={option}" for option in jvm_options),
            "--environment_type=EXTERNAL",
            f"--environment_config={pool}",
            "--environment_cache_millis=60000",
        )
        yield Spark(servers, page, options)


def start_spark(servers, jars, hosts):
    """Returns the master's URL and the address of its page; spark-class would find no SPARK_HOME here."""
    home = servers.folder / "spark"
    (home / "jars").mkdir(parents=True)
    for path in jars:
        (home / "jars" / path.name).symlink_to(path)
    port, page = free_ports(2)
    env = {
        "SPARK_HOME": str(home),
        "SPARK_SCALA_VERSION": "2.12",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(servers.folder),
    }
    java = ["java", *SMALL_JVM, *OPEN_PACKAGES, "-Xmx192m", "-cp", home / "jars" / "*"]
    entry = "org.apache.spark.deploy.master.Master"
    servers.start("master", [*java, entry, "--host", "127.0.0.1", "--port", port, "--webui-port", page], env)
    for number, path in enumerate(hosts, 1):
        entry = "org.apache.spark.deploy.worker.Worker"
        work = servers.folder / f"work-{number}"
        limits = ["--cores", 1, "--memory", f"{EXECUTOR_MB}m", "--webui-port", 0, "--work-dir", work]
        command = [*java, entry, "--host", "127.0.0.1", *limits, f"spark://127.0.0.1:{port}"]
        # By the environment, since the executor that the worker starts has to see it too.
        options = " ".join((hosts_option(path), *SMALL_JVM, f"-Djava.io.tmpdir={servers.folder}"))
        servers.start(f"worker-{number}", command, {**env, "JAVA_TOOL_OPTIONS": options})
    servers.wait_until(lambda: get_json(f"http://127.0.0.1:{page}/json/")["aliveworkers"] == len(hosts))
    return f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{page}"


def executors(servers, number):
    """Returns the processes of a worker's executors; the worker starts a new one in place of one that is gone."""
    found = []
    for pid in session(servers.pid(f"worker-{number}")):
        with contextlib.suppress(OSError):  # it has just ended
            if b"CoarseGrainedExecutorBackend" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_spark_prepares_the_same_bytes_on_two_workers(spark, collection, tmp_path):
    prepare(spark.servers, collection.midi, tmp_path / "dataset", *spark.options)
    assert content(tmp_path / "dataset") == content(collection.dataset)

    applications = get_json(f"{spark.page}/json/")["completedapps"]
    assert applications
    assert {(one["state"], one["cores"]) for one in applications} == {("FINISHED", 2)}
    for number in (1, 2):
        assert list((spark.servers.folder / f"work-{number}").glob("app-*/*/stderr"))
        assert "Starting worker" in spark.servers.log(f"pool-{number}").read_text()


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
@pytest.mark.parametrize("stage", BEGINS)
def test_the_job_goes_on_or_the_next_one_does_when_an_executor_dies(spark, collection, tmp_path, stage):
    servers, dataset = spark.servers, tmp_path / "dataset"
    start_prepare(servers, collection.midi, dataset, *spark.options)
    (executor,) = executors(servers, wait_for_stage(servers, dataset, stage))
    os.kill(executor, signal.SIGKILL)
    code, said = servers.finish("prepare", timeout_s=200)
    last = max(path.name for path in servers.folder.glob("work-*/app-*"))
    started = list(servers.folder.glob(f"work-*/{last}/*"))
    assert len(started) > 2  # the job was not over: another executor came for the one that died
    if code != 0:
        assert_gave_up(code, said, dataset)
        prepare(servers, collection.midi, dataset, *spark.options)
        num_read, num_units = num_read_before(servers.log("prepare").read_text())
        assert 1 <= num_read <= num_units
        assert stage == "scan" or num_read == num_units
    assert content(dataset) == content(collection.dataset)
