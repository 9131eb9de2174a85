"""Work that one process does for all: making the folder of a run, for instance."""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import jax
from jax._src import distributed  # the store has no public name

from ostinato.configs.errors import UserError

T = TypeVar("T")

WAIT_MS = 600_000
_calls = count()


def run_on_process_zero(work: Callable[[], T]) -> T | None:
    """Runs `work` on process 0 while the others wait for it. All processes have to call it.

    Returns:
        On process 0 what `work` returns, None elsewhere.

    Raises:
        UserError: `work` raised it; with the same message everywhere.
    """
    if jax.process_count() == 1:
        return work()
    client: Any = distributed.global_state.client
    key = f"ostinato/process zero/{next(_calls)}"
    if jax.process_index() != 0:
        error = client.blocking_key_value_get(key, WAIT_MS)
        if error:
            raise UserError(error)
        return None
    try:
        result = work()
    except UserError as error:
        client.key_value_set(key, str(error))
        raise
    client.key_value_set(key, "")
    return result
