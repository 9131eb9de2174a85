"""Parameters keep their meaning in other layouts. (Flax's cells themselves are compared in test_recurrent.py.)"""

import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.model import convert
from ostinato.model.recurrent import CELLS, LayerParams, recurrent_layer

INPUT, HIDDEN = 3, 4
CELL_NAMES = list(CELLS)


def torch_weights(cell):
    rng = np.random.default_rng(0)
    gates = CELLS[cell].num_gates * HIDDEN
    shapes = {"weight_ih": (gates, INPUT), "weight_hh": (gates, HIDDEN), "bias_ih": (gates,), "bias_hh": (gates,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_step(cell, weights, x, carry):
    """The equations in the documentation of torch.nn.LSTM, GRU and RNN."""
    from_x = np.split(weights["weight_ih"] @ x + weights["bias_ih"], CELLS[cell].num_gates)
    from_h = np.split(weights["weight_hh"] @ carry[-1] + weights["bias_hh"], CELLS[cell].num_gates)
    if cell == "lstm":
        i, f, g, o = (a + b for a, b in zip(from_x, from_h, strict=True))
        c = sigmoid(f) * carry[0] + sigmoid(i) * np.tanh(g)
        return c, sigmoid(o) * np.tanh(c)
    if cell == "gru":
        r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
        n = np.tanh(from_x[2] + r * from_h[2])
        return ((1 - z) * n + z * carry[0],)
    return (np.tanh(from_x[0] + from_h[0]),)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_weights_from_torch_give_what_the_equations_of_torch_give(cell):
    weights = torch_weights(cell)
    x_td = np.random.default_rng(1).normal(size=(3, INPUT)).astype(np.float32)
    carry = tuple(np.full(HIDDEN, 0.5, np.float32) for _ in range(CELLS[cell].num_states))
    ours, last = recurrent_layer(
        cell,
        jnp.asarray(x_td)[:, None],
        convert.from_torch(cell, weights),
        jnp.zeros((3, 1), bool),
        tuple(jnp.asarray(state)[None] for state in carry),
    )
    for t, x in enumerate(x_td):
        carry = torch_step(cell, weights, x, carry)
        np.testing.assert_allclose(ours[t, 0], carry[-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.stack(last)[:, 0], np.stack(carry), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_layer_survives_the_way_to_torch_and_flax_and_back(cell):
    params = convert.from_torch(cell, torch_weights(cell))
    assert_same(convert.from_torch(cell, convert.to_torch(params)), params)
    assert_same(convert.from_flax(cell, convert.to_flax(cell, params)), params)


def assert_same(ours: LayerParams, theirs: LayerParams):
    assert (ours.recurrent_bias is None) == (theirs.recurrent_bias is None)
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)
