"""The scores of pieces, made when they are first asked for, in a child process: it holds Python's lock for long."""

import functools
from pathlib import Path

from ostinato.beam_pipelines.isolation import Killed, Limits, shared_pool
from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.music.sheet.libraries import check_libraries
from ostinato.sample.output.provenance import read_origin
from ostinato.sample.output.sheet import score_and_pages

SUFFIXES = ("musicxml", "svg", "phone.svg")


class Pages:
    """The scores in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, midi_file: Path, suffix: str, title: str) -> Path:
        """Returns the score of a piece, or one of its pages; all are kept.

        Raises:
            UserError: the extra `notation` is not installed, or they cannot be made; in one line.
        """
        path = self._folder / f"{midi_file.stem}.{suffix}"
        if path.is_file():
            return path
        check_libraries()
        make = functools.partial(score_and_pages, origin=read_origin(midi_file), title=title)
        (made,) = shared_pool(1, Limits()).imap(make, [midi_file.read_bytes()])
        if not isinstance(made, tuple) or isinstance(made, Killed):
            raise UserError(f"the score cannot be written: {made.detail if isinstance(made, Killed) else made}")
        self._folder.mkdir(parents=True, exist_ok=True)
        for data, end in zip(made, SUFFIXES, strict=True):
            write_atomically(self._folder / f"{midi_file.stem}.{end}", data)
        return path

    def delete(self, name: str) -> None:
        """Deletes the score of a piece."""
        for suffix in SUFFIXES:
            (self._folder / f"{name}.{suffix}").unlink(missing_ok=True)
