"""Why notation cannot be read, and its text."""

from typing import Literal, get_args

from ostinato.configs.errors import UserError

NotationReason = Literal["bad_notation", "no_reader"]
NOTATION_REASONS: tuple[NotationReason, ...] = get_args(NotationReason)
"""bad_notation: the library cannot read it. no_reader: the library is not installed."""


class NotationError(UserError):
    """Notation that cannot be read."""

    def __init__(self, reason: NotationReason, detail: str) -> None:
        """Takes why, and what was found."""
        super().__init__(f"{reason}: {detail}")
        self.reason: NotationReason = reason
        self.detail = detail


def decode(data: bytes) -> str:
    """Returns the text in UTF-8 or, if it is none, Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
