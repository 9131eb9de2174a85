import logging

import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.sample import progress
from ostinato.sample.generate import generate
from ostinato.sample.infill import fill
from ostinato.sample.progress import Progress
from tests.midi_files import tune
from tests.sample.tiny_models import SCORE, leaning, tiny_model


def test_the_rest_is_reckoned_from_the_first_share_on(caplog):
    caplog.set_level(logging.INFO)
    now = iter([100.0, 104.0, 110.0, 112.0, 130.0, 140.0])
    shares = Progress("writing", clock=lambda: next(now))
    for share in (0.2, 0.3, 0.4, 0.5, 0.5, 1.0):  # at 104 and 112 s a line was not long ago, and at 140 s all is done
        shares.tell(share)
    assert caplog.messages == ["writing: 40%; about 30 s left", "writing: 50%; about 50 s left"]


def shares_told(caplog):
    """Returns the per cent that were told, in order."""
    return [float(message.split(": ")[1].split("%")[0]) for message in caplog.messages if "%" in message]


def assert_growing(shares):
    assert len(shares) >= 2
    assert min(np.diff(shares)) >= 0
    assert 0 < shares[0] < shares[-1] <= 100


@pytest.fixture(scope="module")
def model():
    return leaning(tiny_model(SCORE), output_bias_1={40: 3.0, 73: 3.0})


@pytest.mark.slow
@pytest.mark.parametrize("write", ["generate", "in bars", "fill"])
def test_whatever_is_written_its_shares_grow_to_the_whole(model, monkeypatch, caplog, write):
    caplog.set_level(logging.INFO, logger=progress.__name__)
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    config = {"num_pieces": 3, "particles": 8, "instruments": ("Violin", "Flute")}
    if write == "generate":
        generate(*model, SCORE, SampleConfig(**config, num_notes=300, batch_size=2))
    elif write == "in bars":
        generate(*model, SCORE, SampleConfig(**config, num_bars=200))
    else:
        fill(*model, SCORE, SampleConfig(**config, fill_bars=(2, 2)), tune(3))
    assert_growing(shares_told(caplog))
