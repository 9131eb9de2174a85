"""Files that only their owner may read, from the moment they are made."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ostinato.configs.errors import file_errors

_PRIVATE = stat.S_IRUSR | stat.S_IWUSR


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Lets nobody else into what this process makes meanwhile, its other threads included."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(path: Path) -> None:
    """Makes an empty file, or takes the rights of others from one that is there; a link is neither.

    Raises:
        UserError: the system has something against it.
    """
    with file_errors(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        try:
            if stat.S_IMODE(os.fstat(file).st_mode) != _PRIVATE:
                os.fchmod(file, _PRIVATE)
        finally:
            os.close(file)
