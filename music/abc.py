"""ABC as it is played by abc2midi, which symusic brings: repeats expanded, pickups kept, chord symbols left out."""

import contextlib
import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import symusic

from ostinato.music import midi
from ostinato.music.meters import with_bars
from ostinato.music.midi import Reading
from ostinato.music.notation_error import NotationError, decode

ABC2MIDI_S = 60
"""For a tune; in a worker of prepare the worker's own limit comes first."""

_MAX_MESSAGES = 1 << 16

_BAR_MARK = 119
"""A controller without meaning to MIDI."""

_MUSIC = re.compile(
    r"""(?P<bar>:*\[?\|[|:\]]*(?:\ *\[?\d[\d,.-]*)?|::+)"""  # with the number of an ending
    r"""|"[^"\n]*"|![^!\n]*!|\{[^}\n]*\}|\[[A-Za-z]:[^\]\n]*\]|%[^\n]*|[^:|\["!{%]+|.""",
    re.VERBOSE | re.DOTALL,
)
_LYRICS = re.compile(r"^w:.*\n?(?:\+:.*\n?)*", re.MULTILINE)
_NO_MUSIC = re.compile(r"[A-Za-z+]:|%")


def tune_starts(data: bytes) -> list[int]:
    """Returns where each tune of an ABC file begins; before the first is what the file says of all of them."""
    return [found.start() for found in re.finditer(rb"^X:", data, re.MULTILINE)]


def split_tunes(data: bytes) -> Iterator[bytes]:
    """Yields each tune of an ABC file, behind what the file says of all of them; the file itself if it has no tune."""
    starts = tune_starts(data)
    if len(starts) < 2:
        yield data
        return
    head = data[: starts[0]]
    for start, end in pairwise([*starts, len(data)]):
        yield head + data[start:end]


def read_reporting(data: bytes) -> Reading:
    """Returns the first tune, and the notes of each part, as `midi.read_reporting` does.

    Raises:
        NotationError: it cannot be read.
        MidiError: nothing sounds, or what sounds cannot be used.
    """
    text = decode(data)
    if not re.search(r"^K:", text, re.MULTILINE):
        raise NotationError("bad_notation", "has no tune: no line begins with K:")
    played = _to_midi(_mark_bars(text).encode())
    reading = midi.read_reporting(played)
    return reading._replace(piece=with_bars(reading.piece, _bars(played, reading.piece.end_tick)))


def _mark_bars(text: str) -> str:
    """Returns a tune with a controller behind each bar line: where it is played, also when repeated, a bar begins."""
    lines = _LYRICS.sub("", text).splitlines(keepends=True)  # with lyrics, abc2midi's meters are a tick late
    head = next((i for i, line in enumerate(lines) if line.startswith("K:")), len(lines)) + 1
    mark = f"[I:MIDI control {_BAR_MARK} 1]"
    return "".join(
        line
        if i < head or _NO_MUSIC.match(line)
        # abc2midi takes [|], a bar line that is not drawn, for the beginning of a chord.
        else _MUSIC.sub(lambda found: (found[0].replace("[|]", "") or "|") + mark if found["bar"] else found[0], line)
        for i, line in enumerate(lines)
    )


def _bars(data: bytes, end_tick: int) -> list[Fraction]:
    """Returns where the bars of a marked tune begin, in quarters, by the voice that has the most."""
    score: Any = symusic.Score.from_midi(data)
    voices = (
        {control.time for control in track.controls if control.number == _BAR_MARK and control.time < end_tick}
        for track in score.tracks
    )
    return [Fraction(tick, score.ticks_per_quarter) for tick in sorted({0} | max(voices, key=len, default=set()))]


def _to_midi(tune: bytes) -> bytes:
    with _writing_files(), tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        output, messages = Path(folder, "tune.mid"), Path(folder, "messages")
        with messages.open("wb") as file:
            # Importing symusic sets the variable. "stdin" is what abc2midi calls it; -NGUI leaves chord symbols out.
            command = [os.environ["SYMUSIC_ABC2MIDI"], "stdin", "-o", str(output), "-NGUI"]
            try:
                ended = subprocess.run(command, input=tune, stdout=file, stderr=file, timeout=ABC2MIDI_S, check=False)
            except subprocess.TimeoutExpired as error:
                raise NotationError("bad_notation", f"abc2midi is not done after {ABC2MIDI_S} s") from error
        with messages.open("rb") as file:
            lines = decode(file.read(_MAX_MESSAGES)).splitlines()
        complaint = next((f": {line.strip()}" for line in lines if line.startswith("Error")), "")
        if ended.returncode or not output.is_file():
            raise NotationError("bad_notation", f"abc2midi ended with {ended.returncode}{complaint}")
        return output.read_bytes()


@contextlib.contextmanager
def _writing_files() -> Iterator[None]:
    """Lets this process, and what it starts, write files, which a worker of prepare may not otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
