"""The transformer block against attention in plain words, in float64: values, state and gradients, in any chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ostinato.configs.errors import UserError
from ostinato.configs.schema import ModelConfig
from ostinato.model.transformer import TransformerParams, empty_memory, transformer_block

WIDTH, HEADS, MEMORY, BATCH, LENGTH = 8, 2, 6, 3, 20
SHAPES = (WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH,), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)
CONFIG = ModelConfig(
    cell="transformer", norm="pre", embedding_size=WIDTH, hidden_size=WIDTH, num_heads=HEADS, memory_size=MEMORY
)


def turned(x, place):
    """Features as complex numbers, each turned by its place."""
    one, other = np.split(x, 2)
    half = len(one)
    number = (one + 1j * other) * np.exp(1j * place * 10_000.0 ** (-np.arange(half) / half))
    return np.concatenate([number.real, number.imag])


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def plain(x_tbd, params, starts_tb):
    """Each step of each row by itself, from an empty memory."""
    x_tbd, params = np.asarray(x_tbd), TransformerParams(*map(np.asarray, params))
    y_tbd = np.zeros_like(x_tbd)
    for b in range(BATCH):
        q, k, v = np.split(x_tbd[:, b] @ params.kernel, 3, axis=-1)
        begin = 0
        for t in range(len(x_tbd)):
            begin = t if starts_tb[t, b] else begin
            seen = range(max(begin, t - MEMORY), t + 1)
            heads = []
            for part in np.split(np.arange(WIDTH), HEADS):
                weights = np.exp([turned(q[t, part], t) @ turned(k[s, part], s) / len(part) ** 0.5 for s in seen])
                heads.append(weights @ v[seen][:, part] / weights.sum())
            a = np.concatenate(heads) @ params.out
            normed = (x_tbd[t, b] + a) / np.sqrt(((x_tbd[t, b] + a) ** 2).mean() + 1e-5) * params.norm
            y_tbd[t, b] = a + gelu(normed @ params.up) @ params.down
    return y_tbd


def in_chunks(x_tbd, params, starts_tb, *sizes):
    state, outputs = empty_memory(CONFIG, BATCH), []
    for begin, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        x = x_tbd[begin : begin + size]
        y, state = transformer_block(x, x @ params.kernel, params, starts_tb[begin : begin + size], state, HEADS)
        outputs.append(y)
    return jnp.concatenate(outputs)


@pytest.fixture(scope="module")
def case():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        params = TransformerParams(*(jnp.asarray(0.5 * rng.normal(size=shape)) for shape in SHAPES))
        starts = rng.random((LENGTH, BATCH)) < np.array([0, 0.1, 0.3])
        return jnp.asarray(rng.normal(size=(LENGTH, BATCH, WIDTH))), params, starts


@pytest.mark.parametrize("sizes", [(LENGTH,), (1,) * LENGTH, (7, 1, 2, 10)], ids=["whole", "steps", "chunks"])
def test_chunks_of_all_sizes_equal_attention_to_the_last_steps_of_the_piece(case, sizes):
    with jax.enable_x64(True):
        np.testing.assert_allclose(in_chunks(*case, *sizes), plain(*case), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_its_gradients_are_its_slopes(case):
    with jax.enable_x64(True):
        x, params, starts = case
        check_grads(lambda x, params: in_chunks(x, params, starts, LENGTH), (x, params), order=1, modes=["rev"])


def test_shapes_that_do_not_fit_are_refused():
    shape = {"cell": "transformer", "norm": "pre", "embedding_size": 8, "hidden_size": 8, "num_heads": 2}
    for change, said in (
        ({"norm": "none"}, "it needs norm pre, not none"),
        ({"embedding_size": 16}, "embedding_size 16 the same as hidden_size 8"),
        ({"inputs": "normalized"}, "it needs inputs embedding"),
        ({"num_heads": 3}, "num_heads 3 must divide hidden_size 8"),
        ({"num_heads": 8}, "a head of a transformer has an even size, not 1"),
        ({"memory_size": 0}, "memory_size"),
    ):
        with pytest.raises(UserError, match=said):
            ModelConfig(**(shape | change))
