"""Killed or asked to end: whatever the moment, the same command goes on to the same bits."""

import random
import re
import signal
import time

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.train.runs import show
from tests.faults.conftest import outcome, steps_done, train

pytestmark = pytest.mark.slow

KILLS = 30
MLSTM = "--model.cell", "mlstm"


@pytest.mark.timeout(900)
def test_thirty_kills_at_random_moments_change_no_bit(forker, data, straight, tmp_path):
    assert_kills_change_no_bit(KILLS, forker, data, straight, tmp_path)


def test_kills_change_no_bit_of_the_larger_memory_of_an_mlstm(forker, data, tmp_path):
    straight = tmp_path / "straight"
    assert forker.run(*train(data, straight, *MLSTM)).wait() == 0
    assert_kills_change_no_bit(3, forker, data, straight, tmp_path, *MLSTM)


def assert_kills_change_no_bit(wanted_kills, forker, data, straight, tmp_path, *network):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    kills = runs = 0
    while kills < wanted_kills:
        workdir = tmp_path / str(runs)
        running = forker.start(*train(data, workdir, *network))
        # From the opening of the run on: a number of lines more, and a moment.
        wanted = steps_done(workdir) + rng.randrange(8)
        running.wait_until(lambda folder=workdir, lines=wanted: steps_done(folder) >= lines)
        time.sleep(rng.uniform(0.0, 0.1))
        if running.code() is None:
            running.kill(signal.SIGKILL)
        code = running.wait()
        assert code in (0, -signal.SIGKILL), (seed, running.said)
        kills += code != 0
        if code == 0:
            assert outcome(workdir) == outcome(straight), seed
            runs += 1
    ended = forker.run(*train(data, tmp_path / str(runs), *network))
    assert ended.wait() == 0, (seed, ended.said)
    assert outcome(tmp_path / str(runs)) == outcome(straight), seed


@pytest.mark.timeout(900)
def test_a_kill_at_any_moment_of_a_save_changes_no_bit(forker, data, straight, tmp_path):
    """Killed before creations, renamings and removals of files in the second save, which also removes the first.

    No checkpoint is ever half there: none is set aside.
    """
    few = ("--keep-checkpoints", 1, "--num-steps", 7, "--evaluate-every", 7)
    whole = forker.run(*train(data, tmp_path / "whole", *few), die_at=(str(tmp_path / "whole"), -1, signal.SIGKILL))
    assert whole.code() == 0, whole.said
    touches = (tmp_path / "whole.touches").read_text().splitlines()
    saving = [number for number, line in enumerate(touches, 1) if "/checkpoints/" in line]
    removing = [number for number in saving if touches[number - 1].startswith(("os.remove", "os.rmdir"))]
    renaming = [number for number in saving if touches[number - 1].startswith("os.rename")][-2:]
    assert len(saving) > 20
    assert len(removing) > 10, "what is removed is not seen"
    middle = saving[len(saving) // 3 : -len(saving) // 3]
    killed = 0
    moments = {*middle[:: max(1, len(middle) // 4)], *removing[:: max(1, len(removing) // 4)], *renaming}
    for number in sorted(moments):
        workdir = tmp_path / str(number)
        first = forker.run(*train(data, workdir, *few), die_at=(str(workdir), number, signal.SIGKILL))
        killed += first.code() == -signal.SIGKILL  # threads may come in another order, and all be done before
        second = forker.run(*train(data, workdir, *few))
        assert second.code() == 0, second.said
        assert "set-aside" not in second.said, number
        assert outcome(workdir) == outcome(tmp_path / "whole"), number
    assert killed


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (signal.SIGTERM, ExitCode.PREEMPTED, r"ostinato: .*/run: asked to stop, step (\d+) is saved; .*"),
        (signal.SIGINT, ExitCode.INTERRUPTED, r"ostinato: interrupted; .*"),
    ],
)
def test_sigterm_saves_the_step_and_ctrl_c_does_not_and_the_run_resumes(
    forker, data, straight, tmp_path, sent, code, said
):
    """It comes while the first checkpoint is written."""
    ended = forker.run(*train(data, tmp_path / "run"), die_at=(str(tmp_path / "run"), 30, sent))
    assert ended.code() == code, ended.said
    assert "Traceback" not in ended.said
    found = re.fullmatch(said, ended.last_line)
    assert found, ended.last_line
    if sent == signal.SIGTERM:
        assert show(tmp_path / "run")["step"] == int(found[1]) < 24
    again = forker.run(*train(data, tmp_path / "run"))
    assert again.code() == 0, again.said
    assert outcome(tmp_path / "run") == outcome(straight)
