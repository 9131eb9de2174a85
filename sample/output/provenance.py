"""Where a piece comes from: everything that `ostinato sample --again` needs to make it again, to the same bytes.

It stands twice: as a text event in the MIDI file, which names what it was made from by content alone, so that the same
checkpoint, seed and options give the same bytes in every folder; and as a JSON file beside it, which also says where
the run and the other inputs were found, and has the SHA-256 of the MIDI file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

from msgspec import Meta

from ostinato.configs.documents import ANYWHERE, Count, check_document, parse_document, read_bounded
from ostinato.configs.errors import UserError
from ostinato.configs.schema import MAX_SEED, SampleConfig
from ostinato.configs.versions import package_version
from ostinato.data.records import Dataset
from ostinato.music.midi import MIDI_SUFFIXES
from ostinato.music.midi_bytes import read_number
from ostinato.music.notation import KINDS
from ostinato.sample.controls import (
    comes_to_end,
    default_pitch_range,
    default_repeat_strength,
    default_top_p,
    tells_key,
)
from ostinato.train.checkpoint import LoadedRun

SPEED_OPTIONS = ("batch_size",)
"""Options that do not change the music; they are not written down."""

_LATER_OPTIONS = ("without_primer", "repeat_strength", "form", "ending", "final_chord", "diverse")
"""Options that version 0.1 did not have. They are written down where they are given: other pieces keep their bytes."""

_KIND = "ostinato"
LAYOUT = 2
"""Of the MIDI files that are written now. Those of 1, which do not name it, have no title, a key signature only where
the network was told the key, and end with their last note; from 2 on they end at a bar line."""

_PARTS = ("generator", "version", "params_sha256", "step", "seed", "piece", "options", "inputs")


class ProvenanceError(UserError):
    """A piece that cannot be made again: what is known about it is missing, damaged, or does not fit."""


class Input(TypedDict):
    """What a piece was made with."""

    name: str
    sha256: str


class RecipeFile(TypedDict):
    """What the text event and the file beside a piece say."""

    generator: str
    layout: NotRequired[Annotated[int, Meta(ge=1, le=LAYOUT)]]
    version: str
    params_sha256: str
    step: Count
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)]
    piece: Count
    options: dict[str, Any]
    """The fields of SampleConfig but for the seed: `config_of` reads them."""
    inputs: dict[str, Input]
    found: NotRequired[dict[str, str]]
    midi_sha256: NotRequired[str]


class _EditedFile(TypedDict):
    generator: str
    version: str
    edited: Input


class Recipe(NamedTuple):
    """What a file says about how it was made."""

    source: Path
    """The file that says so."""
    origin: dict[str, Any]
    """As in the MIDI file; the module docstring says what is in it."""
    found: dict[str, str]
    """Paths of the run and the inputs when it was made; empty where only a MIDI file is left."""
    midi_sha256: str
    """Of the file that has to come out."""

    @property
    def piece(self) -> int:
        return self.origin["piece"]


def describe_origin(
    run: LoadedRun, config: SampleConfig, inputs: Mapping[str, str | Path], *, piece: int
) -> dict[str, Any]:
    """Returns what the MIDI file of a piece says about itself.

    Args:
        run: the trained model.
        config: all options.
        inputs: files, folders and datasets that decide about the music, by the name of their option; empty ones are
            left out.
        piece: its number.
    """
    options = {name: value for name, value in dataclasses.asdict(config).items() if name not in SPEED_OPTIONS}
    options["tempo"] = int(config.tempo) if config.tempo % 1 == 0 else config.tempo  # 90, as version 0.1 wrote it
    # Of a model with a copy gate, `repeat_strength` is always written: it tells which defaults hold.
    copy = run.config.model.copy
    options["top_p"] = default_top_p(copy) if config.top_p is None else config.top_p
    options["pitch_range"] = config.pitch_range or default_pitch_range(copy)
    options["ending"] = comes_to_end(config, copy)
    if config.repeat_strength is None:
        options["repeat_strength"] = default_repeat_strength(copy)
    if not tells_key(config, run.config.model):
        del options["key_tries"]
    options["final_chord"] &= options["ending"]
    for name in _LATER_OPTIONS:
        if not options[name] and not (name == "repeat_strength" and copy):
            del options[name]
    return {
        "generator": _KIND,
        "layout": LAYOUT,
        "version": package_version("ostinato"),
        "params_sha256": run.params_sha256,
        "step": run.step,
        "seed": options.pop("seed"),
        "piece": piece,
        "options": options,
        "inputs": {name: describe_input(path) for name, path in inputs.items() if str(path)},
    }


def default_options(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that `describe_origin` would write where none is given."""
    defaults = {field.name: field.default for field in dataclasses.fields(SampleConfig)}
    copy = "repeat_strength" in origin["options"]
    of_gate = {
        "top_p": default_top_p(copy),
        "repeat_strength": default_repeat_strength(copy),
        "ending": copy,
        "pitch_range": default_pitch_range(copy),
    }
    return defaults | of_gate


def describe_input(path: str | Path) -> dict[str, str]:
    """Returns name and fingerprint of a file, a folder of MIDI files, or a dataset.

    Raises:
        UserError: there is no such thing.
    """
    path = Path(path)
    if (path / "manifest.json").is_file():
        return {"name": path.name, "sha256": Dataset.open(path).fingerprint}
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in (*MIDI_SUFFIXES, *KINDS)):
            digest.update(f"{file.relative_to(path)}: {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return {"name": path.name, "sha256": digest.hexdigest()}
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def origin_text(origin: Mapping[str, Any]) -> str:
    """Returns the text event of a MIDI file."""
    return json.dumps(origin, sort_keys=True, separators=(",", ":"))


def provenance_json(origin: Mapping[str, Any], found: Mapping[str, str], midi_bytes: bytes) -> bytes:
    """Returns the JSON file that stands beside a MIDI file."""
    document = {**origin, "found": dict(found), "midi_sha256": hashlib.sha256(midi_bytes).hexdigest()}
    return (json.dumps(document, indent=1) + "\n").encode()


def describe_edited(name: str, sha256: str) -> dict[str, Any]:
    """Returns what the MIDI file of a piece says that was edited by hand: from which other."""
    return {
        "generator": _KIND,
        "version": package_version("ostinato"),
        "edited": {"name": name, "sha256": sha256},
    }


def read_origin(path: Path) -> dict[str, Any]:
    """Returns what a file says about itself: as `describe_origin` or, with `edited`, as `describe_edited` gives it.

    Raises:
        ProvenanceError: it says neither.
    """
    found, _ = _read(path)
    if "edited" not in found:
        return read_recipe(path).origin
    return dict(check_document(found, _EditedFile, where=path, error=ProvenanceError))


def read_recipe(path: Path) -> Recipe:
    """Returns how a piece was made, from its MIDI file or the JSON file beside it.

    Raises:
        ProvenanceError: the file does not say.
    """
    found, data = _read(path)
    if found.get("generator") == _KIND and "edited" in found:
        name = check_document(found, _EditedFile, where=path, error=ProvenanceError)["edited"]["name"]
        raise ProvenanceError(f"{path}: was edited by hand, from {name}; --again makes only what a model generated")
    if found.get("generator") != _KIND or not set(_PARTS) <= set(found):
        raise ProvenanceError(
            f"{path}: does not say how it was made; --again takes a MIDI file of 'ostinato sample', or its .json"
        )
    document = check_document(found, RecipeFile, where=path, error=ProvenanceError)
    origin = {name: found[name] for name in (_PARTS[0], "layout", *_PARTS[1:]) if name in found}
    origin["options"] = _in_order(origin["options"])
    if path.suffix.lower() not in MIDI_SUFFIXES:
        return Recipe(path, origin, document.get("found", {}), document.get("midi_sha256", ""))
    places: dict[str, str] = {}
    beside = path.with_suffix(".json")
    if beside.is_file():
        other = read_recipe(beside)
        places = other.found if other.origin == origin else {}
    return Recipe(path, origin, places, hashlib.sha256(data).hexdigest())


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Returns the JSON in a MIDI file, or of the file beside it, and the bytes of the file."""
    if not path.is_file():
        raise ProvenanceError(f"{path}: no such file; --again takes a MIDI file that ostinato wrote, or its .json")
    data = read_bounded(path, error=ProvenanceError, folder=ANYWHERE)
    try:
        text = _first_text(data) if path.suffix.lower() in MIDI_SUFFIXES else data
        return parse_document(text, dict[str, Any], where="its text", error=ProvenanceError, is_python=True), data
    except UserError as error:
        raise ProvenanceError(f"{path}: says nothing about how it was made ({error})") from error


def config_of(recipe: Recipe) -> SampleConfig:
    """Returns the options that a piece was made with.

    Raises:
        ProvenanceError: this version has other options.
    """
    options = {name: _tuples(value) for name, value in recipe.origin["options"].items()}
    # As pieces of earlier versions were made: cut, written once, and held on whatever sounded.
    options = {"ending": False, "key_tries": 1, "final_chord": False, **options}
    whole = {**recipe.origin["options"], "seed": recipe.origin["seed"]}
    check_document(whole, SampleConfig, where=f"{recipe.source}: options", error=ProvenanceError)
    try:
        return SampleConfig(seed=recipe.origin["seed"], **options)
    except TypeError as error:
        version = package_version("ostinato")
        raise ProvenanceError(
            f"{recipe.source}: was made by ostinato {recipe.origin['version']}, this is {version}, which has other "
            f"options ({error})"
        ) from error


def _first_text(data: bytes) -> bytes:
    """Returns the text event that `midi_write.write` puts at the beginning of a file.

    Raises:
        UserError: the file does not begin with one.
    """
    head = data[22:25]  # after the header's 14 bytes, and kind and length of the first track
    if len(data) < 29 or data[:4] != b"MThd" or head != b"\x00\xff\x01":
        raise UserError("no text event at the beginning; a program that saved it anew may have left it out")
    length, position = read_number(data, 25)
    return data[position : position + length]


def _in_order(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options in the order in which `SampleConfig` has them; the text event has them sorted by name."""
    order = {field.name: number for number, field in enumerate(dataclasses.fields(SampleConfig))}
    return dict(sorted(options.items(), key=lambda item: order.get(item[0], len(order))))


def _tuples(value: Any) -> Any:
    """Returns JSON's lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
