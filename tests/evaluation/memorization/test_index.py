import numpy as np
import pytest

from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.evaluation.memorization.index import NO_COPY, CopyIndex, open_index
from ostinato.music.piece import make_piece
from ostinato.music.score_codec import ScoreCodec
from tests.evaluation.metrics.made import quarters
from tests.midi_files import tune

CORPUS = [tune(seed) for seed in range(20)]
NAMES = [f"tune-{seed}.mid" for seed in range(20)]
GRID = 480


@pytest.fixture(scope="module")
def index():
    return CopyIndex.build(zip(NAMES, CORPUS, strict=True))


def _random_piece(seed, *, num_notes=40, begin=0):
    """Leaps at steps that no tune has."""
    rng = np.random.default_rng(seed)
    step = rng.choice([120, 360, 480, 1440], num_notes)
    return _piece(begin + np.cumsum(step) - step[0], step, rng.integers(50, 100, num_notes))


def _piece(onset, duration, pitch):
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=np.full(len(pitch), 80), program=np.zeros(len(pitch)),
        ticks_per_quarter=GRID,
    )  # fmt: skip


def _join(*pieces):
    return _piece(*(np.concatenate(columns) for columns in zip(*(piece.notes[:3] for piece in pieces), strict=True)))


def _planted(source, *, first, num_notes, quarter, transposition=5, stretch=1.5):
    """Notes of a piece's melody, elsewhere, in another key and tempo."""
    melody = np.flatnonzero(source.notes.program == 0)[first : first + num_notes]
    onset, duration, pitch = (column[melody] for column in source.notes[:3])
    return _piece(quarter * GRID + (onset - onset[0]) * stretch, duration * stretch, pitch + transposition)


def test_a_planted_copy_is_found_with_its_piece_and_place(index):
    copied = _planted(CORPUS[7], first=10, num_notes=20, quarter=100)
    before, after = _random_piece(1), _random_piece(2, begin=150 * GRID)
    assert (before.end_tick, after.notes.onset[0]) < (100 * GRID, 150 * GRID)
    found = index.find(_join(before, copied, after))
    assert (found.source, found.transposition, found.stretch) == ("tune-7.mid", 5, 1.5)
    assert found.source_line in ("top", "program 0")
    assert (found.num_notes, found.quarter) == (20, 100)
    melody = CORPUS[7].notes.onset[CORPUS[7].notes.program == 0]
    assert found.source_quarter == melody[10] / GRID
    assert found.quarters == pytest.approx((melody[29] - melody[10]) * 1.5 / GRID)


def test_a_copied_melody_is_found_above_other_notes(index):
    copied = _planted(CORPUS[3], first=5, num_notes=18, quarter=4, transposition=12, stretch=0.5)
    below = np.arange(copied.notes.onset[0], copied.notes.onset[-1], 180)
    accompaniment = _piece(below, np.full(len(below), 170), 30 + np.arange(len(below)) * 5 % 7)
    found = index.find(_join(copied, accompaniment))
    assert (found.source, found.line, found.num_notes) == ("tune-3.mid", "top", 18)
    assert (found.transposition, found.stretch) == (12, 0.5)


def test_a_whole_texture_is_found_in_another_key(index):
    notes = CORPUS[11].notes
    found = index.find(_piece(notes.onset * 2, notes.duration * 2, notes.pitch - 3))
    assert (found.source, found.line, found.source_line) == ("tune-11.mid", "texture", "texture")
    assert found.num_notes > 55  # of 60
    assert (found.transposition, found.stretch) == (-3, 2)


def test_other_music_and_the_same_pitches_in_another_rhythm_share_only_short_runs(index):
    assert max(index.find(_random_piece(seed)).num_notes for seed in range(5)) < 6
    copied = _planted(CORPUS[7], first=10, num_notes=20, quarter=0)
    steps = np.random.default_rng(0).choice([120, 360, 480, 1440], 20)
    assert index.find(_piece(np.cumsum(steps), steps, copied.notes.pitch)).num_notes < 8
    assert index.find(quarters(60, 62)) == NO_COPY


def test_repeated_notes_are_long_but_tell_little():
    drone, melody = [50] * 40, [60, 67, 59, 71, 55, 72, 61, 66, 58]
    index = CopyIndex.build([("drone", quarters(*drone * 3)), ("melody", quarters(*melody))])
    piece = quarters(*drone, *melody)
    matches = index.matches(piece)
    longest, telling = index.longest(piece, matches), index.most_telling(piece, matches)
    assert (longest.source, longest.num_notes) == ("drone", 40)
    assert (telling.source, telling.num_notes, telling.quarter) == ("melody", 9, 40)
    assert telling.bits > longest.bits


def test_an_index_of_a_dataset_is_made_once_and_again_for_another(index, tmp_path):
    datasets = []
    for first in (0, 4):
        records = [Record(NAMES[i], "", ScoreCodec().encode(CORPUS[i])) for i in range(first, first + 3)]
        write_dataset(tmp_path / f"from_{first}", {"train": records}, ScoreCodec())
        datasets.append(Dataset.open(tmp_path / f"from_{first}"))
    folder = tmp_path / "copies"
    assert open_index(folder, datasets[0].fingerprint) is None
    built = CopyIndex.of_dataset(datasets[0], folder)
    time = (folder / "text.npy").stat().st_mtime_ns
    assert CopyIndex.of_dataset(datasets[0], folder).find(CORPUS[1]) == built.find(CORPUS[1])
    assert (folder / "text.npy").stat().st_mtime_ns == time
    assert built.find(CORPUS[1]).source == "tune-1.mid"
    assert open_index(folder, datasets[1].fingerprint) is None
    assert CopyIndex.of_dataset(datasets[1], folder).find(CORPUS[5]).source == "tune-5.mid"
    assert {path.name for path in folder.iterdir()} == {
        "index.json", "lines.npy", "onsets.npy", "pitches.npy", "suffixes.npy", "text.npy"
    }  # fmt: skip


def test_an_index_of_pieces_without_lines_is_a_mistake():
    with pytest.raises(ValueError, match="none of 1 pieces has a line of 3 notes"):
        CopyIndex.build([("a", quarters(60))])
