"""Sends a clip as a whole or in part, with headers that say nothing about it.

Safari plays only what comes in ranges. No ETag, no Last-Modified: they would tell when a file was made, and so by what.
"""

import os
import re
from pathlib import Path

from starlette.responses import Response

from ostinato.configs.errors import UserError

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Returns the first byte that is wanted and the one after the last, or None for the whole file.

    Several ranges at once, other units and nonsense mean the whole file, as RFC 9110 (14.2) allows.

    Raises:
        UserError: the range lies outside of the file.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last so many bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= stop:
        raise UserError(f"{header}: the file has {size} bytes")
    return start, stop


def clip_response(path: Path, content_type: str, range_header: str | None) -> Response:
    """Returns a clip, or the part of it that a browser asks for.

    Raises:
        OSError: the file cannot be read.
    """
    headers = {"accept-ranges": "bytes", "cache-control": "private, max-age=86400", "content-type": content_type}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            wanted = byte_range(range_header, size)
        except ValueError:
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
        if wanted is None:
            return Response(file.read(), headers=headers)
        start, stop = wanted
        file.seek(start)
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        return Response(file.read(stop - start), 206, headers)
