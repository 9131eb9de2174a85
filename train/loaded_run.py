"""A trained model in memory."""

from typing import Any, NamedTuple

from ostinato.configs.schema import ModelConfig, TrainConfig
from ostinato.model.kernels import Kernel
from ostinato.model.network import MusicModel
from ostinato.music.codec import Codec
from ostinato.train.step import Params


class LoadedRun(NamedTuple):
    """A trained model with all that sampling and evaluation need to know about it."""

    step: int
    config: TrainConfig
    codec: Codec
    model: MusicModel
    params: Params
    params_sha256: str
    description: dict[str, Any]


def make_model(config: ModelConfig, codec: Codec, kernel: Kernel | None = None) -> MusicModel:
    """Returns the network for the fields of a codec; `kernel` computes its recurrent layers, None is by rule."""
    return MusicModel(config, tuple(field.size for field in codec.fields), kernel)
