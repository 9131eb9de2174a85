from fractions import Fraction

import pytest

from ostinato.music import notation
from ostinato.music.notation import NotationError, read, split_tunes

FOUR_FOUR = "<time><beats>4</beats><beat-type>4</beat-type></time>"
TRIPLET = (
    "<type>eighth</type><time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes>"
    "</time-modification>"
)
TUNE = b"X:%d\nT:Tune\nM:3/4\nL:1/8\nQ:3/8=40\nK:G\nD2|:G2A2-A2|(3efg c4:|\n"
KERN = """**kern\t**kern
*Ipiano\t*Iviola
*M4/4\t*M4/4
*MM90\t*MM90
4r\t4c
=1\t=1
[2C\t8.c
.\t16d
.\t4e
2C]\t4f
.\t4g
=2:|!\t=2:|!
1C\t1cc
==\t==
*-\t*-
"""


def xml_note(step, duration, more):
    return f"<note><pitch><step>{step}</step><octave>5</octave></pitch><duration>{duration}</duration>{more}</note>"


def musicxml(*measures, program=1):
    part = (
        '<score-part id="P"><part-name>p</part-name><score-instrument id="I"><instrument-name>i</instrument-name>'
        f'</score-instrument><midi-instrument id="I"><midi-program>{program}</midi-program></midi-instrument>'
        "</score-part>"
    )
    attributes = f"<attributes><divisions>6</divisions>{FOUR_FOUR}</attributes>"
    tempo = '<direction><sound tempo="72.5"/></direction>'
    bars = "".join(
        f'<measure number="{i}">{attributes + tempo if not i else ""}{bar}</measure>' for i, bar in enumerate(measures)
    )
    return f'<score-partwise><part-list>{part}</part-list><part id="P">{bars}</part></score-partwise>'


def rows(piece):
    """Returns (onset, duration, pitch, program) in 24ths of a quarter."""
    notes, tpq = piece.notes, piece.ticks_per_quarter
    columns = (notes.onset, notes.onset + notes.duration, notes.pitch, notes.program)
    grid = [[round(Fraction(24 * int(tick), tpq)) for tick in column] for column in columns[:2]]
    return [
        (onset, end - onset, int(pitch), int(program))
        for onset, end, pitch, program in zip(*grid, *columns[2:], strict=True)
    ]


def meters(piece):
    return [(tick / piece.ticks_per_quarter, n, d) for tick, n, d in zip(*map(list, piece.meters), strict=True)]


def tempo(piece):
    return round(60e6 / piece.tempos.us_per_quarter[0], 2)


def test_musicxml_is_played_with_its_pickup_repeat_endings_ties_and_triplets():
    quarter, half, whole = ("<type>quarter</type>", "<type>half</type>", "<type>whole</type>")
    start, stop = ('<notations><tuplet type="start"/></notations>', '<notations><tuplet type="stop"/></notations>')

    def barline(side, content):
        return f'<barline location="{side}">{content}</barline>'

    score = musicxml(
        xml_note("D", 6, quarter),
        barline("left", '<repeat direction="forward"/>')
        + xml_note("E", 12, '<tie type="start"/>' + half + '<notations><tied type="start"/></notations>')
        + xml_note("E", 6, '<tie type="stop"/>' + quarter + '<notations><tied type="stop"/></notations>')
        + xml_note("F", 2, TRIPLET + start) + xml_note("G", 2, TRIPLET) + xml_note("F", 2, TRIPLET + stop),
        barline("left", '<ending number="1" type="start"/>') + xml_note("A", 24, whole)
        + barline("right", '<ending number="1" type="stop"/><repeat direction="backward"/>'),
        barline("left", '<ending number="2" type="start"/>') + xml_note("B", 24, whole)
        + barline("right", '<ending number="2" type="stop"/>'),
        program=72,
    )  # fmt: skip
    repeated = [(0, 72, 76, 71), (72, 8, 77, 71), (80, 8, 79, 71), (88, 8, 77, 71)]
    expected = [(0, 24, 74, 71)]
    for begin, ending in ((24, 81), (24 + 192, 83)):
        expected += [(begin + onset, *rest) for onset, *rest in repeated] + [(begin + 96, 96, ending, 71)]
    for encoded in (score.encode(), ('<?xml version="1.0" encoding="UTF-16"?>' + score).encode("utf-16")):
        piece = read(encoded, "musicxml")
        assert rows(piece) == expected
        assert tempo(piece) == 72.5
        assert meters(piece) == [(0, 1, 4), (1, 4, 4)]


def test_kern_is_played_with_its_instruments():
    piece = read(KERN.encode(), "kern")
    viola = [(0, 18, 60, 41), (18, 6, 62, 41), (24, 24, 64, 41), (48, 24, 65, 41), (72, 24, 67, 41)]
    assert sorted(note for note in rows(piece) if note[3] == 0)[0] == (24, 96, 48, 0)
    assert [note for note in rows(piece) if note[3] == 41][1:6] == [(24 + onset, *rest) for onset, *rest in viola]
    assert tempo(piece) == 90
    assert meters(piece) == [(0, 1, 4), (1, 4, 4), (5, 1, 4), (6, 4, 4)]  # the repeat takes the pickup along


def test_abc_is_played_and_a_book_has_a_piece_for_each_tune():
    book = b"%abc-2.1\n\n" + TUNE % 1 + b"\nwhat somebody wrote between\n\n" + TUNE % 7
    tunes = split_tunes(book)
    assert len(tunes) == 2
    bars = [(24, 24, 67), (48, 48, 69), (96, 8, 76), (104, 8, 78), (112, 8, 79), (120, 48, 72)]
    expected = [(0, 24, 62), *bars, *((144 + onset, length, pitch) for onset, length, pitch in bars)]
    for tune in tunes:
        piece = read(tune, "abc")
        assert [row[:3] for row in rows(piece)] == expected
        assert tempo(piece) == 60
    assert split_tunes(tunes[0]) == [tunes[0]]


def test_voices_of_abc_sound_together_on_their_instruments():
    tune = b"X:1\nM:2/4\nL:1/4\nK:C\nV:1\n%%MIDI program 40\nCD|\nV:2\n%%MIDI program 70\nE2|\n"
    assert rows(read(tune, "abc")) == [(0, 24, 60, 40), (0, 48, 64, 70), (24, 24, 62, 40)]


@pytest.mark.parametrize(
    ("data", "kind", "complaint"),
    [
        (b"nothing", "abc", "no line begins with K:"),
        (b"nothing", "kern", "no \\*\\*kern spine"),
        (b"<opml/>", "musicxml", "root element is <opml>"),
        (b"PK\3\4 and no more", "musicxml", "cannot be unpacked"),
        (b"\xff\xfe\x00", "musicxml", "XML"),
    ],
)
def test_what_is_no_notation_is_refused(data, kind, complaint):
    with pytest.raises(NotationError, match=complaint) as found:
        read(data, kind)
    assert found.value.reason == "bad_notation"


def test_without_verovio_only_abc_is_read_and_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "verovio", None)
    monkeypatch.setattr(notation.importlib.util, "find_spec", lambda name: None)
    assert notation.readable_suffixes() == (".abc",)
    with pytest.raises(NotationError, match=r"no_reader: needs verovio: pip install 'ostinato\[notation\]'"):
        read(KERN.encode(), "kern")
    assert len(rows(read(TUNE % 1, "abc"))) == 13
