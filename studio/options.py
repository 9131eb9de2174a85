"""What the page asks for, as JSON from outside, becomes a `SampleConfig` of one piece, or one line that says why not.

Names, types and meaning are those of `SampleConfig`, and so are the messages. What the studio adds are bounds: they
keep one request from holding the model for an hour, and numbers inside what the compiled function can count with.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec
from ostinato.sample.controls import make_controls
from ostinato.sample.parse import MODES

MAX_SEED = 2**31 - 1
MAX_WORDS = 130
"""Names in a list: all instruments there are."""
MAX_CHARACTERS = 200
"""Of a name."""


class Range(NamedTuple):
    """A number, from `low` to `high`, both allowed."""

    kind: type[int] | type[float]
    low: float
    high: float


RANGES = {
    "seed": Range(int, 0, MAX_SEED),
    "num_bars": Range(int, 0, 256),
    "num_notes": Range(int, 0, 8192),
    "num_seconds": Range(float, 0, 1200),
    "max_notes": Range(int, 1, 8192),
    "tempo": Range(int, 0, 1000),
    "temperature": Range(float, 0.05, 4),
    "top_k": Range(int, 0, 1000),
    "top_p": Range(float, 0, 1),
    "min_p": Range(float, 0, 1),
    "key_bias": Range(float, 0, 50),
    "density": Range(float, 0, 1000),
    "loop_guard": Range(int, 0, 1000),
    "primer_start": Range(int, 1, 100_000),
    "primer_bars": Range(int, 0, 100_000),
}
"""The numbers that may be asked for. What is too narrow for the library (a tempo of 300) it says by itself."""

_FIELD_TEMPERATURE = Range(float, 0.05, 4)
_TEXTS = ("style", "meter", "key")
OFFERED = (*RANGES, *_TEXTS, "instruments", "pitch_range", "field_temperature")
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(SampleConfig)}


def parse_options(given: object) -> SampleConfig:
    """Returns the configuration of one piece.

    Args:
        given: an object of JSON with options by their names in `SampleConfig`; what is left out is as by default.

    Raises:
        UserError: something is no option of the studio, of the wrong type, or out of bounds; in one line.
    """
    if not isinstance(given, Mapping):
        raise UserError(f"options must be an object of JSON, not {_shown(given)}")
    unknown = [name for name in given if name not in OFFERED]
    if unknown:
        raise UserError(f"{_shown(unknown[0])} is not one of the options: {', '.join(OFFERED)}")
    return SampleConfig(num_pieces=1, **{name: _parse(name, value) for name, value in given.items()})


def check_options(config: SampleConfig, codec: Codec) -> None:
    """Refuses what the model cannot be asked for.

    Raises:
        UserError: the sampler's own message.
    """
    make_controls(config, codec)


def describe_controls(codec: Codec) -> dict[str, Any]:
    """Returns what the page offers: names, defaults and bounds."""
    return {
        "codec": codec.name,
        "styles": [style for style in codec.styles if style],
        "fields": [field.name for field in codec.fields],
        "modes": list(MODES),
        "defaults": {name: _DEFAULTS[name] for name in OFFERED},
        "ranges": {name: [bounds.low, bounds.high] for name, bounds in RANGES.items()},
    }


def _parse(name: str, value: object) -> Any:
    if name in RANGES:
        return _number(name, value, RANGES[name])
    if name in _TEXTS:
        return _text(name, value)
    if name == "instruments":
        return tuple(_text(name, word) for word in _list(name, value, MAX_WORDS))
    if name == "pitch_range":
        words = tuple(_text(name, word) for word in _list(name, value, 2))
        if len(words) != 2:
            raise UserError(f"pitch_range must be two pitches, the lowest and the highest, not {_shown(value)}")
        return words
    pairs = [_list(name, pair, 2) for pair in _list(name, value, 8)]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError(f"field_temperature must be pairs of a field and a number, not {_shown(value)}")
    return tuple((_text(name, field), _number(name, heat, _FIELD_TEMPERATURE)) for field, heat in pairs)


def _number(name: str, value: object, bounds: Range) -> int | float:
    kind = "a whole number" if bounds.kind is int else "a number"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UserError(f"{name} must be {kind}, not {_shown(value)}")
    if isinstance(value, float) and (not math.isfinite(value) or (bounds.kind is int and not value.is_integer())):
        raise UserError(f"{name} must be {kind}, not {_shown(value)}")
    if not bounds.low <= value <= bounds.high:
        raise UserError(f"{name} {_shown(value)} is not from {bounds.low:,g} to {bounds.high:,g}")
    return bounds.kind(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS or not value.isprintable():
        raise UserError(f"{name} must be text of at most {MAX_CHARACTERS} characters, not {_shown(value)}")
    return value


def _list(name: str, value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise UserError(f"{name} must be a list of at most {most}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
