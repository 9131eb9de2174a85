"""Checkpoints that are damaged, of another version, or do not fit: an error with advice, never wrong numbers."""

import json
import shutil

import pytest

from ostinato.train.checkpoint import load_params
from ostinato.train.fingerprint import tree_sha256
from ostinato.train.folders import DamagedError
from ostinato.train.recovery import check_checkpoint
from tests.faults.conftest import flip, outcome, train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(straight, tmp_path):
    """A copy of a finished run with the checkpoints of steps 18, 21 and 24."""
    return shutil.copytree(straight, tmp_path / "run")


def test_a_flipped_byte_anywhere_in_a_checkpoint_is_an_error_or_harmless(straight, run):
    """In the middle of every file; the bytes that are read are compared, not what the checkpoint says of them."""
    whole = load_params(straight, "latest")
    digest = tree_sha256(whole.params)
    assert digest == whole.params_sha256
    noticed, folder = set(), run / "checkpoints/24"
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size):
        before = path.read_bytes()
        flip(path, len(before) // 2)
        try:
            check_checkpoint(folder)
            found = load_params(run, "latest")
        except DamagedError as error:
            noticed.add((path.relative_to(folder).parts[0], error.folder))
        else:
            assert (found.step, tree_sha256(found.params)) == (24, digest), path
        path.write_bytes(before)
    assert noticed >= {(item, folder) for item in ("params", "opt", "carry", "run", "metrics")}
    check_checkpoint(folder)


def test_a_run_with_damaged_checkpoints_goes_back_by_itself_and_says_so(forker, data, straight, run):
    """The newest has a flipped bit, the one before it empty files, as after a loss of power on a disk that lies."""
    for path in (run / "checkpoints/24/opt").rglob("d/*"):
        flip(path, path.stat().st_size // 3)
    for path in (run / "checkpoints/21").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    ended = forker.run(*train(data, run))
    assert ended.code() == 0, ended.said
    assert f"{run}: resumes from step 18, the newest checkpoint that is whole; set aside: " in ended.said
    assert {path.name for path in (run / "set-aside").iterdir()} == {"21", "24"}
    assert outcome(run) == outcome(straight)


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error_and_the_one_before_can_be_chosen(
    forker, data, straight, run
):
    for path in (run / "checkpoints/24/opt").rglob("d/*"):
        flip(path, path.stat().st_size // 3)
    ended = forker.run("train", "--from-step", 24, *train(data, run)[1:])
    assert ended.code() == 2
    assert f"{run / 'checkpoints/24'}: " in ended.last_line
    ended = forker.run("train", "--from-step", 21, *train(data, run)[1:])
    assert ended.code() == 0, ended.said
    assert (run / "set-aside/24").is_dir()
    assert outcome(run) == outcome(straight)


def test_a_checkpoint_of_the_first_format_resumes(forker, data, straight, run):
    """It has no history, no seal, and no digest of the carry."""
    for path in (run / "checkpoints").glob("*/run/metadata"):
        description = json.loads(path.read_text())
        for name in ("format", "history", "devices", "rows_at_once", "carry_sha256", "sha256"):
            del description[name]
        for name in ("skipped", "skipped_in_row", "rollbacks", "learning_rate_factor"):
            del description["progress"][name]
        for name in ("skip_limit", "rollbacks", "rollback_factor", "peer_timeout_s"):
            del description["config"][name]
        path.write_text(json.dumps(description))
    ended = forker.run("train", "--from-step", 18, *train(data, run)[1:])
    assert ended.code() == 0, ended.said
    assert outcome(run) == outcome(straight)


def test_a_checkpoint_of_a_later_format_is_refused(forker, data, run):
    path = run / "checkpoints/24/run/metadata"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    ended = forker.run(*train(data, run))
    assert ended.code() == 2
    assert f"{run / 'checkpoints/24'}: has format 99, this version of ostinato reads up to 2" in ended.last_line


def test_changed_settings_are_refused_with_a_list_and_those_that_may_change_are_kept_in_the_history(forker, data, run):
    ended = forker.run(*train(data, run, "--model.hidden-size", 32, "--seed", 7))
    assert ended.code() == 2
    assert "model.hidden_size: 16 in the checkpoint, 32 now" in ended.error
    assert "seed: 0 in the checkpoint, 7 now" in ended.error
    ended = forker.run(*train(data, run, "--num-steps", 27, "--optimizer.learning-rate", "0.001"))
    assert ended.code() == 0, ended.said
    description = json.loads((run / "checkpoints/27/run/metadata").read_text())
    (entry,) = description["history"]
    assert (entry["step"], entry["event"]) == (24, "resumed")
    assert entry["changes"] == {"num_steps": [24, 27], "optimizer.learning_rate": [0.01, 0.001]}
