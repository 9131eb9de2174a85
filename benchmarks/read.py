"""Reading and encoding MIDI files, beside what people would use instead, in one run on one core.

    python -m ostinato.benchmarks.read --data FOLDER [--smoke]

FOLDER holds MIDI files or zip archives of them. Rates are notes per second of CPU time of this process; the variants
take turns at each group of files, and the median over the rounds is reported. Some minutes on one core.
"""

import argparse
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pretty_midi
import symusic

from ostinato.benchmarks import collection
from ostinato.benchmarks.prepared import console, make_table
from ostinato.music import midi
from ostinato.music.score_codec import ScoreCodec

ROUNDS = 5
CODEC = ScoreCodec()


def _ostinato(data: bytes) -> Any:
    return CODEC.encode(midi.read(data))


def _ostinato_read(data: bytes) -> Any:
    return midi.read(data)


def _symusic(data: bytes) -> Any:
    score: Any = symusic.Score.from_midi(data)
    return [track.notes.numpy() for track in score.tracks]


def _pretty_midi(data: bytes) -> Any:
    tracks = pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments
    return [np.array([(note.start, note.end, note.pitch, note.velocity) for note in track.notes]) for track in tracks]


def _miditok_remi() -> Callable[[bytes], Any] | None:
    """Returns MidiTok's REMI encoder, or None without the extra `bench`."""
    try:
        import miditok  # pyright: ignore[reportMissingImports]  # the extra bench
    except ImportError:
        return None
    tokenizer = miditok.REMI(miditok.TokenizerConfig(use_programs=True, use_tempos=True, use_time_signatures=True))
    return lambda data: tokenizer(symusic.Score.from_midi(data))


def main() -> None:
    """Runs the comparison and prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", help="folders or zip archives of MIDI files")
    parser.add_argument("--files", type=int, default=1200, help="an even sample of so many files")
    parser.add_argument("--smoke", action="store_true", help="a few files, to see that it runs")
    options = parser.parse_args()

    warnings.simplefilter("ignore", RuntimeWarning)  # pretty_midi's, about tempos outside the first track
    blobs, counts = [], []
    for data in collection.sample(collection.load(options.data), 20 if options.smoke else options.files):
        try:
            # pretty_midi refuses or hangs on some files; all variants get the same ones, that each can read.
            counts.append(midi.read(data).num_notes)
            _pretty_midi(data)
        except (midi.MidiError, ValueError, KeyError, IndexError, EOFError, OSError):
            del counts[len(blobs) :]
            continue
        blobs.append(data)
    variants: dict[str, Callable[[bytes], Any]] = {
        "ostinato read + encode": _ostinato,
        "ostinato read": _ostinato_read,
        "symusic, to arrays": _symusic,
        "pretty_midi, to arrays": _pretty_midi,
    }
    remi = _miditok_remi()
    if remi is not None:
        variants["symusic + MidiTok REMI"] = remi

    num_notes = sum(counts)
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(1 if options.smoke else ROUNDS):
        seconds = dict.fromkeys(variants, 0.0)
        for begin in range(0, len(blobs), 50):
            for name, run in variants.items():
                start = time.process_time()
                for data in blobs[begin : begin + 50]:
                    run(data)
                seconds[name] += time.process_time() - start
        for name in variants:
            rates[name].append(num_notes / seconds[name])

    ours = "ostinato read + encode"
    table = make_table(f"{len(blobs):,} files, {num_notes:,} notes, one core", ("", "notes/s of CPU time", "ours is"))
    ratios = {name: statistics.median(rates[ours]) / statistics.median(rates[name]) for name in variants}
    for name in variants:
        table.add_row(name, f"{statistics.median(rates[name]):,.0f}", f"{ratios[name]:.3g} x")
    console.print(table)
    others = {name: round(ratio, 3) for name, ratio in ratios.items() if name != ours}
    rate = round(statistics.median(rates[ours]))
    print(json.dumps({"ratios": others, "notes_per_cpu_s": rate, "files": len(blobs), "notes": num_notes}))


if __name__ == "__main__":
    main()
