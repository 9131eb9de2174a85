"""Writes generated pieces: MIDI, where they come from, sound, piano rolls, a list, and a page to hear and see them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ostinato.configs.documents import FileName, read_document
from ostinato.configs.schema import SampleConfig
from ostinato.data.atomic import filled_folder, write_atomically
from ostinato.music import midi
from ostinato.music.bars import bar_lines
from ostinato.music.codec import Codec
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DEFAULT_TEMPO_US, Piece
from ostinato.music.sheet.page import engrave
from ostinato.sample.diversity import describe_set
from ostinato.sample.finished import finished_piece, num_given_notes
from ostinato.sample.generate import Generated
from ostinato.sample.output.audio import AudioFormat, write_audio
from ostinato.sample.output.gallery import PAGE, gallery_page
from ostinato.sample.output.piano_roll import draw_piano_roll
from ostinato.sample.output.provenance import origin_text, provenance_json
from ostinato.sample.output.roll import page_roll
from ostinato.sample.output.sheet import musicxml_of, signature_of, title_of

LIST = "pieces.json"

_SUFFIXES = (".mid", ".json", ".png", ".wav", ".flac", ".ogg", ".musicxml", ".svg")


def write_pieces(
    pieces: Mapping[int, Generated],
    codec: Codec,
    output: Path,
    *,
    origins: Mapping[int, dict[str, Any]],
    found: Mapping[str, str],
    config: SampleConfig,
    audio: AudioFormat | None,
    soundfont: Path | None,
    with_score: bool = False,
) -> list[Path]:
    """Writes piece-000.mid, .json, .png and .wav, and so on, pieces.json and index.html; returns the MIDI files' paths.

    What an earlier call has written into the folder is replaced when all of the new is on disk. pieces.json is there
    once all of it is.

    Args:
        pieces: what was generated, by number.
        codec: of the model.
        output: the folder; made if needed.
        origins: of each piece, from `describe_origin`; it becomes the text of the MIDI file.
        found: where the run and the other inputs are, for the JSON beside each MIDI file.
        config: with which they were generated.
        audio: how the sound is written; None writes none.
        soundfont: for the sound; None is the default one.
        with_score: write piece-000.musicxml, and piece-000.svg, its page.

    Raises:
        UserError: a library that scores need is not installed.
    """
    earlier = _earlier_files(output)
    paths, entries, rolls, music = [], [], [], []
    with filled_folder(output, last=LIST) as folder:
        for number, generated in pieces.items():
            piece = finished_piece(generated, codec, config)
            path = folder / f"piece-{number:03d}.mid"
            data = midi_bytes(piece, generated, origins[number])
            write_atomically(path, data)
            write_atomically(path.with_suffix(".json"), provenance_json(origins[number], found, data))
            primer_end, num_given = generated.primer_end, num_given_notes(generated, codec)
            if config.without_primer:
                primer_end, num_given = 0, 0
            draw_piano_roll(piece, path.with_suffix(".png"), title=path.stem, primer_end_tick=primer_end or None)
            entry = {
                "file": path.name,
                "picture": path.with_suffix(".png").name,
                **_describe(piece, num_given, generated),
            }
            if audio:
                entry["sound"] = path.with_suffix(f".{audio}").name
                write_audio(piece, folder / entry["sound"], soundfont=soundfont)
            if with_score:
                entry["musicxml"], entry["score"] = (path.with_suffix(end).name for end in (".musicxml", ".svg"))
                musicxml = musicxml_of(piece, origins[number])
                write_atomically(folder / entry["musicxml"], musicxml)
                write_atomically(folder / entry["score"], engrave(musicxml))
            paths.append(output / path.name)
            music.append(piece)
            entries.append({**entry, "origin": origins[number]})
            rolls.append(page_roll(piece, primer_ticks=primer_end))
        document: dict[str, Any] = {"pieces": entries}
        if diversity := describe_set(music):
            document["diversity"] = diversity
        (folder / PAGE).write_text(gallery_page(document, rolls), encoding="utf-8")
        (folder / LIST).write_text(json.dumps(document, indent=1) + "\n")
        written = {path.name for path in folder.iterdir()}
    for name in earlier - written:
        (output / name).unlink(missing_ok=True)
    return paths


def midi_bytes(piece: Piece, generated: Generated, origin: Mapping[str, Any]) -> bytes:
    """Returns the MIDI file of a piece, as `finished_piece` gives it, in the layout that its origin names."""
    if origin.get("layout", 1) == 1:
        return midi.write(piece, text=origin_text(origin), key=generated.key)
    return midi.write(
        piece, text=origin_text(origin), key=signature_of(piece, origin), title=title_of(piece, origin),
        end_tick=int(bar_lines(piece)[-1]) if piece.num_notes else 0,
    )  # fmt: skip


def _describe(piece: Piece, num_given: int, generated: Generated) -> dict[str, Any]:
    """Returns what the list and the page say about a piece."""
    programs = np.unique(piece.notes.program).tolist()
    tempo_us = piece.tempos.us_per_quarter if len(piece.tempos.tick) else np.array([DEFAULT_TEMPO_US])
    numerator, denominator = piece.meters.numerator, piece.meters.denominator
    return {
        "notes": piece.num_notes,
        "primer_notes": num_given,
        "seconds": round(piece.duration_s, 3),
        "quarters_per_minute": sorted({round(60e6 / us) for us in tempo_us.tolist()}),
        "meters": list(
            dict.fromkeys(f"{a}/{b}" for a, b in zip(numerator.tolist(), denominator.tolist(), strict=True))
        ),
        "instruments": [instrument_name(program) for program in programs],
        "ended_by_model": generated.ended,
        **_figures(generated),
    }


def _figures(generated: Generated) -> dict[str, Any]:
    """Returns what the sampler says about a piece beside its rows: every number, truth or word of `Generated`."""
    values = generated._asdict()
    del values["num_primer_steps"], values["primer_end"], values["ended"]
    return {name: value for name, value in values.items() if isinstance(value, int | float | bool | str)}


class _Piece(TypedDict):
    file: FileName


class _List(TypedDict):
    pieces: list[_Piece]


def _earlier_files(output: Path) -> set[str]:
    """Returns the names of the list of an earlier call, its page, and the files of the pieces that it names."""
    if not (output / LIST).is_file():
        return set()
    earlier = read_document(output / LIST, _List, is_python=True, advice="choose another folder")["pieces"]
    pieces = {Path(entry["file"]).with_suffix(suffix).name for entry in earlier for suffix in _SUFFIXES}
    return {LIST, PAGE} | pieces
