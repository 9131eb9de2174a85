"""The words of a report: what its closed lists mean, and how its figures and names are written."""

from typing import Any

NO_STATISTICS = (
    "This dataset was prepared by a version of Ostinato that did not keep statistics. Hours, styles, instruments and "
    "histograms are therefore missing; prepare it again to have them."
)

EXPLANATIONS = {
    "missing": "no such file: a path in a list, or a link that leads nowhere",
    "not_a_file": "a folder, a pipe, a device, or a link in an archive",
    "too_large": "larger than max_file_mb",
    "unreadable": "the system or the server did not give it out",
    "damaged_member": "its bytes in the archive are not those that were put in",
    "damaged_archive": "the archive cannot be read, or not from some point on",
    "encrypted": "needs a password",
    "other_members": "a zip in an archive also holds files that are not read for their endings",
    "archive_bomb": "a small archive that becomes absurdly large",
    "not_midi": "has no MIDI header",
    "truncated": "ends before its header does, or within a track before any note",
    "damaged": "the events of a track make no sense",
    "smpte_division": "counts time in film frames, not in beats",
    "zero_division": "says that a quarter note has no ticks",
    "independent_tracks": "format 2: several pieces in one file",
    "too_many_tracks": "more tracks and instruments than any music needs",
    "ticks_overflow": "longer than 31 bits of ticks can count",
    "no_notes": "nothing sounds",
    "bad_notation": "the library that reads this notation cannot read it",
    "no_reader": "the library that reads this notation is not installed",
    "too_few_notes": "fewer notes than min_notes",
    "too_many_notes": "more notes than max_notes",
    "only_drums": "the notes codec leaves drums out",
    "crashed": "parsing it ended the parser process",
    "out_of_memory": "parsing it took more memory than max_parse_mb",
    "timed_out": "parsing it took longer than max_parse_s",
}
"""What each reason in rejects.jsonl means."""

KINDS = {
    "bytes": "the same file",
    "music": "the same notes but for key, tempo, loudness and instruments",
    "near": "another version of the same music",
    "": "of a kind that was not written down",
}
"""What each kind in duplicates.jsonl means."""

REPAIRS = {
    "riff_wrapper": "taken out of a RIFF file",
    "macbinary_head": "with a head that a Macintosh put in front",
    "format_word": "with an unknown format in the header, read as tracks of one piece",
    "track_count": "with more or fewer tracks than the header declares, all of which are read",
    "track_size": "with a track that does not end where its size says, or is not where it should begin",
    "end_mark": "with an end mark in the middle of a track, or none or only a part of one at its end",
    "cut_track": "that end within a track: it is read up to there, and what came behind is missing",
    "broken_track": "without a track whose events make no sense",
    "one_beat_bars": "with bars of one beat, of which bars of three or four were made",
    "stray_data_bytes": "with data bytes out of range, which were brought into it",
    "second_file": "with another MIDI file behind the first one, which is left out",
}
"""What each counter of repaired files means."""

NOTES = {
    "found": ("found", "in all inputs that could be used"),
    "duplicates": ("in duplicates", "of pieces that were left out as duplicates"),
    "read": ("read", "of the pieces in the dataset"),
    "left_out": (
        "left out",
        "that the notes codec does not say: drums, doubled notes, unknown chords",
    ),
    "merged": ("merged", "of the same program and pitch as another, at the same time or almost"),
    "kept": ("in the dataset", "read, without those that were left out or merged"),
    "shortened": ("shortened", "cut where the next of the same program and pitch begins"),
    "unreleased": (
        "unreleased",
        "that no note-off ends: their channel or track does, drum hits last a sixteenth",
    ),
    "no_length": ("of no length", "that ended where they began: they last a sixteenth"),
    "prolonged": ("prolonged", "that a pedal makes last longer; heard with --pedal on"),
    "given_up": ("given up", "in tracks that could not be read, as far as they could"),
    "bends": ("pitch bends", "that are not heard (events, not notes)"),
}
"""Name and meaning of each count of notes."""

_NOTE_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


def note_name(pitch: int) -> str:
    """Returns the name of a MIDI pitch; 60 is C4."""
    return f"{_NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}"


def duration_text(seconds: float) -> str:
    """Returns a time to two digits or so, such as `42 s`, `3.5 min` and `26 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


def hours_text(hours: float) -> str:
    """Returns hours to a tenth, a few of them to a hundredth."""
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.2f}"


def share_text(part: Any, whole: Any) -> str:
    """Returns a part of a whole in per cent; what is little is not rounded to nothing."""
    return "< 0.1%" if 0 < part < whole / 1000 else f"{part / max(whole, 1):.1%}"
