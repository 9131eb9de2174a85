"""A composer by rules: fragments of the corpus, recombined where their voices fit, in the spirit of Cope's EMI.

After Cope, Experiments in Musical Intelligence (1996), and Computer Models of Musical Creativity (2005): the
pieces of a corpus are cut into beats; each beat knows with which notes it begins, and to which notes it went in its
own piece (its destination). A new piece begins as some piece does, and each beat is followed by any that begins with
the notes of its destination, at the same place in the bar, so voices lead as they did in the corpus. Where no other
beat begins so, voices may lead elsewhere, under rules: see `leads_well`. All pieces are first moved to C major or
A minor, or few beats would fit.

Such a system has no likelihood: music that is not made of its beats has probability zero, and most is. What can be said
of it is `coverage`.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from ostinato.configs.errors import UserError
from ostinato.data.records import TFRecordSource
from ostinato.evaluation.baselines.beats import Beat, Chord, cut_beats, moved, shift_to_c
from ostinato.evaluation.excerpts import first_notes
from ostinato.evaluation.held_out import choose_pieces
from ostinato.music.codec import Codec
from ostinato.music.piece import DEFAULT_TEMPO_US, Piece, make_piece

MAX_PIECES = 1000
"""Of a larger corpus the composer knows so many pieces, evenly spread."""

LONGEST_QUOTE = 4
"""Beats in a row from one piece, where another piece fits too."""

LARGEST_LEAP = 12
"""Semitones that a voice may move."""

DEFAULT_NOTES = 1024

FIFTH = 7

_MAX_BEATS_PER_NOTE = 16


class _Beginning(NamedTuple):
    """What a new piece takes over from the one that it begins with."""

    beat: Beat
    shift: int
    """Semitones by which the piece was moved to C."""
    tempo_us: int
    meter: tuple[int, int]
    style: int


class RuleComposer:
    """Recombines beats of a corpus."""

    name = "rules"

    def __init__(self, pieces: Iterable[Piece], codec: Codec, styles: Iterable[int] = itertools.repeat(0)) -> None:
        """Takes the corpus, as `codec.decode` returns it, and the number of each piece's style."""
        self.codec = codec
        self._beats: list[list[Beat]] = []
        self._beginnings: list[_Beginning] = []
        self._by_begin: defaultdict[tuple[Any, ...], list[Beat]] = defaultdict(list)
        self._by_shape: defaultdict[tuple[Any, ...], list[Beat]] = defaultdict(list)
        for piece, style in zip(pieces, styles, strict=False):
            shift = shift_to_c(piece)
            beats = cut_beats(piece, len(self._beats), shift)
            if not beats:
                continue
            self._beats.append(beats)
            self._beginnings.append(_beginning(piece, beats[0], shift, style))
            self._ticks_per_quarter = piece.ticks_per_quarter
            for beat in beats:
                self._by_begin[beat.place, beat.begins].append(beat)
                self._by_shape[beat.place, _shape(beat.begins)].append(beat)
        if not self._beats:
            raise UserError("the corpus holds no piece with a note, so there is nothing to compose from")

    @classmethod
    def of_split(cls, source: TFRecordSource) -> "RuleComposer":
        """Returns a composer that knows a split, or MAX_PIECES of its pieces."""
        records = [source[number] for number in choose_pieces(len(source), MAX_PIECES).tolist()]
        styles = {style: number for number, style in enumerate(source.codec.styles)}
        pieces = (source.codec.decode(record.steps) for record in records)
        return cls(pieces, source.codec, [styles.get(record.style, 0) for record in records])

    def generate(self, seed: int | Sequence[int], num_notes: int) -> Integer[np.ndarray, "n f"]:
        """Returns a new piece, legal under the codec's grammar, from START to END.

        Args:
            seed: the same one gives the same piece.
            num_notes: in the piece, which is cut there (where the codec writes two of them as one, there are fewer);
                0 continues until a beat that ends its piece, or DEFAULT_NOTES notes.
        """
        rng = np.random.default_rng(seed)
        beginning = self._choose_beginning(rng)
        notes = self._write(rng, beginning.beat, num_notes)
        return self._encode(sorted(notes)[: num_notes or DEFAULT_NOTES], beginning)

    def continue_piece(
        self, seed: int | Sequence[int], num_notes: int, piece: Piece, num_beats: int, style: int = 0
    ) -> Integer[np.ndarray, "n f"]:
        """Returns the beginning of a piece with another continuation, legal under the codec's grammar.

        The first new beat follows, somewhere in the corpus, one that begins with the very notes of the last old beat.
        Where there is none, it is one to which the voices lead well, or else any from the same place in the bar.

        Args:
            seed: the same one gives the same piece.
            num_notes: at least 1, that are added.
            piece: as `codec.decode` returns it. Its first tempo and meter stay.
            num_beats: at least 1; the notes that begin in them are given.
            style: its number.

        Raises:
            UserError: no note begins in those beats.
        """
        rng = np.random.default_rng(seed)
        given = piece.notes.onset < num_beats * piece.ticks_per_quarter
        if not given.any():
            raise UserError(f"no note begins in the first {num_beats} beats, so there is nothing to continue")
        old = first_notes(piece, int(given.sum()))
        shift = shift_to_c(old)
        last = cut_beats(old, -1, shift)[:num_beats][-1]
        first = self._following(rng, last, num_beats - 1 - last.number)
        added = sorted(self._write(rng, first, num_notes, begin_beat=num_beats))
        notes = old.notes._replace(pitch=moved(old.notes.pitch, old.notes.program, shift))
        return self._encode([*np.stack(notes, 1).tolist(), *added[:num_notes]], _beginning(old, last, shift, style))

    def coverage(self, pieces: Iterable[Piece]) -> dict[str, float | int]:
        """Returns how much of some other music the composer could have written, beat by beat.

        `possible` is the share of moves from one beat to the next that it could make exactly: the beat after has its
        very notes in the corpus, and begins there as the one before was going. `known` is the share of beats whose
        notes are in the corpus at all. Both after the piece is moved to C.
        """
        known_beats = {(beat.place, beat.sounds) for beats in self._beats for beat in beats}
        moves = {(beat.place, beat.sounds, beat.goes_to) for beats in self._beats for beat in beats}
        num_beats = num_known = num_moves = num_possible = 0
        for piece in pieces:
            beats = cut_beats(piece, -1, shift_to_c(piece))
            is_known = [(beat.place, beat.sounds) in known_beats for beat in beats]
            num_beats, num_known, num_moves = (
                num_beats + len(beats),
                num_known + sum(is_known),
                num_moves + len(beats[1:]),
            )
            num_possible += sum(
                next_is_known and (beat.place, beat.sounds, beat.goes_to) in moves
                for beat, next_is_known in zip(beats[:-1], is_known[1:], strict=True)
            )
        known, possible = num_known / max(num_beats, 1), num_possible / max(num_moves, 1)
        return {"beats": num_beats, "known": known, "possible": possible}

    def _write(self, rng: np.random.Generator, beat: Beat, num_notes: int, *, begin_beat: int = 0) -> list[list[int]]:
        """Returns the columns of the notes of new beats, `beat` and what follows it: at least `num_notes` notes."""
        wanted, quoted = num_notes or DEFAULT_NOTES, 1
        notes: list[list[int]] = []
        ringing: dict[tuple[int, int], list[int]] = {}
        for number in range(begin_beat, begin_beat + _MAX_BEATS_PER_NOTE * wanted):
            ringing = _append(notes, ringing, beat, number * self._ticks_per_quarter)
            if len(notes) >= wanted or (beat.goes_to is None and not num_notes):
                break
            following = self._choose(rng, beat, quoted)
            quoted = quoted + 1 if (following.piece, following.number) == (beat.piece, beat.number + 1) else 1
            beat = following
        return notes

    def _encode(self, notes: list[list[int]], beginning: _Beginning) -> Integer[np.ndarray, "n f"]:
        """Returns notes in C, moved back to the key of the beginning, as rows."""
        onset, duration, pitch, velocity, program = np.array(notes, np.int64).T
        piece = make_piece(
            onset=onset,
            duration=duration,
            pitch=moved(pitch, program, -beginning.shift),
            velocity=velocity,
            program=program,
            tempos=([0], [beginning.tempo_us]),
            meters=([0], [beginning.meter[0]], [beginning.meter[1]]),
            ticks_per_quarter=self._ticks_per_quarter,
        )
        return _legal(self.codec, self.codec.encode(piece, beginning.style))

    def _following(self, rng: np.random.Generator, last: Beat, silent_beats: int) -> Beat:
        """Returns what may follow a beat that is not of the corpus, and some beats of silence."""
        begin, bar_ticks = last.place
        place = ((begin + (silent_beats + 1) * self._ticks_per_quarter) % bar_ticks, bar_ticks)
        alike = [beat for beat in self._by_begin[last.place, last.begins] if beat.goes_to is not None]
        if alike and not silent_beats:
            return self._choose(rng, alike[rng.integers(len(alike))], LONGEST_QUOTE)
        there = [beat for beats in self._beats for beat in beats if beat.place == place and beat.begins]
        fitting = [beat for beat in there if leads_well(last.ends, beat.begins)] or there
        return fitting[rng.integers(len(fitting))] if fitting else self._choose_beginning(rng).beat

    def _choose_beginning(self, rng: np.random.Generator) -> _Beginning:
        return self._beginnings[rng.integers(len(self._beginnings))]

    def _choose(self, rng: np.random.Generator, beat: Beat, quoted: int) -> Beat:
        """Returns what follows a beat: half of the time from another piece, and always so where it has been quoted."""
        if beat.goes_to is None:
            return self._choose_beginning(rng).beat
        own = self._beats[beat.piece][beat.number + 1]
        if quoted < LONGEST_QUOTE and rng.random() < 0.5:
            return own
        fitting = self._by_begin[own.place, own.begins]
        others = [other for other in fitting if other.piece != beat.piece]
        if not others and quoted >= LONGEST_QUOTE:
            near = self._by_shape[own.place, _shape(own.begins)]
            others = [other for other in near if other.piece != beat.piece and leads_well(beat.ends, other.begins)]
        return others[rng.integers(len(others))] if others else own


def _beginning(piece: Piece, beat: Beat, shift: int, style: int) -> _Beginning:
    tempo_us = int(piece.tempos.us_per_quarter[0]) if len(piece.tempos.tick) else DEFAULT_TEMPO_US
    meters = piece.meters
    meter = (int(meters.numerator[0]), int(meters.denominator[0])) if len(meters.tick) else (4, 4)
    return _Beginning(beat, shift, tempo_us, meter, style)


def leads_well(last: Chord, first: Chord) -> bool:
    """Tells whether voices may go from one chord to another, each voice to that of the same rank in its program.

    The chords have equally many notes of each program; held notes stay; no voice leaps over an octave, at most one
    leaps over a fifth; no two voices move in parallel fifths or octaves (Fux, Gradus ad Parnassum, 1725).
    """
    if [program for program, _, _ in last] != [program for program, _, _ in first]:
        return False
    before = np.array([pitch for _, pitch, _ in last])
    after = np.array([pitch for _, pitch, _ in first])
    steps = after - before
    if any(is_held and move for (_, _, is_held), move in zip(first, steps, strict=True)):
        return False
    if (abs(steps) > LARGEST_LEAP).any() or (abs(steps) > FIFTH).sum() > 1:
        return False
    interval, then = (np.abs(np.subtract.outer(pitch, pitch)) for pitch in (before, after))
    parallel = (interval % 12 == then % 12) & np.isin(interval % 12, (0, FIFTH)) & (steps != 0)[:, None]
    np.fill_diagonal(parallel, False)
    return not (parallel & np.equal.outer(np.sign(steps), np.sign(steps))).any()


def _append(
    notes: list[list[int]], ringing: dict[tuple[int, int], list[int]], beat: Beat, begin: int
) -> dict[tuple[int, int], list[int]]:
    """Adds the notes of a beat that begins at a tick, and lengthens held ones; returns those that sound at its end.

    `ringing` are the notes that sound at its beginning, by program and pitch.
    """
    still: dict[tuple[int, int], list[int]] = {}
    for sound in beat.sounds:
        key = (sound.program, sound.pitch)
        note = ringing.get(key) if sound.is_held else None
        if note is None:
            note = [begin + sound.onset, 0, sound.pitch, sound.velocity, sound.program]
            notes.append(note)
        note[1] = begin + sound.onset + sound.duration - note[0]
        still[key] = note
    return still


def _shape(chord: Chord) -> tuple[tuple[int, bool], ...]:
    return tuple((program, is_held) for program, _, is_held in chord)


def _legal(codec: Codec, rows: Integer[np.ndarray, "n f"]) -> Integer[np.ndarray, "n f"]:
    """Returns the rows without those that stand for what the codec cannot say."""
    specials = codec.specials
    return rows if specials.unknown is None else rows[rows[:, specials.field] != specials.unknown]
