"""Two hosts of a run, of which one is killed, stopped, asked to end, cut off, or fails: processes of this machine."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.train.runs import show
from tests.cluster.servers import free_ports
from tests.faults.conftest import outcome, train
from tests.train.conftest import make_dataset, read_metrics

pytestmark = pytest.mark.cluster

LONG = ("--num-steps", 5000, "--evaluate-every", 5000, "--checkpoint-every", 50, "--peer-timeout-s", 8)
"""More steps than are ever done: the run has to be ended."""


def start(forker, arguments):
    """Starts the two processes of a run."""
    coordinator = f"localhost:{free_ports(1)[0]}"
    return [forker.start(*placed(arguments, coordinator, i)) for i in range(2)]


def placed(arguments, coordinator, process):
    """Returns the arguments of one of two processes."""
    at = arguments.index("debug")  # its options come after its name, those of train before
    place = ["--coordinator", coordinator, "--num-processes", 2, "--process-id", process]
    return [*arguments[:at], *place, *arguments[at:]]


@pytest.fixture
def two_hosts():
    """Two network namespaces with an address each and a cable between them."""
    names = [f"ostinato-{os.getpid()}-{letter}" for letter in "ab"]
    cables = [f"v{os.getpid()}{letter}" for letter in "ab"]  # at most 15 letters
    addresses = ["10.213.7.1", "10.213.7.2"]

    def ip(*words):
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    if os.getuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")
    try:
        for name in names:
            ip("netns", "add", name)
            folder = Path("/etc/netns", name)
            folder.mkdir(parents=True)
            lines = [f"{address} {other}\n" for address, other in zip(addresses, names, strict=True)]
            (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", cables[1], "netns", names[1])
        for name, cable, address in zip(names, cables, addresses, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names, lambda: ip("-n", names[0], "link", "set", cables[0], "down")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)


def test_when_the_network_between_two_hosts_is_cut_both_end_and_name_the_other(forker, data, tmp_path, two_hosts):
    names, cut = two_hosts
    arguments = train(data, tmp_path, *LONG)
    processes = [forker.start(*placed(arguments, f"{names[0]}:7733", i), host=name) for i, name in enumerate(names)]
    assert processes[0].wait_until(lambda: steps_done(tmp_path) > 5), processes[0].said + processes[1].said
    cut()
    assert [process.wait() for process in processes] == [ExitCode.PEER_LOST, ExitCode.PEER_LOST]
    for i, process in enumerate(processes):
        (line,) = clear_lines(process)
        assert line.startswith(f"ostinato: process {1 - i} ({names[1 - i]}, pid {processes[1 - i].pid}) was lost"), line


def steps_done(workdir):
    log = workdir / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def training(forker, data, workdir):
    """Returns two processes that have trained together for some steps."""
    processes = start(forker, train(data, workdir, *LONG))
    assert processes[0].wait_until(lambda: steps_done(workdir) > 5), processes[0].said
    return processes


def clear_lines(process):
    return [line for line in process.said.splitlines() if line.startswith("ostinato: ")]


def assert_goes_on(forker, data, workdir):
    """A run of one process takes over what the two have saved."""
    ended = forker.run(*train(data, workdir, *LONG, "--num-steps", 60))
    assert ended.code() == 0, ended.said


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_is_named_by_the_other_which_ends(forker, data, tmp_path, victim):
    """Host 0 is also the coordinator."""
    processes = training(forker, data, tmp_path)
    processes[victim].kill(signal.SIGKILL)
    other = processes[1 - victim]
    assert other.wait() == ExitCode.PEER_LOST, other.said
    (line,) = clear_lines(other)
    assert line.startswith(f"ostinato: process {victim} ({socket.gethostname()}, pid {processes[victim].pid}) was lost")
    assert "the same command goes on from the last checkpoint" in line


@pytest.mark.parametrize("victim", [0, 1])
def test_a_stopped_host_is_named_by_the_other_which_ends(forker, data, tmp_path, victim):
    processes = training(forker, data, tmp_path)
    processes[victim].kill(signal.SIGSTOP)
    other = processes[1 - victim]
    try:
        assert other.wait() == ExitCode.PEER_LOST, other.said
    finally:
        processes[victim].kill(signal.SIGKILL)
    (line,) = clear_lines(other)
    assert line.startswith(f"ostinato: process {victim} ({socket.gethostname()}, pid {processes[victim].pid}) was lost")


@pytest.mark.parametrize("victim", [0, 1])
def test_sigterm_to_one_of_two_hosts_saves_the_same_step_on_both(forker, data, tmp_path, victim):
    processes = training(forker, data, tmp_path)
    processes[victim].kill(signal.SIGTERM)
    assert [process.wait() for process in processes] == [ExitCode.PREEMPTED, ExitCode.PREEMPTED], processes[0].said
    step = show(tmp_path)["step"]
    for process in processes:
        (line,) = clear_lines(process)
        assert line == f"ostinato: {tmp_path}: asked to stop, step {step} is saved; the same command goes on"


def test_a_host_that_fails_tells_the_other_why(forker, data, tmp_path):
    """A piece of its part of the data is damaged, and it alone reads it: each host has a copy."""
    copy = shutil.copytree(data, tmp_path / "copy")
    (shard,) = copy.glob("*-train.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[40::64] = bytes(255 - byte for byte in content[40::64])
    shard.write_bytes(content)
    coordinator = f"localhost:{free_ports(1)[0]}"
    processes = [
        forker.start(*placed(train(folder, tmp_path / "run", *LONG), coordinator, i))
        for i, folder in enumerate((data, copy))
    ]
    assert processes[1].wait() == 2, processes[1].said
    assert processes[0].wait() == ExitCode.PEER_LOST, processes[0].said
    assert str(shard) in clear_lines(processes[1])[0]
    (line,) = clear_lines(processes[0])
    assert re.search(rf"process 1 \(.*\) failed: {re.escape(str(shard))}: ", line)


def test_two_hosts_and_then_one_go_on_with_the_same_data(forker, data, straight, tmp_path):
    """The order of the data is the same, the numbers agree to what adding up in another order costs."""
    processes = start(forker, train(data, tmp_path, "--num-steps", 12, "--evaluate-every", 8))
    assert [process.wait() for process in processes] == [0, 0], processes[0].said
    ended = forker.run(*train(data, tmp_path))
    assert ended.code() == 0, ended.said
    ours, theirs = ([line["loss"] for line in read_metrics(folder, "train")] for folder in (tmp_path, straight))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_more_hosts_than_pieces_train_all_the_same(forker, tmp_path):
    make_dataset(tmp_path / "data", (50,), (20,))
    one = forker.run(*train(tmp_path / "data", tmp_path / "one"))
    assert one.code() == 0, one.said
    processes = start(forker, train(tmp_path / "data", tmp_path / "two"))
    assert [process.wait() for process in processes] == [0, 0], processes[0].said
    ours, theirs = ([line["loss"] for line in outcome(tmp_path / name)[3]] for name in ("one", "two"))
    assert ours == pytest.approx(theirs, rel=1e-5)
