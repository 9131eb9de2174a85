"""What one file holds: itself, inflated if it is compressed; the tunes of an ABC book; the members of a zip."""

import io
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ostinato.beam_pipelines.inputs import archives, listing
from ostinato.beam_pipelines.inputs.compression import inflate
from ostinato.beam_pipelines.inputs.endings import (
    ZIP_SUFFIXES,
    Kind,
    compression_of,
    describe_not_read,
    ending_of,
    is_input,
    kind_of,
)
from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.inputs.places import folder_name, stem
from ostinato.music.abc import split_tunes, tune_starts

MAX_ZIP_BYTES = 64 << 20
"""Of a zip archive in another archive, which is read into memory."""
MAX_ZIP_MEMBERS = 100_000
"""Of such an archive."""
MAX_TUNES = 10_000
"""Of a book."""
FREE_HEADS_BYTES = 16 << 20
MAX_HEADS = 20
"""What a book says of all its tunes is read with each: so many bytes in all, or so many times the size of the book."""


class Content(NamedTuple):
    """One input that a file holds."""

    suffix: str
    """Behind the name of the file: empty, `#3` for the third tune of a book, `!name` for a member of a zip."""
    data: bytes
    refusal: archives.Refusal | None = None
    kind: Kind = "midi"
    folder: str = ""
    """In a zip: see `sources.Input.folder`."""


def max_bytes_of(name: str, max_bytes: int) -> int:
    """Returns how large a file may be of which a single input may have max_bytes."""
    return max(max_bytes, MAX_ZIP_BYTES) if name.lower().endswith(ZIP_SUFFIXES) else max_bytes


def contents(name: str, data: bytes, *, max_bytes: int) -> Iterator[Content]:
    """Yields what a file holds; a zip is expected in an archive only, and zips in it are not opened.

    Members of a zip that are not read for their endings are one refusal together: only here is it known what it holds.

    Args:
        name: of the file, whose ending says what it is.
        data: its bytes.
        max_bytes: an input that has more is refused.
    """
    if name.lower().endswith(ZIP_SUFFIXES):
        yield from _members(name, data, max_bytes)
        return
    try:
        if method := compression_of(name):
            data = inflate(data, method, max_bytes=max_bytes)
        num_tunes = _count_tunes(data) if kind_of(name) == "abc" else 0
    except UnreadableError as error:
        yield Content("", b"", (error.reason, error.detail))
        return
    if num_tunes < 2:
        yield Content("", data, kind=kind_of(name))
        return
    for number, tune in enumerate(split_tunes(data), 1):
        yield Content(f"#{number}", tune, kind=kind_of(name))


def _count_tunes(data: bytes) -> int:
    """Returns how many tunes a book has, after a check of what they come to: each is read behind the book's head."""
    starts = tune_starts(data)
    if len(starts) > MAX_TUNES:
        raise UnreadableError("too_large", f"{len(starts)} tunes, at most {MAX_TUNES} are allowed")
    if starts and len(starts) * starts[0] > max(FREE_HEADS_BYTES, MAX_HEADS * len(data)):
        raise UnreadableError("archive_bomb", f"{len(starts)} tunes, before each of which {starts[0]} bytes are read")
    return len(starts)


def _members(name: str, data: bytes, max_bytes: int) -> Iterator[Content]:
    file = io.BytesIO(data)
    listed, refusal = listing.list_zip(file)
    if len(listed) > MAX_ZIP_MEMBERS:
        refusal = "archive_bomb", f"{len(listed)} members, at most {MAX_ZIP_MEMBERS} are allowed"
        listed = []
    seen: Counter[str] = Counter()
    not_read: Counter[str] = Counter()
    for member in listed:
        if not is_input(member.name):
            if not member.name.endswith("/"):
                not_read[ending_of(member.name)] += 1
            continue
        seen[member.name] += 1
        suffix = f"!{member.name}" + (f"#{seen[member.name]}" if seen[member.name] > 1 else "")
        folder = folder_name(member.name) or stem(name)
        try:
            found = archives.read_member(file, "zip", member, max_bytes=max_bytes)
        except UnreadableError as unreadable:
            yield Content(suffix, b"", (unreadable.reason, unreadable.detail), folder=folder)
            continue
        for content in contents(member.name, found, max_bytes=max_bytes):
            yield content._replace(suffix=suffix + content.suffix, folder=folder)
    if not_read:
        yield Content("", b"", ("other_members", describe_not_read(not_read)))
    if refusal:
        yield Content("", b"", refusal)
