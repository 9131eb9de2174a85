"""Two network namespaces as two hosts, each with an address, a name and a hosts file of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostinato.train.checkpoint import load_params
from tests.cluster.servers import Servers
from tests.train.conftest import TRAIN_LENGTHS, make_dataset
from tests.train.hosts.test_distributed import leaves

NUM_STEPS = 20
TINY = (
    "debug", "--num-steps", NUM_STEPS, "--log-every", 10, "--data.batch-size", 4, "--data.sequence-length", 8,
    "--model.hidden-size", 16, "--model.embedding-size", 8, "--model.head-size", 8,
    "--peer-timeout-s", 600,  # a busy machine is no stall
)  # fmt: skip
PORT = 7733
# The hosts file and the name are those of this process and its children alone.
ON_HOST = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two namespaces with a cable between them: the address of each by its name."""
    for program in ("ip", "unshare"):
        if not shutil.which(program):
            pytest.skip(f"two hosts in network namespaces need {program} on the PATH")
    first, second = (f"ostinato-{os.getpid()}-{i}" for i in range(2))
    addresses = {first: "192.0.2.1", second: "192.0.2.2"}
    (tmp_path / "hosts").write_text("".join(f"{address} {name}\n" for name, address in addresses.items()))
    cable = [f"ost{os.getpid()}{end}" for end in "ab"]
    commands = [
        *(["netns", "add", name] for name in addresses),
        ["link", "add", cable[0], "netns", first, "type", "veth", "peer", "name", cable[1], "netns", second],
    ]
    for (name, address), end in zip(addresses.items(), cable, strict=True):
        inside = ["-netns", name]
        commands += [
            [*inside, "address", "add", f"{address}/24", "dev", end],
            [*inside, "link", "set", end, "up"],
            [*inside, "link", "set", "lo", "up"],
        ]
    with contextlib.ExitStack() as stack:
        for command in commands:
            done = subprocess.run(["ip", *command], capture_output=True, text=True)
            if command[:2] == ["netns", "add"] and done.returncode != 0:
                pytest.skip(f"network namespaces are not permitted here: {done.stderr.strip()}")
            if command[:2] == ["netns", "add"]:
                stack.callback(subprocess.run, ["ip", "netns", "delete", command[2]], check=True)
            assert done.returncode == 0, f"ip {' '.join(command)}: {done.stderr}"
        yield addresses


def start_training(servers: Servers, host: str, *arguments: object) -> None:
    """Starts `ostinato train` on a host."""
    train = [sys.executable, "-m", "ostinato.launch.cli", "train", *arguments, *TINY]
    namespaces = ["ip", "netns", "exec", host, "unshare", "--mount", "--uts", "bash", "-c", ON_HOST, "host"]
    environ = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    servers.start(host, [*namespaces, servers.folder.parent / "hosts", host, *train], environ)


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_two_hosts_train_what_one_does(tmp_path: Path, hosts: dict[str, str], servers: Servers):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    first = next(iter(hosts))
    for number, host in enumerate(hosts):
        place = ("--coordinator", f"{first}:{PORT}", "--num-processes", 2, "--process-id", number)
        start_training(servers, host, "--dataset", tmp_path / "data", "--workdir", tmp_path / "two", *place)
    for host in hosts:
        code, output = servers.finish(host, timeout_s=400)
        assert code == 0, servers.tails()
        if host == first:
            assert f"2 processes on {', '.join(hosts)}, 4 devices" in output
    # The same on one host, with all four devices.
    command = ["train", "--dataset", tmp_path / "data", "--workdir", tmp_path / "one", *TINY]
    environ = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    servers.start("one", [sys.executable, "-m", "ostinato.launch.cli", *command], environ)
    code, _ = servers.finish("one", timeout_s=400)
    assert code == 0, servers.tails()
    one, two = (load_params(tmp_path / name, "latest") for name in ("one", "two"))
    assert one.step == two.step == NUM_STEPS
    for name, value in leaves(one.params).items():
        np.testing.assert_allclose(leaves(two.params)[name], value, rtol=0, atol=1e-5)


@pytest.mark.cluster
def test_a_host_that_cannot_be_reached_is_named(tmp_path: Path, hosts: dict[str, str], servers: Servers):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    first, second = hosts
    subprocess.run(["ip", "-netns", first, "address", "flush", "to", hosts[first]], check=True)  # its cable is cut
    place = ("--coordinator", f"{first}:{PORT}", "--num-processes", 2, "--process-id", 1, "--start-timeout-s", 2)
    start_training(servers, second, "--dataset", tmp_path / "data", "--workdir", tmp_path / "run", *place)
    code, output = servers.finish(second, timeout_s=280)
    assert f"ostinato: process 1: process 0 was not reached at {first}:{PORT} within 2 s" in output
    assert code == 76
