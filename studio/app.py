"""The web application of `ostinato studio`.

    /                       the page; its files are in /static
    /api/model              GET: what the model knows, what may be asked for, and whether it is ready
    /api/pieces             GET: the history. POST {"options": {…}, "take": null or a number, and at most one of
                            "primer", "harmonise" and "fill": {"name", "sha256"}}: generates pieces; the answer is lines
                            of JSON, one for each event, while they are generated
    /api/pieces/ID          GET: a piece with its notes. DELETE
    /api/edits              POST {"piece": ID or "upload": {"name", "sha256"}, "notes": […]}: a piece with other notes
    /api/played             POST {"tempo", "meter", "notes": […]}: what was played on the page, as an upload
    /api/uploads?name=NAME  POST: the bytes of a MIDI file or score to continue, to fill or to add parts to
    /files/ID.mid           the piece; .wav, .flac, .ogg, .musicxml, .svg (a page) and .phone.svg are made when
                            they are asked for

What is wrong with a request is said in {"message": "…"}, one line for the musician.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ostinato.configs.errors import UserError
from ostinato.configs.studio import StudioConfig
from ostinato.listen.web.guard import Guard, check_origin, receiving
from ostinato.listen.web.hosts import HostCheck, is_loopback
from ostinato.listen.web.screens import POLICY
from ostinato.listen.web.serving import Static, check_prefix
from ostinato.music import midi
from ostinato.music.sheet.libraries import missing
from ostinato.report.templates import SHARED_STATIC
from ostinato.sample.output.roll import roll_of
from ostinato.studio import compose, pages
from ostinato.studio.edits import parse_edited, parse_played
from ostinato.studio.options import describe_model
from ostinato.studio.pieces import Pieces
from ostinato.studio.request import parse_request
from ostinato.studio.sounds import SUFFIXES, Sounds
from ostinato.studio.uploads import MAX_BYTES, Uploads
from ostinato.studio.worker import BusyError, Job, Worker
from ostinato.train.checkpoint import LoadedRun

MAX_OPTIONS_BYTES = 32 * 1024
HEARTBEAT_S = 1.0
"""How often a request in line hears of its place."""

_GONE = "this piece is not there any more"
_MEDIA_TYPES = {
    "mid": "audio/midi", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg",
    "musicxml": "application/vnd.recordare.musicxml+xml", "svg": "image/svg+xml",
    "phone.svg": "image/svg+xml",
}  # fmt: skip
_logger = logging.getLogger(__name__)


class Studio:
    """Answers requests about one trained model; it has to be started."""

    def __init__(
        self, run: LoadedRun, source: str | Path, folder: Path, soundfont: Path | None, *, is_one_of_many: bool = False
    ) -> None:
        """Takes a model, what names it, where pieces are kept, and whether a page offers others too."""
        self._run = run
        self._pieces = Pieces(folder)
        self._uploads = Uploads(folder / "uploads", run.codec)
        self._sounds = Sounds(folder / "sounds", soundfont)
        self._pages = pages.Pages(folder / "scores")
        self._static = Static(directory=Path(__file__).parent / "static", packages=[SHARED_STATIC])
        self._model = {
            **describe_model(run, source, folder),
            "is_one_of_many": is_one_of_many,
            "has_scores": not missing(),
        }
        self.worker = Worker(lambda: compose.warm_up(run), lambda job: compose.compose(run, source, self._pieces, job))

    def routes(self) -> list[Route]:
        """Returns all that there is."""
        return [
            Route("/", self.static),
            Route("/static/{name}", self.static),
            Route("/api/model", self.model),
            Route("/api/pieces", self.history),
            Route("/api/pieces", self.generate, methods=["POST"]),
            Route("/api/pieces/{name}", self.piece),
            Route("/api/pieces/{name}", self.delete, methods=["DELETE"]),
            Route("/api/edits", self.edit, methods=["POST"]),
            Route("/api/played", self.play, methods=["POST"]),
            Route("/api/uploads", self.upload, methods=["POST"]),
            Route("/files/{name}", self.file),
        ]

    async def static(self, request: Request) -> Response:
        """The page, its style sheet, its scripts and its icon."""
        return await self._static.get_response(request.path_params.get("name", "studio.html"), request.scope)

    async def model(self, request: Request) -> Response:
        """What can be asked for, and whether the model is ready."""
        return JSONResponse({**self._model, "state": self.worker.state, "num_open": self.worker.num_open})

    async def history(self, request: Request) -> Response:
        """The pieces that were generated, without their notes."""
        return JSONResponse({"pieces": await run_in_threadpool(self._pieces.newest)})

    async def piece(self, request: Request) -> Response:
        """One piece with its notes."""
        found = await run_in_threadpool(self._pieces.find, request.path_params["name"])
        if found is None:
            raise HTTPException(404, _GONE)
        return JSONResponse(found)

    async def delete(self, request: Request) -> Response:
        """Deletes a piece."""
        check_origin(request.headers)
        name = request.path_params["name"]
        if not await run_in_threadpool(self._pieces.delete, name):
            raise HTTPException(404, _GONE)
        await run_in_threadpool(self._sounds.delete, name)
        await run_in_threadpool(self._pages.delete, name)
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Takes a MIDI file or score to continue."""
        # None of the types that a form of another site can send.
        async with receiving(request, ("audio/midi", "application/octet-stream"), MAX_BYTES) as ours:
            data = await ours.body()
        name = request.query_params.get("name", "")
        return JSONResponse(await run_in_threadpool(self._uploads.save, name, data), 201)

    async def generate(self, request: Request) -> Response:
        """Generates a piece; what happens comes line by line."""
        async with receiving(request, ("application/json",), MAX_OPTIONS_BYTES) as ours:
            body = await ours.body()
        asked = parse_request(body, self._uploads.find)
        await run_in_threadpool(compose.check_request, self._run, asked)
        job = Job(asked)
        try:
            self.worker.submit(job)
        except BusyError:
            raise HTTPException(503, "many pieces are in line already; try again in a minute") from None
        return StreamingResponse(self._events(job), media_type="application/x-ndjson")

    async def edit(self, request: Request) -> Response:
        """Saves a piece whose notes were edited as a piece of its own."""
        async with receiving(request, ("application/json",), MAX_BYTES) as ours:
            body = await ours.body()
        return JSONResponse(await run_in_threadpool(self._edit, body), 201)

    async def play(self, request: Request) -> Response:
        """Takes notes that were played on the page, to continue them."""
        async with receiving(request, ("application/json",), MAX_BYTES) as ours:
            body = await ours.body()
        data = midi.write(await run_in_threadpool(parse_played, body))
        return JSONResponse(await run_in_threadpool(self._uploads.save, "played.mid", data), 201)

    async def file(self, request: Request) -> Response:
        """A piece as MIDI, sound or score."""
        name, _, suffix = request.path_params["name"].partition(".")
        path = await run_in_threadpool(self._pieces.midi_path, name)
        if path is None or suffix not in _MEDIA_TYPES:
            raise HTTPException(404, _GONE)
        title = await run_in_threadpool(self._pieces.title, name)
        if suffix in SUFFIXES:
            path = await self._sounds.find(path, suffix)
        elif suffix in pages.SUFFIXES:
            path = await run_in_threadpool(self._pages.find, path, suffix, title)
        headers = {"cache-control": "private, max-age=3600"}  # what has this name never changes
        return FileResponse(path, media_type=_MEDIA_TYPES[suffix], filename=f"{title}.{suffix}", headers=headers)

    def _edit(self, body: bytes) -> dict[str, Any]:
        piece, source = parse_edited(body, self._run.codec, self._pieces.midi_path, self._uploads.find)
        name = self._pieces.title(source.stem) if self._pieces.midi_path(source.stem) == source else source.name
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        return {**self._pieces.save_edited(piece, name, sha256), "roll": roll_of(piece)}

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


def application(run: LoadedRun, source: str | Path, folder: Path, config: StudioConfig) -> ASGIApp:
    """Returns the ASGI application of a trained model; it begins to compile when the server starts.

    Pieces, uploads and sound are kept in `folder`. Requests may come with or without the prefix of the configuration.

    Raises:
        UserError: the prefix is no path.
    """
    studio = Studio(run, source, folder, config.soundfont)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        studio.worker.start()
        yield
        await run_in_threadpool(studio.worker.stop)

    return guarded(Starlette(routes=studio.routes(), exception_handlers=HANDLERS, lifespan=lifespan), config)


def guarded(app: ASGIApp, config: StudioConfig) -> ASGIApp:
    """Returns an application behind the checks of names and requests, below the prefix of the configuration.

    Raises:
        UserError: the prefix is no path.
    """
    prefix = check_prefix(config.prefix, example="/studio")
    message = "the studio is not known by this name; 'ostinato studio --public-host NAME' allows it"
    refusal = JSONResponse({"message": message}, 421)
    hosts = HostCheck(app, is_local=is_loopback(config.host), names=config.public_host, refusal=refusal)
    return Guard(hosts, prefix=prefix, policy=f"{POLICY}'none'; connect-src 'self'")


async def _refuse(request: Request, error: Exception) -> Response:
    """Says in one line what is wrong with a request: in the library's words, if it is what was asked for."""
    headers = None
    if isinstance(error, HTTPException):
        status, message, headers = error.status_code, error.detail, error.headers
    elif isinstance(error, UserError):
        status, message = 422, " ".join(str(error).split())
    else:  # a disk that is full, or cannot be read
        _logger.error("%s", error)
        status, message = 503, f"the studio's folder cannot be used: {getattr(error, 'strerror', error)}"
    return JSONResponse({"message": message}, status, headers)


HANDLERS = dict.fromkeys((HTTPException, UserError, OSError), _refuse)
"""What becomes of errors."""
