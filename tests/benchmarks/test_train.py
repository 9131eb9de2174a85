import json
import re
import subprocess
import sys

import numpy as np
import pytest

from ostinato.benchmarks.designs import renumber
from tests.midi_files import write_tunes


def test_the_vocabulary_of_tokens_is_what_the_pieces_say(tmp_path):
    paths = [str(tmp_path / name) for name in ("train.npz", "held_out.npz")]
    np.savez(paths[0], steps=np.array([[7], [900], [7]]), lengths=[3])
    np.savez(paths[1], steps=np.array([[30], [900]]), lengths=[2])
    assert renumber(paths) == 3
    assert [np.load(path)["steps"].ravel().tolist() for path in paths] == [[0, 2, 0], [1, 2]]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_of_training_runs(tmp_path):
    write_tunes(tmp_path / "midi", 40)
    sections = ("--flax", "--input")  # the others need what CI does not install, or compile for long
    command = [
        sys.executable,
        "-m",
        "ostinato.benchmarks.train",
        "--smoke",
        *sections,
        "--data",
        str(tmp_path / "midi"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ratios = json.loads(done.stdout.splitlines()[-1])["ratios"]
    assert {"1 x 16, batch 4, t = 8: flax.linen", "loader", "share of the time that a run waits"} <= ratios.keys()
    assert all(np.isfinite(value) and value >= 0 for value in ratios.values())
    assert 0 < ratios["share of the time that a run waits"] < 1
    lines = [
        re.split(r" *│ *", line) for line in done.stdout.splitlines() if re.match("│ (ostinato|flax.linen) ", line)
    ]
    assert len(lines) == 2
    assert all(10 < float(line[7]) < 30 for line in lines), "each begins near the uniform model's 23 nats"
