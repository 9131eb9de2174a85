"""The plan of a step is that of the step that really trains."""

import dataclasses

import jax
import numpy as np
import pytest

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.launch.plan.costs import Program, read_jaxpr
from ostinato.launch.plan.step import (
    DoesNotFitError,
    Memory,
    StepPlan,
    estimated_cycles,
    largest_batch,
    plan_step,
    trace_step,
)
from ostinato.model.backend import planned_for, platform
from ostinato.train.step import place

FIELDS = (200, 300, 400)
"""More values than a batch has rows: the first layer's input is then a matmul over the batch on every platform."""
CONFIG = TrainConfig(
    model=ModelConfig(embedding_size=16, hidden_size=32, num_layers=2, head_size=24),
    data=DataConfig(batch_size=32, sequence_length=20),
)


@pytest.fixture(scope="module")
def plan():
    return plan_step(CONFIG, FIELDS, jax.devices()[:4], CONFIG.data.batch_size)


def _flops(config, batch_size, platform="cpu", fields=FIELDS):
    with planned_for(platform):
        traced = trace_step(config, fields, jax.devices()[:1], batch_size)
        return read_jaxpr(traced.step.trace(traced.state, traced.batch).jaxpr).total("matmul_flops")


def _flops_by_hand(config, batch_size, gates=4):
    """Each weight of a matmul is used forward, for the gradient of its input and for its own: 2 FLOPs a row."""
    model = config.model
    hidden = model.hidden_size
    layers = sum(
        (size + hidden) * gates * hidden for size in [model.embedding_size, *[hidden] * (model.num_layers - 1)]
    )
    head = hidden * len(FIELDS) * model.head_size + sum(model.head_size * size for size in FIELDS)
    return 6 * (layers + head) * batch_size * config.data.sequence_length


def test_flops_equal_the_count_by_hand(plan):
    by_hand = _flops_by_hand(CONFIG, 32)
    assert plan.program.total("matmul_flops") * 4 == by_hand
    assert _flops(CONFIG, 32) == _flops(CONFIG, 32, "tpu") == by_hand
    # XLA counts the scans' bodies once; this is why we count ourselves.
    once = sum(op.matmul_flops + op.elementwise for op in plan.program.operations)
    assert once == pytest.approx(plan.xla_flops, rel=0.1)
    assert plan.xla_flops < plan.program.total("matmul_flops") + plan.program.total("elementwise")


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("rnn", 1)])
def test_other_cells_have_their_number_of_gates(cell, gates):
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, cell=cell))
    assert _flops(config, 8) == _flops_by_hand(config, 8, gates)


def test_the_gradient_is_reduced_once_over_all_devices(plan):
    weight, reduce = [op for op in plan.program.operations if op.collective]
    assert {op.collective for op in (weight, reduce)} == {"all-reduce"}
    assert (weight.collective_bytes, weight.group_size, reduce.runs, reduce.group_size) == (4, 4, 1, 4)
    assert 4 * plan.num_params <= reduce.collective_bytes < 4 * plan.num_params + 200


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
        planned = str(there.step.trace(there.state, there.batch).jaxpr)
    assert platform() == "cpu"
    assert "optimization_barrier" in here
    assert "optimization_barrier" not in planned


def test_a_batch_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="batch_size 30 cannot be split over 4 devices"):
        trace_step(CONFIG, FIELDS, jax.devices()[:4], 30)


def _made_up(batch_size, total):
    return StepPlan(batch_size, 1, 0.0, Memory(100, 200, inputs=0, temporaries=total - 300, code=0), Program())


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


@pytest.mark.parametrize(("fitting", "found"), [(24, 24), (0, 0)])
def test_smaller_batches_are_looked_for_when_the_first_does_not_fit(fitting, found):
    def plan(batch_size):
        if batch_size > fitting:
            raise DoesNotFitError("too large")
        return _made_up(batch_size, 300 + 4000 * batch_size)

    assert largest_batch(plan, None, memory_bytes=100_000, multiple=8)[0] == found


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_traced_for_a_plan(name):
    config = PRESETS[name]().train
    assert _flops(config, config.data.batch_size) > 1e6


def test_cycles_that_the_tpu_compiler_writes_down_count_for_each_iteration():
    text = """%body (p.1: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  ROOT %t = (s32[], f32[4,8]) fusion(%p.1), kind=kOutput, backend_config={"window_config":{"estimated_cycles":"120"}}
}

%cond (p.2: (s32[], f32[4,8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(512)
  ROOT %lt = pred[]{:T(512)} compare(%i.2, %limit), direction=LT
}

ENTRY %main (x: f32[4,8]) -> f32[4,8] {
  %x = f32[4,8]{1,0:T(8,128)} parameter(0), backend_config={"estimated_cycles":"7"}
  %while = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) while(%start), condition=%cond, body=%body
  ROOT %out = f32[4,8]{1,0:T(8,128)S(1)} get-tuple-element(%while), index=1
}
"""
    assert estimated_cycles(text) == 512 * 120 + 7
