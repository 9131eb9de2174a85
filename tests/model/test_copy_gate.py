"""A gate that is told some lags: the others are never copied from, and nothing that they hold is heard."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.schema import ModelConfig
from ostinato.model.copy_gate import CopyGate, no_alignment
from ostinato.model.network import MusicModel, init_params, initial_carry
from ostinato.music.alignment import LAGS, NUM_KINDS, RATES, RUN_EDGES


def test_lags_that_are_not_named_are_neither_heard_nor_copied_from():
    gate = CopyGate(num_fields=3, hidden_size=4, lags=(1, 8))
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
    alignment = no_alignment(5, 3)._replace(
        valid=jnp.ones((5, len(LAGS)), bool),
        run=jnp.asarray(rng.integers(0, len(RUN_EDGES) + 1, (5, len(LAGS), NUM_KINDS)), jnp.uint8),
        rate=jnp.asarray(rng.random((5, len(LAGS), NUM_KINDS, len(RATES))), jnp.float32),
    )
    params = gate.init(jax.random.key(0), features, alignment)
    shares = np.exp(gate.apply(params, features, alignment).log_weights)
    used = np.array([lag in (1, 8) for lag in LAGS])
    assert (shares[:, 1:][:, used] > 0).all()
    assert (shares[:, 1:][:, ~used] == 0).all()
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)

    def changed(which):
        run = jnp.where(which[:, None], 0, alignment.run)
        return alignment._replace(run=run, rate=jnp.where(which[:, None, None], 0.5, alignment.rate))

    same, other = (np.exp(gate.apply(params, features, changed(which)).log_weights) for which in (~used, used))
    np.testing.assert_array_equal(same, shares)
    assert np.abs(other - shares).max() > 1e-3
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, CopyGate(num_fields=3, hidden_size=4).init(jax.random.key(0), features, alignment)
    )


def test_metrical_inputs_without_a_gate_are_refused():
    with pytest.raises(UserError, match="metrical_inputs needs copy"):
        ModelConfig(metrical_inputs=True)


@pytest.mark.parametrize("lags", [(), (3,), (1, 64)])
def test_lags_that_no_gate_knows_are_refused(lags):
    with pytest.raises(UserError, match="copy_lags"):
        ModelConfig(copy_lags=lags)


def test_a_network_that_hears_its_place_is_never_given_rows_without_it():
    config = ModelConfig(embedding_size=4, hidden_size=4, num_layers=1, head_size=4, copy=True, metrical_inputs=True)
    model, rows = MusicModel(config, (5, 5)), jnp.zeros((1, 3, 2), jnp.int32)

    def shape(columns):
        carry = initial_carry(config, 1)
        params = jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))
        starts = jnp.zeros((1, 3), bool)
        apply = functools.partial(model.apply, method=MusicModel.features)
        return jax.eval_shape(apply, {"params": params}, columns, starts, carry)[0].shape

    assert shape(model.heard(rows, no_alignment(1, 3, 2))) == (1, 3, 4)
    with pytest.raises(AssertionError, match="without their place"):
        shape(rows)
