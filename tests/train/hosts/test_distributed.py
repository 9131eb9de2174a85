"""Training by several processes: who is who, messages where it goes wrong, and the same run on every topology."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from ostinato.configs.errors import ExitCode, PeerLostError
from ostinato.launch.local import divide_machine
from ostinato.launch.process_group import Asked, Start, run_together
from ostinato.train.checkpoint import Checkpoints, load_params
from ostinato.train.hosts.distributed import check_addresses, initialize
from ostinato.train.hosts.place import (
    COORDINATOR,
    NUM_PROCESSES,
    PROCESS_ID,
    Place,
    Settings,
    find_place,
    share_of_devices,
    slurm_tasks_per_node,
    split_address,
)
from ostinato.train.hosts.rendezvous import Member, join_members, wait_for_members
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import TrainState, make_mesh, make_state_init, state_shardings
from tests.cluster.servers import free_ports
from tests.train.conftest import TRAIN_LENGTHS, VALIDATION_LENGTHS, make_dataset, read_metrics

NOTHING = Settings()


# Who is who.


def test_one_process_needs_nobody():
    assert find_place(NOTHING, {}) is None
    assert find_place(NOTHING, {PROCESS_ID: "", NUM_PROCESSES: "", COORDINATOR: ""}) is None
    assert find_place(NOTHING, {NUM_PROCESSES: "1", PROCESS_ID: "0", COORDINATOR: "a:1"}) is None
    assert initialize() == ()


def test_flags_come_before_variables():
    environ = {COORDINATOR: "node1:7000", NUM_PROCESSES: "4", PROCESS_ID: "3"}
    assert find_place(NOTHING, environ) == Place("node1:7000", 4, 3, None)
    assert find_place(Settings(coordinator="[::1]:7001", process_id=2), environ) == Place("[::1]:7001", 4, 2, None)


@pytest.mark.parametrize(("rank", "size"), [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")])
def test_the_numbers_of_a_launcher_complete_a_coordinator(rank, size):
    assert find_place(Settings(coordinator="a:1"), {rank: "2", size: "3"}) == Place("a:1", 3, 2, None)
    # An Indexed Job says which one a pod is; the manifest says how many there are.
    environ = {COORDINATOR: "a:1", NUM_PROCESSES: "5", "JOB_COMPLETION_INDEX": "4"}
    assert find_place(NOTHING, environ) == Place("a:1", 5, 4, None)


def test_open_mpi_5_is_understood():
    environ = {
        "PMIX_NAMESPACE": "prterun-login-node-7-5624@1",
        "OMPI_COMM_WORLD_SIZE": "8",
        "OMPI_COMM_WORLD_RANK": "5",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
    }
    place = Place(f"login-node-7:{61440 + 5624 % 4096}", 8, 5, (2, 3))
    assert find_place(NOTHING, environ) == place
    assert find_place(NOTHING, {**environ, "OMPI_COMM_WORLD_SIZE": "1"}) is None


def test_slurm_is_found_by_jax_and_a_host_with_one_task_takes_all_its_gpus(monkeypatch):
    environ = {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_NODELIST": "gpu[03-04,9]",
        "SLURM_NTASKS": "3",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_PROCID": "2",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "2",
        "SLURM_STEP_TASKS_PER_NODE": "1(x3)",
        "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # JAX looks for itself
    assert find_place(NOTHING, os.environ) == Place(f"gpu03:{61440 + 77}", 3, 2, None)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "1(x2),2")
    assert find_place(NOTHING, os.environ) == Place(f"gpu03:{61440 + 77}", 3, 2, (0, 1, 2, 3))
    # A shell inside the allocation is not one of its tasks.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert find_place(NOTHING, os.environ) is None


def test_gpus_are_shared_by_the_processes_of_a_host():
    eight = {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
    assert share_of_devices(0, 1, eight) is None
    assert share_of_devices(1, 2, eight) == (4, 5, 6, 7)
    assert share_of_devices(3, 8, {**eight, "SLURM_GPUS_PER_TASK": "8"}) is None
    assert share_of_devices(1, 2, {"CUDA_VISIBLE_DEVICES": "GPU-1"}) is None
    assert share_of_devices(1, 2, {}) == (1,)
    with pytest.raises(ValueError, match="8 GPUs cannot be divided among the 3 processes"):
        share_of_devices(1, 3, eight)
    assert slurm_tasks_per_node("2(x3),1") == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("settings", "environ", "message"),
    [
        ({"coordinator": "a:1"}, {}, "--num-processes .* is missing"),
        ({"coordinator": "a:1", "num_processes": 2}, {}, "--process-id .* is missing"),
        ({"num_processes": 2, "process_id": 0}, {}, "--coordinator .* is missing"),
        ({"process_id": 0}, {}, "--coordinator .* is missing"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, {}, "process id 2 must be below"),
        ({"coordinator": "a", "num_processes": 2, "process_id": 1}, {}, "'a' must be HOST:PORT"),
        ({"coordinator": "a:99999", "num_processes": 2, "process_id": 1}, {}, "must be HOST:PORT"),
        ({"coordinator": "a:1"}, {NUM_PROCESSES: "two"}, f"{NUM_PROCESSES} is 'two'"),
    ],
)
def test_a_place_that_is_only_half_given_is_refused(settings, environ, message):
    with pytest.raises(ValueError, match=message):
        find_place(Settings(**settings), environ)


def test_an_address_of_ipv6_stands_in_brackets():
    assert split_address("[fe80::1]:80") == ("fe80::1", 80)


# The rendezvous.


def members(count: int, *, versions: dict[str, str] | None = None) -> list[Member]:
    return [Member(i, count, f"host{i}", f"192.0.2.{i}", 100 + i, versions or {"jax": "1"}) for i in range(count)]


def rendezvous(first: Member, others: list[Member], *, timeout_s: float = 30.0) -> list[object]:
    """Returns what each process gets out of a rendezvous: all members, or the error."""
    (port,) = free_ports(1)
    results: list[object] = [None] * (1 + len(others))

    def take_part(slot: int, member: Member) -> None:
        try:
            if slot == 0:
                results[slot] = wait_for_members(member, port, timeout_s=timeout_s)
            else:
                results[slot] = join_members(member, "127.0.0.1", port, timeout_s=timeout_s)
        except (ValueError, PeerLostError) as error:
            results[slot] = error

    threads = [threading.Thread(target=take_part, args=pair) for pair in enumerate([first, *others])]
    for thread in reversed(threads):  # the others are there first, as happens
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_everybody_learns_who_is_there():
    first, *others = members(4)
    assert rendezvous(first, others) == [(first, *others)] * 4


def test_those_who_came_are_told_who_did_not():
    first, second, *_ = members(4)
    for result in rendezvous(first, [second], timeout_s=1.0):
        assert isinstance(result, PeerLostError)
        assert result.exit_code == ExitCode.PEER_LOST
        assert re.search(r"process 0 \(host0, pid 100\) waited 1 s .* 2 of 4 processes did not come: 2, 3", str(result))


@pytest.mark.parametrize(
    ("clash", "message"),
    [
        (
            Member(1, 3, "host9", "192.0.2.9", 7, {"jax": "1"}),
            "two processes have the number 1: host[19], pid .* and host[19], pid",
        ),
        (
            Member(0, 3, "host9", "192.0.2.9", 7, {"jax": "1"}),
            "two processes have the number 0: host0, pid 100, and host9, pid 7",
        ),
        (
            Member(2, 4, "host9", "192.0.2.9", 7, {"jax": "1"}),
            "host9, pid 7. was told that there are 4 processes, .* are 3",
        ),
        (Member(2, 3, "host9", "192.0.2.9", 7, {"jax": "2"}), "host9, pid 7. and .* do not run the same: jax 2 and 1"),
    ],
)
def test_a_clash_is_told_to_all(clash, message):
    first, second, _ = members(3)
    for result in rendezvous(first, [second, clash]):
        assert isinstance(result, ValueError)
        assert re.search(message, str(result))


def test_a_coordinator_that_is_not_there_is_named():
    (port,) = free_ports(1)
    with pytest.raises(PeerLostError, match=f"process 0 was not reached at 127.0.0.1:{port} within 0.5 s .*refused"):
        join_members(members(2)[1], "127.0.0.1", port, timeout_s=0.5)
    with pytest.raises(PeerLostError, match=r"no-such-host\.invalid:1234"):
        join_members(members(2)[1], "no-such-host.invalid", 1234, timeout_s=0.1)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot listen on port {port} .*choose another port in --coordinator"):
            wait_for_members(members(2)[0], port, timeout_s=1)


def test_strangers_and_those_who_die_while_waiting_do_not_count():
    (port,) = free_ports(1)
    first, second = members(2)
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(wait_for_members(first, port, timeout_s=30)))
    thread.start()
    strangers = [b"GET / HTTP/1.1\r\n\r\n", b"\xff\n", b"{}\n", json.dumps({"ostinato": second}).encode()]
    for said in strangers:  # the last one never finishes its line
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as stranger:
                    stranger.sendall(said)
                break
            except ConnectionRefusedError:  # it does not listen yet
                continue
    assert join_members(second, "127.0.0.1", port, timeout_s=30) == (first, second)
    thread.join()
    assert result == [(first, second)]


def test_a_host_that_cannot_be_reached_under_its_name_is_named():
    first, second = members(2)
    check_addresses((first, second))
    check_addresses((first._replace(address="127.0.0.1"), second._replace(host=first.host)))  # one host alone
    for address, found in (("127.0.1.1", "127.0.1.1"), ("", "no address")):
        with pytest.raises(ValueError, match=rf"process 1 \(host1, pid 101\): .* 'host1' leads to {found}"):
            check_addresses((first, second._replace(address=address)))


# Real processes.

PROCESS = """
import hashlib, json, sys
from pathlib import Path
import jax
from ostinato.launch.cli import main
from ostinato.configs.schema import DataConfig
from ostinato.data.records import Dataset
from ostinato.train.data import training_batches
from ostinato.train.step import make_mesh, place, rows_of_this_host

dataset, workdir, num_steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
code = main(["train", "--dataset", str(dataset), "--workdir", str(workdir), *sys.argv[4:]])
if code:
    sys.exit(code)
# What lies on each device for each step, by the row of the batch.
config = DataConfig(batch_size=4, sequence_length=8)
mesh = make_mesh(4)
batches = training_batches(
    Dataset.open(dataset).source("train"), config, seed=0, rows=rows_of_this_host(mesh, config.batch_size)
)
digests = {}
for k in range(num_steps):
    for column in jax.tree.leaves(place(batches[k], mesh, config.batch_size)):
        for shard in column.addressable_shards:
            for row, values in zip(range(*shard.index[0].indices(4)), jax.device_get(shard.data)):
                digests.setdefault(f"{k} {row}", hashlib.sha256()).update(values.tobytes())
path = workdir / f"digests-{jax.process_index()}.json"
path.write_text(json.dumps({name: digest.hexdigest() for name, digest in digests.items()}))
"""
NUM_STEPS = 50
TINY = (
    "debug", "--num-steps", NUM_STEPS, "--evaluate-every", 25, "--log-every", 1, "--patience", 0,
    "--data.batch-size", 4, "--data.sequence-length", 8, "--model.hidden-size", 16, "--model.embedding-size", 8,
    "--model.head-size", 8, "--model.dropout", 0.2, "--peer-timeout-s", 600,
)  # fmt: skip


def with_coordinator(starts: list[Start]) -> list[Start]:
    (port,) = free_ports(1)
    numbers = {COORDINATOR: f"127.0.0.1:{port}", NUM_PROCESSES: str(len(starts))}
    return [
        Start({**os.environ, **start.environ, **numbers, PROCESS_ID: str(i)}, start.cpus)
        for i, start in enumerate(starts)
    ]


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_one_two_and_four_processes_train_the_same_model(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    make_dataset(tmp_path / "data", TRAIN_LENGTHS, VALIDATION_LENGTHS)
    digests, losses, states, runs = {}, {}, {}, {}
    for num_processes in (1, 2, 4):
        workdir = tmp_path / str(num_processes)
        command = [sys.executable, "-c", PROCESS, tmp_path / "data", workdir, NUM_STEPS, *TINY]
        starts = with_coordinator(divide_machine(os.environ, num_processes, 4 // num_processes, num_gpus=0))
        ended = run_together(list(map(str, command)), starts, Asked(), grace_s=10)
        assert [process.code for process in ended] == [0] * num_processes
        parts = [json.loads((workdir / f"digests-{i}.json").read_text()) for i in range(num_processes)]
        assert [len(part) for part in parts] == [NUM_STEPS * 4 // num_processes] * num_processes  # each only its rows
        digests[num_processes] = {name: digest for part in parts for name, digest in part.items()}
        losses[num_processes] = [
            [line["loss"] for line in read_metrics(workdir, split)] for split in ("train", "validation")
        ]
        states[num_processes] = leaves(saved_state(workdir))
        runs[num_processes] = load_params(workdir, "latest").description
    assert len(digests[1]) == NUM_STEPS * 4
    assert len(set(digests[1].values())) > NUM_STEPS  # they are not all the same
    for num_processes in (2, 4):
        assert digests[num_processes] == digests[1]
        for one, several in zip(losses[1], losses[num_processes], strict=True):
            assert len(one) == len(several) > 2
            np.testing.assert_allclose(several, one, rtol=1e-6)
        for name in ("step", "arrays", "config", "codec", "versions"):
            assert runs[num_processes][name] == runs[1][name]
        assert runs[num_processes]["dataset"] == runs[1]["dataset"]
        assert states[num_processes].keys() == states[1].keys()
        for name, value in states[1].items():
            np.testing.assert_allclose(states[num_processes][name], value, rtol=0, atol=2e-6, err_msg=name)


def saved_state(workdir: Path) -> TrainState:
    """Returns all arrays of the latest checkpoint, on the four devices of this process."""
    run = load_params(workdir, "latest")
    optimizer = make_optimizer(run.config.optimizer, run.config.num_steps)
    init = make_state_init(run.model, optimizer, run.config.data.batch_size)
    shardings = state_shardings(make_mesh(run.config.data.batch_size))
    with Checkpoints(workdir, read_only=True) as checkpoints:
        return checkpoints.restore_state(run.step, lambda: init(jax.random.key(0)), shardings)


def leaves(tree: object) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def ostinato(*arguments: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostinato.launch.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, **(environ or {})})


@pytest.mark.slow
def test_the_command_says_in_one_line_that_nobody_came(tmp_path):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    (port,) = free_ports(1)
    train = ["train", "--dataset", tmp_path / "data", "--workdir", tmp_path / "run", "--start-timeout-s", 0.5]
    numbers = {COORDINATOR: f"127.0.0.1:{port}", NUM_PROCESSES: "2"}
    for process_id, message in ((0, "1 of 2 processes did not come: 1"), (1, "process 0 was not reached")):
        result = ostinato(*train, "--process-id", process_id, "debug", environ=numbers)
        *first, line = result.stderr.splitlines()
        assert [words.split()[0] for words in first] == (["training"] if process_id == 0 else [])
        assert line.startswith("ostinato: process")
        assert message in line
        assert result.returncode == ExitCode.PEER_LOST
    result = ostinato(*train, "--process-id", 2, "debug", environ=numbers)
    assert "process id 2 must be below the number of processes 2" in result.stderr
    assert result.returncode == ExitCode.USAGE
