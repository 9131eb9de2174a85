"""What the page asks for: options, at most one file that the music is made around, and which of several takes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from ostinato.configs.documents import Count, parse_document
from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.studio.options import parse_options

INPUTS = ("primer", "harmonise", "fill")
"""What a file may be: the beginning, the notes that stay, the piece of which some bars are generated again."""


class _Asked(TypedDict):
    options: NotRequired[dict[str, Any]]
    primer: NotRequired[Any]
    harmonise: NotRequired[Any]
    fill: NotRequired[Any]
    take: NotRequired[Count | None]


class Request(NamedTuple):
    """What is asked for, checked."""

    config: SampleConfig
    inputs: Mapping[str, Path]
    """At most one file, by the name of its option."""
    take: int | None = None
    """Of `config.num_pieces`, the only one that is wanted; None wants all."""

    @property
    def wanted(self) -> list[int]:
        """The numbers of the pieces that are wanted."""
        return list(range(self.config.num_pieces)) if self.take is None else [self.take]


def parse_request(body: bytes, find_upload: Callable[[object], Path]) -> Request:
    """Returns what is asked for.

    Args:
        body: JSON from outside.
        find_upload: returns the file that {"name": …, "sha256": …} names.

    Raises:
        UserError: something in it is no request, no option, or no file; in one line.
    """
    asked = parse_document(body, _Asked, where="the request", is_python=True)
    if others := asked.keys() - {"options", "take", *INPUTS}:
        raise UserError(f"the request has {min(others)!r}; it takes options, take and one of {', '.join(INPUTS)}")
    given = {name: file for name in INPUTS if (file := asked.get(name)) is not None}
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other; give one of them")
    config, take = parse_options(asked.get("options", {})), asked.get("take")
    if take is not None and take >= config.num_pieces:
        raise UserError(f"take {take} is not from 0 to {config.num_pieces - 1}: there are num_pieces of them")
    return Request(config, {name: find_upload(file) for name, file in given.items()}, take)
