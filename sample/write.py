"""Writes generated pieces as MIDI, WAV and piano-roll pictures, with a list of what they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.music import midi
from ostinato.music.codec import Codec
from ostinato.music.records import write_atomically
from ostinato.sample.audio import write_wav
from ostinato.sample.generate import Generated
from ostinato.sample.piano_roll import draw_piano_roll

LIST = "pieces.json"


def write_pieces(
    pieces: Sequence[Generated],
    codec: Codec,
    output: Path,
    *,
    origin: dict[str, Any],
    audio: bool,
    soundfont: Path | None,
) -> list[Path]:
    """Writes piece-000.mid, .wav and .png, and so on, and pieces.json; returns the paths of the MIDI files.

    What an earlier call has written into the folder is replaced. pieces.json is there once all of it is.

    Args:
        pieces: what was generated.
        codec: of the model.
        output: the folder; made if needed.
        origin: where the pieces come from (checkpoint, seed, options), for pieces.json and the MIDI files.
        audio: whether WAVs are wanted.
        soundfont: for the WAVs; None is the default one.
    """
    output.mkdir(parents=True, exist_ok=True)
    _remove_earlier(output)
    paths, entries = [], []
    for number, generated in enumerate(pieces):
        piece = codec.decode(generated.steps)
        path = output / f"piece-{number:03d}.mid"
        text = json.dumps({"generator": "ostinato", "piece": number, **origin}, sort_keys=True)
        write_atomically(path, midi.write(piece, text=text))
        primer = codec.decode(generated.steps[: generated.num_primer_steps])
        draw_piano_roll(piece, path.with_suffix(".png"), title=path.stem, primer_end_tick=primer.end_tick or None)
        if audio:
            write_wav(piece, path.with_suffix(".wav"), soundfont=soundfont)
        paths.append(path)
        entries.append(
            {
                "file": path.name,
                "notes": piece.num_notes,
                "primer_notes": primer.num_notes,
                "seconds": round(piece.duration_s, 3),
                "ended_by_model": generated.ended,
            }
        )
    document = {"origin": origin, "pieces": entries}
    write_atomically(output / LIST, (json.dumps(document, indent=1) + "\n").encode())
    return paths


def _remove_earlier(output: Path) -> None:
    """Removes the list of an earlier call and the pieces that it names."""
    if not (output / LIST).is_file():
        return
    earlier = json.loads((output / LIST).read_text())["pieces"]
    (output / LIST).unlink()
    for entry in earlier:
        for suffix in (".mid", ".wav", ".png"):
            (output / entry["file"]).with_suffix(suffix).unlink(missing_ok=True)
