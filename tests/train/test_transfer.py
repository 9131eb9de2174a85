"""Fine-tuning: where a run begins, what stays, and what comes from the old music."""

import jax
import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import train
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show
from tests.train.conftest import MLSTM, TRAIN_LENGTHS, VALIDATION_LENGTHS, after, make_dataset, read_metrics, replace


@pytest.fixture(scope="module")
def pretrained(dataset, config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "pretrained"
    return workdir, train(config, dataset, workdir)


@pytest.mark.slow
@pytest.mark.parametrize("network", [{}, MLSTM], ids=["lstm", "mlstm"])
def test_a_run_begins_with_the_best_parameters_of_another_and_is_its_own(network, dataset, config, tmp_path):
    workdir, own = tmp_path / "pretrained", tmp_path / "own"
    config = replace(config, model=network)
    result = train(config, dataset, workdir)
    train(replace(config, seed=5), dataset, own, init_from=workdir)
    first = read_metrics(own, "validation")[0]
    assert first["step"] == 0
    assert first["loss"] == pytest.approx(result.best_loss, rel=1e-6)
    origin = load_params(own, "latest").description["init_from"]
    assert origin["params_sha256"] == show(workdir)["best_params_sha256"]


@pytest.mark.slow
def test_it_resumes_also_when_the_first_run_is_gone(pretrained, dataset, config, tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(config, dataset, straight, init_from=pretrained[0])
    train(config, dataset, broken, init_from=pretrained[0], should_stop=after(5))
    train(config, dataset, broken, init_from=tmp_path / "deleted")
    assert show(broken)["params_sha256"] == show(straight)["params_sha256"]


@pytest.mark.slow
def test_frozen_layers_stay_and_may_thaw_when_the_run_resumes(pretrained, dataset, config, tmp_path):
    frozen = replace(config, optimizer={"frozen_layers": 1, "weight_decay": 0.1}, num_steps=5)
    train(frozen, dataset, tmp_path, init_from=pretrained[0])
    before, now = (load_params(*pair).params for pair in ((pretrained[0], "best"), (tmp_path, "latest")))
    moved = {name: not jax.tree.all(jax.tree.map(np.array_equal, before[name], now[name])) for name in sorted(before)}
    assert moved == {"embedding_0": False, "head": True, "layers_0": False, "layers_1": True}
    train(config, dataset, tmp_path)
    assert show(tmp_path)["step"] == 10
    assert not np.array_equal(now["embedding_0"], load_params(tmp_path, "latest").params["embedding_0"])


@pytest.mark.slow
def test_another_network_or_codec_is_refused_with_the_flags_that_make_it_fit(pretrained, dataset, config, tmp_path):
    with pytest.raises(CheckpointError, match=r"add --model.hidden-size 16$"):
        train(replace(config, model={"hidden_size": 32, "dropout": 0.0}), dataset, tmp_path, init_from=pretrained[0])
    other = make_dataset(tmp_path / "other", (5, 6), (4,))
    with pytest.raises(CheckpointError, match="was trained with another codec"):
        train(config, other, tmp_path / "run", init_from=pretrained[0])


def test_old_music_of_another_vocabulary_is_refused_at_once(dataset, config, tmp_path):
    old = make_dataset(tmp_path / "old", (5, 6))
    with pytest.raises(UserError, match=r"old: --old-dataset was prepared with another codec \(notes"):
        train(replace(config, data={"old_share": 0.5}), dataset, tmp_path / "run", old_dataset=old)
    assert not (tmp_path / "run").exists()


def test_old_music_is_part_of_what_a_run_is(dataset, config, tmp_path):
    old = make_dataset(tmp_path / "old", TRAIN_LENGTHS[::-1], VALIDATION_LENGTHS)
    mixed = replace(config, data={"old_share": 0.5}, num_steps=5)
    train(mixed, dataset, tmp_path / "run", old_dataset=old)
    assert load_params(tmp_path / "run", "latest").description["old_dataset"]["fingerprint"] == old.fingerprint
    with pytest.raises(CheckpointError, match="old_dataset"):
        train(mixed, dataset, tmp_path / "run", old_dataset=dataset)
    with pytest.raises(ValueError, match="belong together"):
        train(mixed, dataset, tmp_path / "other")
