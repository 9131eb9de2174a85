"""What is on disk when we say that it is: the one rule by which everything is published.

    1. the files are written and synced,
    2. then the folders that hold them,
    3. then comes the rename that gives the whole its name,
    4. then the folder in which that name stands is synced;
    5. what it replaces is removed only after that.

A system that loses its power after 4 has the new one; before, it has the old one, or both. Without 1 and 2 a file
system may keep the name and lose the content: ext4 writes names after five seconds and content after thirty.
"""

import ctypes
import errno
import os
import secrets
import shutil
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What file systems say that cannot sync a folder (some on the network, and in user space)."""


def sync_file(path: Path) -> None:
    """Returns when the content of a file is on disk."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on disk; what is in the files that they name is not looked after."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sync_tree(folder: Path) -> None:
    """Returns when all files below a folder are on disk, and then all folders, the deepest first."""
    folders = []
    for parent, _, names in os.walk(folder):
        folders.append(Path(parent))
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                sync_file(path)
    for path in reversed(folders):
        sync_folder(path)


def publish(partial: Path, path: Path) -> None:
    """Gives a folder that was written its name, on disk; an empty folder may have had it.

    Raises:
        OSError: the name is taken.
    """
    sync_tree(partial)
    partial.rename(path)
    sync_folder(path.parent)


def publish_instead(partial: Path, path: Path) -> None:
    """Gives a folder that was written its name, on disk, and then removes the folder that had it, if one had."""
    sync_tree(partial)
    old = _take_name(partial, path)
    sync_folder(path.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def make_folders(path: Path) -> None:
    """Makes a folder and those above it, where they are not there yet, on disk.

    Raises:
        FileExistsError: something else has the name.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _take_name(partial: Path, path: Path) -> Path | None:
    """Renames a folder, and returns where the one is now that had the name; several processes may do so at once."""
    try:
        partial.rename(path)
        return None
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    if _exchange(partial, path):
        return partial
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    path.rename(old)  # from here to the next line neither has the name; both are there
    partial.rename(path)
    return old


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; returns whether the system can."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux, glibc 2.28
    if call is None:
        return False
    return call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
