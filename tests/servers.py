"""Real servers on this machine, in threads of the test's own process: S3 (by moto), and web servers of a folder."""

import contextlib
import functools
import http.server
import logging
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ostinato.beam_pipelines.inputs import files


@contextlib.contextmanager
def s3_server() -> Iterator[list[str]]:
    """Starts an S3 server and yields Beam's options for it; it forgets everything at the end."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = [
        f"--s3_endpoint_url=http://{host}:{port}",
        "--s3_access_key_id=test",
        "--s3_secret_access_key=test",
        "--s3_region_name=us-east-1",
    ]
    try:
        yield options
    finally:
        files.configure([])
        # moto keeps its buckets in the process, for the next server to find.
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        server.stop()


def make_bucket(options: list[str], name: str) -> str:
    """Makes a bucket and returns its URL."""
    from boto3.session import Session

    endpoint = next(option.partition("=")[2] for option in options if "endpoint" in option)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = Session().client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"


class FolderHandler(http.server.SimpleHTTPRequestHandler):
    """Sends the files of a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Tests are silent."""


class RangesHandler(FolderHandler):
    """Sends any part of a file, as most servers do."""

    max_bytes = -1
    """The connection breaks after so many."""
    asked: ClassVar[list[str]] = []
    """The method and range of each request; for a test to clear."""

    def parse_request(self) -> bool:
        is_request = super().parse_request()
        if is_request:
            self.asked.append(f"{self.command} {self.headers.get('Range', '')}".strip())
        return is_request

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        start, stop = 0, len(data)
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            start, stop = int(wanted[1]), min(int(wanted[2]) + 1, stop)
        self.send_response(http.HTTPStatus.PARTIAL_CONTENT if wanted else http.HTTPStatus.OK)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(data[start : stop if self.max_bytes < 0 else min(stop, start + self.max_bytes)])


class BreakingHandler(RangesHandler):
    """Loses the connection now and then."""

    max_bytes = 700_000


class EndlessHandler(FolderHandler):
    """Sends zeros as long as anybody listens, `pause_s` apart."""

    pause_s = 0.0

    def do_GET(self) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1000))
                threading.Event().wait(self.pause_s)


class DrippingHandler(EndlessHandler):
    """Sends just enough not to be taken for dead."""

    pause_s = 0.02


@contextlib.contextmanager
def web_server(folder: Path, handler: type[FolderHandler] = FolderHandler) -> Iterator[str]:
    """Serves a folder and yields its URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
