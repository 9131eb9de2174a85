"""Two network namespaces as two hosts of a run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostinato.train.checkpoint import load_params
from tests.cluster.namespaces import cut_cable, two_hosts
from tests.cluster.servers import Servers
from tests.train.conftest import TRAIN_LENGTHS, make_dataset
from tests.train.hosts.test_distributed import leaves
from tests.xla import flags

pytestmark = pytest.mark.cluster

NUM_STEPS = 20
TINY = (
    "debug", "--num-steps", NUM_STEPS, "--log-every", 10, "--data.batch-size", 4, "--data.sequence-length", 8,
    "--model.hidden-size", 16, "--model.embedding-size", 8, "--model.head-size", 8,
    "--peer-timeout-s", 600,  # a busy machine is no stall
)  # fmt: skip
PORT = 7733


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    with two_hosts() as names:
        yield names


def start_training(servers: Servers, name: str, num_devices: int, *arguments: object, host: bool = True) -> None:
    """Starts `ostinato train`, on the host of that name or on this one."""
    inside = ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name]
    command = [sys.executable, "-m", "ostinato.launch.cli", "train", *arguments, *TINY]
    environ = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags(num_devices)}
    servers.start(name, [*(inside if host else []), *command], environ)


@pytest.mark.timeout(900)
def test_two_hosts_train_what_one_does(tmp_path: Path, hosts: list[str], servers: Servers):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    for number, host in enumerate(hosts):
        place = ("--coordinator", f"{hosts[0]}:{PORT}", "--num-processes", 2, "--process-id", number)
        start_training(servers, host, 2, "--dataset", tmp_path / "data", "--workdir", tmp_path / "two", *place)
    for host in hosts:
        code, output = servers.finish(host, timeout_s=400)
        assert code == 0, servers.tails()
        assert (f"2 processes on {', '.join(hosts)}, 4 devices" in output) == (host == hosts[0])
    start_training(servers, "one", 4, "--dataset", tmp_path / "data", "--workdir", tmp_path / "one", host=False)
    code, _ = servers.finish("one", timeout_s=400)
    assert code == 0, servers.tails()
    one, two = (load_params(tmp_path / name, "latest") for name in ("one", "two"))
    assert one.step == two.step == NUM_STEPS
    for name, value in leaves(one.params).items():
        np.testing.assert_allclose(leaves(two.params)[name], value, rtol=0, atol=1e-5)


def test_a_host_that_cannot_be_reached_is_named(tmp_path: Path, hosts: list[str], servers: Servers):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    first, second = hosts
    cut_cable(first)
    place = ("--coordinator", f"{first}:{PORT}", "--num-processes", 2, "--process-id", 1, "--start-timeout-s", 2)
    start_training(servers, second, 2, "--dataset", tmp_path / "data", "--workdir", tmp_path / "run", *place)
    code, output = servers.finish(second, timeout_s=280)
    assert f"ostinato: process 1: process 0 was not reached at {first}:{PORT} within 2 s" in output
    assert code == 76
