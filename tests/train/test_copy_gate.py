"""Training with a copy gate: resumed to the same bits, and added to a run that was trained without."""

import dataclasses

import jax
import numpy as np
import pytest

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import train
from ostinato.train.runs import show
from tests.midi_files import returning_tune
from tests.train.conftest import after, read_metrics

PLAIN = ModelConfig(embedding_size=8, hidden_size=16, num_layers=2, head_size=8, dropout=0.1, norm="pre")
COPYING = dataclasses.replace(PLAIN, copy=True)
HEARS_METER = dataclasses.replace(COPYING, metrical_inputs=True)
MLSTM = dataclasses.replace(COPYING, cell="mlstm")


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    codec = ScoreCodec()
    records = [Record(str(seed), "", codec.encode(returning_tune(seed))) for seed in range(12)]
    folder = tmp_path_factory.mktemp("data") / "tunes"
    write_dataset(folder, {"train": records[:8], "validation": records[8:]}, codec)
    return Dataset.open(folder)


def config(model, num_steps=6):
    return TrainConfig(
        model=model,
        data=DataConfig(batch_size=4, sequence_length=32, misheard=0.03, max_transpose=2),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=0),
        num_steps=num_steps,
        evaluate_every=3,
    )


@pytest.mark.parametrize("network", [HEARS_METER, pytest.param(MLSTM, marks=pytest.mark.slow)], ids=["lstm", "mlstm"])
def test_a_run_with_a_gate_resumes_to_the_same_bits(tunes, tmp_path, network):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(config(network), tunes, straight)
    train(config(network), tunes, broken, should_stop=after(4))
    train(config(network), tunes, broken)
    assert show(straight)["params_sha256"] == show(broken)["params_sha256"]


@pytest.mark.slow
def test_a_gate_is_added_to_a_trained_run_by_training_it_alone(tunes, tmp_path):
    before, workdir = tmp_path / "before", tmp_path / "with-gate"
    train(config(PLAIN), tunes, before)
    with_gate = config(COPYING, num_steps=40)
    train(with_gate, tunes, workdir, init_from=before, should_stop=after(5))
    train(with_gate, tunes, workdir)
    old, new = load_params(before, "best"), load_params(workdir, "best")
    jax.tree.map(np.testing.assert_array_equal, old.params, {k: v for k, v in new.params.items() if k != "gate"})
    assert new.description["init_from"]["added"] == ["gate"]
    losses = {line["step"]: line["loss"] for line in read_metrics(workdir, "validation")}
    assert losses[max(losses)] < losses[0] - 0.5, "these tunes come back"
