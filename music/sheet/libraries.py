"""What scores need beside the package: the extra `notation`."""

import importlib.util

from ostinato.configs.errors import UserError
from ostinato.music.notation import EXTRA

LIBRARIES = ("music21", "verovio")
"""The one writes MusicXML, the other makes pages of it."""


def missing() -> list[str]:
    """Returns the libraries that are not installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def check_libraries() -> None:
    """Refuses to begin without the libraries.

    Raises:
        UserError: one is not installed.
    """
    if missing():
        raise UserError(f"scores need {' and '.join(missing())}: pip install 'ostinato[{EXTRA}]'")
