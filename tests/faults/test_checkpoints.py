"""Checkpoints that are damaged, of another version, or do not fit: an error with advice, never wrong numbers."""

import json
import shutil

import pytest

from tests.faults.conftest import flip, outcome, train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(straight, tmp_path):
    """A copy of a finished run with the checkpoints of steps 18, 21 and 24."""
    return shutil.copytree(straight, tmp_path / "run")


def test_a_flipped_byte_anywhere_in_a_checkpoint_is_an_error_or_harmless(forker, data, straight, run):
    """In the middle of every file, but for those of optimizer and carry, which are like those of the parameters."""
    shown = json.loads(forker.run("runs", "show", straight, "--json").last_line)
    noticed = 0
    for path in sorted((run / "checkpoints/24").rglob("*")):
        if not path.is_file() or not path.stat().st_size or {"opt", "carry"} & set(path.parts):
            continue
        whole = path.read_bytes()
        flip(path, len(whole) // 2)
        ended = forker.run(*train(data, run, "--num-steps", 24))
        assert ended.code() in (0, 2), (path, ended.said)
        if ended.code() == 2:
            noticed += 1
            assert "Traceback" not in ended.said
            assert str(run / "checkpoints") in ended.error, (path, ended.error)
        else:
            after = json.loads(forker.run("runs", "show", run, "--json").last_line)
            assert after["params_sha256"] == shown["params_sha256"], path
        path.write_bytes(whole)
    assert noticed >= 4
    assert forker.run(*train(data, run)).code() == 0


def test_a_damaged_checkpoint_offers_the_one_before_and_the_run_resumes_from_it(forker, data, straight, run):
    for path in (run / "checkpoints/24/opt/d").glob("*"):
        flip(path, path.stat().st_size // 2)
    for path in (run / "checkpoints/24/opt").rglob("d/*"):
        flip(path, path.stat().st_size // 3)
    ended = forker.run(*train(data, run))
    assert ended.code() == 2
    assert f"{run / 'checkpoints/24'}: " in ended.last_line
    assert "there is also that of step 21 and 18: 'ostinato train --from-step 21 ...'" in ended.last_line
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
