"""Losses that are not numbers, and losses that jump."""

import itertools
import json
import logging
import re
import time

import numpy as np
import pytest

from ostinato.data.records import Dataset
from ostinato.train import loop, validation
from ostinato.train.data import evaluation_batches, training_batches
from ostinato.train.loop import train
from ostinato.train.mixed_batches import mixed_batches
from ostinato.train.rollback import NonFiniteLossError
from ostinato.train.run_metadata import Progress
from ostinato.train.runs import show
from ostinato.train.stability import LossWatch
from tests.train.conftest import read_metrics, replace

pytestmark = pytest.mark.slow


class Poisoned:
    """Batches of which some have a weight that is not a number."""

    def __init__(self, batches, bad):
        self._batches, self._bad = batches, bad

    def __getattr__(self, name):
        return getattr(self._batches, name)

    def __getitem__(self, k):
        batch = self._batches[k]
        if k not in self._bad:
            return batch
        weights = batch.weights.copy()
        weights[0, 0] = np.nan
        return batch._replace(weights=weights)


@pytest.fixture
def poison(monkeypatch):
    """Returns the function that plants a NaN into batches."""

    def plant(*bad):
        made = lambda *args, **kwargs: Poisoned(mixed_batches(*args, **kwargs), bad)  # noqa: E731
        monkeypatch.setattr(loop, "mixed_batches", made)

    return plant


@pytest.fixture
def dataset(data):
    return Dataset.open(data)


def events(workdir):
    return [json.loads(line) for line in (workdir / "events.jsonl").read_text().splitlines()]


def test_a_nan_in_a_batch_costs_that_step_and_nothing_else(poison, dataset, config, tmp_path, caplog):
    poison(3)
    with caplog.at_level(logging.WARNING):
        result = train(config, dataset, tmp_path / "run")
    assert result.finished
    lines = read_metrics(tmp_path / "run", "train")
    assert [line["step"] for line in lines if line["loss"] is None] == [4]
    assert [line["skipped"] for line in lines] == [0] * 3 + [1] * 7
    assert lines[2]["param_norm"] == lines[3]["param_norm"] != lines[4]["param_norm"]
    (said,) = [event["said"] for event in events(tmp_path / "run") if event["event"] == "unusual loss"]
    assert said in caplog.text
    assert "step 4: the loss is nan" in said
    k3 = training_batches(dataset.source("train"), config.data, seed=config.seed).pieces(3)
    assert said.endswith("pieces " + ", ".join(dataset.source("train")[piece].id for piece in k3))


def test_a_run_that_skips_too_often_is_rolled_back_with_a_lower_learning_rate(poison, dataset, config, tmp_path):
    """Killed and resumed in between, it does the same: what it decides follows from the numbers alone."""
    config = replace(config, skip_limit=2, rollbacks=1)
    poison(6, 8, 9)
    with pytest.raises(NonFiniteLossError, match=r"step 10: .* 2 times in a row; .* of step 5; .* rolled back 1 times"):
        train(config, dataset, tmp_path)
    went_back = [event["history"] for event in events(tmp_path) if "history" in event]
    assert [(entry["step"], entry["learning_rate_factor"]) for entry in went_back] == [(5, 0.5)]
    assert show(tmp_path)["step"] == 5
    rates = {line["step"]: line["learning_rate"] for line in read_metrics(tmp_path, "train")}
    assert rates[5] == pytest.approx(config.optimizer.learning_rate)
    assert rates[6] == pytest.approx(rates[5] / 2)
    poison()
    result = train(config, dataset, tmp_path)  # the cause is mended
    assert result.finished
    assert show(tmp_path)["step"] == 10


def test_without_rollbacks_an_unstable_run_stops_at_once(poison, dataset, config, tmp_path):
    poison(1, 2, 3)
    config = replace(config, skip_limit=3, rollbacks=0, checkpoint_every=1)
    with pytest.raises(NonFiniteLossError, match=r"step 4: .* 3 times in a row; the latest checkpoint is of step 1"):
        train(config, dataset, tmp_path)
    assert show(tmp_path)["step"] == 1  # none was saved after a step that was skipped


def test_a_loss_that_jumps_is_told_with_its_pieces():
    watch = LossWatch(skip_limit=3, pieces_of=lambda k: [f"piece{k}-{i}" for i in range(10)])
    progress = Progress()
    for step in range(1, 41):
        progress, said = watch.look(progress, step, loss=3.0 + 0.1 * (step % 3), grad_norm=1.0)
        assert said is None
    progress, said = watch.look(progress, 41, loss=9.0, grad_norm=1.0)
    assert said.startswith("step 41: the loss jumps to 9 from 3.1; pieces piece40-0, piece40-1, ")
    assert said.endswith(", piece40-7 and 2 more")
    assert progress == Progress()


@pytest.fixture
def wait_for_warning(caplog):
    """Returns the function that waits until something has been said."""

    def wait(pattern):
        end_s = time.monotonic() + 120
        while not any(re.search(pattern, line) for line in caplog.messages):
            assert time.monotonic() < end_s, caplog.messages
            time.sleep(0.01)

    with caplog.at_level(logging.WARNING):
        yield wait


def test_a_stalled_input_is_reported_with_what_is_waited_for(dataset, config, tmp_path, monkeypatch, wait_for_warning):
    """The batch comes only when it has been said that it does not."""

    class Stalled(Poisoned):
        def __getitem__(self, k):
            if k == 6:
                wait_for_warning("waiting for batch 6 of the training data for")
            return self._batches[k]

    monkeypatch.setattr(loop, "mixed_batches", lambda *a, **k: Stalled(mixed_batches(*a, **k), ()))
    assert train(replace(config, peer_timeout_s=6.0), dataset, tmp_path).finished


def test_a_slow_validation_is_reported_as_a_slow_step_is(dataset, config, tmp_path, monkeypatch, wait_for_warning):
    """It waits between its only batch and its end until it has been said that it is slow."""
    calls = itertools.count()

    def stalled(*arguments, **options):
        yield from evaluation_batches(*arguments, **options)
        if next(calls) == 3:
            wait_for_warning(
                "waiting for the validation after step 6 for .* a validation takes .* now it waits for batch"
            )

    monkeypatch.setattr(validation, "evaluation_batches", stalled)
    config = replace(config, evaluate_every=2, peer_timeout_s=6.0, data={"sequence_length": 64})
    assert train(config, dataset, tmp_path).finished
