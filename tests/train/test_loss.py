"""The loss and its counts, whole and in chunks of steps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.model.backend import planned_for
from ostinato.model.network import FieldHead
from ostinato.train.loss import choose_steps, count, head_loss
from ostinato.train.step import means

SIZES = (5, 7)


def test_totals_are_what_numpy_counts_over_real_steps():
    rng = np.random.default_rng(0)
    sizes = (5, 7)
    logits = [rng.normal(size=(3, 4, size)).astype(np.float32) * 3 for size in sizes]
    targets = np.stack([rng.integers(size, size=(3, 4)) for size in sizes], axis=-1).astype(np.int32)
    targets[0, :2] = np.stack([logits[0], logits[1][..., :5]]).argmax(-1)[:, 0, :2].T  # some right ones
    weights = (rng.random((3, 4)) < 0.6).astype(np.float32)
    weights[0, 0] = 1.0

    totals = count([jax.numpy.asarray(x) for x in logits], targets, weights)

    probabilities = [np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(-1, keepdims=True) for x in logits]
    nll = np.zeros(2)
    correct = np.zeros(2)
    all_correct = 0
    for b, t in itertools.product(range(3), range(4)):
        if weights[b, t]:
            right = [logits[f][b, t].argmax() == targets[b, t, f] for f in range(2)]
            nll += [-np.log(probabilities[f][b, t, targets[b, t, f]]) for f in range(2)]
            correct += right
            all_correct += all(right)
    np.testing.assert_allclose(totals.nll_f, nll, rtol=1e-5)
    np.testing.assert_array_equal(totals.correct_f, correct)
    assert (float(totals.all_correct), float(totals.weight)) == (all_correct, weights.sum())
    assert correct.sum() > 0

    shown = means(totals, ("a", "b"))
    assert shown["loss"] == pytest.approx(nll.sum() / weights.sum(), rel=1e-5)
    assert shown["loss/b"] == pytest.approx(nll[1] / weights.sum(), rel=1e-5)
    assert shown["perplexity"] == pytest.approx(np.exp(nll.sum() / weights.sum()), rel=1e-4)
    assert shown["accuracy"] == all_correct / weights.sum()


@pytest.fixture(scope="module")
def problem():
    head = FieldHead(SIZES, hidden_size=6, head_size=4)
    rng = np.random.default_rng(1)
    features = jnp.asarray(rng.normal(size=(6, 3, 6)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, SIZES, (6, 3, 2)), jnp.int32)
    weights = jnp.asarray(rng.random((6, 3)) < 0.7, jnp.float32)
    return head, head.init(jax.random.key(0), features, targets)["params"], features, targets, weights


def loss_and_gradients(problem, head_steps):
    head, params, features, targets, weights = problem

    def loss(params, features):
        value, totals = head_loss(head, params, features, targets, weights, head_steps)
        return 3 * value, totals

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(params, features)


@pytest.mark.parametrize("head_steps", [1, 2, 3])
def test_chunks_of_steps_give_loss_totals_and_gradients_of_all_at_once(problem, head_steps):
    whole = loss_and_gradients(problem, 6)
    chunks = loss_and_gradients(problem, head_steps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), chunks, whole)
    assert whole[0][1].correct_f.sum() > 0


def test_chunks_give_the_same_loss_without_a_gradient(problem):
    np.testing.assert_allclose(head_loss(*problem, 2)[0], head_loss(*problem, 6)[0], rtol=1e-6)


def test_the_logits_of_all_steps_never_exist_in_chunks():
    head = FieldHead((1000,), hidden_size=2, head_size=2)
    features, targets = jnp.zeros((64, 8, 2)), jnp.zeros((64, 8, 1), jnp.int32)
    params = head.init(jax.random.key(0), features, targets)["params"]

    def temporaries(head_steps):
        loss = lambda params: head_loss(head, params, features, targets, jnp.ones((64, 8)), head_steps)[0]  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    logits = 64 * 8 * 1000 * 4
    assert temporaries(64) >= logits
    assert temporaries(4) < logits / 4


def test_a_number_of_steps_that_does_not_divide_the_length_takes_all_at_once(problem):
    assert float(head_loss(*problem, 4)[0]) == float(head_loss(*problem, 6)[0])


@pytest.mark.parametrize(
    ("length", "batch", "steps"), [(64, 64, 8), (128, 32, 16), (50, 64, 5), (257, 64, 257), (8, 4, 8)]
)
def test_a_cpu_computes_about_512_rows_of_logits_at_a_time(length, batch, steps):
    assert choose_steps(length, batch) == steps
    with planned_for("tpu"):
        assert choose_steps(length, batch) == length
