"""What `tfds.builder_from_directory` reads of a dataset: features.json and dataset_info.json."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ostinato.music.codec import Codec


class Described(Protocol):
    """A shard, as `dataset_writer.Shard` describes it."""

    @property
    def file(self) -> str: ...

    @property
    def num_bytes(self) -> int: ...

    @property
    def lengths(self) -> Sequence[int] | np.ndarray: ...


def write_tfds_description(folder: Path, name: str, codec: Codec, shards: Mapping[str, Sequence[Described]]) -> None:
    """Writes dataset_info.json and features.json."""
    # Imported here: it takes half a second, patches builtins.__import__, and only the driver needs it.
    import tensorflow_datasets as tfds
    from etils import epath

    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "style": tfds.features.Text(),
            "steps": tfds.features.Tensor(
                shape=(None, len(codec.fields)), dtype=codec.dtype, encoding=tfds.features.Encoding.BYTES
            ),
        }
    )
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard.lengths) for shard in parts],
            num_bytes=sum(shard.num_bytes for shard in parts),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=epath.Path(folder),
                dataset_name=name,
                split=split,
                filetype_suffix="tfrecord",
            ),
        )
        for split, parts in shards.items()
    ]
    # TFDS wants to see a shard beside its description. Here there may be none: those of an object store are not here.
    with tempfile.TemporaryDirectory(dir=folder, prefix="tfds-") as empty:
        for parts in shards.values():
            (Path(empty) / parts[0].file).touch()
        tfds.folder_dataset.write_metadata(
            data_dir=empty, features=features, split_infos=infos, version="1.0.0", check_data=False
        )
        for file_name in ("dataset_info.json", "features.json"):
            (Path(empty) / file_name).replace(folder / file_name)
