"""What the processes of a run tell each other beside the arithmetic, through the store of JAX's coordinator."""

import json
import os
import socket
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, TypeVar

import jax
from jax._src import distributed  # the store has no public name

from ostinato.configs.errors import UserError

T = TypeVar("T")

WAIT_FOR_FIRST_MS = 600_000
_questions, _mailboxes = count(), count()


class Life(NamedTuple):
    """A sign of life of a process."""

    process_id: int
    host: str
    pid: int
    beat: int = 0
    """Rises with each sign."""
    position: int = 0
    """Rises with all that the process does; equal on all processes that are equally far."""
    waits_for: str = "its start"
    ended: bool = False
    """It has nothing more to do with the others."""
    failure: str = ""
    """Why it ended, in one line; empty if its work was done."""

    def __str__(self) -> str:
        return f"process {self.process_id} ({self.host}, pid {self.pid})"


def first_life() -> Life:
    """Returns the sign with which this process begins."""
    return Life(jax.process_index(), socket.gethostname(), os.getpid())


class Mailbox:
    """Where each process leaves its sign of life and finds those of the others."""

    def __init__(self) -> None:
        self._client: Any = distributed.global_state.client
        self._folder = f"ostinato/lives/{next(_mailboxes)}"  # of this run; a process may train twice

    def exchange(self, mine: Life) -> dict[int, Life]:
        """Leaves a sign and returns the newest of each other process; blocks while the coordinator does not answer."""
        self._client.key_value_set(f"{self._folder}/{mine.process_id}", json.dumps(mine), allow_overwrite=True)
        lives = [Life(*json.loads(value)) for _, value in self._client.key_value_dir_get(self._folder)]
        return {life.process_id: life for life in lives if life.process_id != mine.process_id}


def done_by_the_first(work: Callable[[], T]) -> T | None:
    """Lets process 0 do something for all; the others wait for it. All processes have to call it.

    Returns:
        On process 0 what `work` returns, None elsewhere.

    Raises:
        UserError: `work` raised ValueError or OSError; with the same message everywhere.
    """
    if jax.process_count() == 1:
        return work()
    client: Any = distributed.global_state.client
    key = f"ostinato/done/{next(_questions)}"
    if jax.process_index() != 0:
        error = client.blocking_key_value_get(key, WAIT_FOR_FIRST_MS)
        if error:
            raise UserError(error)
        return None
    try:
        result = work()
    except (ValueError, OSError) as error:
        client.key_value_set(key, str(error))
        raise
    client.key_value_set(key, "")
    return result
