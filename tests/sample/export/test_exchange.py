"""Parameters leave as safetensors in torch.nn's layout and come back to the bit."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ostinato.configs.schema import ModelConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.model.network import initial_carry
from ostinato.model.torch_layout import to_torch_layout
from ostinato.sample.export.exchange import PARAMETERS, ExchangeError, import_run, read_parameters, write_parameters
from ostinato.train.checkpoint import load_params
from ostinato.train.fingerprint import tree_sha256
from ostinato.train.loop import train
from ostinato.train.run_metadata import CheckpointError
from tests.midi_files import tune
from tests.sample.runs import untrained, write_run
from tests.sample.tiny_models import CONFIG, MLSTM

CONFIGS = [
    CONFIG,
    dataclasses.replace(CONFIG, cell="gru", residual=False),
    dataclasses.replace(CONFIG, cell="rnn", num_layers=3),
    dataclasses.replace(CONFIG, inputs="normalized"),
]


def randomised(run):
    """Every parameter is another number, also where they begin as zeros; some are minus zero."""
    leaves, structure = jax.tree.flatten(run.params)
    rng = np.random.default_rng(7)
    leaves = [rng.normal(scale=0.3, size=leaf.shape).astype(np.float32) for leaf in leaves]
    for leaf in leaves:
        leaf[..., 0] = -0.0
    params = jax.tree.unflatten(structure, list(map(jnp.asarray, leaves)))
    return run._replace(params=params, params_sha256=tree_sha256(params))


@pytest.mark.slow
@pytest.mark.parametrize("config", [*CONFIGS, MLSTM], ids=lambda config: f"{config.cell}-{config.inputs}")
def test_parameters_come_back_to_the_bit(tmp_path, config):
    run = randomised(untrained(config=config))
    description = write_parameters(run, tmp_path / PARAMETERS)
    exported = read_parameters(tmp_path / PARAMETERS)
    assert tree_sha256(exported.params) == run.params_sha256 == description["params_sha256"]
    assert exported.config == run.config
    assert {name: list(value.shape) for name, value in load_file(tmp_path / PARAMETERS).items()} == description[
        "tensors"
    ]


def test_an_imported_run_has_the_same_parameters(tmp_path):
    run = randomised(untrained())
    loaded = load_params(write_run(tmp_path / "run", run))
    assert loaded.params_sha256 == run.params_sha256
    assert loaded.codec.to_json() == run.codec.to_json()
    assert loaded.config == run.config
    with pytest.raises(ExchangeError, match="there is a run in it already"):
        import_run(tmp_path / f"run-{PARAMETERS}", tmp_path / "run")


def test_files_that_are_no_exported_model_are_refused(tmp_path):
    path = tmp_path / PARAMETERS
    with pytest.raises(ExchangeError, match="no such file"):
        read_parameters(path)
    path.write_bytes(b"something else")
    with pytest.raises(ExchangeError, match="not a file of safetensors"):
        read_parameters(path)
    save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(ExchangeError, match="has no description by ostinato"):
        read_parameters(path)
    description = write_parameters(untrained(), path)
    tensors = {**load_file(path), "head.parts.bias": np.zeros(3, np.float32)}
    save_file(tensors, path, {"ostinato": json.dumps(description)})
    with pytest.raises(ExchangeError, match=r"head\.parts\.bias: .*\[3\].* in the file"):
        read_parameters(path)
    save_file(tensors, path, {"ostinato": json.dumps({**description, "format": 99})})
    with pytest.raises(ExchangeError, match="has format 99"):
        read_parameters(path)


@pytest.mark.slow
def test_an_imported_run_is_trained_further_on_another_dataset(tmp_path):
    run = untrained()
    folder = write_run(tmp_path / "run", run)
    records = [Record(id=str(i), style="", steps=run.codec.encode(tune(i))) for i in range(12)]
    write_dataset(tmp_path / "data", {"train": records[:8], "validation": records[8:]}, run.codec)
    dataset = Dataset.open(tmp_path / "data")
    result = train(run.config, dataset, folder)
    assert result.step == 4
    assert result.best_loss < result.initial_loss
    assert load_params(folder).params_sha256 != run.params_sha256
    # From now on it is a run on that dataset.
    write_dataset(tmp_path / "other", {"train": records[2:], "validation": records[:2]}, run.codec)
    with pytest.raises(CheckpointError, match="dataset"):
        train(dataclasses.replace(run.config, num_steps=8), Dataset.open(tmp_path / "other"), folder)


def _torch_network(torch, config: ModelConfig, sizes: tuple[int, ...]):
    """The network in plain torch, with modules named as the tensors are."""
    nn = torch.nn
    layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[config.cell]

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.Linear(config.hidden_size, len(sizes) * config.head_size)
            self.contexts = nn.ModuleDict(
                {
                    str(j): nn.ModuleList(nn.Embedding(sizes[i], config.head_size) for i in range(j))
                    for j in range(1, len(sizes))
                }
            )
            self.outputs = nn.ModuleList(nn.Linear(config.head_size, size) for size in sizes)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            width = len(sizes)
            if config.inputs == "embedding":
                width = config.embedding_size
                self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
            self.layers = nn.ModuleList(
                layer(config.hidden_size if k else width, config.hidden_size, batch_first=True)
                for k in range(config.num_layers)
            )
            self.head = Head()

        def forward(self, inputs, targets):
            if config.inputs == "embedding":
                x = sum(table(inputs[..., i]) for i, table in enumerate(self.embeddings))
            else:
                x = inputs.float() / torch.tensor([max(size - 1, 1) for size in sizes])
            for k, module in enumerate(self.layers):
                y, _ = module(x)
                x = x + y if k and config.residual else y
            parts = self.head.parts(x).chunk(len(sizes), dim=-1)
            logits = []
            for j, part in enumerate(parts):
                for i in range(j):
                    part = part + self.head.contexts[str(j)][i](targets[..., i])
                logits.append(self.head.outputs[j](nn.functional.gelu(part, approximate="tanh")))
            return logits

    return Network()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.cell}-{config.inputs}")
def test_torch_loads_the_parameters_and_gives_the_same_logits(tmp_path, config):
    torch = pytest.importorskip("torch")
    run = randomised(untrained(config=config))
    write_parameters(run, tmp_path / PARAMETERS)
    sizes = run.model.field_sizes
    network = _torch_network(torch, config, sizes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in load_file(tmp_path / PARAMETERS).items()})
    rng = np.random.default_rng(3)
    inputs, targets = (rng.integers(0, sizes, (3, 11, len(sizes))).astype(np.int32) for _ in range(2))
    ours, _ = run.model.apply(
        {"params": run.params},
        jnp.asarray(inputs),
        jnp.asarray(targets),
        jnp.zeros((3, 11), bool),
        initial_carry(config, 3),
    )
    with torch.inference_mode():
        theirs = network(torch.from_numpy(inputs).long(), torch.from_numpy(targets).long())
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
    assert len(to_torch_layout(run.params, config)) == len(network.state_dict())
