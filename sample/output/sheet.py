"""What a generated piece is called, in which key it is written, and its score."""

from collections.abc import Mapping
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.music import midi
from ostinato.music.keys import Key, heard_key, key_name
from ostinato.music.piece import Piece
from ostinato.music.sheet.page import PHONE_WIDTH, engrave
from ostinato.music.sheet.rounding import rounded
from ostinato.music.sheet.score import to_musicxml
from ostinato.sample.parse import parse_key


def signature_of(piece: Piece, origin: Mapping[str, Any]) -> Key | None:
    """Returns the key of a piece: that which was asked for, or else that which is heard."""
    asked = origin.get("options", {}).get("key", "")
    return (parse_key(asked).key if asked else None) or heard_key(piece)


def title_of(piece: Piece, origin: Mapping[str, Any]) -> str:
    """Returns the title of a piece: Piece 0 of seed 5, D minor; Take 3, D minor, edited."""
    if "edited" in origin:
        return f"{origin['edited']['name']}, edited"
    key = signature_of(piece, origin)
    return f"Piece {origin['piece']} of seed {origin['seed']}" + (f", {key_name(key)}" if key else "")


def musicxml_of(piece: Piece, origin: Mapping[str, Any], *, title: str = "") -> bytes:
    """Returns the score of a piece as MusicXML.

    Args:
        piece: as `finished_piece` gives it, or as it is read from its MIDI file.
        origin: how it was made.
        title: what stands above it; by default `title_of`.

    Raises:
        UserError: music21 is not installed.
    """
    return to_musicxml(rounded(piece), title=title or title_of(piece, origin), key=signature_of(piece, origin))


def score_and_pages(midi_file: bytes, origin: Mapping[str, Any], title: str) -> tuple[bytes, bytes, bytes] | str:
    """Returns the score of a piece in a MIDI file that was written here, or why there is none.

    That is MusicXML, an SVG of the width of paper, and one for a phone.
    """
    try:
        musicxml = musicxml_of(midi.read(midi_file), origin, title=title)
    except UserError as error:
        return str(error)
    return musicxml, engrave(musicxml), engrave(musicxml, width=PHONE_WIDTH)
