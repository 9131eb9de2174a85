"""Scores that musicians bring (MusicXML, ABC, kern) as MIDI: read as `prepare` reads them, in a child with limits."""

import functools

from ostinato.beam_pipelines.isolation import Killed, Limits, shared_pool
from ostinato.configs.errors import UserError
from ostinato.music import midi, notation
from ostinato.music.notation import Kind
from ostinato.music.notation_error import NotationError


def to_midi(name: str, data: bytes, kind: Kind) -> bytes:
    """Returns the MIDI file of a score, or of the first tune of a book.

    Raises:
        UserError: it cannot be read; the message names it.
    """
    (found,) = shared_pool(1, Limits()).imap(functools.partial(_convert, kind=kind), [data])
    if isinstance(found, bytes):
        return found
    detail = found.detail if isinstance(found, Killed) else found
    raise UserError(f"{name} cannot be read: {detail}")


def _convert(data: bytes, kind: Kind) -> bytes | str:
    """Returns the MIDI file, or why there is none; runs in the child."""
    try:
        return midi.write(notation.read(data, kind))
    except (midi.MidiError, NotationError) as error:
        return error.detail
    except MemoryError:
        raise
    except Exception as error:  # what nobody has met yet is not to end the server's child
        return f"{type(error).__name__}: {error}"
