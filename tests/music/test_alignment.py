"""What was heard some bars ago, against a plain search, row by row."""

import numpy as np
import pytest

from ostinato.music import alignment as module
from ostinato.music.alignment import LAGS, NUM_BARS, RATES, RUN_EDGES, align
from ostinato.music.bars import bar_lines
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import DURATIONS, GRID, METER, NUM_SHIFTS, REST, START
from tests.midi_files import returning_tune

CODEC = ScoreCodec()


def plain_candidate(steps, t, lag, bar_length):
    """The first note after (time - lag bars, instrument, pitch) among the rows up to t, found by looking at each."""
    rows = steps.astype(int)
    time = np.cumsum(rows[:, 0] + np.where(rows[:, 1] == REST, DURATIONS[rows[:, 3]], 0))
    then = time[t] - lag * bar_length
    key = (rows[t, 1], rows[t, 2]) if rows[t, 1] < START else (-1, 0)
    for i in range(t + 1):
        if rows[i, 1] < START and (time[i], rows[i, 1], rows[i, 2]) > (then, *key):
            wait = time[i] - then
            return [wait, *rows[i, 1:]] if then >= 0 and wait < NUM_SHIFTS else None
    return None


def bar_lengths(steps):
    length, lengths = 4 * GRID, []
    for row in steps.astype(int):
        if row[1] == METER:
            length = row[2] * 4 * GRID // 2 ** row[4]
        lengths.append(length)
    return lengths


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_what_a_plain_search_finds(seed):
    steps = CODEC.encode(returning_tune(seed))
    found, lengths = align(steps), bar_lengths(steps)
    for t in range(len(steps)):
        for j, lag in enumerate(LAGS):
            wanted = plain_candidate(steps, t, lag, lengths[t])
            assert bool(found.valid[t, j]) == (wanted is not None), (t, lag)
            assert found.candidates[t, j].tolist() == (wanted or [0] * 5), (t, lag)


def test_runs_and_rates_count_the_rows_that_returned():
    steps = CODEC.encode(returning_tune(1))
    found = align(steps)
    run, rate = np.zeros((len(LAGS), 2), int), np.zeros((len(LAGS), 2, 2))
    longest = 0
    for t in range(1, len(steps)):
        is_same = found.candidates[t - 1] == steps[t]
        hit = np.stack([is_same.all(-1), is_same[:, 1] & is_same[:, 2]], axis=-1) & found.valid[t - 1][:, None]
        run = np.where(hit, run + 1, 0)
        rate = rate + np.array(RATES) * (hit[..., None] - rate)
        assert found.run[t].tolist() == np.searchsorted(RUN_EDGES, run, side="right").tolist()
        np.testing.assert_allclose(found.rate[t], rate, atol=1e-6)
        longest = max(longest, run.max())
    assert longest > 10  # the tune does return


def test_bars_and_positions_are_those_of_the_piece():
    piece = CODEC.quantise(returning_tune(3))  # with a change of meter
    steps = CODEC.encode(piece)
    found, lines = align(steps), bar_lines(piece)
    time = np.cumsum(steps[:, 0].astype(int))
    is_note = steps[:, 1] < START
    bar = np.searchsorted(lines, time, side="right") - 1
    np.testing.assert_array_equal(found.bar[is_note], bar[is_note] % NUM_BARS)
    np.testing.assert_array_equal(found.position[is_note], (time - lines[bar])[is_note])


def test_a_misheard_row_ends_a_return():
    steps = CODEC.encode(returning_tune(1))
    heard = align(steps)
    t = int(heard.run.max((1, 2)).argmax())
    misheard = np.arange(len(steps)) == t
    assert align(steps, misheard).run[t].max() == 0
    np.testing.assert_array_equal(align(steps, misheard).candidates, heard.candidates)


def test_what_lies_further_back_than_the_memory_is_no_candidate(monkeypatch):
    steps = CODEC.encode(returning_tune(1))
    whole = align(steps)
    monkeypatch.setattr(module, "MEMORY", 40)
    short = align(steps)
    assert short.valid.sum() < whole.valid.sum()
    assert not (short.valid & ~whole.valid).any()
    np.testing.assert_array_equal(short.candidates[short.valid], whole.candidates[short.valid])
