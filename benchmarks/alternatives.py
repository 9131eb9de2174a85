"""What people would use instead of `ostinato prepare`, as one script that needs nothing of ours.

    python -P benchmarks/alternatives.py pretty_midi|miditok|note_seq FOLDER OUTPUT

Reads the MIDI files of FOLDER one after the other and writes the tokens of each to a file in OUTPUT. The last line says
which files could not be read or encoded. `benchmarks.prepare` runs it, with an interpreter that has the library.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Convert = Callable[[Path], np.ndarray]


def _pretty_midi() -> Convert:
    """The loop of the tutorials: every note's fields, sorted by onset, as an array."""
    import pretty_midi

    def convert(source: Path) -> np.ndarray:
        notes = [
            (note.start, note.end, note.pitch, note.velocity, -1 if track.is_drum else track.program)
            for track in pretty_midi.PrettyMIDI(str(source)).instruments
            for note in track.notes
        ]
        return np.array(sorted(notes), np.float32)

    return convert


def _miditok() -> Convert:
    """REMI with programs, tempos and metres, as `tokenize_dataset` does it for each file, on symusic."""
    import miditok  # pyright: ignore[reportMissingImports]  # the extra bench
    import symusic

    tokenizer: Any = miditok.REMI(miditok.TokenizerConfig(use_programs=True, use_tempos=True, use_time_signatures=True))
    return lambda source: np.array(tokenizer(symusic.Score(source)).ids, np.uint16)


def _note_seq() -> Convert:
    """Performance RNN's events: 100 steps a second, 32 velocities, all instruments in one stream."""
    import note_seq  # pyright: ignore[reportMissingImports]  # lives in an environment of its own
    from note_seq import performance_encoder_decoder as encoder  # pyright: ignore[reportMissingImports]
    from note_seq import sequences_lib  # pyright: ignore[reportMissingImports]

    encoding = encoder.PerformanceOneHotEncoding(num_velocity_bins=32)

    def convert(source: Path) -> np.ndarray:
        sequence = note_seq.midi_file_to_note_sequence(str(source))
        quantized = sequences_lib.quantize_note_sequence_absolute(sequence, 100)
        performance = note_seq.Performance(quantized, num_velocity_bins=32)
        return np.array([encoding.encode_event(event) for event in performance], np.uint16)

    return convert


def main() -> None:
    """Converts all files of a folder and prints one line of JSON."""
    name, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")  # note_seq's about ffmpeg, pretty_midi's about tempos outside the first track
    convert = {"pretty_midi": _pretty_midi, "miditok": _miditok, "note_seq": _note_seq}[name]()
    output.mkdir()
    failed: dict[str, str] = {}
    for source in sorted(folder.glob("*.mid")):
        # Each library has errors of its own; whatever one raises about a file is what its user would see.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                np.save(output / f"{source.name}.npy", convert(source))
            except Exception as error:
                failed[source.name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"failed": failed}))


if __name__ == "__main__":
    main()
