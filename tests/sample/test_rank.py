import math

import pytest

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset
from ostinato.data.statistics import Statistics
from ostinato.sample.rank import distance, make_score
from ostinato.studio.options import describe_model
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
