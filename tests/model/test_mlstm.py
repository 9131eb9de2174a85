"""The mLSTM against the plain recurrence in float64: values, states and all gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.launch.plan.step import plan_step
from ostinato.model.mlstm import TAPS, MLSTMParams, mlstm_layer
from ostinato.model.reference_cell import reference_mlstm

INPUT, OUTPUT, HEADS = 5, 6, 2
INNER, KEY = 2 * OUTPUT, OUTPUT // HEADS
SHAPES = MLSTMParams(
    up_projection=(INPUT, 2 * INNER),
    conv_kernel=(TAPS, INNER),
    conv_bias=(INNER,),
    query_key=(HEADS, INNER // HEADS, 2 * KEY),
    gate_kernel=(2 * OUTPUT + INNER, 2 * HEADS),
    gate_bias=(2 * HEADS,),
    head_norm=(INNER,),
    skip=(INNER,),
    down_projection=(INNER, OUTPUT),
)  # pyright: ignore[reportArgumentType]
BATCH, LENGTH, CHUNK = 4, 23, 8


class Case:
    """Parameters, inputs and a memory, all drawn, zeros would hide a forgotten one; and what each way makes of them."""

    def __init__(self, dtype, *, gates: float = 1.0, starts: float = 0.15, length: int = LENGTH) -> None:
        rng = np.random.default_rng(0)
        draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
        self.params = MLSTMParams(*(0.5 * draw(*shape) for shape in SHAPES))
        self.params = self.params._replace(gate_bias=gates * jnp.sign(self.params.gate_bias))
        self.x = draw(length, BATCH, INPUT)
        # In the first row there is no start: the memory before it is seen to the end.
        self.starts = jnp.asarray(rng.random((length, BATCH)) < starts * np.minimum(1, np.arange(BATCH))[None])
        self.memory = draw(BATCH, HEADS, KEY, 2 * KEY), draw(BATCH, HEADS, KEY)
        self.m = jnp.abs(draw(BATCH, HEADS))
        self.tail = draw(BATCH, TAPS - 1, INNER)
        self.cotangents = draw(length, BATCH, OUTPUT), (*(draw(*a.shape) for a in self.memory), draw(*self.tail.shape))

    def run(self, layer):
        """Returns outputs, last memory and tail, and the gradients by the input, the parameters, memory and tail."""
        arguments = self.x, self.params, self.memory, self.tail

        @jax.jit
        def values_and_gradients(arguments, cotangents, starts, m):
            outputs, pull_back = jax.vjp(lambda *rest: layer(*rest, starts, m), *arguments)
            return outputs, pull_back(cotangents)

        return values_and_gradients(arguments, self.cotangents, self.starts, self.m)


def plain(x, params, memory, tail, starts, m):
    del m
    return reference_mlstm(x, params, starts, (*memory, tail))


def stabilised(x, params, memory, tail, starts, m, *, chunk, keep_projection=True, precision="float32"):
    """Our layer; its state is the memory times exp(-m), whatever m is."""
    (c, n), scale = memory, jnp.exp(-m)[..., None]
    state = scale[..., None] * c, scale * n, m, tail
    layer = partial(mlstm_layer, chunk=chunk, keep_projection=keep_projection)
    y, (c, n, m, tail) = layer(x, params, starts, state, precision)
    scale = jnp.exp(jax.lax.stop_gradient(m))[..., None]
    return y, (scale[..., None] * c, scale * n, tail)


def assert_close(ours, theirs, tolerance):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


@pytest.fixture(scope="module")
def expected():
    with jax.enable_x64(True):
        return Case(np.float64).run(plain)


# Chunks and a rest; one that is longer than the sequence, of which nothing is kept.
@pytest.mark.parametrize(("chunk", "keep_projection"), [(CHUNK, True), (LENGTH + 1, False)])
def test_chunks_equal_the_plain_recurrence_in_float64(chunk, keep_projection, expected):
    with jax.enable_x64(True):
        ours = Case(np.float64).run(partial(stabilised, chunk=chunk, keep_projection=keep_projection))
        assert_close(ours, expected, 1e-10)


def test_float32_equals_the_plain_recurrence_in_float64_to_1e_5(expected):
    ours = Case(np.float32).run(partial(stabilised, chunk=CHUNK))
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {np.dtype(np.float32)}
    assert_close(ours[0], expected[0], 1e-5)
    assert_close(ours[1], expected[1], 1e-5)


@pytest.mark.slow
def test_bf16_is_near_float32_and_keeps_states_and_gradients_in_float32():
    exact, rounded = (
        Case(np.float32).run(partial(stabilised, chunk=CHUNK, precision=precision)) for precision in ("float32", "bf16")
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded)} == {np.dtype(np.float32)}
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(rounded), strict=True):
        assert 1e-5 < np.abs(a - b).max() / np.abs(a).max() < 0.1


def test_after_a_start_in_the_middle_of_a_chunk_nothing_is_left_of_the_memory():
    case = Case(np.float32, starts=0)
    layer = jax.jit(partial(mlstm_layer, chunk=CHUNK))
    state = 100 * case.memory[0], 100 * case.memory[1], case.m, case.tail
    starts = case.starts.at[3].set(True)
    whole, last = layer(case.x, case.params, starts, state)
    anew, last_anew = layer(case.x, case.params, starts, tuple(jnp.zeros_like(each) for each in state))
    assert np.abs(whole[:3] - anew[:3]).max() > 1
    assert_close((whole[3:], last), (anew[3:], last_anew), 1e-5)


@pytest.mark.parametrize("starts", [0.0, 1.0], ids=["no starts", "starts"])
def test_saturated_gates_give_finite_values_and_gradients(starts):
    case = Case(np.float32, gates=100.0, starts=starts, length=LENGTH)
    found = case.run(partial(stabilised_state, chunk=CHUNK))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert np.abs(found[0][0]).max() > 1e-3


def stabilised_state(x, params, memory, tail, starts, m, *, chunk):
    """Our layer with the state as it is kept: C itself would not be a float32 at exp(100)."""
    c, n = memory
    y, (c, n, _, tail) = mlstm_layer(x, params, starts, (c, n, m, tail), chunk=chunk)
    return y, (c, n, tail)


def test_the_options_that_an_mlstm_needs_are_named():
    with pytest.raises(UserError, match=r"cell mlstm is a block .* needs norm pre, not none"):
        ModelConfig(cell="mlstm")
    with pytest.raises(UserError, match="num_heads 3 must divide hidden_size 256"):
        ModelConfig(cell="mlstm", norm="pre", num_heads=3)


@pytest.mark.slow
def test_a_step_needs_no_more_memory_than_that_of_an_lstm_of_as_many_parameters():
    plans = []
    for cell, hidden_size in (("lstm", 256), ("mlstm", 272)):
        model = ModelConfig(cell=cell, norm="pre", num_layers=3, hidden_size=hidden_size)
        config = TrainConfig(model=model, data=DataConfig(batch_size=16, sequence_length=512))
        plans.append(plan_step(config, (100, 130, 128, 100, 33), jax.devices()[:1], 16))
    lstm, mlstm = plans
    assert mlstm.num_params == pytest.approx(lstm.num_params, rel=0.05)
    assert mlstm.memory.temporaries < lstm.memory.temporaries
