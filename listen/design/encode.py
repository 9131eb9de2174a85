"""Recordings as files that say nothing but the music: Opus and MP3, all of a study equally large, without metadata.

Opus has a variable bitrate, and quieter or emptier music would give smaller files: they are padded to one size where
RFC 7845 (5.2) leaves room for it, behind the comments, of which there are none. MP3 has a constant bitrate.
"""

import bisect
import io
import struct
from collections.abc import Sequence

import numpy as np
import soundfile
from jaxtyping import Float32

from ostinato.sample.output.audio import SAMPLE_RATE
from ostinato.sample.output.ogg import HEADER_BYTES, numbered_page, split_pages

_OPUS_LEVEL = 0.85
"""libsndfile's scale from 0 (256 kbit/s a channel) to 1 (6 kbit/s)."""
_MP3_LEVEL = 0.8
"""96 kbit/s at a constant bitrate."""
_LAME_SCALE = 0.95
"""What LAME multiplies all sound by."""
_TAGS = b"OpusTags" + struct.pack("<II", 0, 0)
"""No vendor, no comments."""
_MAX_SEGMENTS = _SEGMENT_BYTES = 255
SERIAL_NUMBER = 0  # libsndfile takes it from the clock, which would tell in which order clips were made


def encode_mp3(samples: Float32[np.ndarray, "2 t"]) -> bytes:
    """Returns the sound as MP3; as many samples give as many bytes."""
    samples = samples / np.float32(_LAME_SCALE)
    return _encode(samples, "MP3", "MPEG_LAYER_III", compression_level=_MP3_LEVEL, bitrate_mode="CONSTANT")


def encode_opus(samples: Float32[np.ndarray, "2 t"]) -> bytes:
    """Returns the sound as Opus in Ogg, without comments; see `equal_sizes`."""
    return _encode(samples, "OGG", "OPUS", compression_level=_OPUS_LEVEL)


def equal_sizes(files: Sequence[bytes]) -> list[bytes]:
    """Returns Ogg Opus files with the same sound, all of one size and without comments."""
    split = [_split(data) for data in files]
    bare = [sum(map(len, pages)) for pages in split]
    size = max(bare) + _bytes_of_pages(len(_TAGS))
    # Some sizes cannot be had: one more byte of padding may cost one more byte of header.
    while None in (lengths := [_length_for(size - without) for without in bare]):
        size += 1
    padded = []
    for (head, *pages), length in zip(split, lengths, strict=True):
        assert length is not None
        numbered = enumerate([head, *_tags_pages(length), *pages])
        padded.append(b"".join(numbered_page(page, SERIAL_NUMBER, number) for number, page in numbered))
    return padded


def _encode(samples: Float32[np.ndarray, "2 t"], container: str, subtype: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE, 2, subtype, format=container, **options) as file:  # pyright: ignore[reportArgumentType]
        for first in range(0, samples.shape[1], SAMPLE_RATE):  # libsndfile overflows its stack on long ones
            file.write(samples.T[first : first + SAMPLE_RATE])
    return buffer.getvalue()


def _split(data: bytes) -> list[bytes]:
    """Returns the pages of an Ogg Opus file: the first, then those of the music, without those of the comments."""
    pages = split_pages(data)
    # Comments end on the page that ends a packet; the music begins on a page of its own (RFC 7845, 3).
    last = next(number for number, page in enumerate(pages[1:], 1) if page[HEADER_BYTES + page[26] - 1] < 255)
    return [pages[0], *pages[last + 1 :]]


def _bytes_of_pages(length: int) -> int:
    """Returns how many bytes the pages of a packet have."""
    num_segments = length // _SEGMENT_BYTES + 1
    return length + num_segments + -(-num_segments // _MAX_SEGMENTS) * HEADER_BYTES


def _length_for(room: int) -> int | None:
    """Returns the length of a packet whose pages fill a room, or None if no length does."""
    length = bisect.bisect_left(range(room), room, key=_bytes_of_pages)
    return length if _bytes_of_pages(length) == room else None


def _tags_pages(length: int) -> list[bytes]:
    packet = _TAGS.ljust(length, b"\0")
    lacing = [_SEGMENT_BYTES] * (length // _SEGMENT_BYTES) + [length % _SEGMENT_BYTES]
    pages = []
    for first in range(0, len(lacing), _MAX_SEGMENTS):
        segments = lacing[first : first + _MAX_SEGMENTS]
        body = packet[first * _SEGMENT_BYTES : first * _SEGMENT_BYTES + sum(segments)]
        ends = first + _MAX_SEGMENTS >= len(lacing)
        # The place of a page on which no packet ends is -1 (RFC 3533, 6).
        header = struct.pack("<4sBBqIIIB", b"OggS", 0, int(first > 0), 0 if ends else -1, 0, 0, 0, len(segments))
        pages.append(header + bytes(segments) + body)
    return pages
