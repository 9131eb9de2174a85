"""Heartbeats of the processes of a run, exchanged through the key-value store of JAX's coordinator."""

import json
import os
import socket
from itertools import count
from typing import Any, NamedTuple

import jax
from jax._src import distributed  # the store has no public name

from ostinato.configs.documents import parse_document

_stores = count()


class Heartbeat(NamedTuple):
    """A sign of life of a process."""

    process_id: int
    host: str
    pid: int
    beat: int = 0
    """Rises with each heartbeat."""
    position: int = 0
    """Rises with all that the process does; equal on all processes that are equally far."""
    waits_for: str = "its start"
    ended: bool = False
    """It has nothing more to do with the others."""
    failure: str = ""
    """Why it ended, in one line; empty if its work was done."""

    def __str__(self) -> str:
        return f"process {self.process_id} ({self.host}, pid {self.pid})"


def first_heartbeat() -> Heartbeat:
    """Returns the one with which this process begins."""
    return Heartbeat(jax.process_index(), socket.gethostname(), os.getpid())


class HeartbeatStore:
    """Where each process leaves its heartbeat and finds those of the others."""

    def __init__(self) -> None:
        self._client: Any = distributed.global_state.client
        self._folder = f"ostinato/heartbeats/{next(_stores)}"  # of this run; a process may train twice

    def exchange(self, mine: Heartbeat) -> dict[int, Heartbeat]:
        """Leaves a heartbeat and returns the newest of each other process; blocks while the coordinator is silent."""
        self._client.key_value_set(f"{self._folder}/{mine.process_id}", json.dumps(mine), allow_overwrite=True)
        values = (value for _, value in self._client.key_value_dir_get(self._folder))
        found = [Heartbeat(*parse_document(value.encode(), Heartbeat, where=self._folder)) for value in values]
        return {heartbeat.process_id: heartbeat for heartbeat in found if heartbeat.process_id != mine.process_id}
