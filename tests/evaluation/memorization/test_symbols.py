import numpy as np

from ostinato.evaluation.memorization.lines import Line
from ostinato.evaluation.memorization.symbols import END, symbol_lines, to_symbols
from ostinato.music.piece import make_piece
from tests.evaluation.metrics.made import CHORDS, quarters
from tests.midi_files import tune


def _split(symbols):
    return [(int(symbol >> 4) - 128, int(symbol & 15) - 8) for symbol in symbols[:-1]]


def test_symbols_are_intervals_and_ratios_of_steps():
    line = Line("x", np.array([0, 12, 24, 48, 54, 54, 60]), np.array([60, 62, 55, 55, 60, 64, 65]))
    together, at_the_end = -8, -8
    assert _split(to_symbols(line)) == [(2, 0), (-7, 2), (0, -4), (5, together), (4, 0), (1, at_the_end)]
    assert to_symbols(line)[-1] == END


def test_key_and_tempo_change_no_symbol():
    piece = tune(1)
    onset, duration, pitch, velocity, program = piece.notes
    other = make_piece(
        onset=onset * 3 // 2, duration=duration * 3 // 2, pitch=pitch + 5, velocity=velocity, program=program,
        ticks_per_quarter=480,
    )  # fmt: skip
    ours, theirs = list(symbol_lines(piece)), list(symbol_lines(other))
    assert [line.symbols.tolist() for line in ours] == [line.symbols.tolist() for line in theirs]


def test_rounding_to_a_grid_changes_no_symbol():
    onset = np.cumsum([0, 480, 240, 240, 720, 240, 160, 160, 160, 960])
    rounded = np.round(onset * 1.5 / 7) * 7
    line, coarse = (Line("x", ticks.astype(np.int64), np.arange(10) ** 2 % 11) for ticks in (onset, rounded))
    assert to_symbols(line).tolist() == to_symbols(coarse).tolist()


def test_lines_that_are_equal_stand_there_once():
    assert [line.name for line, _ in symbol_lines(quarters(60, 62, 64))] == ["texture"]
    assert [line.name for line, _ in symbol_lines(CHORDS)] == ["texture", "top", "bottom"]
    assert [line.name for line, _ in symbol_lines(tune(0))] == ["texture", "top", "bottom", "program 32"]
    assert not list(symbol_lines(quarters(60, 62)))
