"""Files and folders that are there whole or not at all, and that stay: written under another name, synced, renamed.

What the system has against it (no such place, no right, a full disk) is a UserError that names the file. What is done
for power losses `durable` says.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ostinato.configs.errors import file_errors
from ostinato.data import durable


@contextlib.contextmanager
def synced_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears when the block ends without an error; replaces an older one.

    Its content is on disk; its name is only when its folder is synced, which is left to whoever publishes that.
    """
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


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that is there, on disk, when the block ends without an error; replaces an older one."""
    with synced_file(path) as file:
        yield file
    with file_errors(path):
        durable.sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are not there yet."""
    with file_errors(path):
        durable.make_folders(path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Makes a folder that gets its name when the block ends without an error; replaces an older one.

    Several processes may make the same folder at once: the last one to finish stays.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with file_errors(path):
        durable.make_folders(path.parent)
        partial.mkdir()
        try:
            yield partial
            durable.publish_instead(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def filled_folder(folder: Path, *, last: str) -> Iterator[Path]:
    """Gives an empty folder whose files come into `folder` when the block ends without an error; others there stay.

    All of them are on disk before the first one takes its place.

    Args:
        folder: where to; made if needed.
        last: the file that says that all are there: an older one goes first, and the new one comes last.
    """
    partial = folder / f".{secrets.token_hex(4)}.partial"
    with file_errors(folder):
        durable.make_folders(folder)
        partial.mkdir()
        try:
            yield partial
            durable.sync_tree(partial)
            (folder / last).unlink(missing_ok=True)
            durable.sync_folder(folder)
            names = [path.relative_to(partial) for path in partial.rglob("*") if path.is_file()]
            for name in sorted(names, key=lambda name: (name == Path(last), name)):
                durable.make_folders((folder / name).parent)
                if name == Path(last):
                    for parent in {(folder / other).parent for other in names}:
                        durable.sync_folder(parent)
                (partial / name).replace(folder / name)
            durable.sync_folder(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
