"""What is handed to cuDNN's LSTM, checked with JAX's own reference of it; on a GPU also cuDNN itself."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from ostinato.configs.schema import ModelConfig
from ostinato.model import cudnn
from ostinato.model.kernels import Kernel, kernel_by_rule, possible_kernels
from ostinato.model.recurrent import LayerParams, recurrent_layer

LENGTH, BATCH, INPUT, HIDDEN = 12, 4, 3, 5


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    params = LayerParams(draw(INPUT, 4 * HIDDEN), draw(HIDDEN, 4 * HIDDEN), draw(4 * HIDDEN))
    starts = np.zeros((LENGTH, BATCH), bool)
    starts[0, 1] = starts[5, 1] = starts[6, 1] = starts[LENGTH - 1, 2] = True
    starts[: cudnn.ROOM, 3] = True  # as many as there is room for in one call
    carry = draw(BATCH, HIDDEN), draw(BATCH, HIDDEN)
    return draw(LENGTH, BATCH, INPUT), params, jnp.asarray(starts), carry, draw(LENGTH, BATCH, HIDDEN)


def reference_lstm(x, h, c, weights, lengths, input_size, hidden_size, num_layers, dropout, bidirectional):
    """Stands where cuDNN would: JAX's reference, with the weights that it unpacks from cuDNN's vector itself."""
    unpacked = rnn.unpack_lstm_weights(weights, input_size, hidden_size, num_layers, bidirectional)
    sizes = input_size, hidden_size, num_layers, dropout, bidirectional
    return rnn.lstm_ref(x, h, c, *unpacked, lengths, *sizes)


def values_and_gradients(layer, problem):
    x, params, starts, carry, weights = problem

    def value(x, params, carry):
        y, last = layer(x, params, starts, carry)
        return jnp.sum(y * weights) + sum(jnp.sum(jnp.sin(state)) for state in last), (y, last)

    return jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True))(x, params, carry)


def test_packed_weights_and_resets_as_steps_give_what_the_scan_gives(problem, monkeypatch):
    expected = values_and_gradients(partial(recurrent_layer, "lstm"), problem)
    monkeypatch.setattr(rnn, "lstm", reference_lstm)
    ours = values_and_gradients(cudnn.recurrent_layer, problem)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)
    assert np.abs(expected[1][2][0][0]).max() > 1e-3  # a row without a start does depend on the carry


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_there_may_be_a_reset_before_every_step(problem, monkeypatch, share):
    x, params, _, carry, weights = problem
    starts = jnp.asarray(np.random.default_rng(1).random((LENGTH, BATCH)) < share)
    many = x, params, starts.at[:, 0].set(False).at[0, 3].set(True), carry, weights
    monkeypatch.setattr(rnn, "lstm", reference_lstm)
    monkeypatch.setattr(cudnn, "ROOM", 1)
    assert bool(cudnn.find_places(many[2]).is_second_tb.any())
    ours = values_and_gradients(cudnn.recurrent_layer, many)
    expected = values_and_gradients(partial(recurrent_layer, "lstm"), many)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)


@pytest.mark.parametrize("room", [1, 2, 5])
@pytest.mark.parametrize("length", [2, 7])
def test_two_calls_are_enough_for_all_resets_that_there_can_be(monkeypatch, room, length):
    monkeypatch.setattr(cudnn, "ROOM", room)
    starts = np.array(list(itertools.product([False, True], repeat=length))).T
    first, second = map(np.asarray, cudnn.find_places(jnp.asarray(starts)))
    is_second = second >= 0
    for places, here in ((first, ~is_second), (second, is_second)):
        assert np.where(here, places, 0).max() < length + room
    assert not is_second[0].any(), "the first call computes something of each row"
    assert (np.diff(is_second.astype(int), axis=0) >= 0).all()
    cut = is_second & ~np.roll(is_second, 1, axis=0)
    assert (starts >= cut).all(), "rows are cut where nothing is remembered"


def test_the_vector_of_weights_has_the_length_that_jax_computes(problem):
    places = cudnn.find_places(problem[2])
    width = cudnn.insert_resets(problem[0], places.first_tb, ~places.is_second_tb)[0].shape[-1]
    assert cudnn.pack(problem[1]).shape == (rnn.get_num_params_in_lstm(width, HIDDEN, 1, False),)


def test_only_lstms_on_nvidias_gpus_are_computed_by_cudnn(monkeypatch):
    assert cudnn.is_available() == (jax.default_backend() == "gpu")
    monkeypatch.setattr(cudnn, "is_available", lambda: True)
    assert cudnn.applies(ModelConfig(), 128)
    assert not cudnn.applies(ModelConfig(), 1)
    assert not cudnn.applies(ModelConfig(cell="gru"), 128)
    assert kernel_by_rule(ModelConfig(), 128, 64) == Kernel("cudnn")
    assert kernel_by_rule(ModelConfig(precision="bf16"), 128, 64).backend == "scan"
    assert Kernel("cudnn") in possible_kernels(ModelConfig(precision="bf16"), 128), "it multiplies more exactly"


@pytest.mark.skipif(
    not cudnn.is_available(), reason="needs an NVIDIA GPU and jax[cuda12] with cuDNN's recurrent layers"
)
def test_cudnn_gives_what_the_scan_gives(problem):
    with jax.default_matmul_precision("highest"):  # no TF32
        ours = values_and_gradients(cudnn.recurrent_layer, problem)
        expected = values_and_gradients(partial(recurrent_layer, "lstm"), problem)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, expected)
