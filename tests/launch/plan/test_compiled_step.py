"""The plan of a step is that of the step that really trains."""

import dataclasses

import jax
import numpy as np
import pytest

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.launch.plan.compiled_step import (
    DoesNotFitError,
    Memory,
    StepPlan,
    largest_batch,
    matmul_flops,
    plan_step,
    trace_step,
)
from ostinato.launch.plan.program import Program
from ostinato.model.backend import planned_for, platform
from ostinato.train.step import place

FIELDS = (200, 300, 400)
"""More values than a batch has rows: the first layer's input is then a matmul over the batch on every platform."""
CONFIG = TrainConfig(
    model=ModelConfig(embedding_size=16, hidden_size=32, num_layers=2, head_size=24),
    data=DataConfig(batch_size=32, sequence_length=20),
    head_steps=20,  # all logits at once, as on accelerators; else each chunk's gradient is reduced by itself
)


@pytest.fixture(scope="module")
def plan():
    return plan_step(CONFIG, FIELDS, jax.devices()[:4], CONFIG.data.batch_size)


def _flops_by_hand(config, fields):
    """Each weight of a matmul is used forward, for the gradient of its input and for its own: 2 FLOPs a row."""
    model, data = config.model, config.data
    hidden = model.hidden_size
    layers = sum((size + hidden) * 4 * hidden for size in [model.embedding_size] + [hidden] * (model.num_layers - 1))
    head = hidden * len(fields) * model.head_size + sum(model.head_size * size for size in fields)
    return 6 * (layers + head) * data.batch_size * data.sequence_length


def test_flops_equal_the_count_by_hand_before_and_after_compilation(plan):
    by_hand = _flops_by_hand(CONFIG, FIELDS)
    compiled = sum(operation.runs * operation.matmul_flops for operation in plan.program.operations)
    assert plan.model_flops == by_hand
    assert compiled * plan.num_devices == by_hand
    # XLA counts the scans' bodies once; this is why we count ourselves.
    elementwise = sum(operation.runs * operation.elementwise for operation in plan.program.operations)
    assert plan.xla_flops < compiled + elementwise


def test_the_gradient_is_reduced_once_over_all_devices(plan):
    reduces = [operation for operation in plan.program.operations if operation.collective_bytes]
    assert {operation.opcode for operation in reduces} == {"all-reduce"}
    assert {operation.group_size for operation in reduces} == {4}
    gradient_bytes = 4 * plan.num_params
    assert (
        gradient_bytes
        <= sum(operation.runs * operation.collective_bytes for operation in reduces)
        < gradient_bytes + 200
    )


@pytest.mark.slow
def test_a_sharded_optimizer_is_held_in_parts_and_the_new_parameters_are_gathered(plan):
    sharded = plan_step(CONFIG, FIELDS, jax.devices()[:4], CONFIG.data.batch_size, shard_optimizer=True)
    assert sharded.memory.params == plan.memory.params
    assert sharded.memory.optimizer < 0.26 * plan.memory.optimizer
    gathered = [op.runs * op.collective_bytes for op in sharded.program.operations if op.opcode == "all-gather"]
    assert 0.9 * sharded.memory.params < sum(gathered) <= sharded.memory.params
    assert {op.opcode for op in plan.program.operations if op.collective_bytes} == {"all-reduce"}


def test_memory_is_split_into_what_is_replicated_and_what_is_shared_out(plan):
    memory, data = plan.memory, CONFIG.data
    assert memory.params == 4 * plan.num_params
    assert memory.optimizer == pytest.approx(2 * memory.params, rel=0.01)  # Adam's two moments
    rows = data.batch_size // 4
    carry = CONFIG.model.num_layers * 2 * rows * CONFIG.model.hidden_size * 4
    batch = rows * data.sequence_length * (2 * len(FIELDS) * 4 + 1 + 4)
    assert carry + batch <= memory.inputs < carry + batch + 4096
    assert memory.temporaries > rows * data.sequence_length * CONFIG.model.hidden_size * 4
    assert memory.total == sum(memory)


@pytest.mark.slow
def test_the_step_that_is_planned_is_the_step_that_trains():
    traced = trace_step(CONFIG, FIELDS, jax.devices()[:4], CONFIG.data.batch_size)
    state = jax.jit(traced.init)(jax.random.key(0))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), traced.state)
    batch = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), traced.batch)
    state, metrics = traced.step(state, place(batch, traced.mesh, CONFIG.data.batch_size))
    assert int(state.step) == 1
    assert np.isfinite(float(metrics.loss))


def test_what_is_traced_for_another_machine_has_its_layouts_and_not_those_of_this_one():
    traced = trace_step(CONFIG, FIELDS, jax.devices()[:1], CONFIG.data.batch_size)
    here = str(traced.step.trace(traced.state, traced.batch).jaxpr)
    with planned_for("tpu"):
        assert platform() == "tpu"
        there = trace_step(CONFIG, FIELDS, jax.devices()[:1], CONFIG.data.batch_size)
        planned = there.step.trace(there.state, there.batch).jaxpr
    assert platform() == "cpu"
    assert "optimization_barrier" in here
    assert "optimization_barrier" not in str(planned)
    assert matmul_flops(planned.jaxpr) == _flops_by_hand(CONFIG, FIELDS)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells_have_their_number_of_gates(cell):
    gates = {"gru": 3, "rnn": 1}[cell]
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, cell=cell))
    traced = trace_step(config, FIELDS, jax.devices()[:1], 8)
    layers = ((16 + 32) + (32 + 32)) * gates * 32
    head = 32 * 3 * 24 + 24 * sum(FIELDS)
    assert matmul_flops(traced.step.trace(traced.state, traced.batch).jaxpr.jaxpr) == 6 * (layers + head) * 8 * 20


def test_a_batch_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="batch_size 30 cannot be split over 4 devices"):
        trace_step(CONFIG, FIELDS, jax.devices()[:4], 30)


def _made_up(batch_size, total):
    memory = Memory(params=100, optimizer=200, inputs=0, temporaries=total - 300, code=0)
    return StepPlan(batch_size, 1, 1, 1, 0.0, memory, Program((), {}, ()), 1, None)


@pytest.mark.parametrize(("fixed", "per_row", "refuses"), [(300, 10, False), (900, 10, True), (300, 700, True)])
def test_the_largest_batch_is_found_in_a_few_compilations(fixed, per_row, refuses):
    limit, tried = 100_000, []

    def plan(batch_size):
        tried.append(batch_size)
        total = fixed + per_row * batch_size
        if refuses and total > limit:
            raise DoesNotFitError(f"{total}")
        return _made_up(batch_size, total)

    largest, plans = largest_batch(plan, plan(16), memory_bytes=limit, multiple=8)
    possible = (limit - fixed) // per_row // 8 * 8
    assert 0.9 * possible - 8 <= largest <= possible
    assert largest % 8 == 0
    assert len(tried) <= 5
    assert {p.batch_size for p in plans} <= set(tried)


def test_a_smaller_batch_is_looked_for_when_the_first_does_not_fit():
    def plan(batch_size):
        if batch_size > 24:
            raise DoesNotFitError("too large")
        return _made_up(batch_size, 300 + 4000 * batch_size)

    assert largest_batch(plan, None, memory_bytes=100_000, multiple=8)[0] == 24


def test_nothing_fits_where_not_even_the_parameters_do():
    def plan(batch_size):
        raise DoesNotFitError(f"batch {batch_size}")

    assert largest_batch(plan, None, memory_bytes=100, multiple=8) == (0, [])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_traced_for_a_plan(name):
    config = PRESETS[name]().train
    traced = trace_step(config, FIELDS, jax.devices()[:1], config.data.batch_size)
    assert matmul_flops(traced.step.trace(traced.state, traced.batch).jaxpr.jaxpr) > 1e6
