"""Which way to compute a layer a run takes: measured, remembered, and kept to."""

import dataclasses
import json

import jax
import pytest

from ostinato.configs.schema import ModelConfig
from ostinato.model.kernels import Kernel, possible_kernels
from ostinato.train import kernel_choice
from ostinato.train.kernel_choice import as_kernel, choose_kernel, measure
from ostinato.train.loop import train
from ostinato.train.runs import show
from tests.train.conftest import after, replace


@pytest.fixture
def fixed(monkeypatch):
    """Stands where the clock would: the last but one kernel is the fastest. Counts how often it was asked."""
    asked = []

    def measure_nothing(config, length, rows, kernels):
        asked.append((length, rows))
        return {kernel: 1.0 - (kernel == kernels[-2]) / 2 for kernel in kernels}

    monkeypatch.setattr(kernel_choice, "measure", measure_nothing)
    return asked


def test_every_way_that_a_cpu_has_is_measured():
    config = ModelConfig(hidden_size=4)
    kernels = possible_kernels(config, 3)
    assert {(one.feature_major, one.unroll) for one in kernels} == {
        (order, k) for order in (False, True) for k in (1, 2)
    }
    seconds = measure(config, 3, 2, kernels[-2:])
    assert all(0 < one_s < 60 for one_s in seconds.values())


def test_what_was_measured_is_remembered_for_the_same_sizes_alone(config, fixed, tmp_path):
    config = replace(config, kernels="measure")
    first = choose_kernel(config, 4, None, tmp_path)
    assert as_kernel(first) == possible_kernels(config.model, config.data.sequence_length)[-2]
    assert choose_kernel(config, 4, None, tmp_path) == first
    assert fixed == [(8, 4)]
    choose_kernel(config, 2, None, tmp_path)
    choose_kernel(replace(config, model={"precision": "bf16"}), 2, None, tmp_path)
    assert len(fixed) == 3
    choose_kernel(config, 2, None, None)
    assert len(fixed) == 4, "without a folder nothing is remembered"


@pytest.mark.parametrize("content", ["{", '{"fastest": 99}', '{"fastest": "first"}'])
def test_a_damaged_memory_is_measured_again(config, fixed, tmp_path, content):
    config = replace(config, kernels="measure")
    first = choose_kernel(config, 4, None, tmp_path)
    (path,) = (tmp_path / "kernels").iterdir()
    path.write_text(content)
    assert choose_kernel(config, 4, None, tmp_path) == first
    assert len(fixed) == 2
    assert json.loads(path.read_text())["seconds"], "and remembered anew"


def test_cpus_are_not_measured_unless_that_is_asked_for(config, fixed, tmp_path, monkeypatch):
    assert choose_kernel(config, 4, None, tmp_path) is None
    assert choose_kernel(replace(config, kernels="rule"), 4, None, tmp_path) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_kernel(replace(config, kernels="rule"), 4, None, tmp_path) is None
    assert not fixed
    assert choose_kernel(config, 4, None, tmp_path) is not None


def test_a_run_keeps_to_its_choice_on_the_kind_of_device_that_it_was_made_on(config, fixed, tmp_path):
    measured = replace(config, kernels="measure")
    kept = {"device": jax.devices()[0].device_kind, **Kernel(unroll=2)._asdict()}
    assert choose_kernel(measured, 4, {"kernel": kept}, tmp_path) == kept
    assert choose_kernel(measured, 4, {"kernel": None}, tmp_path) is None, "the run began by the rule"
    assert choose_kernel(measured, 4, {}, tmp_path) is None, "an earlier version wrote it"
    assert not fixed
    assert choose_kernel(measured, 4, {"kernel": {**kept, "device": "another"}}, tmp_path) != kept


def test_a_resumed_run_computes_the_same_bits_whatever_is_measured_then(config, dataset, fixed, tmp_path, monkeypatch):
    config = replace(config, kernels="measure", model={"num_layers": 1})
    train(config, dataset, tmp_path / "straight", cache=tmp_path)
    train(config, dataset, tmp_path / "resumed", should_stop=after(4), cache=tmp_path)
    monkeypatch.setattr(kernel_choice, "measure", lambda *_: pytest.fail("it is known"))
    train(dataclasses.replace(config, kernels="auto"), dataset, tmp_path / "resumed", cache=tmp_path / "other")
    straight, resumed = show(tmp_path / "straight"), show(tmp_path / "resumed")
    assert straight["params_sha256"] == resumed["params_sha256"]
    assert len(fixed) == 1
