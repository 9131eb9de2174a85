import json
import subprocess
import sys

import pytest

from ostinato.listen.web.answers import Answers
from tests.listen.studies import make_study


@pytest.mark.slow
def test_listeners_who_come_at_once_lose_nothing(tmp_path):
    study = make_study(tmp_path / "study", clip_s=0.1)
    command = [sys.executable, "-m", "ostinato.benchmarks.listen", "--study", str(study.folder), "--listeners", "30"]
    done = subprocess.run(command, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["lost"] == 0
    assert result["finished"] == 30
    assert result["answers"] == 30 * study.num_tasks
    assert set(result["ratios"]) == {"median wait, of the second allowed"}
    answers = Answers.open(study)
    assert answers.counts()["begun"] == 0  # the study itself is left alone
    answers.close()
