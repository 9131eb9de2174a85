"""Notation (MusicXML, ABC, Humdrum **kern) as it is played: repeats and endings expanded, pickups kept, ties joined.

verovio (extra `notation`) reads MusicXML and kern, and abc2midi, which comes with symusic, reads ABC: verovio's ABC has
no voices that sound together, and some tunes end its process. Both give a MIDI file, which `midi` reads. Chord symbols
above a tune are not played: what a player makes of them is not written.

Files are not trusted, but libraries in C++ are: `prepare` calls this in its isolated workers.
"""

import base64
import contextlib
import importlib.util
import os
import re
import resource
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args
from xml.etree import ElementTree

import numpy as np
import symusic  # noqa: F401  # sets SYMUSIC_ABC2MIDI

from ostinato.configs.errors import UserError
from ostinato.music import midi
from ostinato.music.midi import Reading
from ostinato.music.midi_bytes import PORT, meta_event
from ostinato.music.musicxml import Meter, meters_of_bars
from ostinato.music.musicxml_file import MusicXmlError, parse
from ostinato.music.piece import Meters, Piece

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

NotationReason = Literal["bad_notation", "no_reader"]
NOTATION_REASONS: tuple[NotationReason, ...] = get_args(NotationReason)
"""bad_notation: the library cannot read it. no_reader: the library is not installed."""

ABC2MIDI_S = 60
"""For a tune; in a worker of prepare the worker's own limit comes first."""

_MAX_MESSAGES = 1 << 16


class NotationError(UserError):
    """Notation that cannot be read."""

    def __init__(self, reason: NotationReason, detail: str) -> None:
        """Takes why, and what was found."""
        super().__init__(f"{reason}: {detail}")
        self.reason: NotationReason = reason
        self.detail = detail


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
    return _read_abc(data) if kind == "abc" else _read_score(data, kind)


def split_tunes(data: bytes) -> list[bytes]:
    """Returns each tune of an ABC file, behind what the file says of all of them; the file itself if it has no tune."""
    starts = [found.start() for found in re.finditer(rb"^X:", data, re.MULTILINE)]
    if len(starts) < 2:
        return [data]
    head = data[: starts[0]]
    return [head + data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def _read_score(data: bytes, kind: Kind) -> Reading:
    try:
        import verovio
    except ImportError as error:
        raise NotationError("no_reader", f"needs verovio: pip install 'ostinato[{EXTRA}]'") from error
    try:
        text = ElementTree.tostring(parse(data), encoding="unicode") if kind == "musicxml" else _decode(data)
    except MusicXmlError as error:
        raise NotationError("bad_notation", str(error)) from error
    if kind == "kern" and "**kern" not in text:
        raise NotationError("bad_notation", "has no **kern spine")
    verovio.enableLog(verovio.LOG_OFF)
    toolkit: Any = verovio.toolkit()
    toolkit.setOptions({"inputFrom": "humdrum" if kind == "kern" else "xml", "breaks": "none"})  # nothing is drawn
    if not toolkit.loadData(text):
        raise NotationError("bad_notation", "verovio cannot read it")
    reading = midi.read_reporting(_with_ports(base64.b64decode(toolkit.renderToMIDI())))
    bars = [bar["qstamp"] for bar in toolkit.renderToTimemap({"includeMeasures": True}) if "measureOn" in bar]
    return reading._replace(piece=_with_bars(reading.piece, bars))


def _with_ports(data: bytes) -> bytes:
    """Returns a MIDI file whose tracks share no channels: verovio gives several of them the same one."""
    parts, position, number = [data[:14]], 14, 0
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position + 4)
        events = b"\0" + meta_event(PORT, bytes((number,))) + data[position + 8 : position + 8 + size]
        parts += b"MTrk", struct.pack(">I", len(events)), events
        position, number = position + 8 + size, min(number + 1, 127)
    return b"".join(parts)


def _with_bars(piece: Piece, quarters: list[float]) -> Piece:
    """Returns the piece with meters that put MIDI's bar lines where the score has them, which are given in quarters."""
    tpq = piece.ticks_per_quarter
    starts = [Fraction(round(quarter * tpq), tpq) for quarter in quarters]
    end = max(Fraction(piece.end_tick, tpq), *starts[-1:])
    lengths = [after - before for before, after in zip(starts, [*starts[1:], end], strict=True)]
    written = [
        (Fraction(tick, tpq), Meter(*meter))
        for tick, *meter in zip(*(column.tolist() for column in piece.meters), strict=True)
    ]
    meters = meters_of_bars(written, starts, lengths)
    columns = ([int(time * tpq) for time, _ in meters], *([meter[i] for _, meter in meters] for i in (0, 1)))
    return replace(piece, meters=Meters(*(np.array(column, np.int64) for column in columns)))


def _read_abc(data: bytes) -> Reading:
    if not re.search(rb"^K:", data, re.MULTILINE):
        raise NotationError("bad_notation", "has no tune: no line begins with K:")
    with _writing_files(), tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        output, messages = Path(folder, "tune.mid"), Path(folder, "messages")
        with messages.open("wb") as file:
            # "stdin" is what abc2midi calls it; -NGUI leaves chord symbols out.
            command = [os.environ["SYMUSIC_ABC2MIDI"], "stdin", "-o", str(output), "-NGUI"]
            try:
                ended = subprocess.run(command, input=data, stdout=file, stderr=file, timeout=ABC2MIDI_S, check=False)
            except subprocess.TimeoutExpired as error:
                raise NotationError("bad_notation", f"abc2midi is not done after {ABC2MIDI_S} s") from error
        with messages.open("rb") as file:
            lines = _decode(file.read(_MAX_MESSAGES)).splitlines()
        complaint = next((f": {line.strip()}" for line in lines if line.startswith("Error")), "")
        if ended.returncode or not output.is_file():
            raise NotationError("bad_notation", f"abc2midi ended with {ended.returncode}{complaint}")
        return midi.read_reporting(output.read_bytes())


@contextlib.contextmanager
def _writing_files() -> Iterator[None]:
    """Lets this process, and what it starts, write files, which a worker of prepare may not otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
