"""REMI tokens of MIDI files by MidiTok, as one script that needs nothing of ours.

    python -P benchmarks/remi.py FOLDER OUTPUT on-change|each-note

The files are on a grid of 24 steps to the quarter, with 32 velocities and whole beats per minute, and MidiTok's
vocabulary is set to say just that. OUTPUT.npz has the tokens of all files end to end, from BOS to EOS, and the length
of each. The last line says how many notes there were and how many came back when the tokens were decoded.
`benchmarks.train` runs it, with an interpreter that has MidiTok. One stream for all programs; a Program token stands
before each note, as is usual, or only where the program changes.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import miditok  # pyright: ignore[reportMissingImports]  # the extra bench
import numpy as np
import symusic

DENOMINATORS = (1, 2, 4, 8, 16, 32)


def _tokenizer(programs: str) -> Any:
    return miditok.REMI(
        miditok.TokenizerConfig(
            pitch_range=(0, 127),
            drums_pitch_range=(0, 127),
            beat_res={(0, 8): 24, (8, 64): 1},
            num_velocities=32,
            special_tokens=["PAD", "BOS", "EOS"],
            use_programs=True,
            program_changes=programs == "on-change",
            use_tempos=True,
            tempo_range=(16, 263),
            num_tempos=248,
            use_time_signatures=True,
            time_signature_range={denominator: list(range(1, 33)) for denominator in DENOMINATORS},
            remove_duplicated_notes=False,
        )
    )


def _notes(score: Any) -> Counter[tuple[int, ...]]:
    """Returns the notes of a score on the grid, loudness in bins of four."""
    factor = 24 / score.tpq
    notes: Counter[tuple[int, ...]] = Counter()
    for track in score.tracks:
        program = 128 if track.is_drum else track.program
        for note in track.notes:
            onset, end = round(note.time * factor), round(note.end * factor)
            notes[onset, end, note.pitch, min(31, note.velocity // 4), program] += 1
    return notes


def main() -> None:
    """Tokenises all files of a folder and prints one line of JSON."""
    folder, output, programs = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    tokenizer = _tokenizer(programs)
    pieces: list[np.ndarray] = []
    num_notes = num_kept = 0
    for path in sorted(folder.glob("*.mid")):
        score = symusic.Score(path)
        ids = tokenizer(score).ids
        notes = _notes(score)
        num_notes += notes.total()
        num_kept += (notes & _notes(tokenizer.decode(ids))).total()
        pieces.append(np.array([tokenizer["BOS_None"], *ids, tokenizer["EOS_None"]], np.uint16))
    np.savez(output, steps=np.concatenate(pieces)[:, None], lengths=[len(piece) for piece in pieces])
    print(json.dumps({"notes": num_notes, "kept": num_kept, "vocabulary": len(tokenizer)}))


if __name__ == "__main__":
    main()
