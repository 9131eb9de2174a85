import io
import zipfile
from fractions import Fraction

import pytest

from ostinato.music import midi
from ostinato.music.musicxml import num_parts, read
from ostinato.music.musicxml_file import MAX_XML_BYTES, MusicXmlError, parse
from ostinato.music.piece import Piece

FOUR_FOUR = "<time><beats>4</beats><beat-type>4</beat-type></time>"
CONTAINER = '<container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'


def attributes(divisions: object = 1, more: str = "") -> str:
    return f"<attributes><divisions>{divisions}</divisions>{more}</attributes>"


def note(pitch: str, duration: object, more: str = "", *, alter: object = None, first: str = "") -> str:
    altered = "" if alter is None else f"<alter>{alter}</alter>"
    sounding = f"<pitch><step>{pitch[0]}</step>{altered}<octave>{pitch[1]}</octave></pitch>"
    return f"<note>{first}{sounding}<duration>{duration}</duration>{more}</note>"


def rest(duration: object) -> str:
    return f"<note><rest/><duration>{duration}</duration></note>"


def score(*parts: list[str], part_list: str = "") -> bytes:
    body = "".join(
        f'<part id="P{i}">'
        + "".join(f'<measure number="{j}">{bar}</measure>' for j, bar in enumerate(bars))
        + "</part>"
        for i, bars in enumerate(parts)
    )
    return f"<score-partwise><part-list>{part_list}</part-list>{body}</score-partwise>".encode()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


def in_quarters(piece: Piece) -> list[tuple[Fraction, Fraction, int, int]]:
    """Rows of (onset, duration, pitch, program)."""
    onset, duration, pitch, _, program = (column.tolist() for column in piece.notes)
    tpq = piece.ticks_per_quarter
    return [
        (Fraction(a, tpq), Fraction(b, tpq), c, d) for a, b, c, d in zip(onset, duration, pitch, program, strict=True)
    ]


def meters(piece: Piece) -> list[tuple[float, int, int]]:
    tick, numerator, denominator = (column.tolist() for column in piece.meters)
    return [(a / piece.ticks_per_quarter, b, c) for a, b, c in zip(tick, numerator, denominator, strict=True)]


def test_notes_rests_and_alterations_are_read() -> None:
    bar = attributes(2) + note("C4", 2) + rest(1) + note("F4", 1, alter=1) + note("B3", 4, alter=-1.0)
    assert in_quarters(read(score([bar]))) == [
        (0, 1, 60, 0),
        (Fraction(3, 2), Fraction(1, 2), 66, 0),
        (2, 2, 58, 0),
    ]


def test_a_quarter_tone_sounds_as_the_semitone_above() -> None:
    bar = attributes() + note("C4", 1, alter=0.5) + note("C4", 1, alter=-0.5) + note("C4", 1, alter=1.5)
    assert [pitch for _, _, pitch, _ in in_quarters(read(score([bar])))] == [61, 60, 62]


def test_divisions_may_change_between_bars_and_parts_and_stay_exact() -> None:
    upper = [attributes(3) + note("C5", 1) + note("D5", 2), attributes(7) + note("E5", 1) + note("F5", 6)]
    lower = [attributes(10080) + note("C3", 10080), note("D3", 5040) + note("E3", 5040)]
    assert in_quarters(read(score(upper, lower), programs=(1, 2))) == [
        (0, Fraction(1, 3), 72, 1),
        (0, 1, 48, 2),
        (Fraction(1, 3), Fraction(2, 3), 74, 1),
        (1, Fraction(1, 7), 76, 1),
        (1, Fraction(1, 2), 50, 2),
        (Fraction(8, 7), Fraction(6, 7), 77, 1),
        (Fraction(3, 2), Fraction(1, 2), 52, 2),
    ]


def test_the_resolution_is_480_where_that_is_exact() -> None:
    assert read(score([attributes(10080) + note("C4", 3360)])).ticks_per_quarter == 480


def test_times_that_no_midi_resolution_holds_are_rounded_to_the_nearest_tick() -> None:
    piece = read(score([attributes(32771) + note("C4", 1) + note("D4", 32770)]))
    assert piece.ticks_per_quarter == 30240
    assert piece.notes.onset.tolist() == [0, 1]
    assert piece.end_tick == 30240


def test_chord_notes_share_an_onset_and_time_goes_on_after_them() -> None:
    bar = (
        attributes() + note("C4", 2) + note("E4", 1, first="<chord/>") + note("G4", 2, first="<chord/>") + note("C5", 1)
    )
    assert in_quarters(read(score([bar]))) == [(0, 2, 60, 0), (0, 1, 64, 0), (0, 2, 67, 0), (2, 1, 72, 0)]


def test_a_second_voice_goes_back_with_backup_and_skips_with_forward() -> None:
    second = "<backup><duration>4</duration></backup><forward><duration>1</duration></forward>" + note("C3", 2)
    piece = read(score([attributes() + note("C5", 4) + second, note("D5", 4)]))
    assert in_quarters(piece) == [(0, 4, 72, 0), (1, 2, 48, 0), (4, 4, 74, 0)]


def test_tied_notes_are_one_note_within_and_across_bars() -> None:
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    bars = [
        attributes() + note("C4", 3) + note("C4", 1, start),
        note("C4", 4, stop + start),
        note("C4", 1, stop) + note("C4", 3),
    ]
    assert in_quarters(read(score(bars))) == [(0, 3, 60, 0), (3, 6, 60, 0), (9, 3, 60, 0)]


def test_a_tie_may_be_only_drawn_and_may_cross_from_one_voice_to_another() -> None:
    drawn = '<notations><tied type="{}"/></notations>'
    first = "<forward><duration>2</duration></forward>" + note("G4", 2, drawn.format("stop"))
    second = "<backup><duration>4</duration></backup>" + note("G4", 2, drawn.format("start"))
    assert in_quarters(read(score([attributes() + first + second]))) == [(0, 4, 67, 0)]


def test_a_tie_that_comes_from_nowhere_begins_a_note() -> None:
    bar = attributes() + note("C4", 1) + note("D4", 1, '<tie type="stop"/>') + note("C4", 1, '<tie type="stop"/>')
    assert in_quarters(read(score([bar]))) == [(0, 1, 60, 0), (1, 1, 62, 0), (2, 1, 60, 0)]


def test_grace_notes_and_cue_notes_and_drum_notes_do_not_sound() -> None:
    grace = "<note><grace/><pitch><step>D</step><octave>4</octave></pitch></note>"
    grace_chord = "<note><grace/><chord/><pitch><step>F</step><octave>4</octave></pitch></note>"
    drum = "<note><unpitched/><duration>1</duration></note>"
    bar = attributes() + grace + grace_chord + note("C4", 1) + note("E4", 1, first="<cue/>") + drum + note("G4", 1)
    assert in_quarters(read(score([bar]))) == [(0, 1, 60, 0), (3, 1, 67, 0)]


def test_transposing_instruments_sound_where_they_sound() -> None:
    clarinet = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    bass = "<transpose><chromatic>0</chromatic><octave-change>-1</octave-change></transpose>"
    parts = [attributes(1, clarinet) + note("D4", 1), note("D4", 1)], [attributes(1, bass) + note("C3", 1)]
    assert in_quarters(read(score(*parts), programs=(71, 43))) == [(0, 1, 36, 43), (0, 1, 60, 71), (1, 1, 60, 71)]


def test_a_pickup_has_a_meter_of_its_own_so_that_bar_lines_fall_as_written() -> None:
    bars = [attributes(1, FOUR_FOUR) + note("C4", 1), note("D4", 4), note("E4", 4), note("F4", 3)]
    assert meters(read(score(bars))) == [(0, 1, 4), (1, 4, 4)]


def test_a_bar_that_a_repeat_sign_splits_needs_no_meter() -> None:
    repeat = '<barline><repeat direction="backward"/></barline>'
    bars = [attributes(1, FOUR_FOUR) + note("C4", 4), note("D4", 3) + repeat, note("E4", 1), note("F4", 4)]
    piece = read(score(bars))
    assert meters(piece) == [(0, 4, 4)]
    assert [onset for onset, _, _, _ in in_quarters(piece)] == [0, 4, 7, 8]  # and the repeat is not played


def test_bars_of_other_lengths_and_meter_changes_move_the_bar_lines() -> None:
    three_eight = "<attributes><time><beats>3</beats><beat-type>8</beat-type></time></attributes>"
    mixed = "<attributes><time><beats>3+2</beats><beat-type>8</beat-type></time></attributes>"
    bars = [
        attributes(2, FOUR_FOUR) + note("C4", 8),
        note("C4", 5),
        note("C4", 8),
        three_eight + note("C4", 3),
        mixed + note("C4", 5),
    ]
    assert meters(read(score(bars))) == [(0, 4, 4), (4, 5, 8), (6.5, 4, 4), (10.5, 3, 8), (12, 5, 8)]


def test_a_bar_cut_short_by_a_new_meter_is_not_taken_for_a_split_one() -> None:
    two_four = "<attributes><time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
    bars = [attributes(1, FOUR_FOUR) + note("C4", 4), note("D4", 2), two_four + note("E4", 2), note("F4", 2)]
    assert meters(read(score(bars))) == [(0, 4, 4), (4, 2, 4)]


def test_a_part_does_not_inherit_the_divisions_of_the_part_before() -> None:
    with pytest.raises(MusicXmlError, match="part 'P1', measure '0': <duration> before any <divisions>"):
        read(score([attributes(4) + note("C4", 4)], [note("C3", 4)]))


def test_a_part_with_missing_rests_stays_in_time_with_the_others() -> None:
    piece = read(score([attributes() + note("C5", 1), note("D5", 4)], [attributes() + note("C3", 4), note("D3", 4)]))
    assert [(onset, pitch) for onset, _, pitch, _ in in_quarters(piece)] == [(0, 48), (0, 72), (4, 50), (4, 74)]


def test_tempos_are_read_from_sound_elements_where_they_stand() -> None:
    later = '<direction><direction-type><words>Adagio</words></direction-type><sound tempo="60.0"/></direction>'
    bars = ['<sound tempo="96"/>' + attributes() + note("C4", 4), note("C4", 2) + later + note("C4", 2)]
    piece = read(score(bars))
    assert piece.tempos.us_per_quarter.tolist() == [625_000, 1_000_000]
    assert piece.tempos.tick.tolist() == [0, 6 * 480]


def test_each_part_has_the_program_given_or_that_of_the_file_or_piano() -> None:
    part_list = '<score-part id="P0"><midi-instrument><midi-program>20</midi-program></midi-instrument></score-part>'
    data = score([attributes() + note("C4", 1)], [attributes() + note("D4", 1)], part_list=part_list)
    assert [(pitch, program) for _, _, pitch, program in in_quarters(read(data))] == [(62, 0), (60, 19)]
    assert [row[3] for row in in_quarters(read(data, programs=(40, 41)))] == [40, 41]
    with pytest.raises(MusicXmlError, match="2 parts, but 3 programs"):
        read(data, programs=(1, 2, 3))


def test_two_voices_in_unison_stay_two_notes_through_midi() -> None:
    part = [attributes() + note("C4", 4)]
    piece = read(score(part, part), programs=(73, 69))
    assert midi.read(midi.write(piece)) == piece
    assert piece.num_notes == 2


def test_a_timewise_score_is_the_same_piece() -> None:
    bars = [[attributes() + note("C5", 4), note("D5", 4)], [attributes() + note("C3", 4), note("D3", 4)]]
    measures = "".join(
        f'<measure number="{j}">' + "".join(f'<part id="P{i}">{part[j]}</part>' for i, part in enumerate(bars))
        + "</measure>" for j in range(2)
    )  # fmt: skip
    timewise = f"<score-timewise>{measures}</score-timewise>".encode()
    assert read(timewise) == read(score(*bars))
    assert num_parts(parse(timewise)) == 2


def test_a_compressed_score_is_the_file_that_the_container_names() -> None:
    data = score([attributes() + note("C4", 1)])
    mxl = archive(
        **{
            "META-INF__container_xml": CONTAINER.format("real.xml").encode(),
            "other_xml": b"<nothing/>",
            "real_xml": data,
        }
    )
    assert read(mxl) == read(data)
    assert read(archive(my_musicxml=data, cover_png=b"")) == read(data)  # no container: the only one is meant


def test_utf16_and_a_document_type_without_entities_are_read() -> None:
    doctype = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "partwise.dtd">'
    text = '<?xml version="1.0" encoding="UTF-16"?>' + doctype + score([attributes() + note("C4", 1)]).decode()
    assert read(text.encode("utf-16")).num_notes == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("entity", ['a "b"', 'a SYSTEM "file:///etc/hostname"', '% a "b"'])
def test_entities_are_refused_in_any_encoding(entity: str, encoding: str) -> None:
    data = f"<!DOCTYPE score-partwise [<!ENTITY {entity}>]><score-partwise/>".encode(encoding)
    with pytest.raises(MusicXmlError, match="declares the entity 'a'"):
        read(data)


def test_an_archive_that_unpacks_to_too_much_is_refused() -> None:
    bomb = archive(
        **{"META-INF__container_xml": CONTAINER.format("a.xml").encode(), "a_xml": b" " * (MAX_XML_BYTES + 1)}
    )
    assert len(bomb) < 100_000
    with pytest.raises(MusicXmlError, match=r"a\.xml in the archive has more than"):
        read(bomb)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not well-formed"),
        (b"MThd\0\0\0\6", "not well-formed"),
        (b"<html/>", "root element is <html>"),
        (b"PK\x03\x04rubbish", "cannot be unpacked"),
        (archive(a_xml=b"<a/>", b_xml=b"<a/>"), "META-INF/container.xml"),
        (archive(**{"META-INF__container_xml": b"<container/>"}), "no <rootfile>"),
        (archive(**{"META-INF__container_xml": CONTAINER.format("lost.xml").encode()}), "lost.xml"),
        (score([note("C4", 1)]), r"part 'P0', measure '0': <duration> before any <divisions>"),
        (score([attributes(0)]), "<divisions> is 0"),
        (score([attributes("1e999999999")]), "not a decimal number"),
        (score([attributes() + note("H4", 1)]), "step 'H'"),
        (score([attributes() + note("C9", 1, alter=99)]), "not 0 to 127"),
        (score([attributes() + note("C4", -1)]), "below 0"),
        (score([attributes() + note("C4", 1, first="<chord/>")]), "without a note before it"),
        (score([attributes() + "<backup><duration>1</duration></backup>"]), "before the start of the measure"),
        (score([attributes() + "<note><rest/></note>"]), "<note> without <duration>"),
        (score(['<sound tempo="0"/>']), "tempo is '0'"),
        (score([attributes(1, FOUR_FOUR.replace("<beat-type>4", "<beat-type>5"))]), "a power of two"),
        (score([attributes(1, FOUR_FOUR.replace("<beats>4", "<beats>0"))]), "1 to 255 whole beats"),
        (score([attributes() + "<forward><duration>999999999999</duration></forward>"]), "at most 559240 are read"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_what_and_where(data: bytes, message: str) -> None:
    with pytest.raises(MusicXmlError, match=message):
        read(data)


def test_divisions_without_a_common_resolution_are_refused_at_once() -> None:
    steps = (attributes(10**11 + 2 * i + 1) + "<forward><duration>1</duration></forward>" for i in range(100))
    with pytest.raises(MusicXmlError, match="no resolution in common"):
        read(score(["".join(steps)]))
