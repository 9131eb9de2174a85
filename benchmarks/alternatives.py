"""What people would use instead of `ostinato prepare`, as one script that needs nothing of ours.

    python -P benchmarks/alternatives.py NAME FOLDER OUTPUT

Each reads the MIDI files of FOLDER one after the other and writes one file of tokens each to OUTPUT. The last line says
which files it could not read or encode. `benchmarks.prepare` runs it, with an interpreter that has the library.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Convert = Callable[[Path, Path], None]


def _pretty_midi() -> Convert:
    """The loop of the tutorials: every note's fields, sorted by onset, as an array."""
    import numpy as np
    import pretty_midi

    def convert(source: Path, target: Path) -> None:
        notes = [
            (note.start, note.end, note.pitch, note.velocity, -1 if track.is_drum else track.program)
            for track in pretty_midi.PrettyMIDI(str(source)).instruments
            for note in track.notes
        ]
        np.save(target.with_suffix(".npy"), np.array(sorted(notes), np.float32))

    return convert


def _miditok(save: str) -> Convert:
    """REMI with programs, tempos and metres, as `tokenize_dataset` does it for each file, on symusic."""
    import miditok  # pyright: ignore[reportMissingImports]  # the extra bench
    import numpy as np
    import symusic

    tokenizer = miditok.REMI(miditok.TokenizerConfig(use_programs=True, use_tempos=True, use_time_signatures=True))

    def convert(source: Path, target: Path) -> None:
        tokens: Any = tokenizer(symusic.Score(source))
        if save == "json":
            tokenizer.save_tokens(tokens, target.with_suffix(".json"))
        else:
            np.save(target.with_suffix(".npy"), np.array(tokens.ids, np.uint16))

    return convert


def _note_seq() -> Convert:
    """Performance RNN's events: 100 steps a second, 32 velocities, all instruments in one stream."""
    import note_seq  # pyright: ignore[reportMissingImports]  # lives in an environment of its own
    import numpy as np
    from note_seq import performance_encoder_decoder as encoder  # pyright: ignore[reportMissingImports]
    from note_seq import sequences_lib  # pyright: ignore[reportMissingImports]

    encoding = encoder.PerformanceOneHotEncoding(num_velocity_bins=32)

    def convert(source: Path, target: Path) -> None:
        sequence = note_seq.midi_file_to_note_sequence(str(source))
        quantized = sequences_lib.quantize_note_sequence_absolute(sequence, 100)
        performance = note_seq.Performance(quantized, num_velocity_bins=32)
        ids = [encoding.encode_event(event) for event in performance]
        np.save(target.with_suffix(".npy"), np.array(ids, np.uint16))

    return convert


ALTERNATIVES: dict[str, Callable[[], Convert]] = {
    "pretty_midi": _pretty_midi,
    "miditok": lambda: _miditok("json"),
    "miditok-npy": lambda: _miditok("npy"),
    "note_seq": _note_seq,
}


def main() -> None:
    """Converts all files of a folder and prints one line of JSON."""
    name, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")  # note_seq's about ffmpeg, pretty_midi's about tempos outside the first track
    convert = ALTERNATIVES[name]()
    output.mkdir()
    failed: dict[str, str] = {}
    for source in sorted(folder.glob("*.mid")):
        # Each library has errors of its own; whatever one raises about a file is what its user would see.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                convert(source, output / source.name)
            except Exception as error:
                failed[source.name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"failed": failed}))


if __name__ == "__main__":
    main()
