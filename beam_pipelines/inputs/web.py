"""Files on web servers (http, https), for reading only."""

import http.client
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import BinaryIO, cast

from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.ranged import open_ranged

TIMEOUT_S = 30
"""A server that is silent for so long has failed."""

DEADLINE_S = 300
"""For a file that is read at once: a server that sends a byte now and then has failed, too."""

MAX_DOWNLOAD_BYTES = 16 << 30
"""Of an archive from a server that cannot send parts of it: it is copied to a temporary file first."""

_STEP_BYTES = 1 << 18
_GONE = (404, 410)


class Web:
    """Web servers, each URL by itself."""

    def open(self, url: str) -> BinaryIO:
        """Opens a file that can be sought in."""
        response = self._get(url)
        length = response.headers.get("Content-Length", "")
        if response.headers.get("Accept-Ranges", "") == "bytes" and length.isdigit():
            response.close()
            return open_ranged(url, int(length), lambda start: self._get(url, start))
        with response:
            return self._download(url, response)

    def read(self, url: str, max_bytes: int | None) -> bytes:
        """Returns a whole file, at most one byte more than allowed."""
        end = time.monotonic() + DEADLINE_S
        data = bytearray()
        with self._get(url) as response:
            try:
                while max_bytes is None or len(data) <= max_bytes:
                    step = _STEP_BYTES if max_bytes is None else min(_STEP_BYTES, max_bytes + 1 - len(data))
                    piece = response.read1(step)
                    if not piece:
                        break
                    data += piece
                    if time.monotonic() > end:
                        raise TimeoutError(f"{len(data)} bytes in {DEADLINE_S} s")
            except (OSError, http.client.HTTPException) as error:
                raise StorageError(url, f"cannot be read ({_reason(error)})", reason="unreadable") from error
            missing = response.length or 0
        if missing and (max_bytes is None or len(data) <= max_bytes):
            raise StorageError(url, f"cannot be read (cut: {missing} bytes are missing)", reason="unreadable")
        return bytes(data)

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        """Returns the bytes from an offset on; fewer at the end of the file."""
        with self.open(url) as file:
            file.seek(offset)
            return file.read(length)

    def is_file(self, url: str) -> bool:
        """Returns whether the server has the file."""
        try:
            self._get(url).close()
        except StorageError as error:
            if error.reason == "missing":
                return False
            raise
        return True

    def list_files(self, folder: str) -> list[str]:
        """Raises StorageError: web servers do not list folders."""
        raise StorageError(folder, "a web server does not list its folders; name the files, or give a list of them")

    def put(self, url: str, file: BinaryIO) -> None:
        """Raises StorageError: web servers are for reading."""
        raise StorageError(url, "cannot be written: a web server is for reading only")

    def delete(self, urls: list[str]) -> None:
        """Raises StorageError: web servers are for reading."""
        raise StorageError(urls[0], "cannot be deleted: a web server is for reading only")

    def _get(self, url: str, start: int = 0) -> http.client.HTTPResponse:
        headers = {"User-Agent": "ostinato"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            quoted = urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~", errors="surrogateescape")
            request = urllib.request.Request(quoted, headers=headers)
            response = cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=TIMEOUT_S))
        except urllib.error.HTTPError as error:
            error.close()
            reason = "missing" if error.code in _GONE else "unreadable"
            raise StorageError(url, f"the server says {error.code} {error.reason}", reason=reason) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StorageError(url, f"cannot be read ({_reason(error)})", reason="unreadable") from error
        if start and response.status != http.client.PARTIAL_CONTENT:
            response.close()
            raise StorageError(url, f"cannot be read from byte {start} on, though the server says so")
        return response

    def _download(self, url: str, response: http.client.HTTPResponse) -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        try:
            while file.tell() <= MAX_DOWNLOAD_BYTES and (piece := response.read(_STEP_BYTES)):
                file.write(piece)
        except (OSError, http.client.HTTPException) as error:
            file.close()
            raise StorageError(url, f"cannot be read ({_reason(error)})", reason="unreadable") from error
        if file.tell() > MAX_DOWNLOAD_BYTES:
            file.close()
            raise StorageError(url, f"more than the {MAX_DOWNLOAD_BYTES} bytes allowed", reason="too_large")
        file.seek(0)
        return cast(BinaryIO, file)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)
