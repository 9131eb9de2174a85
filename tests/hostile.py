"""Files made to hurt those who read MIDI: every kind that has hurt a reader, and places that are no files at all.

    python -m tests.hostile FOLDER COUNT

writes COUNT of them into FOLDER, with the places.
"""

import base64
import gzip
import io
import os
import pickle
import socket
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

Maker = Callable[[np.random.Generator], bytes]

END = b"\x00\xff\x2f\x00"
LONGEST_DELTA = 2**28 - 1


class HostileFile(NamedTuple):
    """Bytes to be read, and what may come of it."""

    name: str
    """Number and kind, ending in .mid."""
    data: bytes
    may_be_read: bool
    """Whether a reader may find music in it; otherwise it has to be refused."""


class HostilePlace(NamedTuple):
    """A path that a reader of folders comes across."""

    path: str
    """As `os.fsdecode` has it: bytes that are no UTF-8 are surrogates."""
    may_be_read: bool
    """Whether a file with music is behind it; otherwise it is refused, or passed over if it is a folder."""


def hostile_files(count: int, seed: int) -> Iterator[HostileFile]:
    """Yields files of all kinds in turn, the same for the same seed; each kind's next file differs where it can."""
    kinds = list(KINDS.items())
    for number in range(count):
        name, (make, may_be_read) = kinds[number % len(kinds)]
        data = make(np.random.default_rng((seed, number)))
        yield HostileFile(f"{number:05d}-{name}.mid", data, may_be_read)


def hostile_places(folder: Path) -> list[HostilePlace]:
    """Makes them in a folder, which must exist, and returns them."""
    tune = _tune(np.random.default_rng(0))
    (folder / "tune.mid").write_bytes(tune)
    os.mkfifo(folder / "fifo.mid")
    _bind_socket(folder, "socket.mid")
    (folder / "folder.mid").mkdir()
    for name, target in (
        ("dev-zero.mid", "/dev/zero"),
        ("dev-null.mid", "/dev/null"),
        ("dev-tty.mid", "/dev/tty"),
        ("dangling.mid", "nowhere.mid"),
        ("loop.mid", "loop.mid"),
        ("loop-a.mid", "loop-b.mid"),
        ("loop-b.mid", "loop-a.mid"),
        ("link-to-folder.mid", "folder.mid"),
        ("link-to-parent", "."),
        ("own-memory.mid", "/proc/self/mem"),
    ):
        (folder / name).symlink_to(target)
    with open(folder / "sparse.mid", "wb") as file:
        file.write(tune)
        file.truncate(1 << 34)
    (folder / "link-to-tune.mid").symlink_to("tune.mid")
    readable = ["tune.mid", "link-to-tune.mid"]
    for name in (
        b"latin-1 caf\xe9.mid",
        b"\xff\xfe\x00".replace(b"\x00", b"\x01") + b".mid",
        b"cut utf-8 \xe2\x82.mid",
        "shift-jis 音.mid".encode("shift-jis"),
        b"new\nline.mid",
        b"carriage\rreturn.mid",
        b"escape \x1b[31m.mid",
        b"tab\tand \"quotes\" and 'more'.mid",
        b"back\\slash.mid",
        b"bang!inside.mid",
        b"comma,semicolon;.mid",
        b"glob*[a-z]?.mid",
        b"percent%20%s{0}.mid",
        b"#hash.mid",
        b"-rf.mid",
        b" .mid",
        b".mid",
        "decomposed e\u0301.mid".encode(),
        "right to left \u202e.mid".encode(),
        "\U0001d11e.MID".encode(),
        b"n" * 251 + b".mid",
    ):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(tune)
        readable.append(os.fsdecode(name))
    names = sorted(os.listdir(folder))
    return [HostilePlace(str(folder / name), name in readable) for name in names if name != "link-to-parent"]


def _bind_socket(folder: Path, name: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as endpoint:
            endpoint.bind(f"/proc/self/fd/{descriptor}/{name}")  # an address has room for 107 bytes only
    finally:
        os.close(descriptor)


# What MIDI files are made of.


def _variable_length(value: int) -> bytes:
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def _chunk(name: bytes, content: bytes, *, claims: int | None = None) -> bytes:
    return name + struct.pack(">I", len(content) if claims is None else claims) + content


def _track(*events: bytes) -> bytes:
    return _chunk(b"MTrk", b"".join(events) + END)


def _file(*chunks: bytes, division: int = 480, file_format: int = 1, declared: int | None = None) -> bytes:
    declared = len(chunks) if declared is None else declared
    return _chunk(b"MThd", struct.pack(">HHH", file_format, declared, division)) + b"".join(chunks)


def _event(delta: int, *message: int) -> bytes:
    return _variable_length(delta) + bytes(message)


def _meta(kind: int, content: bytes, *, delta: int = 0) -> bytes:
    return _variable_length(delta) + bytes((0xFF, kind)) + _variable_length(len(content)) + content


def _repeated(rng: np.random.Generator) -> bytes:
    """One note of no length, many times."""
    pitch = int(rng.integers(40, 90))
    return _event(0, 0x90, pitch, 64, 0, 0x80, pitch, 0) * int(rng.integers(300, 600))


def _melody(rng: np.random.Generator, count: int = 24, *, channel: int = 0) -> bytes:
    """Events of some notes, one after the other."""
    pitches = rng.integers(40, 90, count).tolist()
    deltas = rng.choice([120, 240, 480], count).tolist()
    return b"".join(
        _event(0, 0x90 | channel, pitch, 80) + _event(delta, 0x80 | channel, pitch, 0)
        for pitch, delta in zip(pitches, deltas, strict=True)
    )


def _tune(rng: np.random.Generator) -> bytes:
    conductor = _track(_meta(0x51, (500_000).to_bytes(3, "big")), _meta(0x58, bytes((4, 2, 24, 8))))
    return _file(conductor, _track(_melody(rng)), _track(_event(0, 0xC1, 32), _melody(rng, channel=1)))


def _with(rng: np.random.Generator, *events: bytes) -> bytes:
    """A tune with odd events in front of its notes."""
    return _file(_track(*events, _melody(rng)))


def _in_the_middle(rng: np.random.Generator, *events: bytes) -> bytes:
    return _file(_track(_melody(rng), *events, _melody(rng)))


def _riff(*chunks: tuple[bytes, bytes], kind: bytes = b"RMID") -> bytes:
    content = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + kind + content


# Kinds that take more than a line.


def _mutated(rng: np.random.Generator) -> bytes:
    data = bytearray(_tune(rng))
    for _ in range(rng.integers(1, 12)):
        position = int(rng.integers(len(data)))
        match rng.integers(3):
            case 0:
                data[position] = rng.integers(256)
            case 1:
                del data[position]
            case _:
                data[position:position] = rng.bytes(int(rng.integers(1, 5)))
    return bytes(data)


def _mutated_events(rng: np.random.Generator) -> bytes:
    """Only the events are damaged; the chunks stay whole."""
    data = bytearray(_melody(rng, 60))
    for position in rng.integers(len(data), size=rng.integers(1, 20)).tolist():
        data[position] = rng.integers(256)
    return _file(_track(bytes(data)))


def _truncated(rng: np.random.Generator) -> bytes:
    data = _tune(rng)
    return data[: len(data) - int(rng.integers(1, 100))]  # within the last track, or in its end mark


def _spliced(rng: np.random.Generator) -> bytes:
    one, other = _tune(rng), _tune(rng)
    return one[: int(rng.integers(30, len(one)))] + other[int(rng.integers(30, len(other))) :]


def _zipped(rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("tune.mid"), _tune(rng))
    return buffer.getvalue()


def _rows(*columns: object) -> bytes:
    """Events of equal length, made fast: bytes of each from columns of numbers below 256."""
    return np.stack(np.broadcast_arrays(*columns), axis=-1).astype(np.uint8).tobytes()  # pyright: ignore


def _many_notes(rng: np.random.Generator, count: int = 200_000) -> bytes:
    pitches = rng.integers(0, 128, count)
    return _file(_track(_rows(0, 0x90, pitches, 64, 1, 0x80, pitches, 0)))


def _many_tempos(rng: np.random.Generator, count: int = 20_000) -> bytes:
    values = rng.integers(1, 256, (3, count))
    return _with(rng, _rows(1, 0xFF, 0x51, 3, *values))


def _many_meters(rng: np.random.Generator, count: int = 20_000) -> bytes:
    return _with(rng, _rows(0, 0xFF, 0x58, 4, rng.integers(0, 256, count), rng.integers(0, 256, count), 24, 8))


def _one_pitch_opened_often(rng: np.random.Generator, count: int = 50_000) -> bytes:
    pitch = int(rng.integers(128))
    return _file(_track(_rows(np.zeros(count), 0x90, pitch, 64), _rows(np.ones(count), 0x80, pitch, 0)))


def _all_keys_at_once(rng: np.random.Generator) -> bytes:
    pitch, channel = np.meshgrid(np.arange(128), np.arange(16))
    repeats = int(rng.integers(1, 30))
    chord = _rows(0, 0x90 | channel.ravel(), pitch.ravel(), 64) + _rows(1, 0x80 | channel.ravel(), pitch.ravel(), 0)
    return _file(_track(chord * repeats))


def _many_tracks(rng: np.random.Generator) -> bytes:
    return _file(*[_track(_melody(rng, 1))] * 65_535)


def _many_instruments_in_one_track(rng: np.random.Generator) -> bytes:
    program, channel = np.meshgrid(np.arange(128), np.arange(16))
    pitch, channel = int(rng.integers(128)), channel.ravel()
    return _file(
        _track(_rows(0, 0xC0 | channel, program.ravel(), 0, 0x90 | channel, pitch, 64, 9, 0x80 | channel, pitch, 0))
    )


def _many_instruments_in_many_tracks(rng: np.random.Generator) -> bytes:
    one = _many_instruments_in_one_track(rng)[14:]
    return _file(*[one] * 8)


def _escape_bomb(rng: np.random.Generator, count: int = 2_000) -> bytes:
    """System exclusive events full of the bytes by which they begin."""
    exclusive = b"\x00\xf0\x7e" + b"\xf0" * 125 + b"\xf7"
    return _with(rng, (exclusive + b"\x00\xff\x01\x00") * count)


def _overflow(rng: np.random.Generator) -> bytes:
    return _file(_track(_melody(rng), _meta(1, b"", delta=LONGEST_DELTA) * 9, _melody(rng)))


def _late_overflow(rng: np.random.Generator) -> bytes:
    return _file(_track(_melody(rng)), _track(_meta(1, b"", delta=LONGEST_DELTA) * 9))


def _pickle_bomb(_: np.random.Generator) -> bytes:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return os._exit, (1,)

    return pickle.dumps(Bomb())


def _flood(status: int, *, size: int) -> Maker:
    """Many events of one kind and no note."""

    def make(rng: np.random.Generator) -> bytes:
        return _file(_track(_rows(1, status, *rng.integers(0, 128, (size, 40_000)))))

    return make


def _raw(data: bytes) -> Maker:
    return lambda rng: data


NEVER, MAYBE = False, True

KINDS: dict[str, tuple[Maker, bool]] = {
    # no MIDI at all
    "empty": (_raw(b""), NEVER),
    "one-byte": (_raw(b"M"), NEVER),
    "magic-only": (_raw(b"MThd"), NEVER),
    "zeros": (_raw(bytes(100_000)), NEVER),
    "ones": (_raw(b"\xff" * 1_000_000), NEVER),
    "random": (lambda rng: rng.bytes(int(rng.integers(1, 20_000))), NEVER),
    "text": (_raw(b"This song is no longer available.\r\n" * 20), NEVER),
    "html": (_raw(b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>"), NEVER),
    "musicxml": (_raw(b'<?xml version="1.0"?><score-partwise version="4.0"></score-partwise>'), NEVER),
    "nested-json": (_raw(b"[" * 200_000), NEVER),
    "mp3": (_raw(b"ID3\x03\x00\x00\x00\x00\x00\x21" + b"\xff\xfb\x90\x64" * 2_000), NEVER),
    "elf": (_raw(b"\x7fELF\x02\x01\x01" + bytes(500)), NEVER),
    "pdf": (_raw(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + b"0 0 obj\n" * 50), NEVER),
    "apple-double": (_raw(bytes.fromhex("00051607 00020000") + b"Mac OS X        " + bytes(100)), NEVER),
    "pickle": (_pickle_bomb, NEVER),
    "zip": (_zipped, NEVER),
    "gzip": (lambda rng: gzip.compress(_tune(rng), mtime=0), NEVER),
    "gzip-bomb": (_raw(gzip.compress(bytes(20_000_000), mtime=0)), NEVER),
    "base64": (lambda rng: base64.encodebytes(_tune(rng)), NEVER),
    "utf-16": (lambda rng: _tune(rng).decode("latin-1").encode("utf-16"), NEVER),
    "utf-8-twice": (lambda rng: b"\xef\xbb\xbf" + _tune(rng).decode("latin-1").encode(), NEVER),
    "leading-junk": (lambda rng: rng.bytes(int(rng.integers(1, 200))) + _tune(rng), NEVER),
    "reversed": (lambda rng: _tune(rng)[::-1], NEVER),
    "lower-case-magic": (lambda rng: _tune(rng).lower(), NEVER),
    "line-ends-converted": (lambda rng: _in_the_middle(rng, _meta(1, b"\n" * 9)).replace(b"\n", b"\r\n"), MAYBE),
    # headers
    "header-cut": (lambda rng: _tune(rng)[: int(rng.integers(5, 14))], NEVER),
    "header-alone": (_raw(_file(declared=1)), NEVER),
    "header-then-random": (lambda rng: _file(declared=3) + rng.bytes(int(rng.integers(1, 5_000))), NEVER),
    "header-then-ones": (_raw(_file(declared=1) + b"\xff" * 1_000_000), NEVER),
    "header-of-0-bytes": (lambda rng: b"MThd\x00\x00\x00\x00" + _tune(rng)[8:], NEVER),
    "header-of-5-bytes": (lambda rng: b"MThd\x00\x00\x00\x05" + _tune(rng)[8:], NEVER),
    "header-of-9-bytes": (lambda rng: _chunk(b"MThd", _tune(rng)[8:14] + b"abc") + _tune(rng)[14:], MAYBE),
    "header-of-4-gigabytes": (lambda rng: b"MThd\xff\xff\xff\xff" + _tune(rng)[8:], NEVER),
    "header-little-endian": (lambda rng: b"MThd\x06\x00\x00\x00\x01\x00\x03\x00" + _tune(rng)[12:], NEVER),
    "header-twice": (lambda rng: _file(declared=2) + _tune(rng), MAYBE),
    "format-2": (lambda rng: _file(_track(_melody(rng)), _track(_melody(rng)), file_format=2), NEVER),
    "format-2-one-track": (lambda rng: _file(_track(_melody(rng)), file_format=2), MAYBE),
    "format-3": (lambda rng: _file(_track(_melody(rng)), file_format=3), MAYBE),
    "format-65535": (lambda rng: _file(_track(_melody(rng)), file_format=65_535), MAYBE),
    "division-0": (lambda rng: _file(_track(_melody(rng)), division=0), NEVER),
    "division-1": (lambda rng: _file(_track(_melody(rng)), division=1), MAYBE),
    "division-32767": (lambda rng: _file(_track(_melody(rng)), division=32_767), MAYBE),
    "smpte-25": (lambda rng: _file(_track(_melody(rng)), division=0xE728), NEVER),
    "smpte-0": (lambda rng: _file(_track(_melody(rng)), division=0x8000), NEVER),
    "no-tracks": (_raw(_file()), NEVER),
    "tracks-undeclared": (lambda rng: _file(_track(_melody(rng)), declared=0), MAYBE),
    "fewer-tracks-declared": (lambda rng: _file(_track(_melody(rng)), _track(_melody(rng)), declared=1), MAYBE),
    "65535-tracks-declared": (lambda rng: _file(_track(_melody(rng)), declared=65_535), MAYBE),
    # chunks
    "truncated": (_truncated, MAYBE),
    "track-of-1-gigabyte": (lambda rng: _file(_chunk(b"MTrk", _melody(rng), claims=1 << 30)), MAYBE),
    "track-of-4-gigabytes": (lambda rng: _file(_chunk(b"MTrk", _melody(rng), claims=2**32 - 1)), MAYBE),
    "track-of-half-its-size": (lambda rng: _file(_chunk(b"MTrk", _melody(rng, 40) + END, claims=160)), MAYBE),
    "track-one-byte-short": (
        lambda rng: _file(_chunk(b"MTrk", _melody(rng, 20) + END, claims=20 * 8 - 1), _track(_melody(rng))), MAYBE,
    ),
    "track-of-0-bytes": (_raw(_file(_chunk(b"MTrk", b""))), NEVER),
    "track-named-otherwise": (lambda rng: _file(_chunk(b"MTrK", _melody(rng) + END)), NEVER),
    "track-without-end": (lambda rng: _file(_chunk(b"MTrk", _melody(rng))), MAYBE),
    "track-of-ones": (_raw(_file(_chunk(b"MTrk", b"\xff" * 1_000_000))), NEVER),
    "track-of-zeros": (_raw(_file(_chunk(b"MTrk", bytes(1_000_000)))), NEVER),
    "track-of-random": (lambda rng: _file(_chunk(b"MTrk", rng.bytes(20_000))), MAYBE),
    "track-that-ends-early": (lambda rng: _file(_track(END, _melody(rng))), MAYBE),
    "track-that-ends-twice": (lambda rng: _file(_track(_melody(rng), END * 1_000)), MAYBE),
    "trailing-bytes": (lambda rng: _tune(rng) + rng.bytes(int(rng.integers(1, 50))), MAYBE),
    "two-files": (lambda rng: _tune(rng) + _tune(rng), MAYBE),
    "file-within-a-track": (lambda rng: _file(_chunk(b"MTrk", _tune(rng))), MAYBE),
    "unknown-chunk-first": (lambda rng: _file(_chunk(b"XFIH", rng.bytes(30)), _track(_melody(rng)), declared=1), MAYBE),
    "unknown-chunk-of-4-gigabytes": (
        lambda rng: _file(_chunk(b"XFIH", b"", claims=2**32 - 1), _track(_melody(rng))), MAYBE,
    ),
    "unknown-chunks-only": (lambda rng: _file(_chunk(b"XFIH", rng.bytes(30)), _chunk(b"XFKM", rng.bytes(9))), NEVER),
    "unknown-chunks-many": (lambda rng: _file(_chunk(b"none", b"") * 50_000, _track(_melody(rng)), declared=1), MAYBE),
    "spliced": (_spliced, MAYBE),
    "mutated": (_mutated, MAYBE),
    "mutated-events": (_mutated_events, MAYBE),
    # RIFF
    "riff": (lambda rng: _riff((b"data", _tune(rng))), MAYBE),
    "riff-odd-chunk-first": (lambda rng: _riff((b"DISP", b"abc"), (b"data", _tune(rng))), MAYBE),
    "riff-data-too-long": (lambda rng: _riff((b"data", _tune(rng) + bytes(9)))[:-9], MAYBE),
    "riff-without-data": (lambda rng: _riff((b"LIST", _tune(rng))), NEVER),
    "riff-cut": (lambda rng: _riff((b"data", _tune(rng)))[: int(rng.integers(12, 40))], NEVER),
    "riff-in-riff": (lambda rng: _riff((b"data", _riff((b"data", _tune(rng))))), NEVER),
    "riff-wave": (lambda rng: _riff((b"data", _tune(rng)), kind=b"WAVE"), NEVER),
    "riff-of-4-gigabytes": (_raw(b"RIFF\xff\xff\xff\xffRMIDjunk\xff\xff\xff\xff" + bytes(50)), NEVER),
    "riff-of-empty-chunks": (_raw(_riff(*[(b"none", b"")] * 50_000)), NEVER),
    # times
    "delta-9900000": (lambda rng: _in_the_middle(rng, _meta(1, b"", delta=9_900_000)), MAYBE),
    "delta-20000000": (lambda rng: _in_the_middle(rng, _meta(1, b"", delta=20_000_000)), MAYBE),
    "delta-268435455": (lambda rng: _in_the_middle(rng, _meta(1, b"", delta=LONGEST_DELTA)), MAYBE),
    "delta-of-five-bytes": (lambda rng: _in_the_middle(rng, b"\x81\x80\x80\x80\x00\xff\x01\x00"), MAYBE),
    "delta-of-many-bytes": (lambda rng: _in_the_middle(rng, b"\x80" * 1_000 + b"\x00\xff\x01\x00"), MAYBE),
    "delta-padded": (lambda rng: _in_the_middle(rng, b"\x80\x80\x80\x00\xff\x01\x00" * 100), MAYBE),
    "delta-at-the-end": (lambda rng: _file(_chunk(b"MTrk", _melody(rng) + b"\xff\xff\xff")), MAYBE),
    "ticks-overflow": (_overflow, NEVER),
    "ticks-overflow-after-the-music": (_late_overflow, MAYBE),
    "note-of-a-year": (
        lambda rng: _file(_track(_event(0, 0x90, 60, 64), _meta(1, b"", delta=LONGEST_DELTA) * 7,
                                 _event(0, 0x80, 60, 0), _melody(rng))), MAYBE,
    ),
    # tempo, meter and other meta events
    "tempo-0": (lambda rng: _with(rng, _meta(0x51, bytes(3))), MAYBE),
    "tempo-of-1-byte": (lambda rng: _with(rng, _meta(0x51, b"\x07")), MAYBE),
    "tempo-of-0-bytes": (lambda rng: _with(rng, _meta(0x51, b"")), MAYBE),
    "tempo-of-9-bytes": (lambda rng: _with(rng, _meta(0x51, rng.bytes(9))), MAYBE),
    "tempo-of-256-megabytes": (lambda rng: _with(rng, b"\x00\xff\x51\xff\xff\xff\x7f"), NEVER),
    "tempos-on-one-tick": (lambda rng: _with(rng, *(_meta(0x51, rng.bytes(3)) for _ in range(500))), MAYBE),
    "tempos-many": (_many_tempos, MAYBE),
    "tempos-extreme": (lambda rng: _with(rng, _meta(0x51, b"\xff" * 3), _meta(0x51, b"\0\0\1", delta=99)), MAYBE),
    "meter-0-0": (lambda rng: _with(rng, _meta(0x58, bytes(4))), MAYBE),
    "meter-255-255": (lambda rng: _with(rng, _meta(0x58, b"\xff" * 4)), MAYBE),
    "meter-of-2-bytes": (lambda rng: _with(rng, _meta(0x58, b"\x04\x02")), MAYBE),
    "meters-many": (_many_meters, MAYBE),
    "key-of-99-flats": (lambda rng: _with(rng, _meta(0x59, b"\x9d\x07")), MAYBE),
    "key-of-0-bytes": (lambda rng: _with(rng, _meta(0x59, b"")), MAYBE),
    "smpte-offset": (lambda rng: _with(rng, _meta(0x54, b"\xff" * 5)), MAYBE),
    "sequence-number-of-7-bytes": (lambda rng: _with(rng, _meta(0x00, rng.bytes(7))), MAYBE),
    "meta-unknown": (lambda rng: _with(rng, *(_meta(kind, b"?") for kind in range(0x60, 0x80))), MAYBE),
    "meta-above-127": (lambda rng: _with(rng, _meta(0xF3, b"?")), MAYBE),
    "meta-beyond-the-track": (lambda rng: _in_the_middle(rng, b"\x00\xff\x01\xbf\xff\x7f"), MAYBE),
    "meta-at-the-end": (lambda rng: _file(_chunk(b"MTrk", _melody(rng) + b"\x00\xff")), MAYBE),
    "meta-length-of-many-bytes": (lambda rng: _in_the_middle(rng, b"\x00\xff\x01" + b"\x80" * 9 + b"\x00"), MAYBE),
    "text-of-a-megabyte": (lambda rng: _with(rng, _meta(1, bytes(1_000_000))), MAYBE),
    "text-of-broken-utf-8": (lambda rng: _with(rng, *(_meta(k, b"\xff\xfe\xc3\x28\x00") for k in range(1, 10))), MAYBE),
    "lyrics-many": (lambda rng: _with(rng, _meta(5, b"la", delta=1) * 50_000), MAYBE),
    # events
    "data-bytes-above-127": (lambda rng: _in_the_middle(rng, _event(0, 0xB0, 7, 200), _event(0, 0x90, 60, 255)), MAYBE),
    "running-status-from-nothing": (lambda rng: _file(_track(b"\x00\x3c\x40\x60\x3c\x00", _melody(rng))), MAYBE),
    "running-status-after-meta": (lambda rng: _in_the_middle(rng, _meta(1, b"x"), b"\x00\x3c\x40"), MAYBE),
    "undefined-status": (lambda rng: _in_the_middle(rng, b"\x00\xf4\x00\xf5\x00\xf9\x00\xfd"), MAYBE),
    "realtime-status": (lambda rng: _in_the_middle(rng, b"\x00\xf8\x00\xfa\x00\xfc\x00\xfe"), MAYBE),
    "song-position": (lambda rng: _in_the_middle(rng, b"\x00\xf2\x01\x02\x00\xf3\x01\x00\xf1\x01"), MAYBE),
    "exclusive": (lambda rng: _in_the_middle(rng, b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7"), MAYBE),
    "exclusive-without-end": (lambda rng: _in_the_middle(rng, b"\x00\xf0\x04\x7e\x7f\x09\x01"), MAYBE),
    "exclusive-of-256-megabytes": (lambda rng: _in_the_middle(rng, b"\x00\xf0\xff\xff\xff\x7f\x01"), MAYBE),
    "exclusive-in-pieces": (lambda rng: _in_the_middle(rng, b"\x00\xf0\x02\x43\x12\x09\xf7\x02\x43\xf7"), MAYBE),
    "exclusives-of-exclusives": (_escape_bomb, MAYBE),
    "escape": (lambda rng: _in_the_middle(rng, b"\x00\xf7\x03\x90\x3c\x40"), MAYBE),
    "escapes-many": (lambda rng: _with(rng, b"\x00\xf7\x02\x90\x3c" * 20_000), MAYBE),
    "event-cut-by-the-end": (lambda rng: _file(_chunk(b"MTrk", _melody(rng) + b"\x00\x90\x3c")), MAYBE),
    "controllers-only": (_flood(0xB0, size=2), NEVER),
    "bends-only": (_flood(0xE3, size=2), NEVER),
    "programs-only": (_flood(0xC2, size=1), NEVER),
    "note-offs-only": (_flood(0x80, size=2), NEVER),
    "notes-never-closed": (lambda rng: _file(_track(_rows(1, 0x90, rng.integers(0, 128, 5_000), 64))), MAYBE),
    "notes-of-velocity-0": (lambda rng: _file(_track(_rows(1, 0x90, rng.integers(0, 128, 5_000), 0))), NEVER),
    "notes-of-0-ticks": (lambda rng: _file(_track(_repeated(rng))), MAYBE),
    "one-note": (lambda rng: _file(_track(_melody(rng, 1))), MAYBE),
    "drums-only": (lambda rng: _file(_track(_melody(rng, channel=9))), MAYBE),
    "meta-only": (_raw(_file(_track(_meta(3, b"nothing here")))), NEVER),
    # bombs
    "notes-200000": (_many_notes, MAYBE),
    "one-pitch-opened-often": (_one_pitch_opened_often, MAYBE),
    "all-keys-at-once": (_all_keys_at_once, MAYBE),
    "tracks-65535": (_many_tracks, NEVER),
    "instruments-in-one-track": (_many_instruments_in_one_track, MAYBE),
    "instruments-in-many-tracks": (_many_instruments_in_many_tracks, NEVER),
}  # fmt: skip
"""Maker of each kind, and whether it may be read."""


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True)
    for file in hostile_files(count, seed=0):
        (folder / file.name).write_bytes(file.data)
    for place in hostile_places(folder):
        print(repr(place.path), "may be read" if place.may_be_read else "")


if __name__ == "__main__":
    main()
