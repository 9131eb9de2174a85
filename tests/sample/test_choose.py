import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.sample import choose as choosing
from ostinato.sample.choose import SamplingParams

LOGITS = jnp.log(jnp.array([[0.5, 0.25, 0.15, 0.1]]))
ALL = jnp.ones((1, 4), bool)
choose = jax.jit(choosing.choose)


def _params(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    return SamplingParams(
        jnp.array([temperature], jnp.float32),
        jnp.array([top_k], jnp.int32),
        jnp.array([top_p], jnp.float32),
        jnp.array([min_p], jnp.float32),
        jnp.zeros((1,)),
    )


def _shares(params, *, logits=LOGITS, allowed=ALL):
    """How often each value is chosen over an even grid of uniforms."""
    uniforms = (jnp.arange(4000, dtype=jnp.float32) + 0.5) / 4000
    return np.bincount(np.asarray(_choose_each(logits, allowed, uniforms, params)), minlength=4) / 4000


@jax.jit
def _choose_each(logits, allowed, uniforms, params):
    return jax.vmap(lambda u: choosing.choose(logits, allowed, u[None], params)[0])(uniforms)


def test_values_are_chosen_as_often_as_they_are_likely():
    np.testing.assert_allclose(_shares(_params()), [0.5, 0.25, 0.15, 0.1], atol=1e-3)


def test_temperature_sharpens_and_flattens():
    for temperature in (0.5, 2.0):
        expected = np.array([0.5, 0.25, 0.15, 0.1]) ** (1 / temperature)
        np.testing.assert_allclose(_shares(_params(temperature)), expected / expected.sum(), atol=1e-3)


def test_temperature_0_always_takes_the_likeliest_allowed_value_and_of_equals_the_first():
    assert _shares(_params(0.0)).tolist() == [1, 0, 0, 0]
    assert _shares(_params(0.0), allowed=ALL.at[0, 0].set(False)).tolist() == [0, 1, 0, 0]
    assert _shares(_params(0.0, top_k=3, top_p=0.9, min_p=0.1), logits=LOGITS[:, jnp.array([3, 0, 0, 1])])[1] == 1


def test_top_k_keeps_the_likeliest_values():
    np.testing.assert_allclose(_shares(_params(top_k=2)), [2 / 3, 1 / 3, 0, 0], atol=1e-3)
    np.testing.assert_allclose(_shares(_params(top_k=99)), [0.5, 0.25, 0.15, 0.1], atol=1e-3)


def test_top_p_keeps_the_fewest_values_that_reach_it():
    np.testing.assert_allclose(_shares(_params(top_p=0.6)), [2 / 3, 1 / 3, 0, 0], atol=1e-3)
    np.testing.assert_allclose(_shares(_params(top_p=0.01)), [1, 0, 0, 0], atol=1e-3)


def test_top_p_counts_what_top_k_has_left():
    # Of 0.5 and 0.25 alone, 0.5 is two thirds: enough for 0.6.
    np.testing.assert_allclose(_shares(_params(top_k=2, top_p=0.6)), [1, 0, 0, 0], atol=1e-3)


def test_min_p_keeps_what_is_not_much_less_likely_than_the_likeliest():
    np.testing.assert_allclose(_shares(_params(min_p=0.4)), [2 / 3, 1 / 3, 0, 0], atol=1e-3)
    np.testing.assert_allclose(_shares(_params(min_p=1.0)), [1, 0, 0, 0], atol=1e-3)
    # At temperature 2 all are nearer to each other.
    assert (_shares(_params(temperature=2.0, min_p=0.4)) > 0).sum() == 4


def test_each_sequence_has_its_own_params():
    params = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), _params(top_k=1), _params())
    uniform = jnp.full((2,), 0.99)
    chosen = choose(jnp.repeat(LOGITS, 2, 0), jnp.repeat(ALL, 2, 0), uniform, params)
    np.testing.assert_array_equal(chosen, [0, 3])


def test_what_is_not_allowed_is_never_chosen_and_the_rest_keeps_its_proportions():
    allowed = jnp.array([[False, True, False, True]])
    np.testing.assert_allclose(_shares(_params(), allowed=allowed), [0, 5 / 7, 0, 2 / 7], atol=1e-3)


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(np.float32(1), np.float32(0))])
@pytest.mark.parametrize("only", range(4))
def test_the_ends_of_the_interval_choose_an_allowed_value(uniform, only):
    allowed = jnp.arange(4)[None, :] == only
    logits = jnp.where(allowed, -80.0, 80.0)  # the only legal value is the one the network likes least
    assert int(choose(logits, allowed, jnp.float32(uniform)[None], _params())[0]) == only
