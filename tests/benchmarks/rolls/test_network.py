import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.benchmarks.rolls.network import Regularisation, features, init_layers, initial_carry
from ostinato.benchmarks.rolls.read import NUM_KEYS

LAYERS = init_layers(jax.random.key(0), 5, 1)
FRAMES = jnp.asarray(np.random.default_rng(0).random((6, 2, NUM_KEYS)) < 0.1, jnp.uint8)
STARTS = jnp.zeros((6, 2), bool).at[0].set(True)
NO_SHIFT = jnp.zeros((6, 2), jnp.int32)


def outputs(regularisation=None, key=None, shifts=NO_SHIFT, frames=FRAMES):
    regularisation = Regularisation() if regularisation is None else regularisation
    found, _ = features(LAYERS, frames, shifts, STARTS, initial_carry(LAYERS, 2), regularisation, key)
    return np.asarray(found)


def test_nothing_is_dropped_without_a_key():
    np.testing.assert_array_equal(outputs(Regularisation(0.5, 0.5, 0.5)), outputs())


@pytest.mark.parametrize("kind", ["input", "hidden", "recurrent"])
def test_each_kind_of_dropping_does_something_and_depends_on_the_key(kind):
    regularisation = Regularisation(**{kind: 0.5})
    first, again, other = (outputs(regularisation, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - outputs()).max() > 1e-3
    assert np.abs(first - other).max() > 1e-3


def test_dropped_recurrent_weights_are_those_alone():
    """The first step has no state before it, so it must stay as it was."""
    dropped = outputs(Regularisation(recurrent=0.5), jax.random.key(1))
    np.testing.assert_array_equal(dropped[0], outputs()[0])


def test_a_transposition_is_told_modulo_the_octave():
    down, up, other = (outputs(shifts=NO_SHIFT + shift) for shift in (-5, 7, 1))
    np.testing.assert_array_equal(down, up)
    assert np.abs(down - other).max() > 1e-3


def test_a_frame_changes_nothing_before_it():
    changed = outputs(frames=FRAMES.at[3].set(1 - FRAMES[3]))
    np.testing.assert_array_equal(changed[:3], outputs()[:3])
    assert np.abs(changed[3:] - outputs()[3:]).max() > 1e-3
