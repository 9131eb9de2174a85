"""Power losses: what a disk holds of a folder when the machine goes dark, from a real ext4 or from a simulated disk.

Both yield images: folders as they are found when the machine is on again. The simulated disk runs in the process that
writes. It knows what was synced (through `os.fsync`; what libraries of C++ sync counts as lost) and loses the rest as
disks may: content that was not synced is kept, cut off, zeroed or gone; a name that was not synced is the new or the
old one.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

DISK_MB = 24
JOURNAL_MB = 4
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link")


class Entry(NamedTuple):
    """What a folder says of a name in it, also when another thread has removed what it is of."""

    inode: int
    is_folder: bool


def _entries(folder: Path) -> dict[str, Entry]:
    return {entry.name: Entry(entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in os.scandir(folder)}


class SimulatedDisk:
    """What would be on disk of a folder, by what this process has synced."""

    def __init__(self, root: Path) -> None:
        """Begins with what is there now, which is on disk."""
        self._root = root
        self._content: dict[int, bytes] = {}
        self._names: dict[int, dict[str, Entry]] = {}
        self._open: dict[int, int] = {}
        self._lock = threading.RLock()
        for path in [root, *root.rglob("*")]:
            self.synced(path)

    def synced(self, path: Path) -> None:
        """Notes that a file or a folder is on disk as it is."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            self._synced(os.open(path, os.O_RDONLY))

    def _synced(self, file: int) -> None:
        """Takes an open file, which stays open: so no other file gets its inode."""
        number = os.fstat(file).st_ino
        if number in self._open:
            os.close(file)
            file = self._open[number]
        self._open[number] = file
        where = Path(os.readlink(f"/proc/self/fd/{file}"))
        if where.is_dir():
            self._names[number] = _entries(where)
        else:
            self._content[number] = os.pread(file, os.fstat(file).st_size, 0)

    def image(self, target: Path, chance: random.Random) -> None:
        """Writes what is found after a power loss at this moment; what was not synced is lost where `chance` says."""
        with self._lock:
            self._write_folder(self._root, os.stat(self._root).st_ino, target, chance)

    def _write_folder(self, now: Path, number: int, target: Path, chance: random.Random) -> None:
        target.mkdir()
        for name, (inode, is_folder) in self._found_names(now, number, chance).items():
            path = self._where(now / name, inode)
            if is_folder:
                self._write_folder(path or now / name, inode, target / name, chance)
            else:
                (target / name).write_bytes(self._found(path, inode, chance))

    def _found_names(self, now: Path, number: int, chance: random.Random) -> dict[str, Entry]:
        """Returns the names in a folder after the loss: each file has its new one, or the one that was synced."""
        synced = self._names.get(number, {})
        if not now.is_dir():
            return synced
        current = _entries(now)
        likely = chance.choice([0.0, 0.5, 1.0])
        newer = {entry: chance.random() < likely for entry in sorted({*current.values(), *synced.values()})}
        kept = {name: entry for name, entry in synced.items() if not newer[entry]}
        return kept | {name: entry for name, entry in current.items() if newer[entry]}

    def _where(self, path: Path, inode: int) -> Path | None:
        """Returns where an inode is now, if it still has a name."""
        if path.exists() and path.stat().st_ino == inode:
            return path
        if inode in self._open:
            where = Path(os.readlink(f"/proc/self/fd/{self._open[inode]}"))
            return where if where.exists() else None
        return None

    def _found(self, path: Path | None, inode: int, chance: random.Random) -> bytes:
        """Returns the content of a file after the loss."""
        synced = self._content.get(inode, b"")
        now = synced
        with contextlib.suppress(FileNotFoundError):  # another thread goes on
            now = synced if path is None else path.read_bytes()
        if now == synced:
            return now
        same = len(synced) if now.startswith(synced) else 0  # adding to a file does not harm what was there
        torn = chance.randrange(same, len(now) + 1)
        return chance.choice([synced, now, now[:torn], now[:torn] + bytes(len(now) - torn)])


def take_images(root: Path, target: Path, *, every: int, seed: int) -> Callable[[], None]:
    """Lets this process write images of a folder to `target`/<number>, before about one of `every` changes and syncs.

    Cannot be undone: it is for processes that end. Returns what writes one more.
    """
    return _Camera(root, target, every=every, seed=seed).take


@contextlib.contextmanager
def each_image(root: Path, target: Path, *, every: int = 1, at_the_end: int = 16) -> Iterator[list[Path]]:
    """Takes an image of a folder before each change and sync in it, or about one of `every`, and some behind the block.

    Yields:
        The images, when the block has ended; the last `at_the_end` are those behind it.
    """
    images: list[Path] = []
    camera = _Camera(root, target, every=every, seed=0)
    try:
        yield images
        for _ in range(at_the_end):
            camera.take()
    finally:
        camera.close()
    images += sorted(target.iterdir())


class _Camera:
    """Takes images of a folder while this process changes it."""

    def __init__(self, root: Path, target: Path, *, every: int, seed: int) -> None:
        self._root, self._target, self._every = root.resolve(), target.resolve(), every
        self._target.mkdir()
        self._disk, self._chance, self._count = SimulatedDisk(self._root), random.Random(seed), 0
        self._lock, self._inside, self._closed = threading.RLock(), threading.local(), False
        self._fsync = os.fsync
        sys.addaudithook(self._hear)
        os.fsync = self._synced

    def close(self) -> None:
        """Takes no more; the hook cannot be taken away."""
        os.fsync, self._closed = self._fsync, True

    def take(self) -> None:
        """Takes one."""
        with self._lock:
            self._count += 1
            self._inside.yes = True
            try:
                self._disk.image(self._target / f"{self._count:03d}", self._chance)
            finally:
                self._inside.yes = False

    def _moment(self, path: str) -> None:
        if self._closed or getattr(self._inside, "yes", False) or not Path(path).is_relative_to(self._root):
            return
        if self._chance.random() * self._every < 1:
            self.take()

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and not self._closed:
            self._moment(path_of(event, arguments))

    def _synced(self, file: Any) -> None:
        where = os.readlink(f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}")
        self._moment(where)
        self._fsync(file)
        if Path(where).is_relative_to(self._root):
            self._disk.synced(Path(where))


def path_of(event: str, arguments: tuple[Any, ...]) -> str:
    """Returns the path that an event of `sys.audit` is about, also where it is said by the descriptor of its folder."""
    at = {"os.rename": 2, "os.link": 2, "os.mkdir": 2, "os.remove": 1, "os.rmdir": 1}.get(event)
    path = os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else ""
    if at is None or arguments[at] is None or arguments[at] < 0 or os.path.isabs(path):
        return os.path.abspath(path)
    return os.path.join(os.readlink(f"/proc/self/fd/{arguments[at]}"), path)


class RealDisk:
    """An ext4 in a file, whose content is copied while it is mounted."""

    def __init__(self, folder: Path) -> None:
        """Takes a folder in memory for the file and its copies."""
        self._folder, self._file = folder, folder / "disk"
        self.root = folder / "root"

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """Makes and mounts it; yields its root.

        Raises:
            OSError: this machine, or this user, cannot.
        """
        with self._file.open("wb") as file:
            file.truncate(DISK_MB << 20)
        _run("mkfs.ext4", "-q", "-F", "-J", f"size={JOURNAL_MB}", self._file)
        with _mounted(self._file, self.root):
            yield self.root

    def copy(self) -> bytes:
        """Returns the disk as it is at one moment.

        Reading takes some milliseconds in which blocks may be written in another order than they are read. Where two
        readings one after the other give the same, nothing was written between the end of the first and the begin of
        the second, so both are the disk at that moment.
        """
        before = b""
        while (now := self._file.read_bytes()) != before:
            before = now
        return now

    @contextlib.contextmanager
    def restored(self, copy: bytes) -> Iterator[Path]:
        """Mounts a copy, whose journal is replayed as after a power loss, for reading; yields its root."""
        file = self._folder / "copy"
        file.write_bytes(copy)
        with _mounted(file, self._folder / "found"):  # replays
            pass
        with _mounted(file, self._folder / "found", "ro") as root:
            yield root


@contextlib.contextmanager
def _mounted(file: Path, root: Path, *options: str) -> Iterator[Path]:
    root.mkdir(exist_ok=True)
    _run("mount", "-o", ",".join(["loop", *options]), file, root)
    try:
        yield root
    finally:
        for _ in range(100):  # a process that was killed may still hold it
            if subprocess.run(["umount", root], capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        else:
            _run("umount", "--lazy", root)


@contextlib.contextmanager
def memory(folder: Path) -> Iterator[Path]:
    """Mounts a disk of memory at a new folder: what syncs there waits for no real disk.

    Raises:
        OSError: this machine, or this user, cannot.
    """
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "--lazy", folder)


def copy_tree(source: Path, target: Path) -> Path:
    """Copies what can be read of a folder."""
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns("lost+found"))


def _run(*words: object) -> None:
    try:
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    except FileNotFoundError as error:
        raise OSError(f"{words[0]} is not installed") from error
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip()}")
