"""Notation (MusicXML, ABC, Humdrum **kern) as it is played: repeats and endings expanded, pickups kept, ties joined.

verovio (extra `notation`) reads MusicXML and kern, and `abc` ABC: verovio's ABC has no voices that sound together, and
some tunes end its process. Both give a MIDI file, which `midi` reads.

Files are not trusted, but libraries in C++ are: `prepare` and the studio call this in isolated workers.
"""

import base64
import functools
import importlib.util
import re
import struct
from fractions import Fraction
from typing import Any, Literal
from xml.etree import ElementTree

from ostinato.music import abc, midi
from ostinato.music.meters import with_bars
from ostinato.music.midi import Reading
from ostinato.music.midi_bytes import PORT, meta_event
from ostinato.music.musicxml_file import MusicXmlError, parse, unpack
from ostinato.music.musicxml_for_verovio import complete
from ostinato.music.notation_error import NotationError, decode
from ostinato.music.piece import Piece

Kind = Literal["musicxml", "abc", "kern"]
KINDS: dict[str, Kind] = {
    ".musicxml": "musicxml",
    ".mxl": "musicxml",
    ".xml": "musicxml",
    ".abc": "abc",
    ".krn": "kern",
}
"""The kind of notation by the ending of a file, in lower case."""

EXTRA = "notation"
"""The extra that reads all but ABC."""

_OPTIONS = {
    "breaks": "none",  # nothing is drawn
    "expandAlways": True,  # repeats as the score is read; else it would be written as MEI and read again
    "header": "none",
    "footer": "none",
}

_UTF_8 = re.compile(rb"""(\xef\xbb\xbf)?<\?xml [^>]*encoding=["']utf-8["']""", re.IGNORECASE)


def readable_suffixes() -> tuple[str, ...]:
    """Returns the endings of KINDS that can be read with what is installed."""
    has_verovio = importlib.util.find_spec("verovio") is not None
    return tuple(suffix for suffix, kind in KINDS.items() if has_verovio or kind == "abc")


def read(data: bytes, kind: Kind) -> Piece:
    """Returns the piece in the bytes of a score, or the first tune of an ABC file.

    Raises:
        NotationError: it cannot be read.
        MidiError: nothing sounds, or what sounds cannot be used.
    """
    return read_reporting(data, kind).piece


def read_reporting(data: bytes, kind: Kind) -> Reading:
    """Returns what `read` returns, and the notes of each part, as `midi.read_reporting` does."""
    if kind == "abc":
        return abc.read_reporting(data)
    toolkit = _toolkit()
    toolkit.setOptions(_OPTIONS | {"inputFrom": "humdrum" if kind == "kern" else "xml"})
    if not toolkit.loadData(_kern(data) if kind == "kern" else _musicxml(data)):
        raise NotationError("bad_notation", "verovio cannot read it")
    reading = midi.read_reporting(_with_ports(base64.b64decode(toolkit.renderToMIDI())))
    bars = [bar["qstamp"] for bar in toolkit.renderToTimemap({"includeMeasures": True}) if "measureOn" in bar]
    return reading._replace(piece=with_bars(reading.piece, list(map(Fraction, bars))))


@functools.cache
def _toolkit() -> Any:
    """Returns verovio, which takes as long to start as to read a short score."""
    try:
        import verovio
    except ModuleNotFoundError as error:
        raise NotationError("no_reader", f"needs verovio: pip install 'ostinato[{EXTRA}]'") from error
    verovio.enableLog(verovio.LOG_OFF)
    return verovio.toolkit()


def _musicxml(data: bytes) -> str:
    """Returns a score as verovio reads it."""
    try:
        data = unpack(data)
        score = parse(data)
        is_changed = complete(score)
    except MusicXmlError as error:
        raise NotationError("bad_notation", str(error)) from error
    if not is_changed and _UTF_8.match(data):
        return data.decode()  # a fifth faster
    return ElementTree.tostring(score, encoding="unicode")


def _kern(data: bytes) -> str:
    """Returns a kern file without its comments, which take verovio a quarter of its time."""
    text = decode(data)
    if "**kern" not in text:
        raise NotationError("bad_notation", "has no **kern spine")
    return "\n".join(line for line in text.splitlines() if not line.startswith("!"))


def _with_ports(data: bytes) -> bytes:
    """Returns a MIDI file whose tracks share no channels: verovio gives several of them the same one."""
    parts, position, number = [data[:14]], 14, 0
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position + 4)
        events = b"\0" + meta_event(PORT, bytes((number,))) + data[position + 8 : position + 8 + size]
        parts += b"MTrk", struct.pack(">I", len(events)), events
        position, number = position + 8 + size, min(number + 1, 127)
    return b"".join(parts)
