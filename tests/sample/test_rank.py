import math

import jax
import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.data.statistics import Statistics
from ostinato.model.judge import init_judge
from ostinato.sample.generate import Generated
from ostinato.sample.rank import distance, make_score
from ostinato.sample.request import check_inputs
from ostinato.studio.options import describe_model
from ostinato.train.judge.excerpts import hear
from ostinato.train.judge.file import write_judge
from ostinato.train.judge.training import JUDGE, TrainedJudge
from ostinato.train.run_metadata import describe_run
from tests.described_dataset import a_dataset
from tests.midi_files import tune
from tests.sample.runs import untrained
from tests.sample.tiny_models import write


def test_the_distance_grows_with_the_difference_and_is_nothing_for_the_same_music():
    one, alike, other = (
        Statistics.from_piece(piece) for piece in (tune(1), tune(2), tune(2, program=40, num_notes=200))
    )
    assert distance(one, one) == pytest.approx(0, abs=1e-12)
    assert 0 < distance(one, alike) < distance(one, other) < math.log(2)
    assert distance(one, other) == pytest.approx(distance(other, one))


def test_what_the_model_heard_is_known_where_its_dataset_is_gone(tmp_path):
    a_dataset(tmp_path / "data", styles=("calm", "wild"))
    dataset = Dataset.open(tmp_path / "data")
    run = untrained(codec=dataset.codec)
    run = run._replace(description=describe_run(run.config, dataset))
    (tmp_path / "data").rename(tmp_path / "moved")
    (piece,) = write((run.model, run.params), codec=run.codec, num_pieces=1, num_notes=8)
    assert -math.log(2) < make_score(run, "statistics")(piece) < 0
    shown = describe_model(run, tmp_path / "run", tmp_path)
    assert set(shown["known_instruments"]) == {"Acoustic Grand Piano", "Bright Acoustic Piano", "Acoustic Bass"}
    del run.description["music"]
    with pytest.raises(UserError, match="what the model was trained on is not known"):
        make_score(run, "statistics")


def test_a_judge_prefers_what_it_takes_for_real_and_has_to_be_given(tmp_path):
    judge = TrainedJudge(init_judge(JUDGE, jax.random.key(0)), 16, 0)
    write_judge(judge, tmp_path / "judge.safetensors")
    run = untrained()
    score = make_score(run, "judge", tmp_path / "judge.safetensors")
    steps = run.codec.encode(tune(1))
    heard = hear(run.codec.decode(steps))
    log_probs = np.zeros(len(steps), np.float32)
    assert score(Generated(steps, 1, True, log_probs, 0)) == pytest.approx(-judge.note_scores(heard).mean())
    assert score(Generated(steps[[0, -1]], 1, True, log_probs[:2], 0)) == -math.inf, "no notes"
    with pytest.raises(UserError, match="needs --judge"):
        make_score(run, "judge")


def test_a_judge_goes_with_candidates():
    check_inputs(SampleConfig(best_of=2, best_by="judge"), {"judge": "x", "primer": "a.mid"})
    for config, inputs in (
        (SampleConfig(best_of=2), {}),
        (SampleConfig(best_by="judge"), {}),
        (SampleConfig(best_of=2, best_by="judge"), {"fill": "a.mid"}),
    ):
        with pytest.raises(UserError, match="--judge goes with"):
            check_inputs(config, {"judge": "x", **inputs})
