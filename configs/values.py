"""Configurations from names and values: keywords in Python, the keys of a file. Names and types are checked."""

import dataclasses
import difflib
import operator
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from ostinato.configs.errors import UserError

Config = TypeVar("Config")


class UnknownOptionError(UserError, TypeError):
    """A name that is not one of the options; Python's own error for an unknown keyword is a TypeError."""


def similar(word: str, words: Sequence[str]) -> str:
    """Returns which words a person may have meant, as ` (perhaps a or b)`.

    They are those of which a part begins so, or that are spelled alike; nothing where there is none.
    """
    near = [name for name in words if re.search(rf"[-._]{re.escape(word.strip('-'))}", name)]
    near = near or difflib.get_close_matches(word, words, cutoff=0.7)
    return f" (perhaps {' or '.join(near[:2])})" if near else ""


def with_values(config: Config, values: Mapping[str, Any], *, where: str = "", also: Sequence[str] = ()) -> Config:
    """Returns a configuration with other values.

    Args:
        config: a dataclass.
        values: by the names of its fields. That of a nested configuration is a mapping of the same kind, or a whole
            configuration. Lists stand for tuples, also of pairs a mapping, and whole numbers for others.
        where: what messages begin with, such as `run.toml: `.
        also: names that somebody else takes, to be offered to those who misspell one.

    Raises:
        UnknownOptionError: there is no such field; with the name that is nearest.
        UserError: a value is of another type, or the configuration refuses it.
    """
    try:
        return _replaced(config, values, "", [*option_names(config), *also])
    except UserError as error:
        raise type(error)(f"{where}{error}") from error


def option_names(config: Any, prefix: str = "") -> Iterator[str]:
    """Yields the names of all fields of a configuration, those of nested ones as `model.cell`."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name, None)
        if dataclasses.is_dataclass(value):
            yield from option_names(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def _replaced(config: Any, values: Mapping[str, Any], prefix: str, names: Sequence[str]) -> Any:
    hints, changed = typing.get_type_hints(type(config)), {}
    known = {field.name for field in dataclasses.fields(config)}
    for name, value in values.items():
        if name not in known:
            raise UnknownOptionError(f"unknown option {prefix}{name}{similar(name, names)}")
        nested = getattr(config, name)
        if dataclasses.is_dataclass(nested) and isinstance(value, Mapping):
            changed[name] = _replaced(nested, value, f"{prefix}{name}.", names)
        else:
            changed[name] = as_type(hints[name], value, f"{prefix}{name}")
    return dataclasses.replace(config, **changed)


def as_type(hint: Any, value: Any, name: str) -> Any:
    """Returns a value as the type of a field holds it: a whole number as a float, a list as a tuple.

    Args:
        hint: the type.
        value: what was given.
        name: of the field.

    Raises:
        UserError: it is of another type.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in parts:
            return None
        (inner,) = (part for part in parts if part is not types.NoneType)
        return as_type(inner, value, name)
    if origin is tuple:
        return _as_tuple(parts, value, name)
    if origin is Literal:
        if not isinstance(value, str) or value not in parts:
            raise UserError(f"{name} {value!r} must be one of {', '.join(map(str, parts))}")
        return value
    if dataclasses.is_dataclass(hint):
        fits, wanted = isinstance(value, typing.cast(type, hint)), "a table of options"
        convert: Any = lambda whole: whole  # noqa: E731
    else:
        fits, wanted, convert = {
            bool: (isinstance(value, bool), "true or false", bool),
            int: (hasattr(value, "__index__") and not isinstance(value, bool), "a whole number", operator.index),
            float: (hasattr(value, "__float__") and not isinstance(value, bool), "a number", float),
            str: (isinstance(value, str), "text", str),
            Path: (isinstance(value, str | os.PathLike), "a path", Path),
        }[hint]
    if not fits:
        raise UserError(f"{name} must be {wanted}, not {value!r}")
    return convert(value)


def _as_tuple(parts: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    is_any_length = parts[-1] is Ellipsis
    if isinstance(value, Mapping):
        value = list(value.items())
    elif isinstance(value, str | os.PathLike) and is_any_length:
        value = [value]  # one instrument, not its letters
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(f"{name} must be a list, not {value!r}")
    values: list[Any] = list(value)
    if not is_any_length and len(values) != len(parts):
        raise UserError(f"{name} must be a list of {len(parts)}, not {value!r}")
    hints = [parts[0]] * len(values) if is_any_length else parts
    # In a list of names numbers may stand as numbers: programs, pitches.
    return tuple(
        as_type(hint, str(one) if hint is str and isinstance(one, int) else one, name)
        for hint, one in zip(hints, values, strict=True)
    )
