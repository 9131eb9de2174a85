"""Sequence GAN training: what is written and judged, and that it resumes and spreads over devices like all training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ostinato.configs.errors import UserError
from ostinato.train.adversary import advantages_of, make_adversary
from ostinato.train.checkpoint import load_params, make_model
from ostinato.train.data import training_batches
from ostinato.train.loop import train
from ostinato.train.runs import show
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import make_mesh, make_state_init
from tests.train.conftest import MLSTM, after, read_metrics, replace

CHANGES = {"weight": 0.5, "window": 4, "judge_size": 8}


@pytest.fixture(scope="module")
def playing(config):
    """Settings of a run with an adversary."""
    return replace(config, adversary=CHANGES, num_steps=6, evaluate_every=3)


@pytest.fixture(scope="module")
def pretrained(dataset, config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "pretrained"
    train(config, dataset, workdir)
    return workdir


def test_a_run_with_an_adversary_resumes_to_the_bit_and_samples_its_latest(pretrained, dataset, playing, tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    result = train(playing, dataset, straight, init_from=pretrained)
    train(playing, dataset, broken, init_from=pretrained, should_stop=after(4))
    train(playing, dataset, broken)
    assert show(broken)["params_sha256"] == show(straight)["params_sha256"]
    told = read_metrics(straight, "train")
    assert read_metrics(broken, "train")[-1]["adversary/judge_loss"] == told[-1]["adversary/judge_loss"]
    assert all(0 <= line["adversary/accuracy"] <= 1 and line["adversary/entropy"] > 0 for line in told)
    # What is sampled is the network alone, as it was last.
    assert load_params(straight, "best").step == result.best_step == 6
    assert load_params(straight).params.keys() == load_params(pretrained).params.keys()


def test_what_does_not_fit_is_refused_in_a_line(dataset, config, playing, pretrained, tmp_path):
    with pytest.raises(UserError, match=r"adversary.window 8 must be less than sequence_length 8"):
        replace(config, adversary={**CHANGES, "window": 8})
    with pytest.raises(UserError, match=r"adversary.weight needs model.metrical_inputs off"):
        replace(playing, model={"norm": "pre", "copy": True, "metrical_inputs": True})
    with pytest.raises(UserError, match=r"adversary.weight 0.5 is for a network .* add --init-from RUN"):
        train(playing, dataset, tmp_path)
    with pytest.raises(UserError, match=r"adversary.weight: 0.0 in the checkpoint, 0.5 now"):
        train(replace(config, adversary=CHANGES), dataset, pretrained)


def test_an_advantage_is_what_the_rewards_from_there_on_are_above_those_of_the_other_rows():
    rewards = jnp.array([[1.0, 0.5, 0.25], [0.0, 0.5, 9.0], [0.5, -1.0, 0.75]])
    is_written = jnp.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    spread = jax.shard_map(
        lambda *columns: advantages_of(*columns, 0.5),
        mesh=jax.sharding.Mesh(np.array(jax.devices()[:3]), ("data",)),
        in_specs=jax.P("data"),
        out_specs=jax.P("data"),
        check_vma=False,
    )
    centred = np.array([[0.75, 0.75, -0.5], [-0.75, 0.75, 0.0], [0.0, -1.5, 0.5]])
    one_on, two_on = (np.pad(centred[:, by:], [(0, 0), (0, by)]) for by in (1, 2))
    expected = centred + one_on / 2 + two_on / 4
    np.testing.assert_allclose(spread(rewards, is_written), expected, atol=1e-6)


def game_of(config, dataset, mesh, **changes):
    """Returns the network's parameters, the judge's, and the jitted function from both and a batch to gradients."""
    config = replace(config, adversary={**CHANGES, **changes})
    model = make_model(config.model, dataset.codec)
    adversary = make_adversary(config, model, dataset.codec.eos)
    assert adversary is not None
    optimizer = adversary.with_judge(make_optimizer(config.optimizer, 10), jax.random.key(1))
    state = make_state_init(model, optimizer, 4)(jax.random.key(0))

    def gradients(params, judge, batch, carry, key):
        rows = jax.lax.axis_index("data") * len(batch.weights) + jnp.arange(len(batch.weights))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        return jax.lax.psum(adversary.gradients(params, judge, batch, carry, keys), "data")

    everywhere, rows = jax.P(), jax.P("data")
    spread = jax.shard_map(
        gradients, mesh=mesh, in_specs=(everywhere, everywhere, rows, rows, everywhere), out_specs=everywhere,
        check_vma=False,
    )  # fmt: skip
    return state, jax.jit(spread)


@pytest.mark.slow
def test_the_judge_learns_what_is_real_and_the_network_what_a_judge_rewards(config, dataset):
    state, gradients = game_of(config, dataset, make_mesh(1), weight=1.0)
    state.params["head"]["output_bias_0"] = jnp.where(jnp.arange(dataset.codec.fields[0].size) == 5, 6.0, 0.0)
    batches = training_batches(dataset.source("train"), config.data, seed=0)
    optimizer = optax.adam(0.03)

    def learn(side, steps):
        """Returns what is told at each step while one side learns and the other stays."""
        learner, players, told = optimizer.init((state.params, state.opt_state.judge)[side]), [*start], []
        for k in range(steps):
            *found, now = gradients(*players, batches[k], state.carry, jax.random.key(k))
            updates, learner = optimizer.update(found[side], learner)
            players[side] = optax.apply_updates(players[side], updates)
            told.append(now)
        return players, told

    start = [state.params, state.opt_state.judge]
    with jax.numpy_dtype_promotion("standard"):
        start, told = learn(1, 60)
        assert told[0].accuracy < 0.65
        assert np.mean([one.accuracy for one in told[-5:]]) > 0.8
        _, told = learn(0, 60)
    assert np.mean([one.reward for one in told[-5:]]) > np.mean([one.reward for one in told[:5]]) + 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "network"), [("streams", {}), ("streams", MLSTM), ("windows", {"inputs": "normalized"})]
)
def test_four_devices_play_as_one_does(config, dataset, order, network):
    config = replace(config, data={"order": order}, model=network)
    batch = training_batches(dataset.source("train"), config.data, seed=0)[3]
    found = []
    for num_devices in (4, 1):
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:num_devices]), ("data",))
        state, gradients = game_of(config, dataset, mesh)
        found.append(gradients(state.params, state.opt_state.judge, batch, state.carry, jax.random.key(2)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *found)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(found[0][:2]))
