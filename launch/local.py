"""`ostinato launch local --processes 2 -- train …`: one training run as several processes of this machine.

The devices of the machine are divided among them. When a process dies, or says that it wants to be started again (see
`ostinato.configs.errors`), all are started again and resume from the last checkpoint.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ostinato.configs.errors import RESTART, ExitCode, UserError
from ostinato.launch.process_group import Ended, Start, listening, run_together

# The names are those of train/hosts/place.py, which imports JAX; a test holds them together.
COORDINATOR, NUM_PROCESSES, PROCESS_ID = "OSTINATO_COORDINATOR", "OSTINATO_NUM_PROCESSES", "OSTINATO_PROCESS_ID"
_DISTANCE: dict[int, int] = {
    ExitCode.FAILED: 2,
    ExitCode.PREEMPTED: 3,
    -signal.SIGTERM: 3,
    ExitCode.PEER_LOST: 4,
    -signal.SIGABRT: 5,  # JAX's way to lose a peer
}
"""How far from the cause a failure is: 0 for another code, with which a process says why, 1 for another signal."""
_WORDS: dict[int, str] = {
    ExitCode.PREEMPTED: "was preempted",
    ExitCode.PEER_LOST: "lost another",
    ExitCode.INTERRUPTED: "was interrupted",
}


class Verdict(NamedTuple):
    """What is to be made of the way in which the processes ended."""

    code: int
    """The exit code for all, as a shell counts: 128 and the signal's number for a process that was killed."""
    restart: bool
    """Whether the same command, given again, can mend it."""
    cause: str
    """In words; empty if all is well."""


def run_until_finished(command: Sequence[str], shares: Sequence[Start], *, max_restarts: int, grace_s: float) -> int:
    """Runs a command in as many processes as there are shares of the machine, again where that mends it.

    Args:
        command: what each of them runs.
        shares: what each gets of the machine.
        max_restarts: how often all are started again.
        grace_s: seconds from Ctrl-C or SIGTERM until what still runs is killed.
    """
    with listening() as asked:
        restarts = 0
        while True:
            starts = [
                Start({**os.environ, "PYTHONUNBUFFERED": "1", **share.environ, **member}, share.cpus)
                for share, member in zip(shares, _members(len(shares)), strict=True)
            ]
            verdict = judge(run_together(command, starts, asked, grace_s=grace_s))
            if verdict.code == ExitCode.FINISHED:
                return ExitCode.FINISHED
            if asked.first or not verdict.restart or restarts == max_restarts:
                _say(verdict.cause)
                return verdict.code
            restarts += 1
            _say(f"{verdict.cause}; all go on from the last checkpoint (restart {restarts} of {max_restarts})")


def judge(ended: Sequence[Ended]) -> Verdict:
    """Returns why a group ended: its other members fail as well, of the loss of the first, and often sooner.

    So the codes are looked at in the order of how much they tell. What was killed here was late, and tells least.
    """
    failed = [number for number, process in enumerate(ended) if process.code != ExitCode.FINISHED]
    if not failed:
        return Verdict(ExitCode.FINISHED, restart=False, cause="")

    def tells_least(number: int) -> tuple[bool, int]:
        code, killed_here = ended[number]
        return killed_here, _DISTANCE.get(code, 1 if code < 0 else 0)

    number = min(failed, key=tells_least)
    code, killed_here = ended[number]
    if code == -signal.SIGTERM:  # before it could listen
        return Verdict(ExitCode.PREEMPTED, restart=True, cause=f"SIGTERM ended process {number}")
    if killed_here:
        return Verdict(128 - code, restart=True, cause=f"process {number} did not end in time and was killed")
    if code < 0:
        return Verdict(128 - code, restart=True, cause=f"{signal.Signals(-code).name} killed process {number}")
    cause = f"process {number} {_WORDS.get(code, 'failed')} (exit code {code})"
    return Verdict(code, restart=code in RESTART, cause=cause)


def divide_machine(
    environ: Mapping[str, str], num_processes: int, devices_per_process: int, *, num_gpus: int | None = None
) -> list[Start]:
    """Returns for each process the variables that it gets beside those of this one, and its cores.

    GPUs are divided evenly, in order. Without GPUs the cores are; JAX takes as many threads as it sees cores.

    Args:
        environ: the variables of this process.
        num_processes: how many there will be.
        devices_per_process: CPU devices of each; 0 leaves it to JAX.
        num_gpus: in this machine; None looks for them.

    Raises:
        UserError: the GPUs cannot be divided evenly.
    """
    if num_gpus is None:
        num_gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else list(map(str, range(num_gpus)))
    if gpus and environ.get("JAX_PLATFORMS") != "cpu":
        share = len(gpus) // num_processes
        if share * num_processes != len(gpus):
            raise UserError(
                f"{len(gpus)} GPUs cannot be divided among {num_processes} processes; "
                "set JAX_PLATFORMS=cpu to train on the CPU"
            )
        parts = [gpus[i * share : (i + 1) * share] for i in range(num_processes)]
        return [Start({"CUDA_VISIBLE_DEVICES": ",".join(part)}, frozenset()) for part in parts]
    flags = [environ["XLA_FLAGS"]] if environ.get("XLA_FLAGS") else []
    if devices_per_process:
        flags.append(f"--xla_force_host_platform_device_count={devices_per_process}")
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    extra = {"XLA_FLAGS": " ".join(flags)} if flags else {}
    return [Start(extra, cpus) for cpus in divide_cores(cores, num_processes)]


def divide_cores(cores: Sequence[int], num_processes: int) -> list[frozenset[int]]:
    """Returns the cores of each process: disjoint and as even as can be, or one each where there are too few."""
    count = len(cores)
    if 0 < count < num_processes:
        return [frozenset({cores[i % count]}) for i in range(num_processes)]
    bounds = [i * count // num_processes for i in range(num_processes + 1)]
    return [frozenset(cores[bounds[i] : bounds[i + 1]]) for i in range(num_processes)]


def _say(line: str) -> None:
    from ostinato.report.text import printable

    print(f"ostinato launch: {printable(line)}", file=sys.stderr, flush=True)


def _members(num_processes: int) -> list[dict[str, str]]:
    """Returns the variables by which the processes find each other; one alone looks for none."""
    if num_processes == 1:
        return [{PROCESS_ID: "", NUM_PROCESSES: "", COORDINATOR: ""}]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    all_alike = {COORDINATOR: f"127.0.0.1:{port}", NUM_PROCESSES: str(num_processes)}
    return [{**all_alike, PROCESS_ID: str(i)} for i in range(num_processes)]
