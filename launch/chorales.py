"""Writes the Bach chorales that music21 carries as MIDI files, for the demo; about five seconds of CPU.

Only music21's data is used; none of its code is run.
"""

import importlib.util
import logging
import tempfile
from pathlib import Path

from ostinato.configs.errors import UserError
from ostinato.data import durable
from ostinato.music import midi, musicxml, musicxml_file

VOICES = (73, 69, 71, 70)
"""Flute, English horn, clarinet, bassoon for soprano, alto, tenor, bass.

A program for each voice, since two voices in unison on one program would be one note. These four hold their
notes, and over the range of their voices they are equally loud to 2 dB in TimGM6mb.sf2 (the four solo strings: 3 dB).
"""

_logger = logging.getLogger(__name__)


def write_chorales(folder: Path) -> int:
    """Writes each chorale of exactly four parts as `folder`/<BWV number>.mid and returns how many files there are.

    Scores with another number of parts (doubled by instruments, or for keyboard) are skipped; the log says how many.
    The folder appears when it is whole; if it is already there, nothing is done.

    Raises:
        UserError: music21 is not installed, `folder` holds other things, or a score cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        num_files = len(list(folder.glob("*.mid"))) if folder.is_dir() else 0
        if not num_files:
            raise UserError(f"{folder}: holds something other than chorales (no .mid files); name another folder")
        return num_files
    scores = sorted(chorale_folder().glob("*.mxl"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    num_others = 0
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        unfinished = Path(temporary, "midi")
        unfinished.mkdir()
        for path in scores:
            try:
                score = musicxml_file.parse(path.read_bytes())
                if musicxml.num_parts(score) != len(VOICES):
                    num_others += 1
                    continue
                piece = musicxml.to_piece(score, programs=VOICES)
            except musicxml_file.MusicXmlError as error:
                raise UserError(f"{path}: {error}") from error
            (unfinished / f"{path.stem}.mid").write_bytes(midi.write(piece))
        durable.publish(unfinished, folder)
    if num_others:
        _logger.info("%d scores with other than four parts are left out", num_others)
    return len(scores) - num_others


def chorale_folder(package: str = "music21") -> Path:
    """Returns the folder of Bach's scores in an installed music21, without importing it.

    Raises:
        UserError: music21 is not installed, or has no Bach chorales.
    """
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location, "corpus", "bach")
        if any(folder.glob("*.mxl")):
            return folder
    found = "is not installed" if spec is None else "has no scores in corpus/bach"
    raise UserError(f"{package} {found}; it carries the Bach chorales: pip install 'ostinato[demo]'")
