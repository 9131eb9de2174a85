"""The loss and its counts, whole and in chunks of steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.schema import ModelConfig
from ostinato.model.backend import planned_for
from ostinato.model.copy_gate import Sources, mix, mixture_logits, no_alignment, shares
from ostinato.model.field_head import nll
from ostinato.model.network import MusicModel, init_params
from ostinato.music.alignment import LAGS
from ostinato.train.loss import Steps, choose_steps, count, head_loss
from ostinato.train.step import means

SIZES = (5, 7)


def test_totals_are_what_numpy_counts_over_real_steps():
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(3, 4, size)) * 3 for size in SIZES]
    targets = np.stack([rng.integers(size, size=(3, 4)) for size in SIZES], axis=-1)
    targets[0, :2] = np.stack([x[0, :2].argmax(-1) for x in logits], axis=-1)  # some right ones
    weights = rng.random((3, 4)) < 0.6
    weights[0, 0] = True
    totals = count([jnp.asarray(x, jnp.float32) for x in logits], targets.astype(np.int32), weights.astype(np.float32))

    chosen = [np.take_along_axis(x, targets[..., f, None], -1)[..., 0] for f, x in enumerate(logits)]
    nll = np.stack([np.log(np.exp(x).sum(-1)) - y for x, y in zip(logits, chosen, strict=True)], axis=-1)[weights]
    right = np.stack([x.argmax(-1) for x in logits], axis=-1)[weights] == targets[weights]
    assert right.all(axis=-1).sum() > 0
    np.testing.assert_allclose(totals.nll_f, nll.sum(0), rtol=1e-5)
    np.testing.assert_array_equal(totals.correct_f, right.sum(0))
    assert (float(totals.all_correct), float(totals.weight)) == (right.all(axis=-1).sum(), weights.sum())
    shown = means(totals, ("a", "b"))
    assert shown["loss"] == pytest.approx(nll.sum() / weights.sum(), rel=1e-5)
    assert shown["loss/b"] == pytest.approx(nll[:, 1].mean(), rel=1e-5)
    assert shown["perplexity"] == pytest.approx(np.exp(nll.sum() / weights.sum()), rel=1e-4)
    assert shown["accuracy"] == pytest.approx(right.all(axis=-1).mean())


def network(sizes, **options):
    model = MusicModel(ModelConfig(embedding_size=4, num_layers=1, **options), sizes)
    return model, init_params(model, jax.random.key(0))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "copy"])
def problem(request):
    model, params = network(SIZES, hidden_size=6, head_size=4, copy=request.param)
    rng = np.random.default_rng(1)
    targets = rng.integers(0, SIZES, (6, 3, 2))
    alignment = None
    if request.param:
        valid = rng.random((6, 3, len(LAGS))) < 0.7
        candidates = np.where(rng.random((*valid.shape, 1)) < 0.5, targets[:, :, None], rng.integers(0, SIZES, 2))
        alignment = no_alignment(6, 3, 2)._replace(candidates=jnp.asarray(candidates), valid=jnp.asarray(valid))
    return model, params, Steps(
        features=jnp.asarray(rng.normal(size=(6, 3, 6)), jnp.float32),
        targets=jnp.asarray(targets, jnp.int32),
        weights=jnp.asarray(rng.random((6, 3)) < 0.7, jnp.float32),
        alignment=alignment,
    )  # fmt: skip


def loss_and_gradients(problem, head_steps):
    model, params, steps = problem

    def loss(params, features):
        value, totals = head_loss(model, params, steps._replace(features=features), head_steps)
        return 3 * value, totals

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(params, steps.features)


@pytest.mark.parametrize("problem", [True], indirect=True)
def test_the_gate_learns_from_the_mixture_and_the_network_from_its_own_likelihood(problem):
    _, params, steps = problem
    (_, _), (d_params, d_features) = loss_and_gradients(problem, 6)
    plain, _ = network(SIZES, hidden_size=6, head_size=4)
    alone = loss_and_gradients((plain, params, steps._replace(alignment=None)), 6)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), d_params["head"], alone[0]["head"])
    np.testing.assert_allclose(d_features, alone[1], atol=1e-6)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(d_params["gate"])) > 1e-3


def test_the_probabilities_of_all_rows_add_up_to_one():
    rng = np.random.default_rng(0)
    rows = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), -1).reshape(-1, 2)
    logits = [jnp.asarray(np.broadcast_to(rng.normal(size=SIZES[0]), (len(rows), SIZES[0])), jnp.float32)]
    table = rng.normal(size=SIZES)  # the second field given the first
    logits.append(jnp.asarray(table[rows[:, 0]], jnp.float32))
    weights = jax.nn.log_softmax(jnp.asarray(rng.normal(size=1 + len(LAGS)), jnp.float32))
    candidates = jnp.asarray(rng.integers(0, SIZES, (len(LAGS), 2)))
    alignment = no_alignment(len(rows), 2)._replace(candidates=jnp.tile(candidates[None], (len(rows), 1, 1)))
    nats = jax.jit(nll)([x[None] for x in logits], jnp.asarray(rows)[None])[0]
    variation = jnp.tile(jnp.asarray([[-1.0, 0.5]]), (len(rows), 1))
    found = jax.jit(mix)(
        Sources(jnp.tile(weights[None], (len(rows), 1)), variation), nats, jnp.asarray(rows), alignment
    )
    probability = np.exp(-np.asarray(found.nll_f))
    assert probability.prod(1).sum() == pytest.approx(1, abs=1e-5)
    for value in range(SIZES[0]):  # of the second field, given the first
        assert probability[rows[:, 0] == value, 1].sum() == pytest.approx(1, abs=1e-5)
    of_each = shares(jnp.exp(found.log_weights[1]), jax.nn.sigmoid(variation[:, 1]))
    mixed = jax.jit(mixture_logits)(logits[1], of_each, alignment.candidates[..., 1])
    of_all = np.exp(jax.nn.log_softmax(mixed))
    np.testing.assert_allclose(of_all[np.arange(len(rows)), rows[:, 1]], probability[:, 1], rtol=1e-4)


def test_chunks_of_steps_give_loss_totals_and_gradients_of_all_at_once(problem):
    whole = loss_and_gradients(problem, 6)
    for head_steps in (1, 3):
        chunks = loss_and_gradients(problem, head_steps)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), chunks, whole)
    assert whole[0][1].correct_f.sum() > 0


def test_the_logits_of_all_steps_never_exist_in_chunks():
    model, params = network((1000,), hidden_size=2, head_size=2)
    steps = Steps(jnp.zeros((64, 8, 2)), jnp.zeros((64, 8, 1), jnp.int32), jnp.ones((64, 8)), None)

    def temporaries(head_steps):
        loss = lambda params: head_loss(model, params, steps, head_steps)[0]  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    logits = 64 * 8 * 1000 * 4
    assert temporaries(64) >= logits
    assert temporaries(4) < logits / 4


def test_the_loss_is_the_same_without_a_gradient_and_where_the_steps_do_not_divide_the_length(problem):
    loss = jax.jit(head_loss, static_argnums=(0, 3))
    whole = loss(*problem, 6)[0]
    np.testing.assert_allclose(loss(*problem, 2)[0], whole, rtol=1e-6)
    assert float(loss(*problem, 4)[0]) == float(whole)


@pytest.mark.parametrize(
    ("length", "batch", "steps"), [(64, 64, 8), (128, 32, 16), (50, 64, 5), (257, 64, 257), (8, 4, 8)]
)
def test_a_cpu_computes_about_512_rows_of_logits_at_a_time(length, batch, steps):
    assert choose_steps(length, batch) == steps
    with planned_for("tpu"):
        assert choose_steps(length, batch) == length
