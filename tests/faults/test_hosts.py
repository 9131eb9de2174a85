"""Two hosts of a run, of which one is killed, stopped, asked to end, cut off, or fails: processes of this machine."""

import re
import shutil
import signal
import socket

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.train.runs import show
from tests.cluster.namespaces import cut_cable, two_hosts
from tests.cluster.servers import free_ports
from tests.faults.conftest import outcome, steps_done, train
from tests.train.conftest import make_dataset, read_metrics

pytestmark = pytest.mark.cluster

LONG = ("--num-steps", 5000, "--evaluate-every", 5000, "--checkpoint-every", 50, "--peer-timeout-s", 8)
"""More steps than are ever done: the run has to be ended."""


def start(forker, commands, coordinator=None, hosts=("", "")):
    """Starts the two processes of a run, with the arguments of each."""
    coordinator = coordinator or f"localhost:{free_ports(1)[0]}"
    processes = []
    for i, (arguments, host) in enumerate(zip(commands, hosts, strict=True)):
        at = arguments.index("debug")  # its options come after its name, those of train before
        place = ["--coordinator", coordinator, "--num-processes", 2, "--process-id", i]
        processes.append(forker.start(*arguments[:at], *place, *arguments[at:], host=host))
    return processes


def training(forker, data, workdir, **where):
    """Returns two processes that have trained together for some steps."""
    processes = start(forker, [train(data, workdir, *LONG)] * 2, **where)
    assert processes[0].wait_until(lambda: steps_done(workdir) > 5), processes[0].said + processes[1].said
    return processes


def clear_line(process):
    """Returns the one line in which a process says why it ended."""
    (line,) = (line for line in process.said.splitlines() if line.startswith("ostinato: "))
    return line


def test_when_the_network_between_two_hosts_is_cut_both_end_and_name_the_other(forker, data, tmp_path):
    with two_hosts() as names:
        processes = training(forker, data, tmp_path, coordinator=f"{names[0]}:7733", hosts=names)
        cut_cable(names[0])
        assert [process.wait() for process in processes] == [ExitCode.PEER_LOST, ExitCode.PEER_LOST]
    for i, process in enumerate(processes):
        lost = f"ostinato: process {1 - i} ({names[1 - i]}, pid {processes[1 - i].pid}) was lost"
        assert clear_line(process).startswith(lost)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_stopped_host_is_named_by_the_other_which_ends(forker, data, tmp_path, victim, sent):
    """Host 0 is also the coordinator."""
    processes = training(forker, data, tmp_path)
    processes[victim].kill(sent)
    other = processes[1 - victim]
    try:
        assert other.wait() == ExitCode.PEER_LOST, other.said
    finally:
        processes[victim].kill(signal.SIGKILL)
    line = clear_line(other)
    assert line.startswith(f"ostinato: process {victim} ({socket.gethostname()}, pid {processes[victim].pid}) was lost")
    assert line.endswith("; the same command resumes from the last checkpoint")


@pytest.mark.parametrize("victim", [0, 1])
def test_sigterm_to_one_of_two_hosts_saves_the_same_step_on_both(forker, data, tmp_path, victim):
    processes = training(forker, data, tmp_path)
    processes[victim].kill(signal.SIGTERM)
    assert [process.wait() for process in processes] == [ExitCode.PREEMPTED, ExitCode.PREEMPTED], processes[0].said
    step = show(tmp_path)["step"]
    for process in processes:
        assert clear_line(process).startswith(f"ostinato: {tmp_path}: asked to stop, step {step} is saved; ")


def test_a_host_that_fails_tells_the_other_why(forker, data, tmp_path):
    """A piece of its part of the data is damaged, and it alone reads it: each host has a copy."""
    copy = shutil.copytree(data, tmp_path / "copy")
    (shard,) = copy.glob("*-train.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[40::64] = bytes(255 - byte for byte in content[40::64])
    shard.write_bytes(content)
    processes = start(forker, [train(folder, tmp_path / "run", *LONG) for folder in (data, copy)])
    assert processes[1].wait() == ExitCode.USAGE, processes[1].said
    assert processes[0].wait() == ExitCode.PEER_LOST, processes[0].said
    assert str(shard) in clear_line(processes[1])
    assert re.search(rf"process 1 \(.*\) failed: {re.escape(str(shard))}: ", clear_line(processes[0]))


def test_two_hosts_and_then_one_resume_with_the_same_data(forker, data, straight, tmp_path):
    """The order of the data is the same, the numbers agree to what adding up in another order costs."""
    processes = start(forker, [train(data, tmp_path, "--num-steps", 12, "--evaluate-every", 8)] * 2)
    assert [process.wait() for process in processes] == [0, 0], processes[0].said
    ended = forker.run(*train(data, tmp_path))
    assert ended.code() == 0, ended.said
    ours, theirs = ([line["loss"] for line in read_metrics(folder, "train")] for folder in (tmp_path, straight))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_more_hosts_than_pieces_train_all_the_same(forker, tmp_path):
    make_dataset(tmp_path / "data", (50,), (20,))
    one = forker.run(*train(tmp_path / "data", tmp_path / "one"))
    assert one.code() == 0, one.said
    processes = start(forker, [train(tmp_path / "data", tmp_path / "two")] * 2)
    assert [process.wait() for process in processes] == [0, 0], processes[0].said
    ours, theirs = ([line["loss"] for line in outcome(tmp_path / name)[3]] for name in ("one", "two"))
    assert ours == pytest.approx(theirs, rel=1e-5)
