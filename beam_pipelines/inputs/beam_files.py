"""Files on the other filesystems that Beam knows: gs://, hdfs://, azfs://, each by Beam's extra of its own."""

import shutil
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from ostinato.beam_pipelines.inputs.errors import StorageError

_T = TypeVar("_T")


class BeamFiles:
    """Beam's filesystems, which `FileSystems.set_options` configures."""

    def open(self, path: str) -> BinaryIO:
        """Opens a file that can be sought in."""
        # Beam would inflate what ends in .gz.
        opened: Any = _attempt(path, lambda: FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED))
        return cast(BinaryIO, opened)

    def read(self, path: str, max_bytes: int | None) -> bytes:
        """Returns a whole file, at most one byte more than allowed."""
        with self.open(path) as file:
            return _attempt(path, lambda: file.read() if max_bytes is None else file.read(max_bytes + 1))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Returns the bytes from an offset on; fewer at the end of the file."""
        with self.open(path) as file:
            _attempt(path, lambda: file.seek(offset))
            return _attempt(path, lambda: file.read(length))

    def is_file(self, path: str) -> bool:
        """Returns whether there is a file of this name."""
        return _attempt(path, lambda: FileSystems.exists(path))

    def list_files(self, folder: str) -> list[str]:
        """Returns all files below a folder, sorted."""
        (found,) = _attempt(folder, lambda: FileSystems.match([folder.rstrip("/") + "/**"]))
        return sorted(file.path for file in found.metadata_list)

    def put(self, path: str, file: BinaryIO) -> None:
        """Writes a file; it appears when all of it has arrived."""
        _attempt(path, lambda: self._put(path, file))

    def delete(self, paths: list[str]) -> None:
        """Deletes files."""
        _attempt(paths[0], lambda: FileSystems.delete(paths))

    def _put(self, path: str, file: BinaryIO) -> None:
        # Object stores show a file when it is closed; filesystems with folders show it at once.
        renamed = FileSystems.get_filesystem(path).has_dirs()
        target = f"{path}.partial" if renamed else path
        with FileSystems.create(target, compression_type=CompressionTypes.UNCOMPRESSED) as written:
            shutil.copyfileobj(file, written, 1 << 20)
        if renamed:
            if FileSystems.exists(path):
                FileSystems.delete([path])
            FileSystems.rename([target], [path])


def _attempt(path: str, action: Callable[[], _T]) -> _T:
    try:
        return action()
    except Exception as error:  # each client library that Beam calls has errors of its own
        missing = isinstance(error, FileNotFoundError) or "not found" in str(error).lower()
        reason = "missing" if missing else None
        raise StorageError(path, " ".join(str(error).split()), reason=reason) from error
