"""The web application of `ostinato listen serve`: from a link to thanks, one page at a time.

    /            what the study is about; consent or refusal (POST /consent)
    /training    musical training
    /task        the first task without an answer; POST stores its answer and leads to the next
    /thanks      the end; /about and /withdraw on the way
    /audio/ID    the clips, for those who have given consent

Each form is answered with a redirect, after the answer is on disk. Who a listener is stands in a cookie; nothing else
is kept between requests, so the server can be killed and started again at any moment.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ostinato.listen.design.study import CONTENT_TYPES, Study
from ostinato.listen.web import screens
from ostinato.listen.web.address import check_prefix
from ostinato.listen.web.answer import SCALES, AnswerError, parse_answer, parse_training
from ostinato.listen.web.answers import Answers
from ostinato.listen.web.clip_response import clip_response
from ostinato.listen.web.guard import Guard, check_origin, read_form
from ostinato.listen.web.markup import STATIC_FILES, read_static, version_of
from ostinato.listen.web.sessions import COOKIE_DAYS, Limits, Listener, Sessions
from ostinato.listen.web.site import Site
from ostinato.listen.web.task_screen import task_screen

STORAGE = (
    "That you agreed, and when; what you say about your musical training; your answers and comments, when you gave "
    "them, and for how long you played each clip.",
    "On this device a cookie with a random number, so that you can come back. It is used for nothing else.",
    f"Not stored: your name, your address, your device. The cookie is forgotten after {COOKIE_DAYS} days.",
    "You can have your answers deleted, here, as long as the study runs.",
)

_logger = logging.getLogger(__name__)


class _Pages:
    """Answers requests to one study."""

    def __init__(self, study: Study, answers: Answers, site: Site, limits: Limits) -> None:
        self._study, self._answers, self._site, self._root = study, answers, site, site.root
        self._sessions = Sessions(answers, study_id=study.id, root=site.root, limits=limits)
        self._public = study.public()
        self._clips = {
            Path(file).name: (study.folder / file, CONTENT_TYPES[form])
            for clip in study.clips.values()
            for form, file in clip.files.items()
        }

    def routes(self) -> list[Route]:
        """Returns all that there is."""
        return [
            Route("/", self.welcome),
            Route("/consent", self.take_consent, methods=["POST"]),
            Route("/about", self.about),
            Route("/training", self.training),
            Route("/training", self.take_training, methods=["POST"]),
            Route("/task", self.task),
            Route("/task", self.take_answer, methods=["POST"]),
            Route("/thanks", self.thanks),
            Route("/withdraw", self.withdraw),
            Route("/withdraw", self.take_withdrawal, methods=["POST"]),
            Route("/refused", self.refused),
            Route("/withdrawn", self.withdrawn),
            Route("/audio/{name}", self.clip),
            Route("/static/{name}", self.static),
            Route("/robots.txt", self.robots),
        ]

    async def welcome(self, request: Request) -> Response:
        """What the study is about; whoever has begun goes on instead."""
        if await self._sessions.find(request) is not None:
            return self._site.go("task")
        return self._site.page(screens.welcome(self._public, root=self._root, storage=STORAGE))

    async def about(self, request: Request) -> Response:
        """The same for those who have begun."""
        if await self._sessions.find(request) is None:
            return self._site.go("")
        return self._site.page(screens.about(self._public, root=self._root, storage=STORAGE))

    async def take_consent(self, request: Request) -> Response:
        """Begins a session, or counts a refusal."""
        form = await self._form(request)
        listener = await self._sessions.find(request)
        if form.get("consent") not in ("yes", "no"):
            raise HTTPException(400, "The form says neither yes nor no.")
        if listener is not None:
            return self._site.go("task")
        self._sessions.count_consent(request)
        if form["consent"] == "no":
            await run_in_threadpool(self._answers.refuse)
            return self._site.go("refused")
        session = await run_in_threadpool(self._answers.begin)
        answer = self._site.go("training?begun")
        self._sessions.remember(request, answer, session.token)
        return answer

    async def training(self, request: Request) -> Response:
        """The questions about the listener."""
        listener = await self._sessions.find(request)
        if listener is None:
            is_lost = request.scope["query_string"] == b"begun"  # this is where consent leads to, with a cookie
            return self._site.page(screens.no_cookies(self._root)) if is_lost else self._site.go("")
        if listener.progress.has_training:
            return self._site.go("task")
        return self._site.page(screens.training(root=self._root))

    async def take_training(self, request: Request) -> Response:
        """Stores what the listener says about herself."""
        form = await self._form(request)
        listener = await self._sessions.find(request)
        if listener is None:
            return self._site.go("")
        try:
            training = parse_training(form)
        except AnswerError as error:
            return self._site.page(
                screens.training(root=self._root, given=form, problem=f"This cannot be taken: {error}"), 422
            )
        await run_in_threadpool(self._answers.train, listener.token, training)
        return self._site.go("task")

    async def task(self, request: Request) -> Response:
        """The first task that has no answer."""
        listener = await self._sessions.find(request)
        if listener is None:
            return self._site.go("")
        progress = listener.progress
        if not progress.has_training:
            return self._site.go("training")
        if progress.next_task is None:
            if not progress.finished:  # killed between the last answer and this
                await run_in_threadpool(self._answers.finish, listener.token)
            return self._site.go("thanks")
        return self._site.page(
            task_screen(progress.next_task, listener.place, root=self._root, prompt_s=self._study.prompt_s)
        )

    async def take_answer(self, request: Request) -> Response:
        """Stores an answer."""
        form = await self._form(request)
        listener = await self._sessions.find(request)
        if listener is None:
            return self._site.go("")
        if not listener.progress.has_training:
            return self._site.go("training")
        tasks = self._study.tasks_of(listener.progress.number)
        task = next((task for task in tasks if task.id == form.get("task")), None)
        if task is None:
            raise HTTPException(400, "There is no such task.")
        try:
            answer = parse_answer(task, _answer_of(form, len(task.clips)))
        except AnswerError as error:
            # What is wrong with an answer to another task than the next is not worth a page.
            if task != listener.progress.next_task:
                raise
            screen = task_screen(
                task, listener.place, root=self._root, prompt_s=self._study.prompt_s, given=form,
                problem=f"This cannot be taken: {error}",
            )  # fmt: skip
            return self._site.page(screen, 422)
        await run_in_threadpool(self._answers.record, listener.token, task.id, answer)
        if listener.progress.answered + 1 >= listener.progress.total:
            return await self._finish(listener)
        return self._site.go("task")

    async def _finish(self, listener: Listener) -> Response:
        progress = await run_in_threadpool(self._answers.progress, listener.token)
        if progress.next_task is None:
            await run_in_threadpool(self._answers.finish, listener.token)
        return self._site.go("task")

    async def thanks(self, request: Request) -> Response:
        """The end, for whoever has answered all."""
        listener = await self._sessions.find(request)
        if listener is None or not listener.progress.finished:
            return self._site.go("" if listener is None else "task")
        return self._site.page(screens.thanks(self._public, listener.place, root=self._root))

    async def withdraw(self, request: Request) -> Response:
        """The question whether all is to be deleted."""
        if await self._sessions.find(request) is None:
            return self._site.go("")
        return self._site.page(screens.withdraw(root=self._root))

    async def take_withdrawal(self, request: Request) -> Response:
        """Deletes what a listener said, and the cookie."""
        form = await self._form(request)
        listener = await self._sessions.find(request)
        if form.get("withdraw") != "yes":
            raise HTTPException(400, "The form does not say yes.")
        if listener is None:
            return self._site.go("")
        await run_in_threadpool(self._answers.withdraw, listener.token)
        answer = self._site.go("withdrawn")
        self._sessions.forget(answer)
        return answer

    async def refused(self, request: Request) -> Response:
        """After a refusal."""
        self._sessions.count(request)
        return self._site.page(screens.refused(self._root))

    async def withdrawn(self, request: Request) -> Response:
        """After a withdrawal."""
        self._sessions.count(request)
        return self._site.page(screens.withdrawn())

    async def clip(self, request: Request) -> Response:
        """A clip."""
        if await self._sessions.find(request) is None:
            raise HTTPException(403, "Clips are for those who take part.")
        found = self._clips.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        try:
            return await run_in_threadpool(clip_response, *found, request.headers.get("range"))
        except FileNotFoundError:
            _logger.error("%s: is missing", found[0])
            raise HTTPException(404) from None

    async def static(self, request: Request) -> Response:
        """A style sheet, a script or a picture."""
        self._sessions.count(request)
        name = request.path_params["name"]
        if name not in STATIC_FILES:
            raise HTTPException(404)
        is_version = request.query_params.get("v") == version_of(name)
        age = "public, max-age=31536000, immutable" if is_version else "no-cache"
        return Response(read_static(name), headers={"content-type": STATIC_FILES[name], "cache-control": age})

    async def robots(self, request: Request) -> Response:
        """Keeps search engines out."""
        self._sessions.count(request)
        return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")

    async def _form(self, request: Request) -> dict[str, str]:
        check_origin(request.headers)
        return await read_form(request)


def application(study: Study | str | Path, *, prefix: str = "", limits: Limits | None = None) -> ASGIApp:
    """Returns the ASGI application of a study.

    Args:
        study: the study, or its folder.
        prefix: the path below which a reverse proxy shows it, such as "/listen"; requests may come with or without it.
        limits: how many requests are answered; those of `Limits` by default.

    Raises:
        ValueError: the folder is no study, or the prefix is no path.
    """
    prefix = check_prefix(prefix, example="/listen")
    study = study if isinstance(study, Study) else Study.open(study)
    answers = Answers.open(study)
    site = Site(study.title, f"{prefix}/")
    shown = _Pages(study, answers, site, limits or Limits())
    app = Starlette(routes=shown.routes(), exception_handlers=site.handlers())
    app.router.redirect_slashes = False  # its redirects are made of the Host that a request names
    return Guard(app, prefix=prefix)


def _answer_of(form: Mapping[str, str], num_clips: int) -> dict[str, object]:
    """Returns a form as `parse_answer` reads it: numbers as numbers, lines ended as everywhere."""
    data: dict[str, object] = {name: value for name, value in form.items() if name != "task"}
    data |= {name: int(form[name]) for name in SCALES if re.fullmatch(r"[0-9]{1,3}", form.get(name, ""))}
    data["comment"] = form.get("comment", "").replace("\r\n", "\n")
    played = form.get("played_ms", "").split()  # empty without JavaScript: nothing is known
    data["played_ms"] = [int(ms) if re.fullmatch(r"[0-9]{1,9}", ms) else -1 for ms in played] or [0] * num_clips
    return data
