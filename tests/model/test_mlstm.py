"""The mLSTM against the plain recurrence in float64: values, states and all gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.launch.plan.step import plan_step
from ostinato.model.mlstm import TAPS, MLSTMParams, chunk_length, mlstm_layer, mlstm_step
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


# A chunk with a rest, one that is the whole sequence, single steps.
@pytest.mark.parametrize("chunk", [CHUNK, LENGTH, 1])
@pytest.mark.parametrize("keep_projection", [True, False])
def test_chunks_equal_the_plain_recurrence_in_float64(chunk, keep_projection, expected):
    with jax.enable_x64(True):
        ours = Case(np.float64).run(partial(stabilised, chunk=chunk, keep_projection=keep_projection))
        assert_close(ours, expected, 1e-10)


def test_float32_equals_the_plain_recurrence_in_float64_to_1e_5(expected):
    ours = Case(np.float32).run(partial(stabilised, chunk=CHUNK))
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {np.dtype(np.float32)}
    assert_close(ours[0], expected[0], 1e-5)
    assert_close(ours[1], expected[1], 1e-5)
