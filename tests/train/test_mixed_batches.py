"""Several datasets in one run."""

import tomllib

import jax
import numpy as np
import pytest

from ostinato.data.mixture import Mixture, Part, open_mixture
from ostinato.launch.commands.runs import RunsConfig
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import train
from ostinato.train.mixed_batches import mixed_batches, piece_id
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show
from tests.train.conftest import TRAIN_LENGTHS, VALIDATION_LENGTHS, after, make_dataset, read_metrics, replace


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """As many rows as the first, so that the codec is the same."""
    return make_dataset(tmp_path_factory.mktemp("mixed") / "other", TRAIN_LENGTHS[::-1], VALIDATION_LENGTHS[::-1])


@pytest.fixture(scope="module")
def mixture(dataset, other):
    return Mixture((Part(dataset, 0.7), Part(other, 0.3)))


def test_each_dataset_has_rows_of_its_own_on_however_many_hosts(dataset, mixture, config):
    sources = [dataset.source("train"), dataset.source("validation")]
    mixed = mixed_batches(mixture, sources, config.data, seed=1, rows=slice(0, 4))
    music = [{tuple(row) for i in range(len(one)) for row in one[i].steps.tolist()} for one in sources]
    assert mixed.steps_per_epoch == sum(TRAIN_LENGTHS) // (3 * 8)
    for k in range(5):
        rows = mixed[k].inputs.tolist()
        assert len(rows) == 4
        assert all({tuple(step) for step in row} <= music[0] for row in rows[:3])
        assert {tuple(step) for step in rows[3]} <= music[1]
        ids = {piece_id(sources, number) for number in mixed.pieces(k)}
        assert any(number >= len(sources[0]) for number in mixed.pieces(k))
        assert ids <= {str(i) for i in range(len(TRAIN_LENGTHS))}
    for cut in range(5):
        parts = [mixed_batches(mixture, sources, config.data, seed=1, rows=rows)[2]
                 for rows in (slice(0, cut), slice(cut, 4))]  # fmt: skip
        jax.tree.map(lambda whole, *two: np.testing.assert_array_equal(whole, np.concatenate(two)), mixed[2], *parts)


def test_a_mixture_that_was_stopped_goes_on_to_the_same_bits_and_measures_each(
    mixture, other, config, tmp_path, capsys
):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(config, mixture, straight)
    train(config, mixture, broken, should_stop=after(7))
    train(config, mixture, broken)
    assert show(broken)["params_sha256"] == show(straight)["params_sha256"]
    lines = read_metrics(straight, "validation")
    assert lines == read_metrics(broken, "validation")
    for line in lines:
        assert line["loss"] == pytest.approx(0.7 * line["notes/loss"] + 0.3 * line["other/loss"], rel=1e-6)
        assert line["perplexity"] == pytest.approx(np.exp(line["loss"]))
        assert line["notes/loss"] != line["other/loss"]
    description = load_params(straight, "latest").description
    assert description["mixture"]["fingerprint"] == mixture.fingerprint
    assert [one["share"] for one in description["mixture"]["datasets"]] == [0.7, 0.3]
    assert description["music"]["name"] == "notes + other"
    assert description["music"]["splits"]["train"]["pieces"] == 2 * len(TRAIN_LENGTHS)
    RunsConfig(workdir=straight).run()
    words = tomllib.loads(capsys.readouterr().out)["dataset"]
    assert open_mixture(words).fingerprint == mixture.fingerprint
    changed = Mixture((mixture.parts[0], Part(other, 0.4)))
    with pytest.raises(CheckpointError, match=r"mixture\.2\.share: 0\.3 in the checkpoint, 0\.4 now"):
        train(replace(config, num_steps=12), changed, straight)
    with pytest.raises(CheckpointError, match=r"mixture\.1\.fingerprint: .* in the checkpoint, nothing now"):
        train(config, mixture.first, straight)
