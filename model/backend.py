"""Which kind of device the network is being traced for; layouts that suit it are chosen by that.

It is the default device, unless `ostinato plan` compiles for a machine that is not there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from os import sysconf

import jax

_planned: ContextVar[str] = ContextVar("planned", default="")


def platform() -> str:
    """Returns "cpu", "gpu" or "tpu"."""
    return _planned.get() or jax.default_backend()


def is_planned() -> bool:
    """Returns whether the devices that are traced for are not there, so that they cannot be asked."""
    return bool(_planned.get())


def memory_bytes() -> float:
    """Returns the memory of one device; infinity where nobody knows it."""
    if is_planned():
        return float("inf")
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES") / jax.local_device_count()
    stats = device.memory_stats()
    return float(stats["bytes_limit"]) if stats and "bytes_limit" in stats else float("inf")


@contextmanager
def planned_for(name: str) -> Iterator[None]:
    """What is traced inside is for devices of this platform, whatever the default device is."""
    token = _planned.set(name)
    try:
        yield
    finally:
        _planned.reset(token)
