import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.music.codec import Elapsed
from ostinato.sample.clock import start_clock
from ostinato.sample.constraints import Event
from ostinato.sample.loop_guard import MIN_ROWS, LoopGuard
from tests.midi_files import tune
from tests.sample.tiny_models import SCORE, assert_legal, leaning, tiny_model, write


@jax.jit
def _advance(state, row, repeats, now=0):
    zeros, never = jnp.zeros((1,), jnp.int32), jnp.zeros((1,), bool)
    clock = start_clock(24, 1)._replace(now=zeros + now)
    event = Event(row, Elapsed(row[:, 0], zeros, zeros, zeros), zeros, clock, is_given=never, is_last=never)
    return LoopGuard(repeats, SCORE.fields).advance(state, event)


def _after(rows, *, repeats=4):
    """The guard after some rows, for one sequence."""
    states, now = [LoopGuard(jnp.int32(repeats), SCORE.fields).start(1)], 0
    for row in rows:
        states.append(_advance(states[-1], jnp.asarray(row, jnp.int32)[None], jnp.int32(repeats), jnp.int32(now)))
        now += int(row[0])
    return states[1:]


def _heat(states):
    return np.array([float(state.heat[0]) for state in states])


def test_one_note_for_ever_is_a_loop_and_its_loudness_does_not_hide_it():
    rows = [(24, 0, 60, 23, i % 5) for i in range(MIN_ROWS + 10)]
    heat = _heat(_after(rows))
    assert (heat[:MIN_ROWS] == 1).all()
    assert (np.diff(heat[MIN_ROWS - 1 :]) > 0).all()
    assert (_heat(_after(rows, repeats=0)) == 1).all()


def test_a_pattern_is_a_loop_when_it_was_heard_often_enough_and_no_longer_when_it_breaks():
    pattern = [(6, 0, 48 + i, 5, 20) for i in range(20)]
    states = _after(pattern * 4 + [(6, 0, 90, 5, 20)] * 3)
    heat = _heat(states)
    assert (heat[:79] == 1).all()
    assert heat[79] > 1
    assert heat[-1] < heat[-4]
    assert int(states[-1].num_loops[0]) == 1
    assert (_heat(_after(pattern * 3)) == 1).all()


def test_a_bar_is_not_copied_to_the_end_of_its_fourth_time():
    bar = [(24, 0, 60 + i, 23, 20) for i in range(4)]
    about_to = [bool(state.is_about_to[0]) for state in _after(bar * 4)]
    assert about_to == [False] * 14 + [True] * 2
    assert not any(bool(state.is_about_to[0]) for state in _after([*bar * 3, *bar[:2], (24, 0, 90, 23, 20), bar[3]]))
    sixteenths = [(6, 0, 60 + i, 5, 20) for i in range(4)]  # a quarter that is heard four times is no loop
    assert not any(bool(state.is_about_to[0]) for state in _after(sixteenths * 6))


def test_music_that_does_not_repeat_is_left_alone():
    states = _after(SCORE.encode(tune(1, num_notes=100)))
    assert (_heat(states) == 1).all()


@pytest.fixture(scope="module")
def stuck():
    """A model that plays one note for ever, at almost any temperature."""
    model, params = leaning(
        tiny_model(SCORE),
        output_bias_0={24: 12.0},
        output_bias_1={0: 12.0},
        output_bias_2={60: 12.0},
        output_bias_3={23: 12.0},
    )
    return model, params


def test_the_guard_gets_a_stuck_model_going_and_says_so(stuck, caplog):
    caplog.set_level("INFO", logger="ostinato")
    options = {"num_pieces": 8, "num_notes": 120, "tempo": 100, "meter": "4/4", "top_k": 1}
    looping, guarded = write(stuck, loop_guard=0, **options), write(stuck, **options)

    def variety(pieces):
        return np.mean([len(np.unique(SCORE.decode(piece.steps).notes.pitch)) for piece in pieces])

    assert variety(looping) == 1
    assert sum(piece.num_loops for piece in looping) == 0
    assert variety(guarded) > 2
    assert all(piece.num_loops >= 1 for piece in guarded)
    assert "the loop guard" in caplog.text
    assert_legal(guarded)
