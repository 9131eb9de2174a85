"""Studios of a tiny untrained model, and how they are spoken to."""

import functools
import json
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ostinato.configs.studio import StudioConfig
from ostinato.music import midi
from ostinato.studio.app import application
from ostinato.train.checkpoint import LoadedRun
from tests.midi_files import tune
from tests.sample.runs import untrained, write_run

ADDRESS = "http://127.0.0.1:8001"


@functools.cache
def tiny_model() -> LoadedRun:
    """Made once: that takes seconds."""
    return untrained()


def make_run(folder: Path) -> Path:
    return write_run(folder / "run", tiny_model())


def open_studio(workdir: Path, **options: Any) -> TestClient:
    """To be used as a context manager: the model is made ready when it is entered."""
    app = application(tiny_model(), workdir, workdir / "studio", StudioConfig(**options))
    return TestClient(app, base_url=ADDRESS)


def write(
    client: TestClient, options: dict[str, Any], primer: dict[str, Any] | None = None, **asked: Any
) -> list[dict[str, Any]]:
    """Asks for pieces and returns all events."""
    answer = client.post("/api/pieces", json={"options": options, "primer": primer, **asked}).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def written(
    client: TestClient, options: dict[str, Any], primer: dict[str, Any] | None = None, **asked: Any
) -> dict[str, Any]:
    """Asks for one piece and returns it."""
    last = write(client, options, primer, **asked)[-1]
    assert last["event"] == "done", last
    (piece,) = last["pieces"]
    return piece


def upload(client: TestClient, data: bytes, name: str = "tune.mid"):
    return client.post("/api/uploads", params={"name": name}, content=data, headers={"content-type": "audio/midi"})


def tune_bytes(seed: int = 1) -> bytes:
    return midi.write(tune(seed))
