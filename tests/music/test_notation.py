from fractions import Fraction

import pytest

from ostinato.music import notation
from ostinato.music.abc import split_tunes
from ostinato.music.notation import read
from ostinato.music.notation_error import NotationError

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


def bare(*measures, attributes="", part=""):
    """Returns a score of durations in twelfths of a quarter, without a single note value."""
    start = f"<attributes><divisions>12</divisions>{FOUR_FOUR}{attributes}</attributes>"
    bars = "".join(f'<measure number="{i + 1}">{"" if i else start}{bar}</measure>' for i, bar in enumerate(measures))
    parts = f'<part-list><score-part id="P"><part-name>p</part-name>{part}</score-part></part-list>'
    return f'<score-partwise>{parts}<part id="P">{bars}</part></score-partwise>'.encode()


def bare_note(step, duration, more="", *, first=""):
    pitch = f"<pitch><step>{step}</step><octave>4</octave></pitch>"
    return f"<note>{first}{pitch}<duration>{duration}</duration>{more}</note>"


GRACE = "<note><grace slash='yes'/><pitch><step>B</step><octave>4</octave></pitch></note>"
C_TO_F = "".join(bare_note(step, 12) for step in "CDEF")
REST = "<note><rest/><duration>{}</duration></note>"
RATIO = "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>"


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        (bare_note("C", 18) + bare_note("D", 6) + bare_note("E", 24), [(0, 36, 60), (36, 12, 62), (48, 48, 64)]),
        (
            "".join(bare_note(step, 4) for step in "CDE") + bare_note("F", 15) + REST.format(21),
            [(0, 8, 60), (8, 8, 62), (16, 8, 64), (24, 30, 65)],
        ),
        (
            "".join(bare_note(step, 4, "<type>eighth</type>" + RATIO) for step in "CDE") + REST.format(36),
            [(0, 8, 60), (8, 8, 62), (16, 8, 64)],
        ),
        (
            bare_note("C", 36) + bare_note("E", 36, first="<chord/>") + bare_note("F", 12),
            [(0, 72, 60), (0, 72, 64), (72, 24, 65)],
        ),
        (
            bare_note("C", 30, "<tie type='start'/>") + bare_note("C", 6, "<tie type='stop'/>") + bare_note("D", 12),
            [(0, 72, 60), (72, 24, 62)],
        ),
        (
            bare_note("C", 24, "<voice>1</voice>") + bare_note("D", 24, "<voice>1</voice>")
            + "<backup><duration>48</duration></backup><forward><duration>12</duration><voice>2</voice></forward>"
            + bare_note("E", 36, "<voice>2</voice>"),
            [(0, 48, 60), (24, 72, 64), (48, 48, 62)],
        ),
    ],
    ids=["dotted", "triplets and five quarters of a beat", "triplets without brackets", "chord", "tied", "voices"],
)  # fmt: skip
def test_musicxml_with_durations_alone_keeps_them(bar, expected):
    assert [row[:3] for row in rows(read(bare(bar), "musicxml"))] == expected


def test_a_grace_note_takes_its_time_from_the_note_behind_it():
    first, second, *rest = rows(read(bare(GRACE + C_TO_F), "musicxml"))
    assert (first[0], first[2], second[2]) == (0, 71, 60)
    assert second[0] > 0
    assert first[1] + second[1] == 24
    assert [row[:2] for row in rest] == [(24, 24), (48, 24), (72, 24)]


def test_a_transposing_part_sounds_where_it_sounds_and_drums_are_drums():
    clarinet = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    assert [row[2] for row in rows(read(bare(C_TO_F, attributes=clarinet), "musicxml"))] == [58, 60, 62, 63]
    kit = (
        '<score-instrument id="I"><instrument-name>snare</instrument-name></score-instrument><midi-instrument id="I">'
        "<midi-channel>10</midi-channel><midi-unpitched>39</midi-unpitched></midi-instrument>"
    )
    hit = (
        "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave></unpitched>"
        '<duration>12</duration><instrument id="I"/></note>'
    )
    assert rows(read(bare(hit * 2 + REST.format(24), part=kit), "musicxml")) == [(0, 24, 38, 128), (24, 24, 38, 128)]


def test_dal_segno_coda_and_fine_are_followed():
    def sound(attribute, words):
        return f"<direction><direction-type>{words}</direction-type><sound {attribute}/></direction>"

    def bars(piece):
        return "".join("CDEF"["CDEF".index("CDEF"[(60, 62, 64, 65).index(pitch)])] for _, _, pitch, _ in rows(piece))

    whole = [bare_note(step, 48) for step in "CDEF"]
    fine = sound('fine="yes"', "<words>Fine</words>")
    da_capo = sound('dacapo="yes"', "<words>D.C. al Fine</words>")
    assert bars(read(bare(whole[0], whole[1] + fine, whole[2] + da_capo), "musicxml")) == "CDECD"
    segno, coda = sound('segno="s"', "<segno/>"), sound('coda="c"', "<coda/>")
    to_coda = sound('tocoda="c"', "<words>To Coda</words>")
    dal_segno = sound('dalsegno="s"', "<words>D.S. al Coda</words>")
    score = bare(whole[0], segno + whole[1] + to_coda, whole[2] + dal_segno, coda + whole[3])
    assert bars(read(score, "musicxml")) == "CDEDF"


def test_a_metronome_mark_is_the_tempo():
    mark = "<metronome><beat-unit>quarter</beat-unit><per-minute>90</per-minute></metronome>"
    score = bare(f"<direction><direction-type>{mark}</direction-type></direction>" + C_TO_F)
    assert tempo(read(score, "musicxml")) == 90


def test_a_score_of_measures_that_hold_parts_is_the_same_score():
    partwise = bare(C_TO_F, C_TO_F)
    head, _, tail = partwise.decode().partition('<part id="P">')
    timewise = head + tail.replace("</part></score", "</score").replace("</measure>", "</part></measure>")
    timewise = timewise.replace('<measure number="1">', '<measure number="1"><part id="P">')
    timewise = timewise.replace('<measure number="2">', '<measure number="2"><part id="P">')
    timewise = timewise.replace("score-partwise", "score-timewise").encode()
    assert rows(read(timewise, "musicxml")) == rows(read(partwise, "musicxml")) != []


def test_divisions_of_zero_are_refused():
    with pytest.raises(NotationError, match="<divisions> is '0', not a number above 0"):
        read(bare(C_TO_F).replace(b"<divisions>12", b"<divisions>0"), "musicxml")


def test_kern_is_played_with_its_instruments():
    piece = read(KERN.encode(), "kern")
    viola = [(0, 18, 60, 41), (18, 6, 62, 41), (24, 24, 64, 41), (48, 24, 65, 41), (72, 24, 67, 41)]
    assert sorted(note for note in rows(piece) if note[3] == 0)[0] == (24, 96, 48, 0)
    assert [note for note in rows(piece) if note[3] == 41][1:6] == [(24 + onset, *rest) for onset, *rest in viola]
    assert tempo(piece) == 90
    assert meters(piece) == [(0, 1, 4), (1, 4, 4), (5, 1, 4), (6, 4, 4)]  # the repeat takes the pickup along


def test_abc_is_played_and_a_book_has_a_piece_for_each_tune():
    book = b"%abc-2.1\n\n" + TUNE % 1 + b"\nwhat somebody wrote between\n\n" + TUNE % 7
    tunes = list(split_tunes(book))
    assert len(tunes) == 2
    bars = [(24, 24, 67), (48, 48, 69), (96, 8, 76), (104, 8, 78), (112, 8, 79), (120, 48, 72)]
    expected = [(0, 24, 62), *bars, *((144 + onset, length, pitch) for onset, length, pitch in bars)]
    for tune in tunes:
        piece = read(tune, "abc")
        assert [row[:3] for row in rows(piece)] == expected
        assert tempo(piece) == 60
    assert list(split_tunes(tunes[0])) == [tunes[0]]


@pytest.mark.parametrize(
    ("music", "expected"),
    [
        ("D2|G6|A6|", [(0, 1, 4), (1, 3, 4)]),
        # The last bar of the repeated part lacks the pickup's quarter, which the repeat takes along.
        ("D2|:G2A2-A2|c4:|G6|", [(0, 1, 4), (1, 3, 4), (4, 2, 4), (6, 3, 4), (9, 2, 4), (11, 3, 4)]),
        ("|:D2|G6|A4:|", [(0, 1, 4), (1, 3, 4)]),
        # A second part with a pickup of its own, behind a whole bar.
        ("G6|A6||D2|B6|c6|", [(0, 3, 4), (6, 1, 4), (7, 3, 4)]),
        ("|:D2|G6|1A4:|2B6|]", [(0, 1, 4), (1, 3, 4)]),
        ('D2|"G|m"G6|[M:2/4]!trill!A4|B4|{|}c4|', [(0, 1, 4), (1, 3, 4), (4, 2, 4)]),
        ("D2 G6 A6", [(0, 3, 4)]),
    ],
)
def test_bar_lines_of_abc_are_where_the_tune_has_them(music, expected):
    tune = f"X:1\nT:A | B\nM:3/4\nL:1/8\nK:G\n%a|b\n{music}\nw: one | two\n"
    assert meters(read(tune.encode(), "abc")) == expected


def test_a_bar_line_of_abc_that_is_not_drawn_is_one():
    tune = b"X:1\nM:2/4\nL:1/8\nK:C\nC2|D4[|]E4 H[|]:|\n"
    bars = [(0, 24, 60), (24, 48, 62), (72, 48, 64)]
    assert [row[:3] for row in rows(read(tune, "abc"))] == [*bars, *((120 + at, *rest) for at, *rest in bars)]


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
    notation._toolkit.cache_clear()
    monkeypatch.setattr(notation.importlib.util, "find_spec", lambda name: None)
    assert notation.readable_suffixes() == (".abc",)
    with pytest.raises(NotationError, match=r"no_reader: needs verovio: pip install 'ostinato\[notation\]'"):
        read(KERN.encode(), "kern")
    assert len(rows(read(TUNE % 1, "abc"))) == 13
