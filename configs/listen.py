"""The knobs of a listening study."""

import ipaddress
from dataclasses import dataclass

from ostinato.configs.checks import check_bounds, check_positive
from ostinato.configs.errors import UserError


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What listeners hear, and how much of it."""

    title: str = "A listening study"
    """What listeners read first."""
    about: str = ""
    """A text file that tells listeners what the study is about; a short neutral text by default."""
    contact: str = ""
    """Whom listeners can write to."""
    clip_seconds: float = 25.0
    """Length of every clip."""
    prompt_seconds: float = 5.0
    """This much of a held-out piece, in whole bars, begins the clips of all conditions; the human clip is how the piece
    really continues."""
    prompts: int = 0
    """Held-out pieces whose beginnings are used, beside those of the checks: as many listeners as have enough of them
    each hear others. 0 is enough for four, or as many as there are."""
    comparisons: int = 0
    """Comparisons that each listener makes, beside two as checks; 0 is one for each pair of conditions, at least 6 and
    at most 12."""
    ratings: int = 0
    """Clips that each listener rates, beside two as checks; 0 is equally many of each condition, at least 6 in all."""
    split: str = ""
    """Where the human music is taken from; test by default, validation where there is none."""
    temperature: float = 1.0
    """Of the trained models: below 1 is safer, above 1 is bolder."""
    seed: int = 0
    """Chooses the prompts and seeds all models; the same seed gives the same music. Which of it is heard, by whom and
    under which names is drawn from a secret that no seed gives."""

    def __post_init__(self) -> None:
        check_bounds(self, "clip_seconds", 5, 120)
        check_positive(self, "prompt_seconds temperature")
        check_bounds(self, "prompts comparisons ratings seed", 0)
        if self.prompt_seconds > self.clip_seconds / 2:
            raise UserError(
                f"prompt_seconds {self.prompt_seconds} must be at most half of clip_seconds {self.clip_seconds}"
            )


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Where a study can be reached."""

    host: str = "127.0.0.1"
    """The address to be reached at; 0.0.0.0 is every address of this machine."""
    port: int = 8000
    """The port; 0 takes any that is free."""
    prefix: str = ""
    """The path under which a reverse proxy shows the study, such as /listen."""
    public_host: tuple[str, ...] = ()
    """Host names, beside those of this machine, by which the study may be called: that of a reverse proxy."""
    trusted_proxies: str = ""
    """Addresses or networks of reverse proxies, separated by commas, that are believed about whom a request comes from
    and whether it came by TLS; nobody is by default, not even this machine."""

    def __post_init__(self) -> None:
        _ = self.proxies

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of the proxies.

        Raises:
            UserError: one is no address and no network.
        """
        try:
            return tuple(ipaddress.ip_network(name.strip()) for name in self.trusted_proxies.split(",") if name.strip())
        except ValueError as error:
            raise UserError(
                f"--trusted-proxies {self.trusted_proxies!r} must be addresses or networks between commas: {error}"
            ) from None
