"""Weights exchanged with torch.nn give its outputs (extra `bench`)."""

import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.model import convert
from ostinato.model.recurrent import recurrent_layer

torch = pytest.importorskip("torch")

LENGTH, BATCH, INPUT, HIDDEN = 20, 3, 4, 6
MODULES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def torch_module(cell):
    torch.manual_seed(0)
    return getattr(torch.nn, MODULES[cell])(INPUT, HIDDEN)


def inputs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(LENGTH, BATCH, INPUT)).astype(np.float32), [
        rng.normal(size=(BATCH, HIDDEN)).astype(np.float32) for _ in range(2)
    ]


def run_torch(cell, module, x, states):
    """Returns the outputs and the last state, in our order: c before h."""
    c, h = (torch.from_numpy(state)[None] for state in states)
    with torch.no_grad():
        y, last = module(torch.from_numpy(x), (h, c) if cell == "lstm" else h)
    last = (last[1], last[0]) if cell == "lstm" else (last,)
    return y.numpy(), [state[0].numpy() for state in last]


def run_ours(cell, params, x, states):
    carry = tuple(jnp.asarray(state) for state in (states if cell == "lstm" else states[1:]))
    return recurrent_layer(cell, jnp.asarray(x), params, jnp.zeros((LENGTH, BATCH), bool), carry)


def assert_equal_outputs(ours, theirs):
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", MODULES)
def test_weights_from_torch_give_its_outputs(cell):
    module, (x, states) = torch_module(cell), inputs()
    weights = {name.removesuffix("_l0"): value.detach().numpy() for name, value in module.named_parameters()}
    ours = run_ours(cell, convert.from_torch(cell, weights), x, states)
    assert_equal_outputs(ours, run_torch(cell, module, x, states))


@pytest.mark.parametrize("cell", MODULES)
def test_weights_to_torch_give_our_outputs(cell):
    module, other, (x, states) = torch_module(cell), torch_module(cell), inputs()
    weights = {name.removesuffix("_l0"): 2 * value.detach().numpy() for name, value in module.named_parameters()}
    params = convert.from_torch(cell, weights)
    arrays = {f"{name}_l0": torch.from_numpy(np.array(value)) for name, value in convert.to_torch(params).items()}
    other.load_state_dict(arrays)
    assert_equal_outputs(run_ours(cell, params, x, states), run_torch(cell, other, x, states))
