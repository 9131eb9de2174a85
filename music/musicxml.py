"""MusicXML, plain or compressed (.mxl), is read into pieces with the standard library alone.

What is read: pitches with alterations, durations, chords, voices (`backup`, `forward`), ties, transposing instruments,
time signatures, pickup bars, `sound tempo`. What is not: repeats and endings are not expanded (every written bar is
played once, in order), grace and cue notes and unpitched percussion are left out, loudness is constant, ornaments and
fermatas are played plainly.

Source: W3C MusicXML 4.0, https://www.w3.org/2021/06/musicxml40/.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ostinato.music.meters import Meter, meters_of_bars
from ostinato.music.musicxml_file import MusicXmlError, parse, to_fraction
from ostinato.music.piece import Piece, make_piece

TICKS_PER_QUARTER = 480
"""The resolution wherever it is exact."""

MAX_TICKS_PER_QUARTER = 30_240
"""2^5 3^3 5 7: where no resolution of up to 15 bits (MIDI) is exact, times are rounded to this one."""

MAX_RESOLUTION = 1 << 40
"""Parts of a quarter; durations that differ more finely are refused."""

MAX_TICKS = (1 << 28) - 1
"""The longest time that MIDI can say in one step."""

VELOCITY = 80
"""The loudness of every note: mezzo-forte."""

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEAT_TYPES = ("1", "2", "4", "8", "16", "32", "64")
_HALF = Fraction(1, 2)


class _Note(NamedTuple):
    onset: Fraction
    """Quarters from the start of the bar's first beat, or of the piece; likewise `end`."""
    end: Fraction
    pitch: int
    tie_start: bool
    tie_stop: bool


@dataclass
class _Bar:
    """What one part has in one bar; times in quarters from the start of the bar."""

    length: Fraction = Fraction(0)
    notes: list[_Note] = field(default_factory=list)
    tempos: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    meters: list[tuple[Fraction, Meter]] = field(default_factory=list)


def read(data: bytes, *, programs: Sequence[int] | None = None) -> Piece:
    """Returns the piece that a MusicXML or .mxl file holds.

    Args:
        data: the bytes of the file.
        programs: the program of each part, in the order of the score. One program per part keeps the voices apart; on
            a shared program two voices in unison are one note to MIDI. Without it each part has the program that the
            file gives it, or 0 (piano).

    Raises:
        MusicXmlError: the data is not a readable score, or has another number of parts than `programs`.
    """
    return to_piece(parse(data), programs=programs)


def num_parts(score: Element) -> int:
    """Returns how many parts a score has."""
    return len(_bars_of_parts(score))


def to_piece(score: Element, *, programs: Sequence[int] | None = None) -> Piece:
    """Returns the piece that a parsed score holds; see `read`."""
    reader = _Reader()
    parts = {part: reader.read_part(part, bars) for part, bars in _bars_of_parts(score).items()}
    if programs is None:
        programs = _own_programs(score, list(parts))
    elif len(programs) != len(parts):
        raise MusicXmlError(f"the score has {len(parts)} parts, but {len(programs)} programs were given for them")

    # A bar begins where the longest part's bar before it ends, so that a part with missing rests stays in time.
    num_bars = max(map(len, parts.values()), default=0)
    lengths = [max(bars[i].length for bars in parts.values() if i < len(bars)) for i in range(num_bars)]
    starts = [Fraction(0)]
    for length in lengths:
        starts.append(starts[-1] + length)

    notes = [
        (*note, program)
        for bars, program in zip(parts.values(), programs, strict=True)
        for note in _join_ties(bars, starts)
    ]
    tempos = [
        (start + time, tempo) for bars in parts.values() for start, bar in zip(starts, bars, strict=False)
        for time, tempo in bar.tempos
    ]  # fmt: skip
    written = (
        [(start + time, meter) for start, bar in zip(starts, bars, strict=False) for time, meter in bar.meters]
        for bars in parts.values()
    )
    # Where parts differ in meter, the first part that has any counts the bars.
    meters = meters_of_bars(next(filter(None, written), []), starts, lengths)

    tpq = _ticks_per_quarter(reader.resolution)
    if starts[-1] * tpq > MAX_TICKS:
        raise MusicXmlError(f"the score lasts {float(starts[-1]):.6g} quarters, at most {MAX_TICKS // tpq} are read")

    def ticks(time: Fraction) -> int:
        return (2 * tpq * time.numerator + time.denominator) // (2 * time.denominator)  # halves upward, exactly

    return make_piece(
        onset=[ticks(onset) for onset, _, _, _ in notes],
        duration=[max(1, ticks(end) - ticks(onset)) for onset, end, _, _ in notes],
        pitch=[pitch for _, _, pitch, _ in notes],
        velocity=[VELOCITY] * len(notes),
        program=[program for _, _, _, program in notes],
        tempos=([ticks(time) for time, _ in tempos], [round(60_000_000 / tempo) for _, tempo in tempos]),
        meters=(
            [ticks(time) for time, _ in meters],
            [meter.numerator for _, meter in meters],
            [meter.denominator for _, meter in meters],
        ),
        ticks_per_quarter=tpq,
    )


def _bars_of_parts(score: Element) -> dict[str, list[Element]]:
    """Returns the elements of each part's bars, by the part's id, in the order of the score."""
    bars: dict[str, list[Element]] = defaultdict(list)
    if score.tag == "score-timewise":
        for measure in score.iterfind("measure"):
            for part in measure.iterfind("part"):
                bars[part.get("id", "")].append(part)
    else:
        for part in score.iterfind("part"):
            bars[part.get("id", "")].extend(part.iterfind("measure"))
    return bars


def _own_programs(score: Element, parts: list[str]) -> list[int]:
    """Returns the General MIDI program (0 to 127) that the file's part list gives each part, or 0."""
    own = {part.get("id"): part.find("midi-instrument/midi-program") for part in score.iterfind("part-list/score-part")}
    programs = []
    for part in parts:
        element = own.get(part)
        program = 1 if element is None else _number(element, f"part {part!r}")
        if program not in range(1, 129):
            raise MusicXmlError(f"part {part!r}: <midi-program> is {program}, not 1 to 128")
        programs.append(int(program) - 1)
    return programs


class _Reader:
    """Reads the bars of one part after the other; in a part, divisions and transposition hold until they change."""

    def __init__(self) -> None:
        self.resolution = 1
        """The least number of parts of a quarter in which every time so far is whole."""
        self.where = ""
        self.divisions: Fraction | None = None
        self.transpose: dict[str | None, int] = {}
        """Semitones by staff; None is every staff."""

    def read_part(self, part: str, elements: list[Element]) -> list[_Bar]:
        self.divisions, self.transpose = None, {}
        bars = []
        for i, element in enumerate(elements):
            self.where = f"part {part!r}, measure {element.get('number', i + 1)!r}"
            bars.append(self._read_bar(element))
        return bars

    def _read_bar(self, element: Element) -> _Bar:
        bar = _Bar()
        now = Fraction(0)
        last_onset: Fraction | None = None
        for child in element:
            if child.tag == "note":
                if child.find("grace") is not None:
                    continue
                duration = self._duration(child)
                in_chord = child.find("chord") is not None
                if in_chord and last_onset is None:
                    raise MusicXmlError(f"{self.where}: a <chord/> without a note before it")
                onset = last_onset if in_chord and last_onset is not None else now
                if not in_chord:
                    last_onset = onset
                    now += duration
                bar.notes.extend(self._sounding(child, onset, duration))
                bar.length = max(bar.length, onset + duration)
            elif child.tag == "forward":
                now += self._duration(child)
                bar.length = max(bar.length, now)
            elif child.tag == "backup":
                now -= self._duration(child)
                if now < 0:
                    raise MusicXmlError(f"{self.where}: <backup> goes {-now} quarters before the start of the measure")
            elif child.tag == "attributes":
                self._read_attributes(child, now, bar)
            elif child.tag in ("sound", "direction"):
                sound = child if child.tag == "sound" else child.find("sound")
                if sound is not None and sound.get("tempo") is not None:
                    bar.tempos.append((now, self._tempo(sound.get("tempo", ""))))
        return bar

    def _sounding(self, element: Element, onset: Fraction, duration: Fraction) -> Iterator[_Note]:
        """Gives the note, unless it is a rest, a cue note, unpitched or of no length."""
        pitch = element.find("pitch")
        if pitch is None or not duration or element.find("cue") is not None:
            return
        # <tie> is what sounds and <tied> what is drawn; some programs write only the latter.
        ties = element.findall("tie") or element.findall("notations/tied")
        kinds = {tie.get("type") for tie in ties}
        staff = element.findtext("staff", "1").strip()
        yield _Note(onset, onset + duration, self._pitch(pitch, staff), "start" in kinds, "stop" in kinds)

    def _duration(self, element: Element) -> Fraction:
        """Returns quarters."""
        duration = element.find("duration")
        if duration is None:
            raise MusicXmlError(f"{self.where}: <{element.tag}> without <duration>")
        if self.divisions is None:
            raise MusicXmlError(f"{self.where}: <duration> before any <divisions>")
        value = _number(duration, self.where)
        if value < 0:
            raise MusicXmlError(f"{self.where}: <duration> is {value}, below 0")
        quarters = value / self.divisions
        # The bound keeps sums of fractions short, whatever the file says.
        self.resolution = math.lcm(self.resolution, quarters.denominator)
        if self.resolution > MAX_RESOLUTION:
            raise MusicXmlError(f"{self.where}: durations so far have no resolution in common up to {MAX_RESOLUTION}")
        return quarters

    def _pitch(self, element: Element, staff: str) -> int:
        """Returns the sounding pitch; quarter tones are rounded up to the next semitone."""
        step = element.findtext("step", "").strip()
        octave = element.find("octave")
        if step not in _STEPS or octave is None:
            raise MusicXmlError(f"{self.where}: <pitch> has step {step!r}, not one of A to G with an <octave>")
        alter = element.find("alter")
        # An empty <alter/> is written by some programs for a natural.
        altered = _number(alter, self.where) if alter is not None and (alter.text or "").strip() else 0
        written = 12 * math.floor(_number(octave, self.where)) + 12 + _STEPS[step] + math.floor(altered + _HALF)
        pitch = written + self.transpose.get(staff, self.transpose.get(None, 0))
        if not 0 <= pitch <= 127:
            raise MusicXmlError(f"{self.where}: pitch {step}{octave.text} sounds as MIDI note {pitch}, not 0 to 127")
        return pitch

    def _tempo(self, text: str) -> Fraction:
        tempo = to_fraction(text)
        if tempo is None or not 4 <= tempo <= 60_000_000:  # MIDI has 24 bits for the microseconds of a quarter
            raise MusicXmlError(f"{self.where}: tempo is {text[:40]!r} quarters per minute, not 4 to 60000000")
        return tempo

    def _read_attributes(self, element: Element, now: Fraction, bar: _Bar) -> None:
        divisions = element.find("divisions")
        if divisions is not None:
            self.divisions = _number(divisions, self.where)
            if self.divisions <= 0:
                raise MusicXmlError(f"{self.where}: <divisions> is {divisions.text}, not above 0")
        for transpose in element.iterfind("transpose"):
            semitones = Fraction(0)
            for name, size in (("chromatic", 1), ("octave-change", 12)):
                value = transpose.find(name)
                semitones += size * _number(value, self.where) if value is not None else 0
            self.transpose[transpose.get("number")] = math.floor(semitones + _HALF)
        time = element.find("time")
        if time is not None and time.find("senza-misura") is None:
            bar.meters.append((now, self._meter(time)))

    def _meter(self, time: Element) -> Meter:
        """Returns the meter; 3+2/8 is 5/8, and 2/4 3/8 written side by side is 7/8."""
        beats = [(element.text or "").strip() for element in time.iterfind("beats")]
        units = [(element.text or "").strip() for element in time.iterfind("beat-type")]
        wrong = f"{self.where}: <time> is {'+'.join(beats)[:40]!r} over {'+'.join(units)[:40]!r}"
        whole = Fraction(0)
        denominator = 1
        for beat, unit in zip(beats, units, strict=False):
            if unit not in _BEAT_TYPES:
                raise MusicXmlError(f"{wrong}; the beat type must be a power of two up to 64")
            for term in beat.split("+"):
                whole += (to_fraction(term) or 0) / int(unit)
            denominator = max(denominator, int(unit))
        numerator = whole * denominator
        if numerator not in range(1, 256):
            raise MusicXmlError(f"{wrong}; there must be 1 to 255 whole beats")
        return Meter(int(numerator), denominator)


def _number(element: Element, where: str) -> Fraction:
    number = to_fraction(element.text or "")
    if number is None:
        raise MusicXmlError(f"{where}: <{element.tag}> is {(element.text or '')[:40]!r}, not a decimal number")
    return number


def _join_ties(bars: list[_Bar], starts: list[Fraction]) -> list[tuple[Fraction, Fraction, int]]:
    """Returns (onset, end, pitch) with tied notes as one note, in quarters from the start of the piece."""
    joined: list[tuple[Fraction, Fraction, int]] = []
    # The notes that a tie leaves, by pitch and end. A tie may cross voices and bar lines; a stop without a start (as
    # after a repeat) begins a note.
    waiting: dict[tuple[int, Fraction], list[int]] = defaultdict(list)
    for start, bar in zip(starts, bars, strict=False):
        # In order of time, not of writing: within a bar a second voice is written after the whole of the first.
        for note in sorted(bar.notes, key=lambda note: note.onset):
            onset, end = start + note.onset, start + note.end
            before = waiting[note.pitch, onset] if note.tie_stop else []
            if before:
                index = before.pop()
                joined[index] = (joined[index][0], end, note.pitch)
            else:
                index = len(joined)
                joined.append((onset, end, note.pitch))
            if note.tie_start:
                waiting[note.pitch, end].append(index)
    return joined


def _ticks_per_quarter(resolution: int) -> int:
    """Returns 480 or a multiple of it that is exact, or else the resolution itself, or else the finest allowed."""
    for exact in (math.lcm(TICKS_PER_QUARTER, resolution), resolution):
        if exact < 1 << 15:
            return exact
    return MAX_TICKS_PER_QUARTER
