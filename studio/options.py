"""What the page asks for, as JSON from outside, becomes a `SampleConfig` of a few takes, or one line that says why not.

Names, types and meaning are those of `SampleConfig`, and so are the messages. What the studio adds are bounds: they
keep one request from holding the model for an hour, and numbers inside what the compiled function can count with.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DRUMS
from ostinato.pretrained.models import is_name
from ostinato.sample.parse import MODES
from ostinato.train.loaded_run import LoadedRun
from ostinato.train.music_heard import music_heard

MAX_WORDS, MAX_CHARACTERS = 130, 200
"""Names in a list (all instruments there are), and characters of a name."""

MAX_TAKES = 4
"""That are generated side by side."""

RANGES: dict[str, tuple[type[int] | type[float], float, float]] = {
    "seed": (int, 0, 2**31 - 1),
    "num_pieces": (int, 1, MAX_TAKES),
    "num_bars": (int, 0, 256),
    "num_notes": (int, 0, 8192),
    "num_seconds": (float, 0, 1200),
    "max_notes": (int, 1, 8192),
    "tempo": (float, 0, 1000),
    "temperature": (float, 0, 4),
    "top_k": (int, 0, 1000),
    "top_p": (float, 0, 1),
    "min_p": (float, 0, 1),
    "key_bias": (float, 0, 50),
    "repeat_strength": (float, -100, 100),
    "density": (float, 0, 1000),
    "loop_guard": (int, 0, 1000),
    "particles": (int, 1, 64),
    "primer_start": (int, 1, 100_000),
    "primer_bars": (int, 0, 100_000),
}
"""The numbers that may be asked for, lowest and highest. What the library refuses (a tempo of 300) it says itself."""
_TEXTS = ("style", "meter", "key", "form")
_NAMES = ("instruments", "melody")
OFFERED = (*RANGES, *_TEXTS, *_NAMES, "pitch_range", "field_temperature", "fill_bars")


def parse_options(given: object) -> SampleConfig:
    """Returns the configuration of one piece or a few: an object of JSON, options by their names in `SampleConfig`.

    Raises:
        UserError: something is no option of the studio, of the wrong type, or out of bounds; in one line.
    """
    if not isinstance(given, Mapping):
        raise UserError(f"options must be an object of JSON, not {_shown(given)}")
    options = {name: _parse(name, value) for name, value in given.items()}
    return SampleConfig(**{"num_pieces": 1, **options})


def describe_model(run: LoadedRun, source: str | Path, folder: Path) -> dict[str, Any]:
    """Returns what the page shows and offers: names, defaults and bounds."""
    defaults = {field.name: field.default for field in dataclasses.fields(SampleConfig)} | {"num_pieces": 1}
    return {
        "name": str(source) if is_name(source) else Path(source).resolve().name,
        "step": run.step,
        "folder": str(folder.absolute()),
        "instruments": [instrument_name(program) for program in range(DRUMS + 1)],
        "known_instruments": known_instruments(run.description),
        "codec": run.codec.name,
        "styles": [style for style in run.codec.styles if style],
        "fields": [field.name for field in run.codec.fields],
        "modes": list(MODES),
        "defaults": {name: defaults[name] for name in OFFERED},
        "ranges": {name: [low, high] for name, (_, low, high) in RANGES.items()},
    }


def known_instruments(description: Mapping[str, Any]) -> list[str]:
    """Returns what the model heard in training, the most frequent first; nothing where nobody knows."""
    music = music_heard(description)
    if music is None:
        return []
    heard = music.program_notes
    return [instrument_name(int(program)) for program in np.argsort(-heard, kind="stable") if heard[program]]


def _parse(name: str, value: object) -> Any:
    if name in RANGES:
        return _number(name, value, *RANGES[name])
    if name in _TEXTS:
        return _text(name, value)
    if name in _NAMES:
        return tuple(_text(name, word) for word in _list(name, value, MAX_WORDS))
    if name == "fill_bars":
        return tuple(_number("fill_bars", bar, *RANGES["primer_start"]) for bar in _list(name, value, 2, least=2))
    if name == "pitch_range":
        return tuple(_text(name, pitch) for pitch in _list(name, value, 2, least=2))
    if name == "field_temperature":
        pairs = [_list(name, pair, 2, least=2) for pair in _list(name, value, 8)]
        return tuple((_text(name, field), _number(name, heat, *RANGES["temperature"])) for field, heat in pairs)
    raise UserError(f"{_shown(name)} is not one of the options: {', '.join(OFFERED)}")


def _number(name: str, value: object, kind: type[int] | type[float], low: float, high: float) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise UserError(f"{name} must be a number, not {_shown(value)}")
    if kind is int and value % 1:
        raise UserError(f"{name} must be a whole number, not {_shown(value)}")
    if not low <= value <= high:
        raise UserError(f"{name} {_shown(value)} is not from {low:,g} to {high:,g}")
    return kind(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS or not value.isprintable():
        raise UserError(f"{name} must be text of at most {MAX_CHARACTERS} characters, not {_shown(value)}")
    return value


def _list(name: str, value: object, most: int, *, least: int = 0) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise UserError(f"{name} must be a list of {least} to {most}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
