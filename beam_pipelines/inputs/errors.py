"""Why something cannot be read: the closed list of reasons, and the errors that carry them."""

from typing import Literal, get_args

from ostinato.configs.errors import UserError

ReadReason = Literal[
    "missing",
    "not_a_file",
    "too_large",
    "unreadable",
    "encrypted",
    "damaged_member",
    "damaged_archive",
    "archive_bomb",
    "other_members",
]
READ_REASONS: tuple[ReadReason, ...] = get_args(ReadReason)
"""missing: no such file (a path in a list, a broken link). not_a_file: a folder, FIFO, device, or a link in an archive.
too_large: above max_file_mb. unreadable: the system or a server refuses, or the archive uses an unknown compression.
encrypted: needs a password. damaged_member: its bytes are not those that were put into the archive. damaged_archive:
what else the archive holds cannot be known. archive_bomb: few bytes that become absurdly many. other_members: a zip in
an archive also holds files that are not read for their endings; the others are."""


class SourceError(UserError):
    """Nothing usable where the user said the MIDI files are."""


class UnreadableError(UserError):
    """An input that cannot be read."""

    def __init__(self, reason: ReadReason, detail: str) -> None:
        """Takes why, and what was found."""
        super().__init__(f"{reason}: {detail}")
        self.reason: ReadReason = reason
        self.detail = detail


class StorageError(UserError):
    """A file or folder that cannot be read, listed, written or deleted; one line."""

    def __init__(self, path: str, detail: str, *, reason: ReadReason | None = None) -> None:
        """Takes what failed where; without a reason it is trouble that may pass (a disk, a network)."""
        super().__init__(f"{path}: {detail}")
        self.reason: ReadReason | None = reason
        self.detail = detail
