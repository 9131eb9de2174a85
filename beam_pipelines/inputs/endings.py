"""What the ending of a file's name says: whether it is read, as what, and what else would read it."""

import functools
import importlib.util
import urllib.parse
from collections.abc import Mapping
from typing import Literal

from ostinato.beam_pipelines.inputs.compression import Method
from ostinato.beam_pipelines.inputs.stores import is_web
from ostinato.music import notation
from ostinato.music.midi import MIDI_SUFFIXES

Kind = Literal["midi"] | notation.Kind

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar",)
SEVEN_ZIP_SUFFIXES = (".7z",)
SEVEN_ZIP_EXTRA = "7z"
STREAM_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz",
)  # fmt: skip
ARCHIVE_SUFFIXES = ZIP_SUFFIXES + TAR_SUFFIXES + STREAM_SUFFIXES + SEVEN_ZIP_SUFFIXES
COMPRESSIONS: dict[str, Method] = {".gz": "gz", ".bz2": "bz2", ".xz": "xz"}
"""Of a single file, behind its own ending."""

NOT_READ = {
    ".7z": f"pip install 'ostinato[{SEVEN_ZIP_EXTRA}]' reads it",
    ".rar": "unpack it first",
    ".zip": "unpack it first",  # in an archive in an archive
    **dict.fromkeys(notation.KINDS, f"pip install 'ostinato[{notation.EXTRA}]' reads it"),
}
"""What helps with some of the endings that are not read."""

_MAX_ENDING = 12


@functools.cache
def input_suffixes() -> tuple[str, ...]:
    """Returns the endings by which files of music are known in folders and archives."""
    return MIDI_SUFFIXES + notation.readable_suffixes()


def is_input(name: str) -> bool:
    """Returns whether a file of this name is read from a folder or an archive; not for archives."""
    return _inner_ending(name) in input_suffixes()


def can_read_seven_zip() -> bool:
    """Returns whether the extra that reads .7z is installed."""
    return importlib.util.find_spec("py7zr") is not None


def archive_suffixes() -> tuple[str, ...]:
    """Returns the endings by which archives are known in folders: those that can be read with what is installed."""
    return tuple(s for s in ARCHIVE_SUFFIXES if s not in SEVEN_ZIP_SUFFIXES or can_read_seven_zip())


def kind_of(name: str) -> Kind:
    """Returns as what a file is read; MIDI where its ending does not say."""
    return notation.KINDS.get(_inner_ending(name), "midi")


def compression_of(name: str) -> Method | None:
    """Returns how a single file is compressed, by its ending."""
    return COMPRESSIONS.get(_splitext(name)[1])


def tar_method(name: str) -> Method:
    """Returns how a compressed tar is, by one of STREAM_SUFFIXES."""
    methods: dict[str, Method] = {"gz": "gz", "st": "zst", "xz": "xz"}
    return methods.get(url_path(name).lower()[-2:], "bz2")


def holds_many(name: str) -> bool:
    """Returns whether only reading tells how many inputs there are in a file: a tune book, or a zip in an archive."""
    return kind_of(name) == "abc" or has_suffix(name, ZIP_SUFFIXES)


def ending_of(name: str) -> str:
    """Returns the ending by which a file that is not read is counted; `(none)` where it has none."""
    ending = _splitext(name)[1]
    return ending if 1 < len(ending) <= _MAX_ENDING and ending[1:].replace("_", "").isalnum() else "(none)"


def describe_not_read(counts: Mapping[str, int]) -> str:
    """Returns in one line how many files are not read for their endings, the most frequent first."""
    most = sorted(counts, key=lambda ending: (-counts[ending], ending))
    rest = sum(counts[ending] for ending in most[10:])
    listed = [f"{ending} {counts[ending]:,}" for ending in most[:10]] + ([f"others {rest:,}"] if rest else [])
    hints = {NOT_READ[ending]: ending for ending in reversed(most) if ending in NOT_READ}
    helps = "".join(f"; {ending}: {hint}" for hint, ending in sorted(hints.items()))
    total = sum(counts.values())
    return f"{total:,} {'file' if total == 1 else 'files'} with endings we do not read: {', '.join(listed)}{helps}"


def has_suffix(path: str, suffixes: tuple[str, ...]) -> bool:
    """Returns whether a path or URL ends in one of the suffixes, in any case."""
    return url_path(path).lower().endswith(suffixes)


def url_path(path: str) -> str:
    """Returns the path in the URL of a web server; other names as they are."""
    return urllib.parse.unquote(urllib.parse.urlsplit(path).path) if is_web(path) else path


def _inner_ending(name: str) -> str:
    front, ending = _splitext(name)
    return _splitext(front)[1] if ending in COMPRESSIONS else ending


def _splitext(name: str) -> tuple[str, str]:
    """Returns a name in lower case without its ending, and the ending; `.mid` is all ending, unlike for os.path."""
    name = url_path(name).lower()
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if dot > name.rfind("/") else (name, "")
