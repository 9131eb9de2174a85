"""Untrained networks that write anything that is legal; the same shapes in all tests, so that they compile once."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

from ostinato.configs.schema import ModelConfig, SampleConfig
from ostinato.model.network import MusicModel, init_params
from ostinato.music.codec import Codec
from ostinato.music.notes_codec import NotesCodec, choose_vocabulary, count_events
from ostinato.music.score_codec import ScoreCodec
from ostinato.sample.generate import Generated, generate
from ostinato.sample.primers import Primer
from tests.midi_files import tune

CONFIG = ModelConfig(embedding_size=8, hidden_size=16, num_layers=2, head_size=8, dropout=0.0)
MLSTM = dataclasses.replace(CONFIG, cell="mlstm", norm="pre", copy=True)
NETWORKS = [pytest.param(CONFIG, id="lstm"), pytest.param(MLSTM, id="mlstm", marks=pytest.mark.slow)]
SCORE = ScoreCodec(styles=("calm", "wild"))
NOTES = NotesCodec(vocabulary=choose_vocabulary(count_events(tune(0)), min_count=1, max_vocabulary=100))


def tiny_model(codec, config=CONFIG):
    model = MusicModel(config=config, field_sizes=tuple(field.size for field in codec.fields))
    return model, init_params(model, jax.random.key(1))


def leaning(model_and_params, **biases):
    """The model with its output biases raised: leaning(m, output_bias_1={END: 2.0})."""
    model, params = model_and_params
    head = dict(params["head"])
    for name, values in biases.items():
        for value, amount in values.items():
            head[name] = head[name].at[value].add(amount)
    return model, {**params, "head": head}


def write(
    model_and_params: tuple[MusicModel, Any],
    primers: Sequence[Primer] = (),
    config: SampleConfig | None = None,
    *,
    codec: Codec = SCORE,
    **options: Any,
) -> list[Generated]:
    """Pieces, all by the same compiled function: in blocks of eight on one device, which changes no music.

    Tests whose subject is the number of pieces, of a batch or of devices call `generate`.
    """
    asked = dataclasses.replace(config or SampleConfig(), **options)
    enough = dataclasses.replace(asked, num_pieces=max(8, asked.num_pieces), batch_size=8)
    return generate(*model_and_params, codec, enough, primers, devices=jax.devices()[:1])[: asked.num_pieces]


def assert_legal(pieces, codec=SCORE):
    for piece in pieces:
        decoded = codec.decode(piece.steps)
        assert any(np.array_equal(codec.encode(decoded, style), piece.steps) for style in range(len(codec.styles)))
