import dataclasses
import json
import math

import numpy as np
import pytest

from ostinato.configs.schema import TrainConfig
from ostinato.train.fingerprint import array_types, tree_sha256
from ostinato.train.run_metadata import (
    MAY_CHANGE,
    CheckpointError,
    Progress,
    check_same_run,
    config_from_json,
    describe_run,
)
from tests.train.conftest import replace


def test_a_configuration_comes_back_from_json_unless_another_version_wrote_it(config):
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert config_from_json(values) == config
    with pytest.raises(CheckpointError, match=r"another version of ostinato.*warp"):
        config_from_json({**values, "warp": 9})


def test_length_optimizer_intervals_versions_and_devices_may_change_and_are_told(config, dataset, tmp_path):
    now = describe_run(config, dataset)
    saved = json.loads(json.dumps(now))
    assert check_same_run(saved, now, tmp_path) == {}
    assert set(saved["versions"]) >= {"ostinato", "jax"}
    changed = replace(config, optimizer={"learning_rate": 1e-4, "schedule": "cosine"}, num_steps=99, patience=0)
    saved["versions"]["jax"], saved["devices"]["devices"] = "0.1", 8
    assert check_same_run(saved, describe_run(changed, dataset), tmp_path) == {
        "devices.devices": [8, 4],
        "num_steps": [10, 99],
        "optimizer.learning_rate": [0.03, 1e-4],
        "optimizer.schedule": ["constant", "cosine"],
        "patience": [5, 0],
        "versions.jax": ["0.1", now["versions"]["jax"]],
    }


def test_what_may_change_are_settings():
    """A setting that is renamed must not stay in the list under its old name."""
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    assert {name.partition(".")[0] for name in MAY_CHANGE} <= names
    assert names - {name.partition(".")[0] for name in MAY_CHANGE} == {"model", "data", "adversary", "seed"}


@pytest.mark.parametrize("change", [{"seed": 1}, {"data": {"batch_size": 8}}, {"model": {"dropout": 0.0}}])
def test_what_decides_about_numbers_may_not_change(config, dataset, tmp_path, change):
    with pytest.raises(CheckpointError, match=next(iter(change))):
        check_same_run(describe_run(config, dataset), describe_run(replace(config, **change), dataset), tmp_path)


def test_a_run_from_before_an_option_resumes_while_the_option_has_its_default(config, dataset, tmp_path):
    saved = json.loads(json.dumps(describe_run(config, dataset)))
    del saved["config"]["data"]["max_tempo_change"]
    check_same_run(saved, describe_run(config, dataset), tmp_path)
    assert config_from_json(saved["config"]) == config
    with pytest.raises(CheckpointError, match=r"data\.max_tempo_change: 0 in the checkpoint, 7 now"):
        check_same_run(saved, describe_run(replace(config, data={"max_tempo_change": 7}), dataset), tmp_path)


def test_progress_remembers_the_best_and_counts_measurements_without_gain():
    progress, counts = Progress(), []
    for step, loss in enumerate((3.0, 2.0, 2.5, 2.0, 1.0, 1.5), 1):
        progress = progress.evaluated(step, loss)
        counts.append((progress.best_step, progress.evaluations_without_gain))
    assert counts == [(1, 0), (2, 0), (2, 1), (4, 2), (5, 0), (5, 1)]
    assert (progress.best_loss, progress.last_loss) == (1.0, 1.5)
    assert [progress.exhausted(patience) for patience in (0, 1, 2)] == [False, True, False]


def test_the_digest_sees_value_name_shape_and_dtype_but_neither_layout_nor_order():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = {"a": a, "b": {"c": np.float32(1)}}
    assert array_types(tree) == {"a": "float32[2,3]", "b/c": "float32[]"}
    flipped = a.copy()
    flipped[1, 2] = math.nextafter(5.0, 6.0) + 1e-6
    others = ({**tree, "a": flipped}, {**tree, "a": a.T.copy()}, {**tree, "a": a.view(np.int32)}, {"a": a})
    assert len({tree_sha256(other) for other in (tree, {"d": a, "b": tree["b"]}, *others)}) == 6
    assert tree_sha256({"a": a, "b": a}) == tree_sha256({"b": np.asfortranarray(a), "a": a.astype(">f4").astype("<f4")})
