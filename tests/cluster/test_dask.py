"""A Dask scheduler with two worker processes."""

import sys
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest

from ostinato.beam_pipelines.inputs import files
from tests.cluster.conftest import prepare
from tests.cluster.servers import Servers, free_ports, servers_in
from tests.prepare_process import content
from tests.servers import make_bucket, s3_server

if find_spec("distributed") is None:  # to import it takes a second of each session, also where this is not asked for
    pytest.skip("needs Dask: pip install dask distributed", allow_module_level=True)


class Dask(NamedTuple):
    """A running cluster."""

    servers: Servers
    address: str
    options: tuple[str, ...]
    """What sends a Beam job to it."""


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with servers_in(tmp_path_factory.mktemp("dask")) as servers:
        yield start_dask(servers)


def start_dask(servers: Servers) -> Dask:
    """Starts everything.

    One worker stands under a nanny and is a daemon, which may not have children by Python's own means (the parsers are
    some). The other does not, and there strings have another hash in each process, which Dask groups by.
    """
    (port,) = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    servers.start("scheduler", [*command, "--no-dashboard"])
    for number, nanny in enumerate(("--nanny", "--no-nanny"), 1):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1", nanny]
        limits = ["--nthreads", 1, "--no-dashboard", "--local-directory", servers.folder / f"worker-{number}"]
        servers.start(f"worker-{number}", [*command, *limits])
    servers.wait_until(lambda: servers.log("scheduler").read_text().count("Register worker") == 2)
    options = (
        "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
        f"--dask_client_address={address}",
        "--dask_partition_size=1",  # by default 128 units are one partition, and so run on one worker
    )
    return Dask(servers, address, options)


@pytest.mark.cluster
def test_dask_prepares_the_same_bytes_on_two_workers(dask, collection, tmp_path):
    prepare(dask.servers, collection.midi, tmp_path / "dataset", *dask.options)
    assert content(tmp_path / "dataset") == content(collection.dataset)

    from distributed import Client

    with Client(dask.address) as client:
        num_tasks: Any = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(num_tasks) == 2
    assert all(num_tasks.values()), num_tasks


@pytest.mark.cluster
def test_workers_on_a_cluster_reach_the_bucket_that_the_options_name(dask, collection, tmp_path):
    with s3_server() as options:
        files.configure(options)
        bucket = make_bucket(options, "music")
        for path in collection.midi.iterdir():
            if not path.is_symlink():
                files.write_bytes(f"{bucket}/midi/{path.name}", path.read_bytes())
        prepare(dask.servers, f"{bucket}/midi", f"{bucket}/dataset", *dask.options, *options)
        prepare(dask.servers, f"{bucket}/midi", tmp_path / "dataset", *options)
        written = {
            path.removeprefix(f"{bucket}/dataset/"): files.read_bytes(path)
            for path in files.list_files(f"{bucket}/dataset")
        }
        assert written == content(tmp_path / "dataset")
        assert files.list_files(f"{bucket}/dataset.partial") == []
