"""The web application of `ostinato studio`.

    /                       the page; its files are in /static
    /api/model              GET: what the model knows, what may be asked for, and whether it is ready
    /api/pieces             GET: the history. POST {"options": {…}, "primer": null or {"name", "sha256"}}: writes a
                            piece; the answer is lines of JSON, one for each event, while it is written
    /api/pieces/ID          GET: a piece with its notes. DELETE
    /api/uploads?name=NAME  POST: the bytes of a MIDI file to go on from
    /files/ID.mid           the piece; .wav and .flac are rendered when they are asked for

What is wrong with a request is said in {"message": "…"}, one line for the musician.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.data.statistics import Statistics
from ostinato.listen.web.guard import Guard, check_origin, read_body
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DRUMS
from ostinato.studio import compose
from ostinato.studio.hosts import HostCheck
from ostinato.studio.options import check_options, describe_controls, parse_options
from ostinato.studio.pieces import Pieces
from ostinato.studio.sounds import SUFFIXES, Sounds
from ostinato.studio.uploads import MAX_BYTES, Uploads
from ostinato.studio.worker import BusyError, Job, Worker
from ostinato.train.checkpoint import LoadedRun

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy: nothing from elsewhere, nothing inline."""

MAX_OPTIONS_BYTES = 32 * 1024
HEARTBEAT_S = 1.0
"""How often a request in line hears of its place."""

PAGE = "studio.html"
STATIC = {
    "studio.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript; charset=utf-8" for name in ("studio", "form", "roll", "player", "history")},
}

_MEDIA_TYPES = {".mid": "audio/midi", ".wav": "audio/wav", ".flac": "audio/flac"}
_logger = logging.getLogger(__name__)


class _Studio:
    """Answers requests about one trained model."""

    def __init__(self, run: LoadedRun, workdir: Path, folder: Path, soundfont: Path | None) -> None:
        self._run, self._workdir, self._folder = run, workdir, folder
        self._pieces = Pieces(folder)
        self._uploads = Uploads(folder / "uploads", run.codec)
        self._sounds = Sounds(folder / "sounds", soundfont)
        self.worker = Worker(lambda: compose.warm_up(run), self._write)
        self._model = {
            "name": workdir.resolve().name,
            "step": run.step,
            "workdir": str(workdir.absolute()),
            "folder": str(folder.absolute()),
            "instruments": [instrument_name(program) for program in range(DRUMS + 1)],
            "known_instruments": _known_instruments(run.description),
            **describe_controls(run.codec),
        }

    def routes(self) -> list[Route]:
        """Returns all that there is."""
        return [
            Route("/", self.page),
            Route("/static/{name}", self.static),
            Route("/api/model", self.model),
            Route("/api/pieces", self.history),
            Route("/api/pieces", self.write, methods=["POST"]),
            Route("/api/pieces/{name}", self.piece),
            Route("/api/pieces/{name}", self.forget, methods=["DELETE"]),
            Route("/api/uploads", self.upload, methods=["POST"]),
            Route("/files/{name}", self.file),
        ]

    async def page(self, request: Request) -> Response:
        """The page."""
        return Response(_static(PAGE), media_type="text/html", headers={"cache-control": "no-cache"})

    async def static(self, request: Request) -> Response:
        """A style sheet, a script or the icon."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        data = _static(name)
        headers = {"cache-control": "no-cache", "etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(data, headers={**headers, "content-type": STATIC[name]})

    async def model(self, request: Request) -> Response:
        """What can be asked for, and whether the model is ready."""
        return JSONResponse({**self._model, "state": self.worker.state, "num_open": self.worker.num_open})

    async def history(self, request: Request) -> Response:
        """The pieces that were written, without their notes."""
        return JSONResponse({"pieces": await run_in_threadpool(self._pieces.newest)})

    async def piece(self, request: Request) -> Response:
        """One piece with its notes."""
        found = await run_in_threadpool(self._pieces.find, request.path_params["name"])
        if found is None:
            raise HTTPException(404, "this piece is not there any more")
        return JSONResponse(found)

    async def forget(self, request: Request) -> Response:
        """Deletes a piece."""
        check_origin(request.headers)
        name = request.path_params["name"]
        if not await run_in_threadpool(self._pieces.forget, name):
            raise HTTPException(404, "this piece is not there any more")
        await run_in_threadpool(self._sounds.forget, name)
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Takes a MIDI file to go on from."""
        # None of the types that a form of another site can send.
        data = await _read_body(request, ("audio/midi", "application/octet-stream"), MAX_BYTES)
        name = request.query_params.get("name", "")
        return JSONResponse(await run_in_threadpool(self._uploads.keep, name, data), 201)

    async def write(self, request: Request) -> Response:
        """Writes a piece; what happens comes line by line."""
        asked = _parse_json(await _read_body(request, ("application/json",), MAX_OPTIONS_BYTES))
        if not isinstance(asked, dict) or asked.keys() - {"options", "primer"}:
            raise UserError("the request must be an object of JSON with options and primer, and nothing else")
        config = parse_options(asked.get("options", {}))
        primer = None if asked.get("primer") is None else self._uploads.find(asked["primer"])
        await run_in_threadpool(self._check, config, primer)
        job = Job(config, primer)
        try:
            self.worker.submit(job)
        except BusyError:
            raise HTTPException(503, "many pieces are in line already; try again in a minute") from None
        return StreamingResponse(self._events(job), media_type="application/x-ndjson")

    async def file(self, request: Request) -> Response:
        """A piece as MIDI or sound."""
        name, _, suffix = request.path_params["name"].rpartition(".")
        suffix = f".{suffix}"
        path = await run_in_threadpool(self._pieces.midi_path, name)
        if path is None or suffix not in _MEDIA_TYPES:
            raise HTTPException(404, "this piece is not there any more")
        if suffix in SUFFIXES:
            path = await self._sounds.find(path, suffix)
        headers = {"cache-control": "private, max-age=3600"}  # what has this name never changes
        return FileResponse(path, media_type=_MEDIA_TYPES[suffix], filename=f"ostinato-{path.name}", headers=headers)

    def _check(self, config: SampleConfig, primer: Path | None) -> None:
        check_options(config, self._run.codec)
        compose.read_primer(primer, self._run.codec, config)

    def _write(self, job: Job, tell: compose.Tell) -> None:
        compose.compose(
            self._run, self._workdir, self._pieces, job.config, job.primer, tell=tell, cancelled=job.cancelled
        )

    async def _events(self, job: Job) -> AsyncIterator[bytes]:
        """Yields a line for each event; whoever stops reading withdraws the job."""
        try:
            while True:
                try:
                    event = await asyncio.wait_for(job.events.get(), HEARTBEAT_S)
                except TimeoutError:
                    event = {"event": "waiting", "state": self.worker.state, "before": self.worker.num_before(job)}
                yield json.dumps(event).encode() + b"\n"
                if event["event"] in ("done", "failed"):
                    return
        finally:
            self.worker.withdraw(job)


def application(
    run: LoadedRun,
    workdir: Path,
    folder: Path,
    *,
    prefix: str = "",
    is_local: bool = True,
    names: tuple[str, ...] = (),
    soundfont: Path | None = None,
) -> ASGIApp:
    """Returns the ASGI application of a trained model; it begins to compile when the server starts.

    Args:
        run: the model.
        workdir: where it was loaded from.
        folder: where pieces, uploads and sound are kept.
        prefix: the path below which a reverse proxy shows it, such as "/studio"; requests may come with or without it.
        is_local: only this machine can reach the server.
        names: host names beside those of this machine by which it may be called.
        soundfont: for the sound; None is the default one.
    """
    studio = _Studio(run, workdir, folder, soundfont)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        studio.worker.start()
        yield
        await run_in_threadpool(studio.worker.stop)

    handlers: Mapping[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _refuse,
        UserError: _refuse_value,
        OSError: _fail,
    }
    app = Starlette(routes=studio.routes(), exception_handlers=dict(handlers), lifespan=lifespan)
    return Guard(HostCheck(_Policy(app), is_local=is_local, names=names), prefix=prefix)


class _Policy:
    """Gives answers the policy of this page, which asks its own server for more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail or HTTPStatus(error.status_code).phrase
    return JSONResponse({"message": message}, error.status_code, headers=error.headers)


async def _refuse_value(request: Request, error: Exception) -> Response:
    """What the library says about what was asked for."""
    return JSONResponse({"message": " ".join(str(error).split())}, 422)


async def _fail(request: Request, error: Exception) -> Response:
    """A disk that is full, or cannot be read."""
    _logger.error("%s", error)
    return JSONResponse({"message": f"the studio's folder cannot be used: {getattr(error, 'strerror', error)}"}, 503)


async def _read_body(request: Request, media_types: tuple[str, ...], max_bytes: int) -> bytes:
    """Returns the body of a request of this page.

    Raises:
        HTTPException: 400, 403, 408, 413 or 415; it is another site's, too long, too slow, or of another type.
    """
    check_origin(request.headers)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in media_types:
        raise HTTPException(415, f"the request must be of the type {' or '.join(media_types)}")
    return await read_body(request, max_bytes=max_bytes)


def _parse_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request is not JSON: {error}") from error


@cache
def _static(name: str) -> bytes:
    return resources.files("ostinato.studio").joinpath("static", name).read_bytes()


def _known_instruments(description: Mapping[str, Any]) -> list[str]:
    """Returns what the model heard in training, the most frequent first; nothing where its dataset is gone."""
    path = Path(description.get("dataset", {}).get("path", ""), "statistics.json")
    if not path.is_file():
        return []
    try:
        heard = Statistics.from_json(json.loads(path.read_bytes())["splits"]["train"]).program_notes
    except (ValueError, KeyError, TypeError, OSError) as error:
        _logger.warning("%s: the instruments of the training music are not known (%s)", path, error)
        return []
    return [instrument_name(int(program)) for program in np.argsort(-heard, kind="stable") if heard[program]]
