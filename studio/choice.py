"""The studio without a model: a page that lists all models on this machine, and a studio of each that is chosen.

/                the list
/models/NAME/    the studio of a model, as in `app`; it is loaded when its page first asks about it
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ostinato.configs.studio import StudioConfig
from ostinato.listen.web.serving import Static
from ostinato.pretrained.models import Model
from ostinato.report.templates import SHARED_STATIC, render
from ostinato.studio.app import HANDLERS, Studio, guarded
from ostinato.studio.options import known_instruments

_HERE = Path(__file__).parent
_INSTRUMENTS_SHOWN = 4


class _Choice:
    """Studios of several models, each opened when it is asked for."""

    def __init__(self, models: Sequence[Model], open_studio: Callable[[Model], Studio]) -> None:
        self._models = {quote(model.name, safe="").replace("%", "_"): model for model in models}
        self._open = open_studio
        self._apps: dict[str, tuple[Studio, ASGIApp]] = {}
        self._opening = asyncio.Lock()
        self._static = Static(directory=_HERE / "static", packages=[SHARED_STATIC])

    def routes(self) -> list[Route | Mount]:
        """Returns all that there is."""
        return [
            Route("/", self.page),
            Route("/static/{file}", self.static),
            Route("/models/{model}/", self.static),  # at once, while the model is not loaded yet
            Route("/models/{model}/static/{file}", self.static),
            Mount("/models/{model}", app=self.studio),
        ]

    async def page(self, request: Request) -> Response:
        """The list of models."""
        models = [
            {
                "address": name,
                "model": model,
                "instruments": known_instruments(model.config["run"])[:_INSTRUMENTS_SHOWN],
            }
            for name, model in self._models.items()
        ]
        return HTMLResponse(render(_HERE / "templates", "choice.html", models=models))

    async def static(self, request: Request) -> Response:
        """The studio's page and files, the same for all models."""
        if request.path_params.get("model", "") not in ("", *self._models):
            raise HTTPException(404, "there is no such model")
        return await self._static.get_response(request.path_params.get("file", "studio.html"), request.scope)

    async def studio(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the studio of a model does."""
        name = scope["path_params"]["model"]
        if name not in self._models:
            raise HTTPException(404, "there is no such model")
        async with self._opening:
            if name not in self._apps:
                studio = await run_in_threadpool(self._open, self._models[name])
                studio.worker.start()
                self._apps[name] = studio, Starlette(routes=studio.routes(), exception_handlers=HANDLERS)
        await self._apps[name][1](scope, receive, send)

    def stop(self) -> None:
        """Ends what is being generated."""
        for studio, _ in self._apps.values():
            studio.worker.stop()


def choice_application(
    models: Sequence[Model], open_studio: Callable[[Model], Studio], config: StudioConfig
) -> ASGIApp:
    """Returns the ASGI application of several models; `open_studio` loads one of them.

    Raises:
        UserError: the prefix is no path.
    """
    choice = _Choice(models, open_studio)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(choice.stop)

    return guarded(Starlette(routes=choice.routes(), exception_handlers=HANDLERS, lifespan=lifespan), config)
