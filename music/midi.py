"""Reading a MIDI file's bytes into a Piece. What cannot be read is one MidiError with a reason from a closed list.

A file is read as a player plays it:

- **Time**: ticks are kept as they stand.
- **Tempo and meter** hold for all tracks, whichever track they stand in. Of several at one tick the last in the file
  holds. A tempo of 0 is ignored, and so is a tempo event whose length is not 3, a meter event whose length is not 4,
  and a meter whose numerator is 0 or whose denominator is above 64. A file without gives a Piece without any.
- **Notes**: a note-on of velocity 0 is a note-off. Of overlapping notes of one pitch (in one track and channel) the
  first opened is the first closed. A note without note-off ends when its pitch begins again, when its channel is
  silenced (controllers 120 and 123, which end all notes), or with its track; a drum hit after a sixteenth. A note of no
  length lasts a sixteenth. The pedals (controllers 64 and 66, down from 64 on) hold notes until they go up, their pitch
  begins again, or the channel is silenced, unless `pedal` is False.
- **Instruments**: channel 10 is drums (program DRUMS). All tracks of a port share sixteen channels: a note has the
  program that its channel has when it begins, whichever track set it, and 0 before any.
- **Files**: what players play is read, and `Reading.repairs` says what was wrong: see `midi_chunks.Repair`. A track
  whose events make no sense is given up if others have notes. Of a file that ends within a track all is read that
  begins before; notes that still sound end there. Format 2 with several tracks is refused: they are pieces of their
  own. Escape events (0xF7) are skipped.
"""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ostinato.music.account import NoteAccount
from ostinato.music.midi_bytes import END_MARK
from ostinato.music.midi_chunks import MIDI_REASONS as MIDI_REASONS
from ostinato.music.midi_chunks import Chunks, MidiError, Repair, Track, find_chunks, unwrap
from ostinato.music.midi_chunks import MidiReason as MidiReason
from ostinato.music.midi_notes import find_notes
from ostinato.music.midi_repair import mend
from ostinato.music.midi_scan import Scan, scan
from ostinato.music.midi_write import write as write
from ostinato.music.piece import Meters, Notes, Piece, Tempos, in_order

MIDI_SUFFIXES = (".mid", ".midi", ".smf", ".rmi", ".kar")
"""Endings, in any case, by which MIDI files are known in folders and archives."""

MAX_TICKS = 2**31
"""What packed pieces and most programs can count."""

MAX_INSTRUMENTS = 8192
"""Distinct (track, channel, program) in a file, each of which is looked at by itself when duplicates are sought."""

_MAX_DENOMINATOR = 64


class Reading(NamedTuple):
    """A piece, and how it was read."""

    piece: Piece
    repairs: tuple[Repair, ...]
    """What was wrong with the file, in alphabetical order."""
    tracks: list[Notes]
    """The notes of each (track, channel, program) that has any."""
    account: NoteAccount
    """Of the reader; what the codec does to the notes is not in it."""


def read(data: bytes, *, pedal: bool = True) -> Piece:
    """Returns the piece in the bytes of a MIDI file, by the choices named above.

    Raises:
        MidiError: the bytes cannot be used; nothing else is raised, whatever they hold.
    """
    return read_reporting(data, pedal=pedal).piece


def read_reporting(data: bytes, *, pedal: bool = True) -> Reading:
    """Returns what `read` returns, the notes of each track, and what had to be done to get them.

    Raises:
        MidiError: the bytes cannot be used.
    """
    data, repairs = unwrap(data)
    chunks = find_chunks(data)
    repairs |= chunks.repairs
    found, given_up = _scan(data, chunks.tracks, repairs)
    notes, voice, account = find_notes(found, chunks.ticks_per_quarter, pedal=pedal)
    _check_notes(notes, chunks, repairs)
    tracks = _split(notes, voice)
    if len(tracks) > MAX_INSTRUMENTS:
        detail = f"{len(tracks)} combinations of track, channel and program; at most {MAX_INSTRUMENTS} are allowed"
        raise MidiError("too_many_tracks", detail)
    piece = in_order(notes, *_time_maps(found), chunks.ticks_per_quarter)
    return Reading(piece, tuple(sorted(repairs)), tracks, replace(account, given_up=given_up) if given_up else account)


def _scan(data: bytes, tracks: list[Track], repairs: set[Repair]) -> tuple[Scan, int]:
    """Returns all events, and how many notes were given up with damaged tracks."""
    found, given_up = scan(data, tracks), 0
    if found.damaged:
        found, given_up = _scan_mended(data, tracks, found.damaged, repairs)
    if found.has_early_end:
        repairs.add("end_mark")
    last_tick = max(found.end_ticks.tolist(), default=0)
    if last_tick >= MAX_TICKS:
        raise MidiError("ticks_overflow", f"ticks do not stay below {MAX_TICKS} (a track ends at tick {last_tick})")
    return found, given_up


def _check_notes(notes: Notes, chunks: Chunks, repairs: set[Repair]) -> None:
    """Refuses a file without notes, for the reason that it has none."""
    if len(notes.onset):
        return
    tracks, num_missing = chunks.tracks, chunks.num_missing
    if tracks and tracks[-1].is_cut:
        size = tracks[-1].end - tracks[-1].start
        raise MidiError("truncated", f"the file ends within a track ({size} bytes of it), and has no note before that")
    if "broken_track" in repairs:
        raise MidiError("damaged", "the events of a track make no sense, and no other track has notes")
    if num_missing:
        detail = f"the file ends after {len(tracks)} of {len(tracks) + num_missing} tracks, and has no note before that"
        raise MidiError("truncated", detail)
    raise MidiError("no_notes", f"none of {len(tracks)} tracks has a note")


def _scan_mended(data: bytes, tracks: list[Track], damaged: list[int], repairs: set[Repair]) -> tuple[Scan, int]:
    """Scans again, with damaged tracks brought into order or given up; also returns the notes of the latter."""
    parts, bounds, given_up = [b"\0"], [], 0  # no track begins with the first byte of a file
    position, broken = 1, set(damaged)
    for number, track in enumerate(tracks):
        events = data[track.start : track.end]
        if number in broken:
            mended = mend(data, track)
            repairs.add(mended.repair)
            given_up += 0 if mended.events is not None else mended.num_notes
            events = mended.events if mended.events is not None else b"\0" + END_MARK
        parts.append(events)
        bounds.append(Track(position, position + len(events), is_cut=False))
        position += len(events)
    found = scan(b"".join(parts), bounds)
    if found.damaged:
        raise MidiError("damaged", "the events of a track make no sense")
    return found, given_up


def _time_maps(found: Scan) -> tuple[Tempos, Meters]:
    """Returns the tempos and meters that make sense."""
    tick, us_per_quarter = found.tempos
    flows = us_per_quarter > 0
    meter_tick, numerator, denominator = found.meters
    counts = (numerator > 0) & (denominator > 0) & (denominator <= _MAX_DENOMINATOR)
    tempos = Tempos(tick[flows], us_per_quarter[flows])
    return tempos, Meters(meter_tick[counts], numerator[counts], denominator[counts])


def _split(notes: Notes, voice: np.ndarray) -> list[Notes]:
    """Returns the notes of each voice, in the order of the file."""
    if (voice[1:] < voice[:-1]).any():
        order = voice.argsort(kind="stable")
        voice, notes = voice[order], Notes(*(column[order] for column in notes))
    bounds = [0, *((voice[1:] != voice[:-1]).nonzero()[0] + 1).tolist(), len(voice)]
    return [Notes._make([column[begin:end] for column in notes]) for begin, end in pairwise(bounds)]
