"""A judge on disk hears as it did in memory, and what is none is refused."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ostinato.model.judge import init_judge
from ostinato.train.judge.excerpts import excerpt, hear
from ostinato.train.judge.file import JudgeError, read_judge, write_judge
from ostinato.train.judge.training import JUDGE, TrainedJudge
from tests.midi_files import tune


@pytest.fixture(scope="module")
def judge():
    return TrainedJudge(init_judge(JUDGE, jax.random.key(0)), 16, 3)


def test_a_judge_is_read_back_to_the_bit(judge, tmp_path):
    path = tmp_path / "judge.safetensors"
    write_judge(judge, path)
    found = read_judge(path)
    assert (found.num_notes, found.epoch) == (16, 3)
    assert jax.tree.structure(found.params) == jax.tree.structure(judge.params)
    for ours, theirs in zip(jax.tree.leaves(judge.params), jax.tree.leaves(found.params), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    before = path.read_bytes()
    write_judge(found, path)
    assert path.read_bytes() == before


def test_the_scores_of_a_piece_are_those_of_its_excerpts(judge):
    heard = hear(tune(1, num_notes=20))
    scores = judge.note_scores(heard)
    assert scores.shape == (25,)
    (first,) = judge.scores(excerpt(heard, 0, 16)[None])
    np.testing.assert_allclose(scores[:8], first[:8], rtol=1e-6)
    (second,) = judge.scores(excerpt(heard, 8, 16)[None])
    np.testing.assert_allclose(
        scores[12], (first[12] + second[4] + judge.scores(excerpt(heard, 9, 16)[None])[0, 3]) / 3
    )
    short = hear(tune(1, num_notes=4))
    np.testing.assert_allclose(judge.note_scores(short), judge.scores(excerpt(short, 0, 5)[None])[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2"),
        ({"generator": "ostinato"}, "not a judge"),
        ({"num_notes": 0}, "num_notes"),
        (None, "not JSON"),
    ],
)
def test_another_file_is_refused(judge, tmp_path, change, message):
    path = tmp_path / "judge.safetensors"
    write_judge(judge, path)
    said = {"generator": "ostinato judge", "format": 1, "num_notes": 16, "epoch": 3}
    metadata = {} if change is None else {"ostinato": json.dumps(said | change)}
    save_file(load_file(path), path, metadata)
    with pytest.raises(JudgeError, match=message):
        read_judge(path)


def test_arrays_that_do_not_fit_or_are_not_finite_are_refused(judge, tmp_path):
    path = tmp_path / "judge.safetensors"
    with pytest.raises(JudgeError, match="no such file"):
        read_judge(path)
    write_judge(judge._replace(params=judge.params | {"output": np.zeros(3, np.float32)}), path)
    with pytest.raises(JudgeError, match="not a judge's"):
        read_judge(path)
    write_judge(judge._replace(params=judge.params | {"output_bias": np.float32(np.nan)}), path)
    with pytest.raises(JudgeError, match="output_bias holds numbers that are not finite"):
        read_judge(path)
    path.write_bytes(b"no")
    with pytest.raises(JudgeError, match="not a file of safetensors"):
        read_judge(path)
