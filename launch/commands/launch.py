"""`ostinato launch`."""

import os
import sys
from dataclasses import dataclass
from typing import Literal

import tyro

from ostinato.configs.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Trains with several processes of this machine: ostinato launch local --processes 2 -- train ...

    The GPUs, or the cores where there are none, are divided among them. When a process dies, all resume from the last
    checkpoint.
    """

    where: tyro.conf.Positional[Literal["local"]]
    """This machine. launch/README.md shows how clusters start the same command."""
    processes: int = 2
    """How many."""
    devices_per_process: int = 0
    """CPU devices of each process; 0 is one."""
    max_restarts: int = 3
    """How often all processes are started again, after one was killed, was preempted or lost another."""
    grace_s: float = 60.0
    """Seconds between Ctrl-C or SIGTERM, which is passed on, and the end of processes that have not saved by then."""
    command: tyro.conf.Suppress[tuple[str, ...]] = ()
    """What follows --."""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise UserError(f"--processes {self.processes} must be at least 1")
        if self.devices_per_process < 0 or self.max_restarts < 0 or self.grace_s < 0:
            raise UserError("--devices-per-process, --max-restarts and --grace-s must not be negative")

    def run(self) -> int:
        """Returns the exit code of the processes."""
        from ostinato.launch.local import divide_machine, run_until_finished

        if self.command[:1] != ("train",):
            raise UserError("what is to be launched? ostinato launch local --processes 2 -- train ...")
        command = [sys.executable, "-m", "ostinato.launch.cli", *self.command]
        shares = divide_machine(os.environ, self.processes, self.devices_per_process)
        return run_until_finished(command, shares, max_restarts=self.max_restarts, grace_s=self.grace_s)
