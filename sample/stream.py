"""Music without end: pieces one after the other, each with its own beginning, at constant cost and memory for a note.

It goes to a MIDI file that is valid at every moment, to a pipe, or to a live MIDI port.
"""

import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Bool, Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.model.network import MusicModel
from ostinato.music.codec import Codec
from ostinato.music.midi_bytes import TEMPO, track_bytes
from ostinato.music.piece import DEFAULT_TEMPO_US
from ostinato.sample.blocks import CHUNK, WIDTHS
from ostinato.sample.controls import controls_for
from ostinato.sample.draws import piece_keys
from ostinato.sample.generate import after_primers, given_chunks
from ostinato.sample.output.growing_midi import GrowingMidi
from ostinato.sample.output.midi_events import Event, MidiEvents
from ostinato.sample.primers import Primer
from ostinato.sample.step import Written, prepare_network, start_states, write_chunk

PORT = "port:"
"""A target that begins so is a MIDI port; nothing more is the first one there is."""


class Rows(NamedTuple):
    """Some rows of an endless sequence."""

    rows: Int[np.ndarray, "t f"]
    is_last: Bool[np.ndarray, " t"]
    """A piece is over with this row; the next one begins, without a START row."""


class Sink(Protocol):
    """Where events go."""

    def write(self, events: list[Event], note_offs: list[Event]) -> None:
        """Takes events in order of time, and those that will end what sounds after them if nothing more comes."""
        ...

    def close(self) -> None: ...


def endless_rows(
    model: MusicModel, params: Any, codec: Codec, config: SampleConfig, primer: Primer | None = None
) -> Iterator[Rows]:
    """Yields rows for ever; each piece is as long as `config` says.

    Args:
        model: the network.
        params: its parameters.
        codec: of the model.
        config: what is asked for; the number of pieces is not looked at.
        primer: with which the first piece begins.
    """
    controls, width = controls_for(model.config, config, codec), WIDTHS[0]
    mesh = Mesh(np.array(jax.local_devices()[:1]), ("blocks",))
    split = NamedSharding(mesh, P("blocks"))
    network = jax.device_put(prepare_network(model, params), NamedSharding(mesh, P()))
    keys = piece_keys(config, np.arange(width)).reshape(1, width)
    primers = [primer or Primer(np.array([codec.start]))] * width
    state = after_primers(start_states(model, codec, 1, width, controls), primers)
    state, keys = jax.device_put((state, keys), split)
    num_fields = len(codec.fields)
    nothing = np.zeros((width, CHUNK, num_fields), np.int32), np.zeros((width, CHUNK), bool)
    chunks = iter(given_chunks(primers, num_fields))
    before: Written | None = None
    while True:
        given, is_given = (jax.device_put(part[None], split) for part in next(chunks, nothing))
        written, state = write_chunk(model, codec, mesh, True, network, state, keys, given, is_given, controls, None)
        if before is not None:  # while it is played, the next chunk is computed
            yield Rows(np.asarray(before.row)[0, 0], np.asarray(before.is_last)[0, 0])
        before = written


def play(codec: Codec, rows: Iterator[Rows], sink: Sink, *, max_notes: int | None = None) -> int:
    """Sends rows to a sink until they end, there are enough notes, or nobody wants more; returns how many notes came.

    Ctrl-C and a reader that closes its end of a pipe are how a stream usually ends, not errors. The sink is closed in
    any case, with what sounds then silenced.
    """
    events = MidiEvents(codec)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            for part in rows:
                sink.write(events.add(part.rows, part.is_last), events.note_offs())
                if max_notes is not None and events.num_notes >= max_notes:
                    break
            sink.write(events.rest(), [])
        finally:
            sink.close()
    return events.num_notes


def open_sink(target: str, codec: Codec) -> Sink:
    """Returns the sink that a target names: a MIDI file, '-' (standard output), a pipe or device, or 'port:NAME'.

    Raises:
        UserError: there is no such port, what a port needs is not installed, or the target cannot be streamed to.
    """
    ticks_per_quarter = MidiEvents(codec).ticks_per_quarter
    if target.startswith(PORT):
        return TimedSink(_port_sender(target.removeprefix(PORT)), ticks_per_quarter)
    if target == "-":
        if sys.stdout.isatty():
            raise UserError("--stream - writes raw MIDI messages; give standard output a reader: ... --stream - | ...")
        return TimedSink(PipeSender(sys.stdout.buffer), ticks_per_quarter)
    path = Path(target)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return TimedSink(PipeSender(open(path, "wb", buffering=0)), ticks_per_quarter)
    if path.suffix.lower() not in (".mid", ".midi"):
        raise UserError(f"{target}: a stream goes to a .mid file, a pipe or device that is there, - or {PORT}NAME")
    return FileSink(path, ticks_per_quarter)


class FileSink:
    """A growing MIDI file; when it is full, another one with a number."""

    def __init__(self, path: Path, ticks_per_quarter: int) -> None:
        self._first_path, self._ticks_per_quarter = path, ticks_per_quarter
        path.parent.mkdir(parents=True, exist_ok=True)
        self._number = 1
        self._file = GrowingMidi(path, ticks_per_quarter=ticks_per_quarter)
        self._tick = 0
        self._setting: dict[bytes, bytes] = {}

    def write(self, events: list[Event], note_offs: list[Event]) -> None:
        """Appends to the file; each call leaves a file that is whole."""
        if not events:
            return
        last = events[-1].tick
        music, ending = _as_track(events, self._tick), _as_track(note_offs, last)
        if not self._file.has_room(len(music) + len(ending)):
            self._next_file(events[0].tick)
            music = _as_track([*self._settings(events[0].tick), *events], self._tick)
        self._file.append(music, ending)
        self._tick = last
        for event in events:
            if event.message[0] == 0xFF or event.message[0] >> 4 == 0xC:
                self._setting[event.message[:2] if event.message[0] == 0xFF else event.message[:1]] = event.message

    def close(self) -> None:
        self._file.close()

    def _next_file(self, tick: int) -> None:
        self._file.close()
        self._number += 1
        path = self._first_path
        path = path.with_name(f"{path.stem}-{self._number}{path.suffix}")
        self._file = GrowingMidi(path, ticks_per_quarter=self._ticks_per_quarter)
        self._tick = tick

    def _settings(self, tick: int) -> list[Event]:
        """Returns the tempo, meter and programs in force, for the beginning of a new file."""
        return [Event(tick, 0, count, message) for count, message in enumerate(self._setting.values())]


class Sender(Protocol):
    """Takes one MIDI message at the moment it is due."""

    def send(self, message: bytes) -> None: ...
    def close(self) -> None: ...


class TimedSink:
    """Sends each message when its time has come, as a player at an instrument would."""

    def __init__(
        self,
        sender: Sender,
        ticks_per_quarter: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sender, self._clock, self._sleep = sender, clock, sleep
        self._ticks_per_quarter = ticks_per_quarter
        self._tick, self._us_per_quarter = 0, DEFAULT_TEMPO_US
        self._due_s: float | None = None
        self._sounding: set[tuple[int, int]] = set()

    def write(self, events: list[Event], note_offs: list[Event]) -> None:
        """Sends the events, each at its time; late ones at once."""
        del note_offs  # close() silences what sounds
        if self._due_s is None:
            self._due_s = self._clock()
        for event in events:
            self._due_s += (event.tick - self._tick) * self._us_per_quarter * 1e-6 / self._ticks_per_quarter
            self._tick = event.tick
            wait_s = self._due_s - self._clock()
            if wait_s > 0:
                self._sleep(wait_s)
            self._send(event.message)

    def _send(self, message: bytes) -> None:
        if message[0] == 0xFF:
            if message[1] == TEMPO:
                self._us_per_quarter = int.from_bytes(message[3:6], "big")
            return
        kind, channel = message[0] >> 4, message[0] & 15
        if kind == 0x9:
            self._sounding.add((channel, message[1]))
        elif kind == 0x8:
            self._sounding.discard((channel, message[1]))
        self._sender.send(message)

    def close(self) -> None:
        """Silences what sounds, and closes the sender."""
        try:
            for channel, pitch in sorted(self._sounding):
                self._sender.send(bytes((0x80 | channel, pitch, 0)))
        finally:
            self._sender.close()


class PipeSender:
    """Raw MIDI messages, as they go over a cable."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def send(self, message: bytes) -> None:
        """Writes a message at once."""
        self._file.write(message)
        self._file.flush()

    def close(self) -> None:
        """Closes the pipe; standard output too, or Python would try once more to write to a reader that has left."""
        self._file.close()


class PortSender:
    """A port of mido."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def send(self, message: bytes) -> None:
        from mido import Message

        self._port.send(Message.from_bytes(message))

    def close(self) -> None:
        self._port.close()


def _port_sender(name: str) -> PortSender:
    """Returns the port of that name, by the backend that mido uses.

    Raises:
        UserError: mido or its backend is not installed, or there is no such port.
    """
    try:
        import mido

        names: list[str] = mido.get_output_names()  # pyright: ignore[reportAttributeAccessIssue]  # made at run time
    except ImportError as error:
        raise UserError(f"a live port needs mido and python-rtmidi: pip install 'ostinato[live]' ({error})") from error
    if not names or (name and name not in names):
        raise UserError(f"no MIDI port {name!r}; there are: {', '.join(names) or 'none'}")
    return PortSender(mido.open_output(name or names[0]))  # pyright: ignore[reportAttributeAccessIssue]


def _as_track(events: list[Event], tick: int) -> bytes:
    return track_bytes([(event.tick, event.message) for event in events], tick=tick)
