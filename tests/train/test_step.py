import jax
import numpy as np
import optax
import pytest

from ostinato.train.checkpoint import make_model
from ostinato.train.data import evaluation_batches, training_batches
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import (
    evaluate,
    make_eval_step,
    make_mesh,
    make_state_init,
    make_train_step,
    place,
    rows_of_this_host,
    state_shardings,
)
from tests.train.conftest import MLSTM, NETWORKS, replace


@pytest.fixture(scope="module")
def parts(dataset, config):
    return parts_of(config, dataset)


def parts_of(config, dataset):
    return make_model(config.model, dataset.codec), make_optimizer(config.optimizer, config.num_steps)


def mesh_of(num_devices):
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


@pytest.mark.parametrize(("batch_size", "num_devices"), [(4, 4), (32, 4), (6, 3), (5, 1), (2, 2), (1, 1)])
def test_one_process_uses_as_many_devices_as_divide_the_batch(batch_size, num_devices):
    mesh = make_mesh(batch_size)
    assert mesh.shape == {"data": num_devices}
    assert rows_of_this_host(mesh, batch_size) == slice(0, batch_size)


def test_a_step_keeps_shapes_and_dtypes_of_the_state(dataset, config, parts):
    model, optimizer = parts
    state = jax.eval_shape(make_state_init(model, optimizer, 4), jax.random.key(0))
    step = make_train_step(model, optimizer, make_mesh(4), jax.random.key(1))
    batch = training_batches(dataset.source("train"), config.data, seed=0)[0]
    after, metrics = jax.eval_shape(step, state, batch)

    def types(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    assert types(after) == types(state)
    assert metrics.loss.shape == metrics.grad_norm.shape == ()


def take_steps(config, parts, mesh, batches, **options):
    """Returns the state and the metrics after each step."""
    model, optimizer = parts
    init = make_state_init(model, optimizer, config.data.batch_size)
    state = jax.jit(init, out_shardings=state_shardings(mesh))(jax.random.key(0))
    step, metrics = make_train_step(model, optimizer, mesh, jax.random.key(1), **options), []
    for batch in batches:
        state, told = step(state, place(batch, mesh, config.data.batch_size))
        metrics.append(told)
    return state, metrics


@pytest.fixture(scope="module")
def batches(dataset, config):
    return training_batches(dataset.source("train"), config.data, seed=0)


@pytest.mark.slow
def test_four_devices_learn_what_one_does(config, parts, batches):
    (state, four), (_, one) = (take_steps(config, parts, mesh_of(n), [batches[k] for k in range(20)]) for n in (4, 1))
    four, one = ([float(metrics.loss) for metrics in each] for each in (four, one))
    np.testing.assert_allclose(four, one, rtol=1e-5)
    assert four[-1] < four[0] - 0.05  # it does learn
    assert int(state.step) == 20
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)} == {4}
    assert state.carry[0][0].addressable_shards[0].data.shape == (1, 16)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves((state.params, state.opt_state)))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "num_devices"), [({}, 1), ({}, 2), (MLSTM, 2)])
def test_a_batch_in_two_parts_gives_the_update_and_the_carry_of_the_whole(
    config, network, dataset, batches, num_devices
):
    assert config.model.dropout > 0
    parts = make_model(replace(config, model=network).model, dataset.codec), optax.sgd(1.0)
    whole, halves = (
        take_steps(config, parts, mesh_of(num_devices), [batches[0]], accumulate=accumulate) for accumulate in (1, 2)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), halves, whole)
    assert len({row.tobytes() for row in np.asarray(whole[0].carry[0][0])}) == 4  # rows differ: their order is compared


def test_a_step_whose_loss_is_not_a_number_changes_nothing_but_its_number(config, parts, batches):
    bad = batches[0]._replace(weights=np.where(np.arange(8) == 3, np.nan, batches[0].weights).astype(np.float32))
    before, _ = take_steps(config, parts, mesh_of(4), [batches[0]])
    after, metrics = take_steps(config, parts, mesh_of(4), [batches[0], bad])
    assert np.isnan(metrics[1].loss)
    assert int(after.step) == int(before.step) + 1
    jax.tree.map(np.testing.assert_array_equal, after[1:], before[1:])


def test_padding_and_the_next_start_row_do_not_count_in_the_loss(dataset, config, parts, batches):
    parts = make_model(replace(config, model={"dropout": 0.0}).model, dataset.codec), parts[1]
    batch = batches[0]
    assert (batch.weights == 0).any()
    garbled = batch._replace(targets=np.where(batch.weights[..., None] == 0, 5, batch.targets).astype(np.int32))
    whole, other = (take_steps(config, parts, mesh_of(4), [each]) for each in (batch, garbled))
    assert float(whole[1][0].loss) == float(other[1][0].loss)
    jax.tree.map(np.testing.assert_array_equal, whole[0].params, other[0].params)


def test_a_batch_that_cannot_be_split_is_refused(parts, batches):
    model, optimizer = parts
    step = make_train_step(model, optimizer, mesh_of(4), jax.random.key(1), accumulate=2)
    state = jax.eval_shape(make_state_init(model, optimizer, 4), jax.random.key(0))
    with pytest.raises(ValueError, match="batch_size 4 cannot be split into 2 parts over 4 devices"):
        jax.eval_shape(step, state, batches[0])


@pytest.mark.parametrize("network", NETWORKS)
def test_evaluation_does_not_depend_on_the_shape_of_the_batches(dataset, config, network):
    model, optimizer = parts_of(replace(config, model=network), dataset)
    params = make_state_init(model, optimizer, 1)(jax.random.key(0)).params
    source = dataset.source("validation")
    found = []
    for batch_size, sequence_length in ((4, 8), (3, 8), (1, 40)):
        mesh = make_mesh(batch_size)
        batches = evaluation_batches(source, batch_size, sequence_length)
        totals = evaluate(
            make_eval_step(model, mesh),
            jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())),
            model,
            batches,
            mesh=mesh,
            batch_size=batch_size,
        )
        found.append(totals)
    assert found[0].weight == found[1].weight == found[2].weight == int(source.lengths.sum()) - len(source)
    for totals in found[1:]:
        np.testing.assert_allclose(totals.nll_f, found[0].nll_f, rtol=1e-6)
        np.testing.assert_array_equal(totals.correct_f, found[0].correct_f)
