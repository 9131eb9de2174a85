"""The knobs of `ostinato studio`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """Where the studio is, and where it keeps what is written."""

    host: str = "127.0.0.1"
    """The address to listen on: this machine only, or 0.0.0.0 for all who reach it. There is no password."""
    port: int = 8001
    """0 takes any that is free."""
    show: bool = False
    """Open the page in the browser."""
    prefix: str = ""
    """The path below which a reverse proxy shows the page, such as /studio."""
    public_host: tuple[str, ...] = ()
    """Host names, beside those of this machine, by which the studio may be called: that of a reverse proxy."""
    folder: Path | None = None
    """Where pieces are kept; RUN/studio by default, or the user's cache folder where the run cannot be written."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""
    soundfont: Path | None = None
    """A SoundFont (.sf2) for the sound; the small TimGM6mb by default."""
