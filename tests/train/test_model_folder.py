"""A model folder gives back the parameters that were put into it, and says what is wrong with it."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from ostinato.data.records import Dataset
from ostinato.data.statistics import Statistics
from ostinato.train.checkpoint import load_params
from ostinato.train.fingerprint import tree_sha256
from ostinato.train.folders import CONFIG, PARAMETERS, ModelFolderError, is_model_folder, read_config
from ostinato.train.model_folder import read_model, write_model
from ostinato.train.music_heard import music_heard
from ostinato.train.run_metadata import CheckpointError, describe_run
from tests.described_dataset import a_dataset
from tests.sample.runs import untrained, write_run
from tests.sample.tiny_models import CONFIG as NETWORK

ABOUT = {"name": "tiny", "summary": "A tiny one", "licence": "CC0-1.0", "training_s": 61.5}


@pytest.fixture
def folder(tmp_path):
    write_model(untrained(), tmp_path / "tiny", about=ABOUT)
    return tmp_path / "tiny"


def _change(folder, **values):
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        dataclasses.replace(NETWORK, cell="gru", norm="pre", copy=True, metrical_inputs=True),
        dataclasses.replace(NETWORK, cell="mlstm", norm="pre", copy=True),
        dataclasses.replace(NETWORK, cell="transformer", norm="pre", embedding_size=NETWORK.hidden_size),
    ],
)
def test_float32_comes_back_to_the_bit(tmp_path, network):
    run = untrained(config=network)
    said = write_model(run, tmp_path, about=ABOUT)
    found = load_params(tmp_path)
    assert found.params_sha256 == run.params_sha256 == said["params_sha256"] == said["run"]["params_sha256"]
    assert (found.config, found.codec.to_json(), found.step) == (run.config, run.codec.to_json(), run.step)
    assert found.description["training_s"] == 61.5


@pytest.mark.parametrize(("stored", "share"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_lower_precision_rounds_each_number_once(tmp_path, stored, share):
    run = untrained()
    said = write_model(run, tmp_path / "low", about=ABOUT, stored=stored)
    write_model(run, tmp_path / "high", about=ABOUT)
    sizes = [(tmp_path / name / PARAMETERS).stat().st_size for name in ("low", "high")]
    assert sizes[0] < 0.6 * sizes[1]
    found = read_model(tmp_path / "low")
    assert found.params_sha256 == said["params_sha256"] != run.params_sha256
    assert found.params_sha256 == tree_sha256(found.params)
    for before, after in zip(jax.tree.leaves(run.params), jax.tree.leaves(found.params), strict=True):
        assert after.dtype == jnp.float32
        np.testing.assert_allclose(after, before, rtol=share, atol=1e-7)
    again = write_model(found, tmp_path / "again", about=ABOUT, stored=stored)
    assert again["sha256"] == said["sha256"]
    assert again["run"]["params_sha256"] == run.params_sha256  # of what was trained


def test_a_number_that_float16_cannot_hold_is_refused(tmp_path):
    run = untrained()
    run = run._replace(params={**run.params, "embedding_0": run.params["embedding_0"].at[0, 0].set(1e6)})
    with pytest.raises(ModelFolderError, match=r"embeddings\.0\.weight has numbers that float16 cannot hold"):
        write_model(run, tmp_path, about=ABOUT, stored="float16")
    assert not is_model_folder(tmp_path)


def test_a_changed_file_is_found_by_its_fingerprint(folder):
    data = bytearray((folder / PARAMETERS).read_bytes())
    data[-1] ^= 1
    (folder / PARAMETERS).write_bytes(data)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors: has the SHA-256 .* and config\.json says"):
        read_model(folder)


def test_files_that_are_no_model_are_refused(folder):
    (folder / PARAMETERS).rename(folder / "gone")
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing"):
        read_model(folder)
    (folder / "gone").rename(folder / PARAMETERS)
    good = (folder / CONFIG).read_text()
    for content, message in (
        ("{", "damaged"),
        ("[]", "expected object, got array"),
        ("[3]", "damaged"),
        ('{"model_type": "bert"}', "type 'bert'"),
        ('{"model_type": "ostinato", "format": 99}', "has format 99"),
        ('{"model_type": "ostinato", "format": 1}', "damaged"),
        ("[" * 100_000, "damaged"),
        (" " * 5_000_000, "at most"),
    ):
        (folder / CONFIG).write_text(content)
        with pytest.raises(ModelFolderError, match=message):
            read_config(folder)
    (folder / CONFIG).write_text(good)
    run = json.loads(good)["run"]
    deep = {**run["config"], "model": {**run["config"]["model"], "num_layers": 10**12}}
    for wrong in (
        {"codec": {}},
        {"config": {"model": 3}},
        {"config": deep},
        {"step": "x"},
        {"music": None, "config": 1},
    ):
        _change(folder, run=run | wrong)
        with pytest.raises(CheckpointError):
            read_model(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(ModelFolderError, match=r"config\.json is missing"):
        read_config(folder)


def test_arrays_of_another_network_or_type_are_refused(folder):
    import hashlib

    for dtype, message in ((np.float32, r"head\.parts\.bias: .* in the file"), (np.int8, " has the type I8")):
        save_file({name: np.zeros(3, dtype) for name in ("head.parts.bias", "a", "b")}, folder / PARAMETERS)
        _change(folder, sha256=hashlib.sha256((folder / PARAMETERS).read_bytes()).hexdigest())
        with pytest.raises(ModelFolderError, match=message):
            read_model(folder)


def test_what_was_heard_travels_without_the_folder_that_it_was_in(tmp_path):
    a_dataset(tmp_path / "data")
    dataset = Dataset.open(tmp_path / "data")
    run = untrained(codec=dataset.codec)
    described = describe_run(run.config, dataset)
    heard = music_heard(described)
    assert isinstance(heard, Statistics)
    assert heard.notes == dataset.manifest["splits"]["train"]["notes"] > 0
    old = {name: value for name, value in described.items() if name != "music"}  # of a version before
    for number, description in enumerate((described, old)):
        write_model(run._replace(description=description), tmp_path / str(number), about=ABOUT)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert music_heard(described) == heard
    assert music_heard(old) is None
    for number in range(2):
        found = read_model(tmp_path / str(number))
        assert music_heard(found.description) == heard
        assert found.description["music"]["splits"]["train"]["pieces"] == 1
        assert str(tmp_path) not in (tmp_path / str(number) / CONFIG).read_text()


def test_a_model_folder_holds_one_step(folder, tmp_path):
    assert load_params(folder, 0).step == 0
    with pytest.raises(CheckpointError, match="holds the model of step 0, not that of step 7"):
        load_params(folder, 7)
    assert not is_model_folder(write_run(tmp_path / "run", untrained()))
