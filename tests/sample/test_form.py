"""A form that is asked for: the bars that should return do, in every network that writes the score codec."""

import dataclasses

import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.evaluation.metrics.form import bars_of
from ostinato.music.alignment import LAGS
from ostinato.sample.form import parse_form
from ostinato.sample.primers import Primer
from tests.midi_files import returning_tune
from tests.sample.tiny_models import CONFIG, NOTES, SCORE, assert_legal, leaning, tiny_model, write

WITH_GATE = dataclasses.replace(CONFIG, norm="pre", copy=True)


def written(model, form, **options):
    pieces = write(model, form=form, meter="3/4", num_pieces=4, **options)
    assert_legal(pieces)
    return [SCORE.decode(piece.steps) for piece in pieces]


def bars_with_the_last(piece):
    """`bars_of` leaves the last bar out, which is whole here."""
    end = piece.notes._replace(
        **{name: np.append(column, column[-1]) for name, column in piece.notes._asdict().items()}
    )
    end.onset[-1] = 16 * 72
    return bars_of(dataclasses.replace(piece, notes=end))


@pytest.mark.parametrize("network", [CONFIG, WITH_GATE], ids=["plain", "copy"])
def test_the_bars_that_are_asked_to_return_do(network):
    for piece in written(tiny_model(SCORE, network), "A4A4B4A4"):
        bars = bars_with_the_last(piece)
        assert len(bars) == 16
        returned = [bars[number] == bars[number % 4] for number in (4, 5, 6, 7, 12, 13, 14, 15)]
        assert np.mean(returned) >= 0.9, bars
        assert bars[8:12] != bars[:4]
        assert any(bars[:4])


def test_a_varied_return_keeps_the_notes_on_quarters():
    eighths = leaning(tiny_model(SCORE), output_bias_0={12: 8.0})
    for piece in written(eighths, "A4B2A'4"):
        onset, rows = piece.notes.onset, np.stack(piece.notes, axis=1)
        source, again = (rows[(onset >= begin * 72) & (onset < (begin + 4) * 72)] for begin in (0, 6))
        source, again = ({tuple(row) for row in part} for part in (source, again - [6 * 72, 0, 0, 0, 0]))
        on_quarters = {row for row in source if row[0] % 24 == 0}
        assert len(on_quarters) > 3
        assert on_quarters <= again
        assert again != source


def test_a_new_section_copies_nothing_from_those_before_it():
    network, params = tiny_model(SCORE, WITH_GATE)
    bias = params["gate"]["output_bias"].at[1 + LAGS.index(4)].add(60.0)
    always = network, {**params, "gate": {**params["gate"], "output_bias": bias}}
    for piece in written(always, "A4B4", loop_guard=0):
        bars = bars_of(piece)
        assert any(bars[:4])
        assert not any(one == other for one, other in zip(bars[:4], bars[4:], strict=False) if one)
    alone = [SCORE.decode(p.steps) for p in write(always, meter="3/4", num_pieces=4, num_bars=9, loop_guard=0)]
    assert all(
        any(one == other for one, other in zip(bars, bars[4:], strict=False) if one) for bars in map(bars_of, alone)
    )


@pytest.mark.parametrize("form", ["A2B1A2B1", "A2A'2"])
def test_a_section_is_not_filled_up_before_a_return(form):
    halves = leaning(tiny_model(SCORE), output_bias_0={48: 9.0})
    for piece in written(halves, form):
        per_bar = np.bincount(piece.notes.onset // 72, minlength=4)
        assert per_bar.max() <= 4
        assert per_bar.sum() >= 4


def test_the_form_begins_after_a_primer():
    primer = SCORE.encode(returning_tune(0))[:-1]
    end = int(SCORE.decode(primer).notes.onset.max())
    bar = 4 * 24
    end = -(-(end + 1) // bar) * bar
    (piece,) = write(tiny_model(SCORE), [Primer(primer, end)], num_pieces=1, form="A2B1A2")
    rows = np.stack(SCORE.decode(piece.steps).notes, axis=1)
    first, again = (
        [(row - [begin, 0, 0, 0, 0]).tolist() for row in rows if begin <= row[0] < begin + 2 * bar]
        for begin in (end, end + 3 * bar)
    )
    assert first
    assert first == again


@pytest.mark.parametrize(
    ("text", "lag", "num_bars"),
    [
        ("AABA", [0, 8, 0, 24], 32),
        ("A A' B16 A", [0, 8, 0, 32], 40),
        ("A4-B2-A4", [0, 0, 6], 10),
    ],
)
def test_forms_as_people_write_them(text, lag, num_bars):
    plan = parse_form(text)
    begins = [0, *np.flatnonzero(np.diff(np.asarray(plan.until)[:num_bars])) + 1]
    assert [int(plan.lag[begin]) for begin in begins] == lag
    assert int(plan.num_bars) == num_bars
    assert not np.asarray(plan.lag)[num_bars:].any()


@pytest.mark.parametrize("text", ["aaba", "A0", "8+8", "A4A8", "A2000"])
def test_what_is_no_form_is_said(text):
    with pytest.raises(UserError, match=r"form .*" + text[:2].replace("+", r"\+")):
        parse_form(text)


def test_a_codec_without_bars_has_no_form():
    with pytest.raises(UserError, match="form cannot be asked of the notes codec"):
        write(tiny_model(NOTES), codec=NOTES, form="AABA")


def test_a_form_says_how_long_the_piece_is():
    with pytest.raises(UserError, match="num_bars and form exclude each other"):
        write(tiny_model(SCORE), form="AABA", num_bars=8)
