"""How a batch is divided: over the devices, and in parts that are computed one after the other."""

import logging

import jax
from jax.sharding import Mesh

from ostinato.train.step import make_mesh

logger = logging.getLogger(__name__)


def divide_batch(batch_size: int, accumulate: int, rows_at_once: int | None) -> tuple[Mesh, int]:
    """Returns the devices that take part, and in how many parts each batch is computed.

    Args:
        batch_size: rows of a batch, over all devices.
        accumulate: the parts that the configuration asks for.
        rows_at_once: rows that a device held at once when the run began: where there are fewer devices now, there are
            more parts. On CPUs the parts stay: their memory is that of the host. None for a new run.
    """
    parts = accumulate
    if rows_at_once is not None and jax.default_backend() != "cpu":
        parts = parts_for(batch_size, accumulate, rows_at_once, num_devices=jax.device_count())
    if parts != accumulate:
        logger.info("fewer devices than before: each batch is computed in %d parts, one after the other", parts)
    mesh = make_mesh(batch_size // parts)
    if mesh.size < jax.device_count():
        logger.warning("%s", idle_devices(batch_size, parts, num_used=mesh.size, num_devices=jax.device_count()))
    return mesh, parts


def parts_for(batch_size: int, accumulate: int, rows_at_once: int, *, num_devices: int) -> int:
    """Returns the smallest number of parts, at least `accumulate`, with at most `rows_at_once` rows on a device."""
    for parts in range(accumulate, batch_size + 1):
        if batch_size % parts == 0:
            in_part = batch_size // parts
            used = max(n for n in range(1, num_devices + 1) if in_part % n == 0)
            if in_part // used <= rows_at_once:
                return parts
    raise AssertionError("a row at a time is always possible")


def idle_devices(batch_size: int, parts: int, *, num_used: int, num_devices: int) -> str:
    """Returns a line that says how many devices a batch leaves idle, with the nearest sizes that use all of them."""
    multiple = parts * num_devices
    below = batch_size // multiple * multiple
    nearest = f"{below} or {below + multiple}" if below else str(multiple)
    in_parts = f" in {parts} parts" if parts > 1 else ""
    return (
        f"batch_size {batch_size}{in_parts} uses only {num_used} of {num_devices} devices, the most that divide it; "
        f"a batch size of {nearest} uses all of them"
    )
