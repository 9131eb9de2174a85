"""A standalone Spark cluster of one master and two workers, each with its pool of Python workers."""

import pytest

from tests.cluster.conftest import prepare
from tests.cluster.servers import (
    OPEN_PACKAGES,
    SMALL_JVM,
    cluster_jars,
    free_ports,
    get_json,
    hosts_option,
    job_server,
    start_worker_pools,
)
from tests.prepare_process import content

EXECUTOR_MB = 512
"""Spark refuses less than 450."""


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


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_spark_prepares_the_same_bytes_on_two_workers(servers, collection, tmp_path, monkeypatch):
    jars = job_server("spark")
    pool, hosts = start_worker_pools(servers, 2)
    master, page = start_spark(servers, cluster_jars(jars), hosts)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    jvm_options = (*SMALL_JVM, "-Xmx512m", f"-Dspark.executor.memory={EXECUTOR_MB}m", "-Dspark.ui.enabled=false")
    prepare(
        servers,
        collection.midi,
        tmp_path / "dataset",
        "--runner=SparkRunner",
        f"--spark_master_url={master}",
        f"--spark_job_server_jar={jars / 'job-server.jar'}",
        *(f"--job_server_jvm_properties={option}" for option in jvm_options),
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
        "--environment_cache_millis=60000",
    )
    assert content(tmp_path / "dataset") == content(collection.dataset)

    applications = get_json(f"{page}/json/")["completedapps"]
    assert applications
    assert {(one["state"], one["cores"]) for one in applications} == {("FINISHED", 2)}
    for number in (1, 2):
        assert list((servers.folder / f"work-{number}").glob("app-*/*/stderr"))
        assert "Starting worker" in servers.log(f"pool-{number}").read_text()
