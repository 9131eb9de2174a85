"""What must hold on real music: the seven corpora of OSTINATO_DATA (default: ../shared/data), read from their zips."""

import json
import os
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ostinato.beam_pipelines.prepare import prepare
from ostinato.configs.preparation import PrepareConfig
from ostinato.music import midi
from ostinato.music.notes_codec import UNKNOWN, NotesCodec, choose_vocabulary, count_events
from ostinato.music.piece import DRUMS
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import MAX_BPM, MAX_NUMERATOR, MIN_BPM
from ostinato.music.tempo_range import with_tempos_within

DATA = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[2] / "shared/data")) / "midi"
CORPORA = ("freedoom", "giantmidi", "groove", "jsfakes", "nottingham", "openmsx", "pop909")
MIN_NOTES = 16

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no corpora in {DATA}; set OSTINATO_DATA"),
]


def _files(corpus):
    with zipfile.ZipFile(DATA / f"{corpus}.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".mid"):
                yield name, archive.read(name)


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_file_survives_encoding_and_decoding(corpus):
    codec = ScoreCodec()
    for name, data in _files(corpus):
        piece = midi.read(data)
        steps = codec.encode(piece)
        decoded = codec.decode(steps)
        assert decoded == codec.quantise(piece), name
        np.testing.assert_array_equal(codec.encode(decoded), steps, err_msg=name)
        # The grid is fine enough: onsets move by at most half a 24th of a quarter, but for doubled notes, which become
        # one with another. What is too fast or too slow is written in longer or shorter notes.
        piece = with_tempos_within(piece, MIN_BPM, MAX_BPM, max_beats=MAX_NUMERATOR, max_denominator=32)
        exact = piece.notes.onset * 24 / piece.ticks_per_quarter
        nearest = np.clip(np.searchsorted(decoded.notes.onset, exact), 1, max(decoded.num_notes - 1, 1))
        candidates = decoded.notes.onset[np.stack([nearest - 1, nearest % decoded.num_notes])]
        num_off = (np.abs(candidates - exact).min(axis=0) > 0.5).sum()
        assert num_off <= codec.encode_reporting(piece).account.merged, name


@pytest.mark.parametrize("corpus", ["nottingham", "giantmidi", "openmsx"])
def test_every_file_survives_the_papers_integers(corpus):
    pieces = [midi.read(data) for _, data in list(_files(corpus))[:400]]
    counts = defaultdict(int)
    for piece in pieces[:10]:
        for event, count in count_events(piece):
            counts[event] += count
    codec = NotesCodec(vocabulary=choose_vocabulary(counts.items(), min_count=1, max_vocabulary=65_535))
    for piece in pieces:
        assert codec.decode(codec.encode(piece)) == codec.quantise(piece)
    # Pieces that the vocabulary was counted on have no unknowns, and their integers come back whole.
    for steps in map(codec.encode, pieces[:10]):
        assert UNKNOWN not in steps
        np.testing.assert_array_equal(codec.encode(codec.decode(steps)), steps)


def _melodic_shapes(data):
    """Yields, for the whole piece and each track, its pitches above its first one: blind to key, time and loudness."""
    reading = midi.read_reporting(data)
    notes = reading.piece.notes
    pitched = notes.program != DRUMS
    parts = [(notes.onset[pitched], notes.pitch[pitched])] if pitched.any() else [(notes.onset, notes.pitch)]
    parts += [(track.onset, track.pitch) for track in reading.tracks if track.program[0] != DRUMS]
    for onset, pitch in parts:
        if len(pitch) >= MIN_NOTES:
            in_order = np.array(sorted(zip(onset.tolist(), pitch.tolist(), strict=True)))[:, 1]
            yield tuple((in_order - in_order[0]).tolist())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns the lines of pieces.jsonl of a corpus after preparing it; each corpus and policy once."""
    known = {}

    def pieces_of(corpus, duplicates="drop"):
        if (corpus, duplicates) not in known:
            folder = tmp_path_factory.mktemp("prepared") / corpus
            config = PrepareConfig(min_notes=MIN_NOTES, duplicates=duplicates)
            counts = prepare([str(DATA / f"{corpus}.zip")], folder, config, [])["counts"]
            assert counts["inputs"] == counts["accepted"] + counts["rejected"] + counts["duplicates"]
            lines = (folder / "pieces.jsonl").read_text().splitlines()
            known[corpus, duplicates] = [json.loads(line) for line in lines]
        return known[corpus, duplicates]

    return pieces_of


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_no_piece_has_a_duplicate_in_another_split(corpus, duplicates, prepared):
    pieces = prepared(corpus, duplicates)
    data_of = dict(_files(corpus))
    splits_of_shape = defaultdict(set)
    for piece in pieces:
        for shape in _melodic_shapes(data_of[piece["path"].split("!")[1]]):
            splits_of_shape[shape].add(piece["split"])
    assert len(splits_of_shape) > 10
    assert not [shape[:8] for shape, splits in splits_of_shape.items() if len(splits) > 1]
    assert {piece["split"] for piece in pieces} == {"train", "validation", "test"}


def _nottingham(prepared, duplicates):
    """Returns, for each tune, its files (by their folder) and their splits."""
    files = defaultdict(dict)
    for piece in prepared("nottingham", duplicates):
        folder, _, tune = piece["path"].split("!")[1].rpartition("/")
        files[tune][folder] = piece["split"]
    return files


def test_a_nottingham_tune_its_melody_and_its_chords_share_a_split(prepared):
    files = _nottingham(prepared, "keep")
    assert sum(found.keys() == {"", "melody", "chords"} for found in files.values()) > 900
    assert [tune for tune, found in files.items() if len(set(found.values())) > 1] == []


def test_of_a_nottingham_tune_its_melody_and_its_chords_one_is_kept(prepared):
    files = _nottingham(prepared, "drop")
    assert len(files) > 900
    assert [tune for tune, found in files.items() if len(found) > 1] == []
