import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.schema import OptimizerConfig
from ostinato.train.schedule import learning_rate_schedule, make_optimizer


def rates(config, num_steps, steps):
    schedule = learning_rate_schedule(config, num_steps)
    return [float(np.asarray(schedule(step))) for step in steps]


def test_the_cosine_rises_to_the_peak_and_ends_at_a_hundredth_at_the_last_step():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=10)
    assert rates(config, 101, (0, 5, 10, 55, 100)) == pytest.approx([0.0, 0.5, 1.0, 0.505, 0.01])


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 10])
def test_short_runs_still_reach_a_high_learning_rate(num_steps):
    found = rates(OptimizerConfig(learning_rate=1.0, warmup_steps=100), num_steps, range(num_steps))
    assert max(found) > 0.8
    if num_steps > 1:
        assert found[-1] == pytest.approx(0.01)


def test_without_warmup_the_cosine_begins_at_the_peak():
    assert rates(OptimizerConfig(learning_rate=1.0, warmup_steps=0), 11, (0, 5, 10)) == pytest.approx(
        [1.0, 0.505, 0.01]
    )


def test_constant_stays_after_the_warmup_whatever_the_length_of_the_run():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=4, schedule="constant")
    assert rates(config, 5, (0, 2, 4, 999)) == rates(config, 999, (0, 2, 4, 999)) == [0.0, 0.5, 1.0, 1.0]
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=0, schedule="constant")
    assert rates(config, 5, (0, 999)) == [1.0, 1.0]


def test_every_optimizer_has_a_state_of_the_same_structure():
    params = {"kernel": jnp.ones((2, 3))}
    structures = {
        jax.tree.structure(make_optimizer(config, 10).init(params))
        for config in (
            OptimizerConfig(),
            OptimizerConfig(weight_decay=0.1),
            OptimizerConfig(schedule="constant", clip_norm=3.0),
            OptimizerConfig(schedule="constant", warmup_steps=0),
        )
    }
    assert len(structures) == 1


def test_gradients_are_clipped_and_weights_decay():
    params = {"kernel": jnp.ones((2,))}
    constant = {"learning_rate": 0.1, "warmup_steps": 0, "schedule": "constant"}
    gradients = {"kernel": jnp.array([3e9, 4e9])}
    with jax.numpy_dtype_promotion("standard"):
        for weight_decay in (0.0, 0.5):
            optimizer = make_optimizer(OptimizerConfig(weight_decay=weight_decay, **constant), 10)
            updates, state = optimizer.update(gradients, optimizer.init(params), params)
            # Adam's first update is the sign of the gradient times the learning rate.
            np.testing.assert_allclose(updates["kernel"], -0.1 * (1 + weight_decay), rtol=1e-4)
            moments = state[1][0].mu["kernel"]
            np.testing.assert_allclose(moments, 0.1 * np.array([0.6, 0.8]), rtol=1e-5)
