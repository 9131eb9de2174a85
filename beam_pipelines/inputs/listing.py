"""Lists of what archives hold, made in child processes: CPU time and memory in proportion to the bytes that are read.

Of a zip archive the child gets the bytes of its directory, wherever the archive is; a tar archive it reads by itself.
"""

import gc
import os
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from ostinato.beam_pipelines.inputs import archives, tars
from ostinato.beam_pipelines.inputs.archives import Listed, Member, Refusal
from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.isolation import Killed, Limits, shared_pool

T = TypeVar("T")

FREE_BYTES = 1 << 16
"""What can be listed here at once, in some milliseconds: starting a child takes a tenth of a second."""
_BYTES_PER_MB = 1 << 20


def list_zip(file: BinaryIO) -> Listed:
    """Returns the members of a zip archive that can be sought in."""
    try:
        directory = archives.read_directory(file)
    except UnreadableError as error:
        return [], (error.reason, error.detail)
    if len(directory.data) <= FREE_BYTES:
        return archives.list_zip(directory)
    # A megabyte of entries without names is 23,000 of them: it takes a quarter of a second, and 25 MB.
    size_mb = size_class_mb(len(directory.data))
    return in_child(archives.list_zip, directory, Limits(memory_mb=256 + 50 * size_mb, cpu_s=10 + 2 * size_mb))


def list_tar(path: str) -> Listed:
    """Returns the members of a tar archive on this machine.

    Raises:
        OSError: it cannot be read.
    """
    num_bytes = os.path.getsize(path)
    if num_bytes <= FREE_BYTES:
        return tars.list_tar(path)
    # A megabyte of headers is 2,000 of them, 50 ms.
    size_mb = size_class_mb(num_bytes)
    return in_child(tars.list_tar, path, Limits(memory_mb=256 + 4 * size_mb, cpu_s=10 + -(-size_mb // 2)))


def size_class_mb(num_bytes: int) -> int:
    """Returns a power of 8, as many MB or more: archives of about one size share a child."""
    size_mb = 1
    while size_mb * _BYTES_PER_MB < num_bytes:
        size_mb *= 8
    return size_mb


def in_child(list_one: Callable[[T], Listed], archive: T, limits: Limits) -> Listed:
    """Returns what a function of a module finds in an archive, or why it had to be given up."""
    limits = limits._replace(wall_s=max(limits.wall_s, 2 * limits.cpu_s))  # as a busy machine has it
    (found,) = shared_pool(1, limits).imap(_as_rows, [(list_one, archive)])
    if isinstance(found, Killed):
        return [], ("archive_bomb", f"its list of members cannot be read ({found.detail})")
    rows, refusal = found
    return list(map(Member._make, rows)), refusal


def _as_rows(task: tuple[Callable[[T], Listed], T]) -> tuple[list[tuple[object, ...]], Refusal | None]:
    """Runs in a child: plain tuples travel in a third of the time."""
    list_one, archive = task
    gc.disable()  # what is listed has no circles, and looking for some takes a third of the time
    try:
        members, refusal = list_one(archive)
    finally:
        gc.enable()
    return list(map(tuple, members)), refusal
