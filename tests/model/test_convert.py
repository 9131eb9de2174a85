"""Parameters keep their meaning in other layouts. (Flax's cells themselves are compared in test_recurrent.py.)"""

import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.model import convert
from ostinato.model.recurrent import CELLS, recurrent_layer

LENGTH, BATCH, INPUT, HIDDEN = 20, 3, 3, 4
MODULES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
cells = pytest.mark.parametrize("cell", MODULES)


def torch_weights(cell):
    rng = np.random.default_rng(0)
    gates = CELLS[cell].num_gates * HIDDEN
    shapes = {"weight_ih": (gates, INPUT), "weight_hh": (gates, HIDDEN), "bias_ih": (gates,), "bias_hh": (gates,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def inputs(cell):
    """Inputs of some steps, and a carry."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return draw(LENGTH, BATCH, INPUT), tuple(draw(BATCH, HIDDEN) for _ in range(CELLS[cell].num_states))


def run_ours(cell, params, x_tbd, carry):
    no_starts = jnp.zeros(x_tbd.shape[:2], bool)
    return recurrent_layer(cell, jnp.asarray(x_tbd), params, no_starts, tuple(map(jnp.asarray, carry)))


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jnp.stack(ours[1]), np.stack(theirs[1]), rtol=1e-5, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_step(cell, weights, x, carry):
    """The equations in the documentation of torch.nn.LSTM, GRU and RNN."""
    from_x = np.split(x @ weights["weight_ih"].T + weights["bias_ih"], CELLS[cell].num_gates, axis=1)
    from_h = np.split(carry[-1] @ weights["weight_hh"].T + weights["bias_hh"], CELLS[cell].num_gates, axis=1)
    if cell == "lstm":
        i, f, g, o = (a + b for a, b in zip(from_x, from_h, strict=True))
        c = sigmoid(f) * carry[0] + sigmoid(i) * np.tanh(g)
        return c, sigmoid(o) * np.tanh(c)
    if cell == "gru":
        r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
        n = np.tanh(from_x[2] + r * from_h[2])
        return ((1 - z) * n + z * carry[0],)
    return (np.tanh(from_x[0] + from_h[0]),)


@cells
def test_weights_from_torch_give_what_the_equations_of_torch_give(cell):
    weights, (x_tbd, carry) = torch_weights(cell), inputs(cell)
    ours = run_ours(cell, convert.from_torch(cell, weights), x_tbd, carry)
    outputs = []
    for x_bd in x_tbd:
        carry = torch_step(cell, weights, x_bd, carry)
        outputs.append(carry[-1])
    assert_close(ours, (np.stack(outputs), carry))


@cells
def test_a_layer_survives_the_way_to_torch_and_flax_and_back(cell):
    params = convert.from_torch(cell, torch_weights(cell))
    for again in (
        convert.from_torch(cell, convert.to_torch(params)),
        convert.from_flax(cell, convert.to_flax(cell, params)),
    ):
        for a, b in zip(again, params, strict=True):
            assert (a is None) == (b is None)
            np.testing.assert_array_equal(a, b)


@cells
def test_weights_exchanged_with_torch_give_its_outputs_in_both_directions(cell):
    torch = pytest.importorskip("torch", reason="needs torch (extra bench)")
    torch.manual_seed(0)
    module, other = (getattr(torch.nn, MODULES[cell])(INPUT, HIDDEN) for _ in range(2))
    x_tbd, carry = inputs(cell)
    params = convert.from_torch(
        cell, {name.removesuffix("_l0"): 2 * value.detach().numpy() for name, value in module.named_parameters()}
    )
    other.load_state_dict(
        {f"{name}_l0": torch.from_numpy(np.array(value)) for name, value in convert.to_torch(params).items()}
    )
    for value in module.parameters():
        value.data *= 2
    states = tuple(torch.from_numpy(state)[None] for state in reversed(carry))  # h before c
    for theirs in (module, other):
        with torch.no_grad():
            y, last = theirs(torch.from_numpy(x_tbd), states if cell == "lstm" else states[0])
        last = (last[1], last[0]) if cell == "lstm" else (last,)
        assert_close(run_ours(cell, params, x_tbd, carry), (y.numpy(), [state[0].numpy() for state in last]))
