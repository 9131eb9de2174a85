import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.schema import OptimizerConfig
from ostinato.train.schedule import learning_rate_schedule, make_optimizer


def rates(num_steps, steps, **options):
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=1.0, **options), num_steps)
    return [float(np.asarray(schedule(step))) for step in steps]


def test_the_cosine_rises_to_the_peak_and_ends_at_a_hundredth_at_the_last_step():
    assert rates(101, (0, 5, 10, 55, 100), warmup_steps=10) == pytest.approx([0.0, 0.5, 1.0, 0.505, 0.01])
    assert rates(11, (0, 5, 10), warmup_steps=0) == pytest.approx([1.0, 0.505, 0.01])


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 10])
def test_short_runs_still_reach_a_high_learning_rate(num_steps):
    found = rates(num_steps, range(num_steps), warmup_steps=100)
    assert max(found) > 0.8
    assert num_steps == 1 or found[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("num_steps", [5, 999])
def test_constant_stays_after_the_warmup_whatever_the_length_of_the_run(num_steps):
    assert rates(num_steps, (0, 2, 4, 999), warmup_steps=4, schedule="constant") == [0.0, 0.5, 1.0, 1.0]
    assert rates(num_steps, (0, 999), warmup_steps=0, schedule="constant") == [1.0, 1.0]


def test_every_optimizer_has_a_state_of_the_same_structure():
    options = ({}, {"weight_decay": 0.1}, {"schedule": "constant", "clip_norm": 3.0}, {"warmup_steps": 0})
    optimizers = [make_optimizer(OptimizerConfig(**each), 10) for each in options]
    assert len({jax.tree.structure(each.init({"kernel": jnp.ones((2, 3))})) for each in optimizers}) == 1


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_gradients_are_clipped_and_weights_decay(weight_decay):
    params = {"kernel": jnp.ones((2,))}
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=0, schedule="constant", weight_decay=weight_decay)
    optimizer = make_optimizer(config, 10)
    with jax.numpy_dtype_promotion("standard"):
        updates, state = optimizer.update({"kernel": jnp.array([3e9, 4e9])}, optimizer.init(params), params)
    # Adam's first update is the sign of the gradient times the learning rate.
    np.testing.assert_allclose(updates["kernel"], -0.1 * (1 + weight_decay), rtol=1e-4)
    np.testing.assert_allclose(state[1][0].mu["kernel"], 0.1 * np.array([0.6, 0.8]), rtol=1e-5)
