"""Where MIDI files come from: files, folders, globs and zip archives, as locators that a worker can open."""

import glob
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".mid", ".midi", ".rmi", ".kar")
"""Endings, in any case, by which MIDI files are found in folders and archives."""


class SourceError(ValueError):
    """Nothing usable where the user said the MIDI files are."""


class UnreadableError(ValueError):
    """An input that cannot be read; `reason` is one of READ_REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        """Takes a reason of READ_REASONS and what was found."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


READ_REASONS = ("not_a_file", "too_large", "unreadable")


class Locator(NamedTuple):
    """One input: a file, or a member of a zip archive."""

    path: str
    member: str
    """Name within the archive; empty for a file of its own."""
    style: str
    """Name of the folder it lies in."""

    @property
    def name(self) -> str:
        """What people read in lists and messages."""
        return f"{self.path}!{self.member}" if self.member else self.path


def find_inputs(patterns: Iterable[str]) -> list[Locator]:
    """Returns every MIDI file that the patterns name, in sorted order, each once.

    Args:
        patterns: files (of any ending), folders (searched through, without following links to folders), zip archives
            and globs (`**` means any depth) of these.

    Raises:
        SourceError: a pattern matches nothing, or nothing at all was found.
    """
    found: set[Locator] = set()
    for pattern in patterns:
        paths = [pattern] if os.path.lexists(pattern) else glob.glob(pattern, recursive=True)
        if not paths:
            raise SourceError(f"{pattern}: no such file or folder")
        inputs = [locator for path in paths for locator in _expand(path)]
        if not inputs:
            raise SourceError(f"{pattern}: holds no file ending in {', '.join(SUFFIXES)} and no zip archive")
        found.update(inputs)
    return sorted(found)


def read_bytes(locator: Locator, *, max_bytes: int) -> bytes:
    """Returns the bytes of one input.

    Raises:
        UnreadableError: not a regular file, larger than max_bytes, or the system refuses to read it.
    """
    try:
        if locator.member:
            with zipfile.ZipFile(locator.path) as archive:
                size = archive.getinfo(locator.member).file_size
                if size > max_bytes:
                    raise UnreadableError("too_large", f"{size} bytes, at most {max_bytes} are allowed")
                with archive.open(locator.member) as member:
                    data = member.read(max_bytes + 1)
        else:
            # Asked before opening: opening a FIFO waits for a writer, reading /dev/zero never ends.
            status = os.stat(locator.path)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError("not_a_file", "not a regular file")
            if status.st_size > max_bytes:
                raise UnreadableError("too_large", f"{status.st_size} bytes, at most {max_bytes} are allowed")
            with open(locator.path, "rb") as file:
                data = file.read(max_bytes + 1)
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
        # RuntimeError and NotImplementedError are zipfile's for encrypted members and unknown compression.
        raise UnreadableError("unreadable", f"{type(error).__name__}: {error}") from error
    if len(data) > max_bytes:
        raise UnreadableError("too_large", f"more than the {max_bytes} bytes allowed")
    return data


def _expand(path: str) -> Iterator[Locator]:
    if os.path.isdir(path):
        for folder, _, files in os.walk(path):
            for file in files:
                inside = os.path.join(folder, file)
                if file.lower().endswith(SUFFIXES):
                    yield Locator(inside, "", os.path.basename(folder))
                elif file.lower().endswith(".zip"):
                    yield from _members(inside)
    elif path.lower().endswith(".zip"):
        yield from _members(path)
    else:
        yield Locator(path, "", Path(path).resolve().parent.name)


def _members(path: str) -> Iterator[Locator]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: not a readable zip archive ({error})") from error
    for name in names:
        if name.lower().endswith(SUFFIXES):
            yield Locator(path, name, os.path.basename(os.path.dirname(name)) or Path(path).stem)
