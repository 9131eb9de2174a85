"""Reading and encoding MIDI files, beside what people would use instead, in one run on one core.

    python -m ostinato.benchmarks.read --data FOLDER [--smoke]

FOLDER holds MIDI files or zip archives of them. Rates are notes per second of CPU time of this process; the variants
take turns at each group of files, and the median over the rounds is reported. Some minutes on one core.
"""

import importlib.util
import io
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pretty_midi
import symusic
import tyro

from ostinato.benchmarks import collection
from ostinato.launch.commands.show import print_table
from ostinato.music import midi
from ostinato.music.score_codec import ScoreCodec

ROUNDS = 5
GROUP = 50
OURS = "ostinato read + encode"
CODEC = ScoreCodec()


def _symusic(data: bytes) -> Any:
    score: Any = symusic.Score.from_midi(data)
    return [track.notes.numpy() for track in score.tracks]


def _pretty_midi(data: bytes) -> Any:
    tracks = pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments
    return [np.array([(note.start, note.end, note.pitch, note.velocity) for note in track.notes]) for track in tracks]


def _variants() -> dict[str, Callable[[bytes], Any]]:
    variants: dict[str, Callable[[bytes], Any]] = {
        OURS: lambda data: CODEC.encode(midi.read(data)),
        "ostinato read": midi.read,
        "symusic, to arrays": _symusic,
        "pretty_midi, to arrays": _pretty_midi,
    }
    if importlib.util.find_spec("miditok"):
        import miditok  # pyright: ignore[reportMissingImports]  # the extra bench

        remi = miditok.REMI(miditok.TokenizerConfig(use_programs=True, use_tempos=True, use_time_signatures=True))
        variants["symusic + MidiTok REMI"] = lambda data: remi(symusic.Score.from_midi(data))
    return variants


def _readable(blobs: list[bytes]) -> tuple[list[bytes], int]:
    """Returns the files that all can read, since pretty_midi refuses some, and the number of their notes."""
    readable, num_notes = [], 0
    for data in blobs:
        try:
            count = midi.read(data).num_notes
            _pretty_midi(data)
        except (midi.MidiError, ValueError, KeyError, IndexError, EOFError, OSError):
            continue
        readable.append(data)
        num_notes += count
    return readable, num_notes


@dataclass(frozen=True, kw_only=True)
class Options:
    data: tuple[str, ...]
    """Folders or zip archives of MIDI files."""
    files: int = 1200
    """An even sample of so many files."""
    smoke: bool = False
    """A few files, to see that it runs."""


def main(options: Options) -> None:
    """Prints a table and one line of JSON."""
    warnings.simplefilter("ignore", RuntimeWarning)  # pretty_midi's, about tempos outside the first track
    blobs, num_notes = _readable(collection.load(options.data, 20 if options.smoke else options.files))
    variants = _variants()
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(1 if options.smoke else ROUNDS):
        seconds = dict.fromkeys(variants, 0.0)
        for begin in range(0, len(blobs), GROUP):
            for name, run in variants.items():
                start = time.process_time()
                for blob in blobs[begin : begin + GROUP]:
                    run(blob)
                seconds[name] += time.process_time() - start
        for name in variants:
            rates[name].append(num_notes / seconds[name])
    rate = {name: median(found) for name, found in rates.items()}
    print_table(
        f"{len(blobs):,} files, {num_notes:,} notes, one core",
        ("", "notes/s of CPU time", "ours is"),
        [(name, f"{one:,.0f}", f"{rate[OURS] / one:.3g} x") for name, one in rate.items()],
    )
    print(json.dumps({"ratios": {name: round(rate[OURS] / one, 3) for name, one in rate.items() if name != OURS}}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
