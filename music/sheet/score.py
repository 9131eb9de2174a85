"""A piece as MusicXML, by music21 (extra `notation`): its streams hold a score, and its exporter writes it.

What music21 would have to guess is said: staves, voices, written values, ties, triplets and the names of pitches come
from the modules beside this one, since its own quantising knows no voices. Beams and accidentals are its own.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ostinato.music.keys import Key, heard_key
from ostinato.music.piece import DEFAULT_TEMPO_US, DRUMS, Piece
from ostinato.music.sheet.bars import Bar, bars_of
from ostinato.music.sheet.drums import drum_name, place_of
from ostinato.music.sheet.libraries import check_libraries
from ostinato.music.sheet.rhythm import GRID, Value, values_of
from ostinato.music.sheet.rounding import Rounded
from ostinato.music.sheet.spelling import name_of, spell
from ostinato.music.sheet.staves import TREBLE, Part, Staff, parts_of
from ostinato.music.sheet.voices import Chord

_TEMPO_STEP = 0.05
"""A tempo is written where it differs by so much from the one before."""

_PROLOG = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 '
    'Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)


def to_musicxml(written: Rounded, *, title: str, key: Key | None = None) -> bytes:
    """Returns a score of a piece: MusicXML 4.0, the same bytes for the same piece.

    Args:
        written: from `rounding.rounded`; or any piece with GRID ticks to a quarter, of which every note is written.
        title: of the piece.
        key: for the key signature; None is that in which the piece sounds.

    Raises:
        UserError: music21 is not installed.
    """
    check_libraries()
    import music21
    from music21.musicxml.m21ToXml import ScoreExporter

    piece, key = written.piece, key or heard_key(written.piece)
    bars = bars_of(piece)
    parts = parts_of(piece, written.programs, [bar.start for bar in bars]) or [Part(0, "Piano", [Staff(TREBLE, [])])]
    score = music21.stream.Score()
    score.metadata = music21.metadata.Metadata(title=title, composer="Ostinato")
    for number, part in enumerate(parts, 1):
        _Writer(music21, part, f"P{number}", bars, key, _spelling(piece, key)).add_to(score)
    measures: list[Any] = list(score.parts[0].getElementsByClass("Measure"))
    for index, offset, mark in _tempos(piece, bars):
        measures[index].insert(offset, music21.tempo.MetronomeMark(number=mark))
    if words := _remark(written, parts):
        text: Any = music21.expressions.TextExpression(words)
        text.placement = "above"
        text.style.fontStyle = "italic"
        measures[0].insert(0, text)
    for stream in score.parts:
        stream.makeBeams(inPlace=True, setStemDirections=False)
        _mend_beams(music21, stream)
        stream.makeAccidentals(inPlace=True, cautionaryPitchClass=False)
    root = ScoreExporter(score, makeNotation=False).parse()
    _finish(root)
    return (_PROLOG + ElementTree.tostring(root, encoding="unicode") + "\n").encode()


def _spelling(piece: Piece, key: Key | None) -> dict[tuple[int, int], int]:
    """Returns the place on the line of fifths of each (onset, pitch)."""
    notes = piece.notes
    pitched = notes.program != DRUMS
    places = spell(notes.pitch[pitched], key.num_sharps if key else 0)
    return dict(
        zip(
            zip(notes.onset[pitched].tolist(), notes.pitch[pitched].tolist(), strict=True), places.tolist(), strict=True
        )
    )


def _remark(written: Rounded, parts: Sequence[Part]) -> str:
    """Returns what a reader of the page has to know about the notes."""
    if written.is_performance:
        return "played freely: rhythm rounded to sixteenths and triplets"
    if written.programs:
        names = ", ".join(part.name for part in parts if part.program in written.programs)
        return f"lengths of notes rounded: {names}"
    return ""


def _tempos(piece: Piece, bars: Sequence[Bar]) -> Iterator[tuple[int, Fraction, int]]:
    """Yields bar, place in it in quarters, and quarters a minute of each tempo that is written."""
    starts = [bar.start for bar in bars]
    ticks, tempos = piece.tempos.tick.tolist(), piece.tempos.us_per_quarter.tolist()
    if not ticks or ticks[0] > 0:
        ticks, tempos = [0, *ticks], [DEFAULT_TEMPO_US, *tempos]
    shown = 0.0
    for tick, us_per_quarter in zip(ticks, tempos, strict=True):
        if tick < bars[-1].end and abs(us_per_quarter - shown) > _TEMPO_STEP * shown:
            bar = int(np.searchsorted(starts, tick, side="right")) - 1
            yield bar, Fraction(tick - starts[bar], GRID), max(1, round(60e6 / us_per_quarter))
            shown = us_per_quarter


def _mend_beams(music21: ModuleType, stream: Any) -> None:
    """Takes beams away that begin or end inside a triplet, and not with it: verovio reads the notes behind wrongly."""
    for measure in stream.getElementsByClass("Measure"):
        for voice in measure.voices or [measure]:
            beamed: list[Any] = []
            for element in voice.notesAndRests:
                beams = [] if element.isRest else element.beams.beamsList
                if not beams or beams[0].type in ("start", "partial"):
                    beamed = []
                beamed.append(element)
                if beams and beams[0].type == "stop":
                    first, last = beamed[0].duration.tuplets, element.duration.tuplets
                    is_cut = first and first[0].type not in ("start", "startStop")
                    if is_cut or (last and last[0].type not in ("stop", "startStop")):
                        for note in beamed:
                            note.beams = music21.beam.Beams()


class _Event(NamedTuple):
    """A chord or a rest inside one bar."""

    onset: int
    end: int
    chord: Chord | None


class _Writer:
    """Makes the streams of one instrument."""

    def __init__(
        self,
        music21: ModuleType,
        part: Part,
        name: str,
        bars: Sequence[Bar],
        key: Key | None,
        spelling: dict[tuple[int, int], int],
    ) -> None:
        self._m21, self._part, self._name, self._bars = music21, part, name, bars
        self._key, self._spelling = key, spelling
        self._num_drums = 0

    def add_to(self, score: Any) -> None:
        """Adds a part, or the two staves of one."""
        streams = []
        for staff in self._part.staves:
            is_one = len(self._part.staves) == 1
            stream = (self._m21.stream.Part if is_one else self._m21.stream.PartStaff)()
            stream.id = f"{self._name}-{len(streams) + 1}"
            if not streams:
                stream.insert(0, self._instrument())
            for measure in self._measures(staff):
                stream.append(measure)
            streams.append(stream)
            score.insert(0, stream)
        if len(streams) > 1:
            score.insert(0, self._m21.layout.StaffGroup(streams, symbol="brace", barTogether=True))

    def _instrument(self) -> Any:
        is_drums = self._part.program == DRUMS
        instrument = (self._m21.instrument.UnpitchedPercussion if is_drums else self._m21.instrument.Instrument)()
        instrument.partName = instrument.instrumentName = self._part.name
        instrument.partAbbreviation = _abbreviation(self._part.name)
        instrument.partId, instrument.instrumentId = self._name, f"{self._name}-I"
        instrument.midiProgram = 0 if is_drums else self._part.program
        instrument.midiChannel = 9 if is_drums else None
        return instrument

    def _measures(self, staff: Staff) -> Iterator[Any]:
        m21 = self._m21
        waiting = [iter(voice) for voice in staff.voices]
        now: list[Chord | None] = [next(voice, None) for voice in waiting]
        for bar in self._bars:
            measure = m21.stream.Measure(number=bar.number)
            if bar.number == 0:
                measure.showNumber = m21.stream.enums.ShowNumber.NEVER
                measure.paddingLeft = Fraction(bar.missing, GRID)
            if bar is self._bars[0]:
                measure.insert(0, self._clef(staff))
                if self._key and self._part.program != DRUMS:
                    mode = "minor" if self._key.is_minor else "major"
                    measure.insert(0, m21.key.KeySignature(self._key.num_sharps).asKey(mode))
            if bar.shows_meter:
                measure.insert(0, m21.meter.TimeSignature("{}/{}".format(*bar.meter)))
            filled = []
            for index, voice in enumerate(waiting):
                inside: list[Chord] = []
                while (chord := now[index]) is not None and chord.onset < bar.end:
                    inside.append(chord)
                    if chord.end > bar.end:
                        break
                    now[index] = next(voice, None)
                if inside:
                    filled.append(inside)
            self._fill(measure, filled, bar)
            if bar is self._bars[-1]:
                measure.rightBarline = m21.bar.Barline("final")
            yield measure

    def _fill(self, measure: Any, voices: list[list[Chord]], bar: Bar) -> None:
        """Puts what sounds in a bar into it; the first voice, or the only one, shows its rests."""
        m21 = self._m21
        if not voices and 4 * GRID * bar.meter.numerator == (bar.end - bar.start) * bar.meter.denominator:
            rest = m21.note.Rest(quarterLength=Fraction(bar.end - bar.start, GRID))
            rest.fullMeasure = True
            measure.insert(0, rest)
            return
        for number, chords in enumerate(voices or [[]]):
            target = measure if len(voices) < 2 else m21.stream.Voice(id=str(number + 1))
            events = list(_events(chords, bar))
            stem = "" if len(voices) < 2 else "down" if number % 2 else "up"
            for value in values_of(
                [(onset, end, chord is None) for onset, end, chord in events], bar.end - bar.start, bar.meter
            ):
                target.insert(
                    Fraction(value.onset, GRID),
                    self._element(value, events[value.event], bar, is_hidden=number > 0, stem=stem),
                )
            if target is not measure:
                measure.insert(0, target)

    def _element(self, value: Value, event: _Event, bar: Bar, *, is_hidden: bool, stem: str) -> Any:
        m21 = self._m21
        duration = m21.duration.Duration(type=value.kind, dots=value.dots)
        if value.third:
            tuplet = m21.duration.Tuplet(3, 2, value.third)
            tuplet.type = value.bracket or None
            duration.appendTuplet(tuplet)
        if event.chord is None:
            rest = m21.note.Rest(duration=duration)
            if is_hidden:
                rest.style.hideObjectOnPrint = True
            return rest
        chord = event.chord
        tones = [self._tone(pitch, chord.onset) for pitch in chord.pitches]
        is_drums = self._part.program == DRUMS
        element = tones[0]
        if len(tones) > 1:
            element = (m21.percussion.PercussionChord if is_drums else m21.chord.Chord)(tones)
        element.duration = duration
        if stem:
            element.stemDirection = stem
        starts = chord.onset == bar.start + value.onset
        ends = chord.end == bar.start + value.onset + value.ticks
        if not (starts and ends):
            for tone in tones:
                tone.tie = m21.tie.Tie("start" if starts else "stop" if ends else "continue")
        return element

    def _tone(self, pitch: int, onset: int) -> Any:
        m21 = self._m21
        if self._part.program == DRUMS:
            place = place_of(pitch)
            tone = m21.note.Unpitched(displayName=f"{place.step}{place.octave}")
            tone.notehead = place.head
            tone.id = f"{self._name}-{pitch}-{self._num_drums}"
            self._num_drums += 1
            return tone
        step, alter, octave = name_of(self._spelling[onset, pitch], pitch)
        name = m21.pitch.Pitch(step=step, octave=octave)
        if alter:
            name.accidental = m21.pitch.Accidental(alter)
        return m21.note.Note(name)

    def _clef(self, staff: Staff) -> Any:
        clefs, (sign, line, octave, _, _) = self._m21.clef, staff.clef
        return clefs.PercussionClef() if sign == "percussion" else clefs.clefFromString(f"{sign}{line}", octave)


def _events(chords: Sequence[Chord], bar: Bar) -> Iterator[_Event]:
    """Yields the chords inside a bar, and rests between them, from the start of the bar."""
    now, length = 0, bar.end - bar.start
    for chord in chords:
        onset, end = max(chord.onset - bar.start, 0), min(chord.end - bar.start, length)
        if onset > now:
            yield _Event(now, onset, None)
        yield _Event(onset, end, chord)
        now = end
    if now < length:
        yield _Event(now, length, None)


def _abbreviation(name: str) -> str:
    """Returns a short name: Fl. for Flute, A.G.P. for Acoustic Grand Piano."""
    words = [word for word in name.replace("(", " ").replace(")", " ").split() if word[0].isalpha()]
    if len(name) <= 6:
        return name
    return f"{name[:4]}." if len(words) < 2 else "".join(f"{word[0].upper()}." for word in words)


def _finish(root: Element) -> None:
    """Takes out the date, which would change the bytes, and says which drum each note is: music21 has one a part."""
    encoding = root.find("identification/encoding")
    if encoding is not None and (date := encoding.find("encoding-date")) is not None:
        encoding.remove(date)
    for part in root.iterfind("part"):
        name = part.get("id", "")
        notes = [note for note in part.iter("note") if note.find("unpitched") is not None]
        if not notes:
            continue
        pitches = [int(note.attrib["id"].split("-")[1]) for note in notes]
        for note, pitch in zip(notes, pitches, strict=True):
            place = [child.tag for child in note].index("duration") + 1
            while note[place].tag == "tie":
                place += 1
            note.insert(place, Element("instrument", id=f"{name}-I{pitch}"))
            for old in note.findall("instrument")[1:]:
                note.remove(old)
        described = root.find(f"part-list/score-part[@id='{name}']")
        assert described is not None
        # Behind that of the whole kit, which music21 reads; it warns of drums that it has no class for.
        place = [child.tag for child in described].index("midi-instrument")
        for pitch in sorted(set(pitches), reverse=True):
            drum = Element("score-instrument", id=f"{name}-I{pitch}")
            SubElement(drum, "instrument-name").text = drum_name(pitch)
            described.insert(place, drum)
        for pitch in sorted(set(pitches)):
            played = SubElement(described, "midi-instrument", id=f"{name}-I{pitch}")
            for tag, number in (("midi-channel", 10), ("midi-program", 1), ("midi-unpitched", pitch + 1)):
                SubElement(played, tag).text = str(number)
