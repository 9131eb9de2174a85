"""The recurrent core against the plain reference cell, and that one against flax: values and all gradients."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ostinato.model import convert
from ostinato.model.backend import planned_for
from ostinato.model.recurrent import (
    CELLS,
    LayerParams,
    Layout,
    choose_layout,
    multiply,
    project,
    recurrence,
    recurrent_layer,
)
from ostinato.model.reference_cell import reference_layer

FLAX_CELLS = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell, "rnn": nn.SimpleCell}
INPUT, HIDDEN = 3, 5
CELL_NAMES = list(CELLS)


def make_params(cell, rng, dtype: type = np.float32):
    """Parameters with every entry drawn, biases too: zeros would hide a forgotten one."""
    gates = CELLS[cell].num_gates * HIDDEN
    draw = lambda *shape: jnp.asarray(0.5 * rng.normal(size=shape), dtype)  # noqa: E731
    return LayerParams(draw(INPUT, gates), draw(HIDDEN, gates), draw(gates), draw(HIDDEN) if cell == "gru" else None)


def make_inputs(cell, rng, length, batch, dtype: type = np.float32):
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
    return draw(length, batch, INPUT), tuple(draw(batch, HIDDEN) for _ in range(CELLS[cell].num_states))


def no_starts(length, batch):
    return jnp.zeros((length, batch), bool)


def flax_layer(cell, x_tbd, params, starts_tb, carry):
    """Flax's cell under nn.RNN, which knows no starts."""
    del starts_tb
    rnn = nn.RNN(FLAX_CELLS[cell](HIDDEN, param_dtype=x_tbd.dtype), time_major=True, return_carry=True)
    variables = {"params": {"cell": convert.to_flax(cell, params)}}
    carry, y_tbh = rnn.apply(variables, x_tbd, initial_carry=carry if cell == "lstm" else carry[0])
    return y_tbh, carry if cell == "lstm" else (carry,)


@cache
def values_and_gradients(cell, layer):
    """Jits the outputs and their gradients by inputs, parameters and carry, for given cotangents of the outputs."""

    def run(arguments, cotangents, *rest):
        outputs, pull_back = jax.vjp(lambda x, params, carry: layer(cell, x, params, *rest, carry), *arguments)
        return outputs, pull_back(cotangents)

    return jax.jit(run)


def assert_close(ours, theirs, tolerance):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        scale = max(1.0, float(np.abs(b).max()))  # gradients are sums over up to 257 steps
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def compare(cell, layer, theirs, length, batch, dtype, tolerance, *, starts):
    """Holds outputs, last carry, and the gradients by inputs, parameters and carry, against each other."""
    rng = np.random.default_rng(length)
    x_tbd, carry = make_inputs(cell, rng, length, batch, dtype)
    arguments = (x_tbd, make_params(cell, rng, dtype), carry)
    cotangents = jnp.asarray(rng.normal(size=(length, batch, HIDDEN)), dtype), carry
    starts_tb = jnp.asarray(rng.random((length, batch)) < np.linspace(0, 0.4, batch)) & starts  # none in the first row
    results = [values_and_gradients(cell, each)(arguments, cotangents, starts_tb) for each in (layer, theirs)]
    assert_close(*results, tolerance)


@pytest.mark.parametrize("length", [1, 50])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_reference_cell_is_that_of_flax(cell, length):
    with jax.enable_x64(True):
        compare(cell, reference_layer, flax_layer, length, 3, np.float64, 1e-10, starts=False)


# 65 rows are batch-major also on a CPU.
@pytest.mark.parametrize(
    ("dtype", "tolerance", "length", "batch"),
    [(np.float64, 1e-10, length, batch) for length, batch in [(1, 1), (50, 7), (257, 3), (2, 65)]]
    + [(np.float32, 1e-5, 257, 3)],  # where roundings add up most
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_outputs_carry_and_gradients_with_resets_equal_those_of_the_reference_cell(
    cell, length, batch, dtype, tolerance
):
    with jax.enable_x64(dtype == np.float64):
        compare(cell, recurrent_layer, reference_layer, length, batch, dtype, tolerance, starts=True)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_reset_equals_starting_anew_even_from_a_broken_carry(cell):
    rng = np.random.default_rng(1)
    params = make_params(cell, rng)
    x_tbd, carry = make_inputs(cell, rng, 6, 3)
    starts_tb = no_starts(6, 3).at[2].set(True)
    whole, last = recurrent_layer(cell, x_tbd, params, starts_tb, tuple(state * jnp.nan for state in carry))
    zeros = tuple(map(jnp.zeros_like, carry))
    anew, last_anew = recurrent_layer(cell, x_tbd[2:], params, no_starts(4, 3), zeros)
    assert_close((whole[2:], last), (anew, last_anew), 1e-6)
    assert np.isnan(whole[:2]).all()  # else the carry was not read at all


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_sequence_in_two_parts_with_the_carry_equals_the_whole(cell):
    rng = np.random.default_rng(2)
    params = make_params(cell, rng)
    x_tbd, carry = make_inputs(cell, rng, 9, 3)
    starts_tb = no_starts(9, 3).at[6, 1].set(True)
    whole, last = recurrent_layer(cell, x_tbd, params, starts_tb, carry)
    first, carry = recurrent_layer(cell, x_tbd[:4], params, starts_tb[:4], carry)
    second, carry = recurrent_layer(cell, x_tbd[4:], params, starts_tb[4:], carry)
    assert_close((jnp.concatenate([first, second]), carry), (whole, last), 1e-6)


@pytest.mark.parametrize("layout", [Layout(feature_major=True), Layout(unroll=3)])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_hand_written_gradient_is_the_derivative_in_each_layout(cell, layout):
    starts_tb = no_starts(4, 2).at[2, 0].set(True)
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        gates = CELLS[cell].num_gates * HIDDEN
        _, carry = make_inputs(cell, rng, 4, 2, np.float64)
        x_tbg, kernel = jnp.asarray(rng.normal(size=(4, 2, gates))), jnp.asarray(rng.normal(size=(HIDDEN, gates)))
        biases = jnp.asarray(rng.normal(size=gates)), jnp.asarray(rng.normal(size=gates)) if cell == "gru" else None
        check_grads(
            jax.jit(lambda x, kernel, biases, carry: recurrence(cell, layout, x, kernel, *biases, starts_tb, carry)),
            (x_tbg, kernel, biases, carry),
            order=1,
            modes=["rev"],
        )


def test_the_gradient_of_the_projection_is_its_derivative():
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        arguments = tuple(jnp.asarray(rng.normal(size=shape)) for shape in [(2, 4, 3), (3, 5), (5,)])
        check_grads(jax.jit(partial(project, "float32")), arguments, order=1, modes=["rev"])


def test_the_layout_is_that_of_the_platform_it_is_traced_for():
    assert choose_layout(64, "float32") == Layout(feature_major=True)
    assert choose_layout(65, "bf16") == Layout(precision="bf16")
    with planned_for("gpu"):
        assert not choose_layout(64, "float32").feature_major
        assert choose_layout(64, "float32").unroll > 1


def test_bf16_rounds_what_a_product_reads_and_sums_in_float32():
    rng = np.random.default_rng(6)
    x, kernel, d_out = (rng.normal(size=shape).astype(np.float32) for shape in [(2, 64, 33), (33, 5), (2, 64, 5)])

    def rounded(a):
        return np.asarray(jnp.asarray(a).astype(jnp.bfloat16).astype(jnp.float32))

    out, pull_back = jax.vjp(partial(multiply, "bf16"), jnp.asarray(x), jnp.asarray(kernel))
    d_x, d_kernel = pull_back(jnp.asarray(d_out))
    assert out.dtype == d_x.dtype == d_kernel.dtype == jnp.float32
    np.testing.assert_allclose(out, rounded(x) @ rounded(kernel), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(d_x, rounded(d_out) @ rounded(kernel).T, rtol=1e-5, atol=1e-5)
    exact = np.tensordot(rounded(x), rounded(d_out), ((0, 1), (0, 1)))
    np.testing.assert_allclose(d_kernel, exact, rtol=1e-5, atol=1e-5)
    assert np.abs(out - x @ kernel).max() > 1e-4  # it did round


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_bf16_gives_nearly_the_values_of_float32_and_keeps_the_state_in_float32(cell):
    rng = np.random.default_rng(7)
    params = make_params(cell, rng)
    x_tbd, carry = make_inputs(cell, rng, 5, 3)  # short: a plain rnn of such weights is chaotic
    exact, rounded = (
        recurrent_layer(cell, x_tbd, params, no_starts(5, 3), carry, precision) for precision in ("float32", "bf16")
    )
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(rounded), strict=True):
        assert b.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=0.05)
        assert np.abs(a - b).max() > 1e-5


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_saturated_gates_give_finite_values_and_gradients(cell):
    rng = np.random.default_rng(5)
    params = make_params(cell, rng)
    x_tbd, carry = make_inputs(cell, rng, 50, 7)
    arguments = (x_tbd * 1e6, params, tuple(100 * state for state in carry))
    cotangents = jnp.ones((50, 7, HIDDEN)), tuple(map(jnp.ones_like, carry))
    results = values_and_gradients(cell, recurrent_layer)(arguments, cotangents, no_starts(50, 7))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
