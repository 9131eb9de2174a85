import gc
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from ostinato.data.atomic import make_folder
from ostinato.train.checkpoint import Checkpoints, load_params, look, make_model
from ostinato.train.fingerprint import tree_sha256
from ostinato.train.folders import DamagedError
from ostinato.train.metrics import FILE
from ostinato.train.recovery import check_checkpoint, list_steps
from ostinato.train.run_metadata import CheckpointError, Progress, describe_run
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import make_mesh, make_state_init, state_shardings
from tests.faults.power import each_image
from tests.train.conftest import replace


def described(config, dataset):
    """What training says in a checkpoint."""
    return {**describe_run(config, dataset), "progress": Progress()._asdict()}


@pytest.fixture(scope="module")
def init(dataset, config):
    return make_state_init(make_model(config.model, dataset.codec), make_optimizer(config.optimizer, 10), 4)


@pytest.fixture(scope="module")
def state(init):
    """A state of random bits on four devices: no two arrays are alike, and on disk they cannot be compressed."""
    shapes = jax.eval_shape(init, jax.random.key(0))
    rng = np.random.default_rng(0)
    values = jax.tree.map(lambda x: rng.integers(2**32, size=x.shape, dtype=np.uint32).view(x.dtype), shapes)
    values = values._replace(step=np.int32(7))
    return jax.jit(lambda x: x, out_shardings=state_shardings(make_mesh(4)))(values)


@pytest.fixture
def saved(state, dataset, config, tmp_path):
    """A run with the checkpoint of step 7."""
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state, described(config, dataset), validation_loss=1.5)
    return tmp_path


def save_steps(workdir, state, description, losses):
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(state._replace(step=np.int32(step)), description, validation_loss=loss)


def kept(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


def flip_bit_of(array: np.ndarray, folder: Path) -> None:
    """Flips a bit of an array where a part of it lies in the files of a checkpoint."""
    values = np.asarray(array)[3, :16].tobytes()
    places = [(file, file.read_bytes().find(values)) for file in folder.rglob("*") if file.is_file()]
    places = [(file, offset) for file, offset in places if offset >= 0]
    assert places
    for file, offset in places:
        content = bytearray(file.read_bytes())
        content[offset + len(values) // 2] ^= 1
        file.write_bytes(content)


@pytest.mark.parametrize("batch_size", [4, 2, 1])
def test_a_state_comes_back_exactly_on_any_number_of_devices(saved, state, init, batch_size):
    shardings = state_shardings(make_mesh(batch_size))
    with Checkpoints(saved) as checkpoints:
        restored = checkpoints.restore_state(7, lambda: init(jax.random.key(9)), shardings)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
        assert len(ours.sharding.device_set) == batch_size


def test_parameters_load_with_configuration_and_codec_and_without_the_optimizer(saved, state, dataset, config):
    for name in ("opt", "carry"):
        shutil.rmtree(saved / "checkpoints" / "7" / name)
    run = load_params(saved)
    assert (run.step, run.config, run.codec) == (7, config, dataset.codec)
    assert run.params_sha256 == tree_sha256(state.params) == tree_sha256(run.params)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(run.params)} == {1}


def test_the_newest_and_the_best_are_kept_also_by_another_process(state, dataset, config, tmp_path):
    description = described(config, dataset)
    save_steps(tmp_path, state, description, {1: 3.0, 2: 1.0, 3: 2.0})
    assert kept(tmp_path) == ["2", "3"]
    save_steps(tmp_path, state, description, {4: 2.0, 5: None, 6: 1.5})
    assert kept(tmp_path) == ["2", "5", "6"]
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.best_step, checkpoints.latest_step) == (2, 6)
    assert (load_params(tmp_path).step, load_params(tmp_path, "latest").step) == (2, 6)


def test_looking_at_a_run_changes_nothing_in_it(state, dataset, config, tmp_path):
    description = described(config, dataset)
    save_steps(tmp_path, state, description, {1: 3.0, 2: 1.0, 3: 2.0, 4: 2.0})
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()  # another process is writing it
    before = sorted(tmp_path.rglob("*"))
    load_params(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_crash_left_behind_is_not_a_checkpoint_and_gives_way_to_the_next_one(saved, state, dataset, config):
    folder = saved / "checkpoints"
    unfinished = shutil.ignore_patterns("commit_success.txt")
    shutil.copytree(folder / "7", folder / "8.orbax-checkpoint-tmp", ignore=unfinished)
    shutil.copytree(folder / "7", folder / "todelete" / "6")
    assert load_params(saved, "latest").step == 7
    save_steps(saved, state, described(config, dataset), {8: 1.0})
    assert kept(saved) == ["7", "8"]


def test_a_flipped_bit_in_a_parameter_is_noticed(saved, state, init):
    flip_bit_of(state.params["layers_1"]["recurrent_kernel"], saved / "checkpoints" / "7" / "params")
    message = r"checkpoints/7: the bytes of 'params' are not those that were saved"
    with pytest.raises(CheckpointError, match=message):
        load_params(saved)
    shardings = state_shardings(make_mesh(4))
    with Checkpoints(saved) as checkpoints, pytest.raises(CheckpointError, match=message):
        checkpoints.restore_state(7, lambda: init(jax.random.key(0)), shardings)


def test_a_flipped_bit_in_the_state_of_the_optimizer_is_noticed(saved, state, init):
    flip_bit_of(state.opt_state[1][0].nu["layers_1"]["recurrent_kernel"], saved / "checkpoints" / "7" / "opt")
    assert load_params(saved).step == 7  # the parameters are whole
    shardings = state_shardings(make_mesh(4))
    with Checkpoints(saved) as checkpoints, pytest.raises(CheckpointError, match="the bytes of 'opt'"):
        checkpoints.restore_state(7, lambda: init(jax.random.key(0)), shardings)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_arrays_that_cannot_be_read_are_one_error_and_nothing_of_it_comes_later(saved, caplog, capfd):
    """Every array is in the node that is damaged; what the others say after the first is dropped."""
    (node,) = (saved / "checkpoints/7/params/d").iterdir()
    content = bytearray(node.read_bytes())
    content[len(content) // 2] ^= 0x10
    node.write_bytes(content)
    gc.collect()  # what other tests left says what it has to say before this one listens
    caplog.clear()
    capfd.readouterr()
    for _ in range(40):
        with pytest.raises(CheckpointError, match=r"checkpoints/7: cannot be read \(ValueError: DATA_LOSS"):
            load_params(saved)
        gc.collect()
    assert not caplog.records
    assert not capfd.readouterr().err


def test_a_description_that_says_nothing_is_damaged(saved):
    (saved / "checkpoints/7/run/metadata").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"checkpoints/7: 'run' does not say config, codec, .*; there is no other"
    ):
        load_params(saved)


def test_arrays_of_another_shape_are_refused_with_their_names(saved, dataset, config):
    config = replace(config, model={"hidden_size": 8})
    init = make_state_init(make_model(config.model, dataset.codec), make_optimizer(config.optimizer, 10), 4)
    shardings = state_shardings(make_mesh(4))
    with Checkpoints(saved) as checkpoints, pytest.raises(CheckpointError) as caught:
        checkpoints.restore_state(7, lambda: init(jax.random.key(0)), shardings)
    assert "  carry/0/0: float32[4,16] in the checkpoint, float32[4,8] now" in str(caught.value).splitlines()


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_not_called_damaged(saved, state, dataset, config):
    """As by a run that goes on meanwhile."""
    chosen = []

    def read(checkpoints):
        chosen.append(checkpoints.latest_step)
        if len(chosen) == 1:
            save_steps(saved, state, described(config, dataset), {8: 1.0, 9: 0.5, 10: 0.2})
            assert kept(saved) == ["10", "9"]
        return checkpoints.load(chosen[-1])

    assert look(saved, read).step == 10
    assert chosen == [7, 10]


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="run 'ostinato train' first") as caught:
        load_params(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
def test_after_any_loss_of_power_each_checkpoint_is_whole_its_log_too_and_the_newest_is_there_at_the_end(
    state, dataset, config, tmp_path
):
    """The first is removed when the second is on disk, and only then."""
    root = tmp_path / "root"
    make_folder(root / "run")
    with each_image(root, tmp_path / "images", every=4, at_the_end=12) as images, Checkpoints(root / "run") as saved:
        for step in (1, 2, 3):
            with (root / "run" / FILE).open("a") as log:
                log.write(f"{step}\n")
            saved.save(state._replace(step=np.int32(step)), described(config, dataset), validation_loss=1 / step)
    seen = [list_steps(image / "run") for image in images]
    for image, steps in zip(images, seen, strict=True):
        for step in steps:
            check_checkpoint(image / "run/checkpoints" / str(step))
            assert (image / "run" / FILE).read_text().split()[:step] == [str(i + 1) for i in range(step)]
    first = next(number for number, steps in enumerate(seen) if 2 in steps)  # from here on that of step 1 is on disk
    assert all(seen[first:])
    assert all(3 in steps for steps in seen[-12:])


def test_a_description_that_was_changed_is_noticed(saved):
    path = saved / "checkpoints/7/run/metadata"
    assert '"seed": 0' in path.read_text()
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DamagedError, match="checkpoints/7: the bytes of 'run' are not those that were saved"):
        load_params(saved)
