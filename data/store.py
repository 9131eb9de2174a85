"""A folder in one of the stores that fsspec knows (s3://, gs://, …), for reading.

Where the store is and who may read it is said as for its other programs: for S3 by AWS_ENDPOINT_URL, AWS_PROFILE,
AWS_ACCESS_KEY_ID and so on.
"""

import functools
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import fsspec

from ostinato.data.manifest import DatasetError

T = TypeVar("T")

MAX_REQUESTS = 16
"""At a time."""
_ATTEMPTS = 4
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+(.+)", re.DOTALL)
"""The scheme has two letters or more: C: is a drive. A Path has lost one of the slashes."""


class Range(NamedTuple):
    """Bytes of a file."""

    name: str
    begin: int
    end: int


def url_of(path: object) -> str | None:
    """Returns the URL that a path is, with its slashes; None for one on this machine."""
    found = _URL.fullmatch(str(path))
    return f"{found[1].lower()}://{found[2].rstrip('/')}" if found else None


class Store:
    """A folder. What fails is tried again, since connections break; what is not there is not."""

    def __init__(self, url: str) -> None:
        """Opens nothing yet."""
        self.url = url

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each file in the folder, by its path in it.

        Raises:
            DatasetError: it cannot be listed.
        """

        def find() -> dict[str, int]:
            fs, root = self._locate("")
            found = fs.find(root, detail=True)
            return {name.removeprefix(root.rstrip("/") + "/"): info["size"] for name, info in found.items()}

        return self._tried(find, self.url)

    def read(self, name: str) -> bytes:
        """Returns a whole file.

        Raises:
            DatasetError: it cannot be read.
        """

        def cat() -> bytes:
            fs, path = self._locate(name)
            return fs.cat_file(path)

        return self._tried(cat, f"{self.url}/{name}")

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """Returns parts of files, which are asked for side by side.

        Raises:
            DatasetError: a file cannot be read, or ends before the end of a range.
        """
        found: dict[Range, bytes] = {}

        def cat() -> list[bytes]:
            left = [one for one in dict.fromkeys(ranges) if one not in found]
            fs, _ = self._locate("")
            paths, begins, ends = ([self._locate(one.name)[1] for one in left], [one.begin for one in left],
                                   [one.end for one in left])  # fmt: skip
            parts = fs.cat_ranges(paths, begins, ends, on_error="return", batch_size=MAX_REQUESTS) if left else []
            for one, part in zip(left, parts, strict=True):
                if not isinstance(part, Exception) and len(part) == one.end - one.begin:
                    found[one] = bytes(part)
            for one, part in zip(left, parts, strict=True):
                if one not in found:
                    problem = part if isinstance(part, Exception) else EOFError(f"ends before byte {one.end}")
                    raise problem from OSError(one.name)
            return [found[one] for one in ranges]

        return self._tried(cat, self.url)

    def _locate(self, name: str) -> tuple[Any, str]:
        fs = _client(self.url.partition("://")[0], self.url.split("/")[2], os.getpid())
        return fs, fs._strip_protocol(f"{self.url}/{name}" if name else self.url)

    def _tried(self, read: Callable[[], T], where: str) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return read()
            except Exception as error:  # each client has errors of its own
                lasting = isinstance(error, FileNotFoundError | PermissionError | ImportError | ValueError)
                if lasting or attempt == _ATTEMPTS:
                    detail = " ".join(str(error).split()) or type(error).__name__
                    name = f" of {error.__cause__}" if isinstance(error.__cause__, OSError) else ""
                    raise DatasetError(f"{where}: cannot be read{name} ({detail})") from error
                time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")


@functools.lru_cache(maxsize=8)  # one for each process: fsspec would keep one for each thread
def _client(scheme: str, server: str, pid: int) -> Any:
    return open_client(f"{scheme}://{server}")


def open_client(url: str, **options: Any) -> Any:
    """Returns a new client of fsspec for the store of a URL.

    Args:
        url: a scheme and a server or bucket; of S3 the bucket may be missing.
        options: for the store's file system.
    """
    if url.startswith("s3://"):
        # Other servers than Amazon's refuse the checksums that botocore has added to every request since 1.36.
        checksums = dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
        options["config_kwargs"] = {**checksums, "max_pool_connections": 2 * MAX_REQUESTS}
    return fsspec.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)[0]
