"""What the user names (files, folders, globs, lists, URLs) as places, each a file or an archive of its own."""

import functools
import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from fsspec.utils import glob_translate
from more_itertools import chunked

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.endings import (
    ARCHIVE_SUFFIXES,
    STREAM_SUFFIXES,
    archive_suffixes,
    describe_not_read,
    ending_of,
    has_suffix,
    input_suffixes,
    is_input,
    url_path,
)
from ostinato.beam_pipelines.inputs.errors import SourceError, StorageError
from ostinato.beam_pipelines.inputs.stores import MAX_THREADS, is_remote, is_web

LIST_SUFFIX = ".txt"

_GLOB = re.compile(r"[*?[]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Place(NamedTuple):
    """A file, which may be an archive."""

    path: str
    key: str
    """Path relative to the folder that the user named, or to the folder in which a glob begins; of a file that the user
    named the end of the path, and of a line of a list the line."""
    named: bool = True
    """Whether the user named the file itself; else it was found in a folder."""
    version: str = ""
    """See `files.version_of`."""


def find_places(patterns: Iterable[str], not_read: Counter[str] | None = None) -> list[Place]:
    """Returns each file that the patterns name, once, sorted by path.

    Args:
        patterns: files of any ending; folders and globs (`**` is any depth), in which files are known by their endings
            and links to folders are not followed; lists (.txt) of files and folders, one a line, relative to the list,
            with comments behind a `#` at the beginning of a line; URLs of all these (of files only, for http).
        not_read: the files of folders that are not read are added to it, by their endings.

    Raises:
        SourceError: a pattern matches nothing, or a folder cannot be listed. A line of a list that matches nothing is a
            place like any other.
    """
    identity = identities()
    places: dict[str, Place] = {}
    not_read = Counter() if not_read is None else not_read
    for pattern in patterns:
        seen = not_read.total()
        try:
            found = list(_expand(pattern, not_read))
        except StorageError as error:
            raise SourceError(str(error)) from error
        if not found:
            wanted = ", ".join(input_suffixes() + archive_suffixes())
            others = f"; {describe_not_read(not_read)}" if not_read.total() > seen else ""
            raise SourceError(f"{pattern}: holds no file ending in {wanted}{others}")
        for place in found:
            places.setdefault(identity(place.path), place)
    return sorted(places.values())


def with_versions(places: Iterable[Place]) -> list[Place]:
    """Returns places with the versions of their files; those of a web server are asked for archives only."""

    def complete(place: Place) -> Place:
        if place.version or (is_web(place.path) and not has_suffix(place.path, ARCHIVE_SUFFIXES)):
            return place
        return place._replace(version=files.version_of(place.path))

    with ThreadPoolExecutor(MAX_THREADS) as executor:  # servers answer slowly, but many questions at once
        return [
            place
            for some in chunked(places, 4096)
            for place in (
                executor.map(complete, some)
                if any(is_remote(place.path) and not place.version for place in some)
                else map(complete, some)
            )
        ]


def folder_name(path: str) -> str:
    """Returns the name of the folder in which a file lies; empty where the path does not tell."""
    folder = os.path.dirname(url_path(path))
    name = os.path.basename(folder)
    return os.path.basename(os.path.normpath(folder)) if name in (".", "..") else name


def stem(path: str) -> str:
    """Returns the name of an archive without its ending."""
    name = os.path.basename(url_path(path))
    ending = next((ending for ending in STREAM_SUFFIXES + ARCHIVE_SUFFIXES if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def printable(name: str) -> str:
    r"""Returns a name as text that any program can show: what is not UTF-8, and control characters, as \xff and \n."""
    return _UNPRINTABLE.sub(lambda found: _escape(ord(found[0])), name)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return chr(code).encode("unicode_escape").decode()


def identities() -> Callable[[str], str]:
    """Returns the function by which two spellings of a path are one; a link to a file is a place of its own."""
    real_folder = functools.lru_cache(maxsize=1 << 16)(lambda folder: os.path.realpath(folder))

    def identity(path: str) -> str:
        return path if is_remote(path) else os.path.join(real_folder(os.path.dirname(path)), os.path.basename(path))

    return identity


def _expand(pattern: str, not_read: Counter[str]) -> Iterator[Place]:
    if has_suffix(pattern, (LIST_SUFFIX,)) and not _GLOB.search(pattern):
        yield from _read_list(pattern, not_read)
    elif is_remote(pattern):
        yield from _expand_remote(pattern, not_read)
    elif os.path.isdir(pattern):
        yield from _walk(pattern, not_read)
    elif os.path.lexists(pattern):
        yield Place(pattern, os.path.basename(pattern))
    else:
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise SourceError(f"{pattern}: no such file or folder")
        for path in paths:
            yield from (
                _walk(path, not_read)
                if os.path.isdir(path)
                else _in_folder(_fixed_folder(pattern), [path], not_read, named=True)
            )


def _expand_remote(pattern: str, not_read: Counter[str]) -> Iterator[Place]:
    if is_web(pattern):
        yield Place(pattern, os.path.basename(url_path(pattern)))
    elif not pattern.endswith("/") and files.is_file(pattern):
        yield Place(pattern, os.path.basename(pattern))
    else:
        is_glob = bool(_GLOB.search(pattern))
        root = _fixed_folder(pattern) if is_glob else pattern
        versions = files.list_versions(root)
        paths = list(versions)
        if is_glob:
            paths = list(filter(re.compile(glob_translate(pattern)).fullmatch, paths))
        if not paths:
            raise SourceError(f"{pattern}: no such file or folder")
        for place in _in_folder(root, paths, not_read, named=is_glob):
            yield place._replace(version=versions[place.path])


def _fixed_folder(pattern: str) -> str:
    """Returns the part of a glob in which nothing can vary."""
    folder, slash, _ = _GLOB.split(pattern)[0].rpartition("/")
    return folder or slash


def _walk(root: str, not_read: Counter[str]) -> Iterator[Place]:
    def fail(error: OSError) -> None:
        raise SourceError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    for folder, folders, names in os.walk(root, onerror=fail):
        # A folder with the name of a file is an input that cannot be read; what it holds is looked at all the same.
        disguised = [name for name in folders if is_input(name)]
        yield from _in_folder(root, [os.path.join(folder, name) for name in names + disguised], not_read)


def _in_folder(root: str, paths: list[str], not_read: Counter[str], *, named: bool = False) -> Iterator[Place]:
    start = len(os.path.join(root, "")) if root else 0
    archives = archive_suffixes()
    for path in paths:
        if is_input(path) or path.lower().endswith(archives):
            yield Place(path, path[start:], named)
        else:
            not_read[ending_of(path)] += 1


def _read_list(path: str, not_read: Counter[str]) -> Iterator[Place]:
    folder = path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)
    text = files.read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    for line in text.splitlines():
        name = line.strip().decode("utf-8", "surrogateescape")
        if not name or name.startswith("#"):
            continue
        full = name if is_remote(name) or os.path.isabs(name) else files.join(folder, name)
        if is_remote(full) and name.endswith("/"):
            versions = files.list_versions(full)
            for place in _in_folder(full, list(versions), not_read):
                yield place._replace(version=versions[place.path])
        elif not is_remote(full) and os.path.isdir(full) and not is_input(full):
            yield from _walk(full, not_read)
        else:
            yield Place(full, name)
