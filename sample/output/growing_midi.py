"""A MIDI file that grows and is a whole, valid file at every moment, whenever its writer is killed or it is copied.

A track says its length in its header and ends with End of Track, so appending means changing two places, between which
the file is broken. Here only one byte decides. The track has its full length from the beginning, and ends like this:

    ... music | 00 FF 7F 80 00 | note-offs of what sounds | 00 FF 7F length | room | 00 FF 2F 00
                FF 7F is an event that sequencers skip, here with     ... and here with all the room as its content
                no content (80 00 is zero in two bytes) ...

New music is written into the room, followed by a new ending of this kind. Then the one byte 80 becomes 80 + k: the
first event swallows the k · 128 bytes of the old ending as its content, and the music goes on behind them. A file that
is full is copied into one with twice the room, which takes its place by `rename`.

What was written is in the hands of the operating system: it survives the death of the process, and that of the machine
from the end on.
"""

import os
import struct
from pathlib import Path

from ostinato.data import durable
from ostinato.music.midi_bytes import number_bytes

_HEADER = struct.Struct(">4sIHHH4sI")
_SWALLOW_NOTHING = b"\x00\xff\x7f\x80\x00"
_SKIP = b"\x00\xff\x7f"
_END_OF_TRACK = b"\x00\xff\x2f\x00"
_UNIT = 128
"""The event that swallows an ending has a multiple of so many bytes as its content."""

_LEAST_ROOM = 4 * _UNIT
_FIRST_SIZE = 1 << 16
MAX_SIZE = 1 << 27
"""Bytes of the largest file: seven to fourteen million notes. The length of an event has 28 bits."""

_COPIED_AT_ONCE = 1 << 20


class GrowingMidi:
    """Writes one track of format 0 into a file that can be read at any time."""

    def __init__(self, path: Path, *, ticks_per_quarter: int) -> None:
        """Begins an empty file, in the place of any that was there."""
        self.path = path
        self._ticks_per_quarter = ticks_per_quarter
        self._size = 0
        self._end = _HEADER.size
        self._note_offs = b""
        self._file = -1
        self._replace(_FIRST_SIZE)

    def has_room(self, num_bytes: int) -> bool:
        """Tells whether so many bytes more, with their note-offs, fit into one file."""
        return self._after_ending() + num_bytes + _LEAST_ROOM <= MAX_SIZE

    def append(self, music: bytes, note_offs: bytes) -> None:
        """Makes the file longer.

        Args:
            music: events, the first with its wait since the last one before.
            note_offs: events that silence, when their time has come, all notes that sound after `music`.
        """
        units = (self._after_ending() - self._end - len(_SWALLOW_NOTHING)) // _UNIT
        assert units < _UNIT, f"{len(self._note_offs)} bytes of note-offs are more than an ending can hold"
        begin = self._after_ending()
        size, least = self._size, begin + len(music) + len(note_offs) + _LEAST_ROOM
        while size < least:
            size *= 2
        if size > self._size:
            self._replace(size)
        new = _ending(note_offs, begin + len(music), self._size)
        os.pwrite(self._file, music + new, begin)
        os.pwrite(self._file, bytes((0x80 | units,)), self._end + len(_SKIP))  # the one byte
        self._end, self._note_offs = begin + len(music), note_offs

    def close(self) -> None:
        """Ends the track with its last note and gives the room back."""
        self._replace(self._end + len(self._note_offs) + len(_END_OF_TRACK), is_last=True)
        os.close(self._file)

    def _after_ending(self) -> int:
        """Returns where new music may stand: a multiple of _UNIT bytes behind the event that swallows."""
        content = len(self._note_offs) + len(_SKIP) + 4
        return self._end + len(_SWALLOW_NOTHING) + -(-content // _UNIT) * _UNIT

    def _replace(self, size: int, *, is_last: bool = False) -> None:
        """Puts a file of another size, with the same music, in the place of this one."""
        temporary = self.path.with_name(f".{self.path.name}.part")
        ending = self._note_offs if is_last else _ending(self._note_offs, self._end, size)
        with open(temporary, "wb") as file:
            length = size - _HEADER.size
            file.write(_HEADER.pack(b"MThd", 6, 0, 1, self._ticks_per_quarter, b"MTrk", length))
            while file.tell() < self._end:
                at = file.tell()
                file.write(os.pread(self._file, min(_COPIED_AT_ONCE, self._end - at), at))
            file.write(ending)
            file.seek(size - len(_END_OF_TRACK))  # what is skipped reads as zeros and takes no space
            file.write(_END_OF_TRACK)
            if is_last:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, self.path)
        if is_last:
            durable.sync_folder(self.path.parent)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = os.open(self.path, os.O_RDWR), size


def _ending(note_offs: bytes, at: int, size: int) -> bytes:
    """Returns the ending that stands at a place of a file: all that follows is skipped, up to End of Track."""
    skipped = size - len(_END_OF_TRACK) - at - len(_SWALLOW_NOTHING) - len(note_offs) - len(_SKIP) - 4
    return _SWALLOW_NOTHING + note_offs + _SKIP + number_bytes(skipped, least=4)
