from pathlib import Path

import numpy as np
from matplotlib.image import imread

from ostinato.music.piece import DRUMS
from ostinato.sample.output.piano_roll import draw_piano_roll, instrument_name
from tests.midi_files import piece_of


def test_instruments_have_their_general_midi_names() -> None:
    assert [instrument_name(program) for program in (0, 73, DRUMS)] == ["Acoustic Grand Piano", "Flute", "Drums"]


def test_a_piano_roll_is_the_same_bytes_each_time_and_shows_the_primer(tmp_path: Path) -> None:
    piece = piece_of((0, 480, 60, 80, 73), (480, 960, 64, 30, 71), (0, 1920, 36, 127, DRUMS))
    paths = [tmp_path / name for name in ("one.png", "two.png", "primer.png", "empty.png")]
    draw_piano_roll(piece, paths[0], title="a $ title")
    draw_piano_roll(piece, paths[1], title="a $ title")
    draw_piano_roll(piece, paths[2], title="a $ title", primer_end_tick=480)
    draw_piano_roll(piece_of(), paths[3])
    one, two, primer, _ = (path.read_bytes() for path in paths)
    assert one == two != primer
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_a_piano_roll_draws_each_note_where_it_is(tmp_path: Path) -> None:
    # Blue is the first instrument: one note in the first of two bars, high, then one in the second bar, low.
    draw_piano_roll(piece_of((0, 1920, 72, 127, 0), (1920, 1920, 60, 127, 0)), tmp_path / "roll.png")
    image = imread(tmp_path / "roll.png")[:, :, :3]
    blue = np.abs(image - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=2) < 0.01
    rows, columns = np.nonzero(blue[: int(0.85 * len(blue))])  # without the legend
    high = rows < rows.mean()
    assert columns[high].max() < columns[~high].min()
    assert np.ptp(rows[high]) < 0.05 * len(image) > np.ptp(rows[~high])
    widths = [np.ptp(columns[part]) for part in (high, ~high)]
    assert min(widths) > 0.4 * image.shape[1]


def test_bars_are_tinted_by_their_scores_where_they_are_above_zero(tmp_path: Path) -> None:
    piece = piece_of((0, 1920, 72, 127, 0), (1920, 1920, 72, 127, 0), (3840, 1920, 72, 127, 0))
    path = tmp_path / "roll.png"
    draw_piano_roll(piece, path, bar_scores=[-3.0, 1.0, 9.0, 9.0])
    picture = imread(path)[..., :3]
    (music,) = np.nonzero((picture[..., 2] - picture[..., 0] > 0.5).any(axis=0))  # a blue note is in every bar
    left, width = music.min(), np.ptp(music)
    redness = []
    for bar in range(3):
        part = picture[:, int(left + (bar + 0.4) / 3 * width) : int(left + (bar + 0.6) / 3 * width)]
        redness.append(float((part[..., 0] - part[..., 1]).max()))
    assert redness[0] < redness[1] < redness[2]
