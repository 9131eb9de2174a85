"""The network: shapes, causality, sampling equals teacher forcing, devices, dropout, loss."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ostinato.configs.schema import ModelConfig
from ostinato.model import network
from ostinato.model.backend import memory_bytes, planned_for
from ostinato.model.field_head import nll
from ostinato.model.network import (
    MusicModel,
    choose_parts,
    count_params,
    dropout,
    init_params,
    initial_carry,
)

SIZES = (5, 7, 3)
BATCH, LENGTH = 4, 6
CONFIG = ModelConfig(embedding_size=4, hidden_size=8, num_layers=2, head_size=6, dropout=0.5)


def config_of(cell, **changes):
    """The configuration with another cell; a block that adds to a residual stream brings that with it."""
    needed = {"mlstm": {"norm": "pre"}, "transformer": {"norm": "pre", "embedding_size": 8, "memory_size": 4}}
    return replace(CONFIG, cell=cell, **needed.get(cell, {}), **changes)


class Setup:
    """A model, its parameters and one batch, for each (cell, inputs)."""

    def __init__(self, config: ModelConfig, sizes: tuple[int, ...] = SIZES) -> None:
        self.model = MusicModel(config, sizes)
        self.params = init_params(self.model, jax.random.key(0))
        rng = np.random.default_rng(0)
        draw = lambda: jnp.asarray(rng.integers(0, sizes, (BATCH, LENGTH, len(sizes))), jnp.int32)  # noqa: E731
        self.inputs, self.targets = draw(), draw()
        self.starts = jnp.zeros((BATCH, LENGTH), bool).at[:2, 0].set(True).at[1, 3].set(True)
        self.carry = jax.tree.map(lambda state: state + 0.3, initial_carry(config, BATCH))
        self.apply = jax.jit(self.model.apply, static_argnames=("method", "field"))

    def logits(self, *, inputs=None, targets=None):
        inputs, targets = self.inputs if inputs is None else inputs, self.targets if targets is None else targets
        return self.apply({"params": self.params}, inputs, targets, self.starts, self.carry)[0]


@pytest.fixture(scope="module")
def setup():
    return Setup(CONFIG)


@pytest.mark.parametrize("inputs", ["embedding", "normalized"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mlstm"])
@pytest.mark.parametrize("sizes", [SIZES, (9,)])
def test_shapes_and_dtypes_follow_the_configuration(cell, inputs, sizes):
    config = config_of(cell, inputs=inputs)
    model = MusicModel(config, sizes)
    params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
    carry = initial_carry(config, BATCH)
    row = jax.ShapeDtypeStruct((BATCH, LENGTH, len(sizes)), jnp.int32)
    starts = jax.ShapeDtypeStruct((BATCH, LENGTH), jnp.bool)
    logits, new_carry = jax.eval_shape(model.apply, {"params": params}, row, row, starts, carry)
    assert [array.shape for array in logits] == [(BATCH, LENGTH, size) for size in sizes]
    assert {array.dtype for array in [*logits, *jax.tree.leaves(params)]} == {jnp.dtype(jnp.float32)}
    assert new_carry == jax.eval_shape(lambda: carry)
    assert [len(state) for state in carry] == [{"lstm": 2, "mlstm": 4}.get(cell, 1)] * 2


def test_count_params_counts_what_the_docstring_of_the_module_lists(setup):
    embeddings, heads = 4 * (5 + 7 + 3), 8 * 18 + 18 + 6 * (5 + 5 + 7) + (6 + 1) * (5 + 7 + 3)
    layers = (4 + 8 + 1) * 32 + (8 + 8 + 1) * 32
    assert count_params(setup.params) == embeddings + layers + heads


def test_all_biases_start_at_zero_and_recurrent_blocks_are_orthogonal(setup):
    layer = setup.params["layers_1"]
    assert not layer["bias"].any()
    for block in jnp.split(layer["recurrent_kernel"], 4, axis=1):
        np.testing.assert_allclose(block.T @ block, np.eye(8), atol=1e-5)
    assert np.abs(layer["recurrent_kernel"][:, :8] - layer["recurrent_kernel"][:, 8:16]).max() > 0.1


@pytest.mark.parametrize(
    ("cell", "inputs"),
    [
        ("lstm", "embedding"),
        ("gru", "embedding"),
        ("gru", "normalized"),
        ("mlstm", "embedding"),
        ("transformer", "embedding"),
    ],
)
def test_sampling_step_by_step_gives_the_logits_of_teacher_forcing(cell, inputs, setup):
    setup = setup if cell == "lstm" else Setup(config_of(cell, inputs=inputs))
    apply, no_starts = partial(setup.apply, {"params": setup.params}), jnp.zeros_like(setup.starts)
    logits, last = apply(setup.inputs, setup.targets, no_starts, setup.carry)
    tables, carry = apply(method="precompute"), setup.carry
    assert (tables is None) == (inputs == "normalized")
    for t in range(LENGTH):
        features, carry = apply(tables, setup.inputs[:, t], carry, method="step")
        for field, part in enumerate(apply(features, method="field_parts")):
            chosen = setup.targets[:, t].at[:, field:].set(0)  # what is not chosen yet must not be looked at
            ours = apply(part, chosen, field=field, method="field_logits")
            np.testing.assert_allclose(ours, logits[field][:, t], rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), carry, last)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm"])
def test_computing_gates_again_changes_neither_values_nor_gradients(cell):
    setup = Setup(config_of(cell, recompute="always"))
    keys = jax.random.split(jax.random.key(1), BATCH)

    def loss(params, carry, recompute):
        model = setup.model.clone(config=config_of(cell, recompute=recompute))
        logits, carry = model.apply({"params": params}, setup.inputs, setup.targets, setup.starts, carry, keys)
        return nll(logits, setup.targets).sum(), carry

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    kept, again = (gradient(setup.params, setup.carry, recompute) for recompute in ("never", "always"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), again, kept)


def test_gates_are_computed_again_where_they_would_not_fit_into_half_of_the_memory(monkeypatch):
    config = ModelConfig(hidden_size=512, num_layers=2)
    size = 4 * 2 * 128 * 64 * 512 * 6
    monkeypatch.setattr(network, "memory_bytes", lambda: 2 * size)
    assert choose_parts(config, 128, 64) == 0
    assert choose_parts(replace(config, recompute="always"), 128, 64) in (8, 16)
    monkeypatch.setattr(network, "memory_bytes", lambda: 2 * size - 2)
    assert choose_parts(config, 128, 64) in (8, 16)
    assert choose_parts(config, 257, 64) == 1  # a prime length cannot be cut
    assert choose_parts(replace(config, recompute="never"), 128, 64) == 0


def test_the_memory_of_a_device_is_known_unless_it_is_only_planned():
    assert 2**24 < memory_bytes() < 2**50
    with planned_for("gpu"):
        assert memory_bytes() == float("inf")


def test_logits_depend_on_the_fields_before_theirs_and_on_no_other_target(setup):
    before = setup.logits()
    for changed, size in enumerate(SIZES):
        targets = setup.targets.at[..., changed].set((setup.targets[..., changed] + 1) % size)
        for field, (a, b) in enumerate(zip(before, setup.logits(targets=targets), strict=True)):
            if field <= changed:
                np.testing.assert_array_equal(a, b)
            else:
                assert (np.abs(a - b).max(axis=-1) > 1e-6).all()


def test_logits_depend_on_this_and_earlier_steps_and_on_no_later_one(setup):
    before = setup.logits()
    step = 3
    for changed, size in enumerate(SIZES):
        column = setup.inputs[:, step, changed]
        after = setup.logits(inputs=setup.inputs.at[:, step, changed].set((column + 1) % size))
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a[:, :step], b[:, :step])
            assert (np.abs(a - b)[:, step:].max(axis=-1) > 1e-7).all()


def test_targets_of_other_steps_do_not_matter(setup):
    before, after = setup.logits(), setup.logits(targets=setup.targets.at[:, 3].set(0))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.delete(a, 3, axis=1), np.delete(b, 3, axis=1))


def test_a_start_forgets_the_carry_and_its_absence_does_not(setup):
    arguments = setup.inputs, setup.targets, setup.starts
    with_carry = setup.apply({"params": setup.params}, *arguments, setup.carry)[0]
    without = setup.apply({"params": setup.params}, *arguments, initial_carry(CONFIG, BATCH))[0]
    for a, b in zip(with_carry, without, strict=True):
        np.testing.assert_array_equal(a[:2], b[:2])  # rows that start at step 0
        assert np.abs(a[2:, 0] - b[2:, 0]).max() > 1e-4


def test_dropout_follows_its_key_and_is_off_when_deterministic(setup):
    arguments = {"params": setup.params}, setup.inputs, setup.targets, setup.starts, setup.carry

    def dropped(seed):
        return setup.apply(*arguments, jax.random.split(jax.random.key(seed), BATCH))[0][0]

    np.testing.assert_array_equal(dropped(1), dropped(1))
    assert np.abs(dropped(1) - dropped(2)).max() > 1e-3
    np.testing.assert_array_equal(setup.logits()[0], setup.logits()[0])
    assert np.abs(dropped(1) - setup.logits()[0]).max() > 1e-3


@pytest.mark.parametrize("rate", [0.25, 0.9])
def test_dropout_drops_its_share_everywhere_and_keeps_the_mean(rate):
    x = jnp.ones((400, 50, 6))  # 6 is no multiple of the four bytes in a word
    kept = np.asarray(dropout(jax.random.split(jax.random.key(0), 50), x, rate))
    share = (kept == 0).mean(axis=(0, 1))
    np.testing.assert_allclose(share, rate, atol=5 * (rate * (1 - rate) / 20_000) ** 0.5 + 1 / 512)
    np.testing.assert_allclose(kept[kept > 0], 1 / (1 - round(rate * 256) / 256), rtol=1e-6)
    assert abs(np.corrcoef(kept[..., 0].ravel(), kept[..., 1].ravel())[0, 1]) < 0.05  # two bytes of one word


def test_a_residual_layer_adds_its_input_to_its_output(setup):
    arguments = setup.inputs, setup.starts, setup.carry
    plain = MusicModel(replace(CONFIG, residual=False, num_layers=1), SIZES)
    one_layer = {"params": {name: value for name, value in setup.params.items() if name != "layers_1"}}
    features = jax.jit(lambda model, *rest: model.apply(*rest, method="features"), static_argnums=0)
    below, _ = features(plain, one_layer, setup.inputs, setup.starts, setup.carry[:1])
    not_residual = setup.model.clone(config=replace(CONFIG, residual=False))
    without, _ = features(not_residual, {"params": setup.params}, *arguments)
    ours, _ = setup.apply({"params": setup.params}, *arguments, method="features")
    np.testing.assert_allclose(ours, below + without, rtol=1e-5, atol=1e-6)


def test_normalized_inputs_enter_as_numbers_from_0_to_1():
    sizes = (5, 1)
    model = MusicModel(replace(CONFIG, inputs="normalized"), sizes)
    values = jnp.asarray([[[4, 0], [1, 0]]], jnp.int32)
    bound = model.bind({"params": init_params(model, jax.random.key(0))})
    np.testing.assert_array_equal(bound._input(values), [[[1.0, 0.0], [0.25, 0.0]]])


def test_nll_equals_numpys_in_nats():
    rng = np.random.default_rng(1)
    logits = [rng.normal(scale=5, size=(2, 3, size)).astype(np.float32) for size in SIZES]
    targets = rng.integers(0, SIZES, (2, 3, len(SIZES))).astype(np.int32)
    ours = jax.jit(nll)([jnp.asarray(field) for field in logits], jnp.asarray(targets))
    for field, values in enumerate(logits):
        exact = values.astype(np.float64)
        probability = np.exp(exact) / np.exp(exact).sum(-1, keepdims=True)
        chosen = np.take_along_axis(probability, targets[..., field, None], axis=-1)[..., 0]
        np.testing.assert_allclose(ours[..., field], -np.log(chosen), rtol=1e-5, atol=1e-5)


def test_nll_stays_finite_for_extreme_logits_and_its_gradient_is_softmax_minus_one_hot():
    logits = jnp.asarray([[[1e4, -1e4, 0.0]]])
    targets = jnp.asarray([[[1]]], jnp.int32)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: nll([x], targets).sum()))(logits)
    np.testing.assert_allclose(value, 2e4)
    np.testing.assert_allclose(gradient, [[[1.0, -1.0, 0.0]]], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_multiplied_tables_on_a_cpu_give_the_values_and_gradients_of_looking_up_first(cell):
    setup = Setup(replace(CONFIG, cell=cell))
    assert sum(SIZES) <= BATCH * LENGTH  # else both would look up first

    def loss(params):
        logits, _ = setup.model.apply({"params": params}, setup.inputs, setup.targets, setup.starts, setup.carry)
        return nll(logits, setup.targets).sum()

    ours = jax.jit(jax.value_and_grad(loss))(setup.params)
    with planned_for("tpu"):
        theirs = jax.jit(jax.value_and_grad(lambda params: loss(params)))(setup.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm", "transformer"])
def test_four_devices_give_the_loss_and_gradients_of_one(cell, setup):
    setup = setup if cell == "lstm" else Setup(config_of(cell))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    keys = jax.random.split(jax.random.key(7), BATCH)

    def loss(params, inputs, targets, starts, carry):
        logits, carry = setup.model.apply({"params": params}, inputs, targets, starts, carry, keys)
        return nll(logits, targets).sum(axis=-1).mean(), carry

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    batch = setup.inputs, setup.targets, setup.starts, setup.carry
    one = step(setup.params, *batch)
    rows, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    arguments = jax.device_put(setup.params, everywhere), *jax.device_put(batch, rows)
    four = step(*arguments)
    assert jax.tree.leaves(four)[-1].sharding.is_fully_replicated  # a gradient
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, four)
    # Rows never travel between devices: only sums of gradients do.
    program = step.lower(*arguments).compile().as_text() or ""
    assert "all-reduce" in program
    assert "all-gather" not in program
    assert "all-to-all" not in program
