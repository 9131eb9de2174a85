"""Files and folders that are there whole or not at all: written under another name, then renamed.

What the system has against it (no such place, no right, a full disk) is a UserError that names the file.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ostinato.configs.errors import file_errors


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears when the block ends without an error; replaces an older one."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")  # several may write at once
    with file_errors(path):
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are not there yet."""
    with file_errors(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Makes a folder that gets its name when the block ends without an error; replaces an older one.

    Several processes may make the same folder at once: the last one to finish stays.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with file_errors(path):
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(path, ignore_errors=True)
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
