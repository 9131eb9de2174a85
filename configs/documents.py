"""Documents from folders that a stranger may have written: JSON, TOML and JSON lines, checked before they are used.

What a document may hold is said by a type (a TypedDict, a NamedTuple, a dataclass), and msgspec holds it against that:

    class Shard(TypedDict):
        file: FileName
        bytes: Count

    shard = read_document(path, Shard, error=DatasetError)

What is returned is what the document says, of which the type names the part that is used. Fields that a type does not
name, of later versions for instance, stay in it. A document is refused with an error that names the file and the field
where it is too large or too deep, is no regular file, lies behind a link out of its folder, has a value of another type
or out of its range, NUL in a text, half a surrogate pair, or a number that JSON has not (NaN, Infinity, 1e400). Of a
key that is there twice the last value counts, as for all of Python's readers.
"""

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO, TypeVar

import msgspec
from msgspec import Meta

from ostinato.configs.errors import UserError

T = TypeVar("T")

MAX_BYTES = 64 << 20
"""Of a document, where its reader does not say otherwise."""
MAX_LINE_BYTES = 4 << 20
ANYWHERE = Path("/")
"""The folder of files that may be links to others, as in the cache of a Hub."""
MAX_DEPTH = 32
"""Of lists and objects within each other."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""How many of something there are; up to here floats are exact, too."""
FileName = Annotated[str, Meta(pattern=r"\A(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,255}\Z")]
"""The name of a file within a folder."""
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_document(
    path: Path,
    kind: type[T],
    *,
    error: type[UserError] = UserError,
    advice: str = "",
    folder: Path | None = None,
    max_bytes: int = MAX_BYTES,
    is_python: bool = False,
) -> T:
    """Returns what a file of JSON says.

    Args:
        path: of the file.
        kind: the type that it has to be of.
        error: what is raised.
        advice: the end of a message about a damaged file.
        folder: in which it has to lie, links followed; that of the file by default.
        max_bytes: more are not read.
        is_python: of a file that may hold what only Python's JSON has: NaN, Infinity, names of files that are no UTF-8.

    Raises:
        UserError: it cannot be read, or is not of this type; of the type `error`.
    """
    data = read_bounded(path, error=error, folder=folder, max_bytes=max_bytes)
    return parse_document(data, kind, where=path, error=error, advice=advice, is_python=is_python)


def parse_document(
    data: bytes,
    kind: type[T],
    *,
    where: object,
    error: type[UserError] = UserError,
    advice: str = "",
    is_python: bool = False,
) -> T:
    """Returns what JSON says; `where` begins each message."""
    try:
        if _NUL.search(data):
            raise ValueError("a text in it holds NUL")
        values = json.loads(data) if is_python else msgspec.json.decode(data)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: damaged, not JSON ({_printable(problem)}){_end(advice)}") from problem
    return check_document(values, kind, where=where, error=error, advice=advice)


def check_document(
    values: Any, kind: type[T], *, where: object, error: type[UserError] = UserError, advice: str = ""
) -> T:
    """Returns values of JSON as they are, once they were found to be of a type."""
    try:
        _check_depth(values)
        msgspec.convert(values, kind)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: damaged ({_field_first(problem)}){_end(advice)}") from problem
    return values


def read_lines(path: Path, kind: type[T], *, error: type[UserError] = UserError, advice: str = "") -> Iterator[T]:
    """Yields what each line of a file of Python's JSON says; what its writer did not finish, at the end, is left out.

    A process may have died in the middle of the last line; after a power loss the last ones may hold zeros.

    Raises:
        UserError: the file cannot be read, or a line is not of this type; with its number.
    """
    with _named(path, error), _open(path, error, path.parent) as file:
        number = zeros = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE_BYTES:
                    raise error(f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes{_end(advice)}")
                return
            if b"\0" in line:
                zeros = zeros or number
                continue
            if zeros:
                raise error(f"{path}, line {zeros}: damaged, it holds zeros{_end(advice)}")
            yield parse_document(line, kind, where=f"{path}, line {number}", error=error, advice=advice, is_python=True)


def parse_toml(data: bytes, *, where: object, error: type[UserError] = UserError) -> dict[str, Any]:
    """Returns what TOML says."""
    try:
        values = tomllib.loads(data.decode())
        _check_depth(values)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: cannot be read as TOML ({_printable(problem)})") from problem
    return values


def read_bounded(
    path: Path, *, error: type[UserError] = UserError, folder: Path | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """Returns the bytes of a regular file in a folder (that of the file by default), which has no more than so many."""
    with _named(path, error), _open(path, error, folder or path.parent) as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise error(f"{path}: has {size:,} bytes, at most {max_bytes:,} are read")
        return file.read(size)


def inside(folder: Path, name: str, *, error: type[UserError] = UserError) -> Path:
    """Returns a file of a folder by the name that a document gives it, with forward slashes.

    Raises:
        UserError: it does not lie in the folder, links followed.
    """
    parts = PurePosixPath(name).parts
    path = folder / name
    is_usual = name.isprintable() and all(len(part.encode()) <= 255 for part in parts)
    if not is_usual or not 0 < len(parts) <= MAX_DEPTH or parts[0] == "/" or ".." in parts:
        raise error(f"{folder}: {name!a:.100} is not the name of a file in this folder")
    check_inside(folder, path, error=error)
    return path


def check_inside(folder: Path, path: Path, *, error: type[UserError] = UserError) -> None:
    """Refuses a path that does not lie in a folder once links are followed."""
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as problem:  # a circle of links; NUL
        raise error(f"{path}: {_printable(problem)}") from problem
    if not is_inside:
        raise error(
            f"{path}: leads out of {folder}; a folder has to hold its files itself (cp -rL copies what is linked)"
        )


def _open(path: Path, error: type[UserError], folder: Path) -> BinaryIO:
    check_inside(folder, path, error=error)
    # Without O_NONBLOCK opening a pipe waits for its other end.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{path}: is not a regular file")
    return file


@contextmanager
def _named(path: Path, error: type[UserError]) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise error(f"{path}: {problem.strerror or problem}") from problem


def _check_depth(values: Any) -> None:
    level = [values] if isinstance(values, dict | list) else []
    for _ in range(MAX_DEPTH):
        inner = (part for node in level for part in (node.values() if isinstance(node, dict) else node))
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return
    raise ValueError(f"more than {MAX_DEPTH} lists and objects within each other")


def _field_first(problem: Exception) -> str:
    """Returns what msgspec found, with the field in front: `splits[...].pieces: expected int, got str`."""
    what, _, place = _printable(problem).partition(" - at ")
    field = re.sub(r"(key in )?\$\.?", r"\1", place)
    what = re.sub(r"str matching regex .*", "a name or digest of the usual form", f"{what[:1].lower()}{what[1:]}")
    return f"{field}: {what}" if field else what


def _printable(problem: Exception) -> str:
    """Returns a message as one line; it may quote what a stranger wrote."""
    text = "too deep" if isinstance(problem, RecursionError) else " ".join(str(problem).replace("`", "").split())[:300]
    return text if text.isprintable() else ascii(text)[1:-1]


def _end(advice: str) -> str:
    return f"; {advice}" if advice else ""
