"""What the description of a run may hold, in a checkpoint and in a model folder; checked before it is used."""

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from ostinato.configs.documents import Count, FileName, check_document
from ostinato.configs.schema import TrainConfig
from ostinato.train.folders import CheckpointError

Loss = float | None
MAX_WIDTH = 1 << 20
"""Of a layer. Such a one has a terabyte of parameters."""


class Named(TypedDict):
    """A dataset."""

    path: str
    fingerprint: str


class Shared(Named):
    """A dataset of a mixture."""

    share: Annotated[float, Meta(gt=0, le=1)]


class Mixed(TypedDict):
    """What `Mixture.to_json` says."""

    fingerprint: str
    datasets: list[Shared]


class Versioned(TypedDict):
    """What is known of a description before its version is."""

    format: NotRequired[Count]


class SavedProgress(TypedDict):
    """The fields of `run_metadata.Progress`; those of older versions lack the later ones."""

    step: Count
    finished: bool
    initial_loss: Loss
    last_loss: Loss
    best_step: Count | None
    best_loss: Loss
    evaluations_without_gain: Count
    skipped: NotRequired[Count]
    skipped_in_row: NotRequired[Count]
    rollbacks: NotRequired[Count]
    learning_rate_factor: NotRequired[Annotated[float, Meta(gt=0, le=1)]]


class Origin(TypedDict):
    """The run that this one began with."""

    workdir: str
    step: Count
    params_sha256: str
    added: NotRequired[list[str]]


class Size(TypedDict):
    """Of a split."""

    pieces: Count
    notes: Count


class Music(TypedDict, total=False):
    """What `music_heard.describe_music` says; nothing of it where nobody knows."""

    name: str
    splits: dict[FileName, Size]
    statistics: dict[str, Any] | None


class Config(TypedDict):
    """The configuration: `run_metadata.config_from_json` reads it. Resuming compares it part by part."""

    model: dict[str, Any]
    data: dict[str, Any]
    optimizer: dict[str, Any]


class SavedKernel(TypedDict):
    """How the recurrent layers of a run are computed: the fields of `model.kernels.Kernel`."""

    device: str
    """The kind of device that it was chosen on."""
    backend: Literal["scan", "cudnn"]
    feature_major: bool
    unroll: Annotated[int, Meta(ge=1, le=4096)]


class RunDescription(TypedDict):
    """What stays true elsewhere; `codec` is read by `music.codecs`."""

    config: Config
    codec: dict[str, Any]
    devices: NotRequired[dict[str, Any]]
    music: NotRequired[Music | None]
    init_from: NotRequired[Origin | None]
    old_dataset: NotRequired[Named | None]
    mixture: NotRequired[Mixed]
    history: NotRequired[list[dict[str, Any]]]


class ModelRun(RunDescription):
    """The description in a model folder."""

    dataset: NotRequired[Named]
    progress: NotRequired[SavedProgress]
    versions: NotRequired[dict[str, str]]
    step: Count
    params_sha256: str


class SavedRun(RunDescription):
    """The description in a checkpoint. Those of format 1 lack its `step`, among others."""

    dataset: Named
    progress: SavedProgress
    versions: dict[str, str]
    arrays: dict[str, str]
    params_sha256: str
    step: NotRequired[Count]
    rows_at_once: NotRequired[Annotated[int, Meta(ge=1)] | None]
    kernel: NotRequired[SavedKernel | None]


class Measured(TypedDict):
    """metrics/metrics of a checkpoint; inf where it was not measured."""

    validation_loss: float


def check_run(description: dict[str, Any], *, where: Path) -> None:
    """Refuses what a checkpoint says of its run where a value is of another type; `where` begins a message.

    Raises:
        CheckpointError: it names the field.
    """
    found = check_document(description, SavedRun, where=where, error=CheckpointError)
    check_config(description["config"], where=f"{where}: config", num_arrays=len(found["arrays"]))


def check_config(values: dict[str, Any], *, where: str, num_arrays: int) -> None:
    """Refuses a configuration of which a field is of another type than `TrainConfig` has, or a network that is absurd.

    Args:
        values: the configuration.
        where: begins a message.
        num_arrays: that are there; a network has some for each of its layers. Many layers take time only to be named.

    Raises:
        CheckpointError: it names the field.
    """
    check_document(values, TrainConfig, where=where, error=CheckpointError)
    for name, value in values["model"].items():
        limit = num_arrays if name == "num_layers" else MAX_WIDTH
        if isinstance(value, int) and value > limit:
            raise CheckpointError(f"{where}.model.{name}: {value} is more than {limit}")
