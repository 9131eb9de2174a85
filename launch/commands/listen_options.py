"""The flags of `ostinato listen`; only tyro and the configuration are imported here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ostinato.configs.listen import StudyConfig

_Study = tyro.conf.Positional[Path]


@dataclass(frozen=True, kw_only=True)
class ListenCreate:
    """Builds a study: clips of all conditions, equally long and loud, under names that say nothing."""

    real: Path
    """A folder that `ostinato prepare` wrote: its held-out pieces are the human music, and begin all clips."""
    model: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A condition, beside the human one: the folder of a run, markov:1 to markov:4, or rules; or NAME=one of them. May
    be given several times."""
    out: Path
    """Folder for the study; it must not exist yet."""
    soundfont: Path | None = None
    """A SoundFont (.sf2) for the sound; the small TimGM6mb by default."""
    config: Annotated[StudyConfig, tyro.conf.arg(name="")] = field(default_factory=StudyConfig)


@dataclass(frozen=True, kw_only=True)
class ListenServe:
    """Opens a study to listeners."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    host: str = "127.0.0.1"
    """The address to be reached at; 0.0.0.0 is every address of this machine."""
    port: int = 8000
    """The port; 0 takes any that is free."""
    prefix: str = ""
    """The path under which a reverse proxy shows the study, such as /listen."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses of reverse proxies, separated by commas, that are believed about whom a request comes from."""


@dataclass(frozen=True, kw_only=True)
class ListenResults:
    """Reports what listeners said: preference, ratings, agreement, checks, and how many more are needed."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    answers: tuple[Path, ...] = ()
    """Files that listeners of the exported study downloaded, or folders of them; beside the server's own answers."""
    output: Path | None = None
    """Folder for results.html, results.json and answers.csv; that of the study by default."""
    power: float = 0.8
    """The chance of seeing an effect that is there, for the number of listeners that are needed."""
    effect: float = 0.65
    """Share of the answers, without ties, that prefer the better of two conditions."""
    points: float = 0.5
    """Difference between two conditions in a rating from 1 to 5."""


@dataclass(frozen=True, kw_only=True)
class ListenExport:
    """Writes a study as files for any web host; listeners download their answers and send them."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    output: tyro.conf.Positional[Path]
    """A new folder for the pages and the clips; nothing in it tells a condition."""


@dataclass(frozen=True, kw_only=True)
class Listen:
    """A blind listening test: create a study, open it to listeners, read the results."""

    command: (
        Annotated[ListenCreate, tyro.conf.subcommand("create")]
        | Annotated[ListenServe, tyro.conf.subcommand("serve")]
        | Annotated[ListenResults, tyro.conf.subcommand("results")]
        | Annotated[ListenExport, tyro.conf.subcommand("export")]
    )
