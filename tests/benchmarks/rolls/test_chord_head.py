"""Column B is a distribution over sets of keys: enumerated on a keyboard of five."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.benchmarks.rolls.chord_head import choice_nll, init_chord_head, list_choices

NUM_KEYS, HIDDEN, HEAD = 5, 3, 4
ALL_SETS = np.array(list(itertools.product((0, 1), repeat=NUM_KEYS)), np.uint8)


def random_head(seed=0):
    """A head with every entry drawn: zeros would hide a forgotten one."""
    head = init_chord_head(jax.random.key(seed), HIDDEN, HEAD, NUM_KEYS)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), head)


def frame_nats(head, features_h, before_k, sets_nk):
    """Nats of each of several sets, given the same features and frame before."""
    choices = list_choices(sets_nk, np.ones(len(sets_nk), bool))
    features_nh = jnp.broadcast_to(jnp.asarray(features_h, jnp.float32)[None], (len(sets_nk), HIDDEN))
    before_nk = jnp.broadcast_to(jnp.asarray(before_k, jnp.uint8)[None], sets_nk.shape)
    nats_m = np.asarray(choice_nll(head, features_nh, before_nk, jnp.asarray(sets_nk), choices), np.float64)
    return np.bincount(choices.frame_m, nats_m * choices.weight_m, len(sets_nk))


@pytest.mark.slow
@pytest.mark.parametrize("before", [[0, 0, 0, 0, 0], [1, 0, 1, 1, 0]])
def test_the_probabilities_of_all_sets_add_up_to_one(before):
    nats = frame_nats(random_head(), [0.3, -1.0, 2.0], before, ALL_SETS)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(nats) > 1


def test_the_features_and_the_frame_before_are_seen():
    first, *others = (
        frame_nats(random_head(), features, before, ALL_SETS)
        for features, before in [([0, 0, 1], [0] * 5), ([0, 1, 0], [0] * 5), ([0, 0, 1], [0, 0, 1, 0, 0])]
    )
    assert all(np.abs(first - other).max() > 0.01 for other in others)


def test_every_choice_is_a_softmax_over_what_lies_above():
    """By hand, in NumPy, for the set {1, 3}: key 1, then 3, then the end mark."""
    head, features, before = random_head(), np.array([0.5, -0.2, 1.0]), np.array([0, 1, 0, 0, 1])
    nats = frame_nats(head, features, before, np.array([[0, 1, 0, 1, 0]], np.uint8))
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), head)
    expected = 0.0
    for chosen, key in [([], 1), ([1], 3), ([1, 3], NUM_KEYS)]:
        so_far = np.zeros(NUM_KEYS)
        so_far[chosen] = 1
        inside = features @ weights.feature_kernel + before @ weights.before_kernel
        inside = inside + so_far @ weights.chosen_kernel + weights.bias
        hidden = np.asarray(jax.nn.gelu(jnp.asarray(inside, jnp.float32)))
        logits = hidden @ weights.output_kernel + weights.output_bias
        lowest = chosen[-1] + 1 if chosen else 0
        expected += np.log(np.exp(logits[lowest:]).sum()) - logits[key]
    assert nats[0] == pytest.approx(expected, rel=1e-5)


def test_a_silent_frame_is_one_choice_and_padding_is_none():
    targets = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, 0]], np.uint8)
    choices = list_choices(targets, np.array([True, True, False]), room=7)
    assert choices.frame_m[:4].tolist() == [0, 1, 1, 1]
    assert choices.chosen_m[:4].tolist() == [5, 0, 3, 5]
    assert choices.above_m[:4].tolist() == [-1, -1, 0, 3]
    assert choices.weight_m.tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.slow
def test_what_padding_says_is_finite():
    """A NaN times a weight of zero would still be one."""
    targets = np.array([[0, 1, 0, 0, 1]], np.uint8)
    choices = list_choices(targets, np.array([True]), room=9)
    nats = choice_nll(random_head(), jnp.ones((1, HIDDEN)), jnp.zeros((1, NUM_KEYS), jnp.uint8), targets, choices)
    assert np.isfinite(np.asarray(nats)).all()
