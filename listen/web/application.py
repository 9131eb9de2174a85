"""The web application of `ostinato listen serve`: from a link to thanks, one page at a time.

    /            what the study is about; consent or refusal (POST /consent)
    /training    musical training
    /task        the first task without an answer; POST stores its answer and leads to the next
    /thanks      the end; /about and /withdraw on the way
    /audio/ID    the clips, for those who have given consent

Each form is answered with a redirect, after the answer is on disk. Who a listener is stands in a cookie; nothing else
is kept between requests, so the server can be killed and started again at any moment.
"""

import functools
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ostinato.listen.design.study import CONTENT_TYPES, Study
from ostinato.listen.web.answer import SCALES, AnswerError, parse_answer, parse_training
from ostinato.listen.web.answers import Answers
from ostinato.listen.web.guard import Guard, read_form
from ostinato.listen.web.screens import POLICY, REFUSED, STATIC, WITHDRAWN, Screens
from ostinato.listen.web.serving import Static, check_prefix
from ostinato.listen.web.sessions import COOKIE_DAYS, Limits, Sessions, Visitor
from ostinato.listen.web.site import Site

STORAGE = (
    "That you agreed, and when; what you say about your musical training; your answers and comments, when you gave "
    "them, and for how long you played each clip.",
    "On this device a cookie with a random number, so that you can come back. It is used for nothing else.",
    f"Not stored: your name, your address, your device. The cookie is forgotten after {COOKIE_DAYS} days.",
    "You can have your answers deleted, here, as long as the study runs.",
)

CLIP_HEADERS = {
    "cache-control": "private, max-age=86400",
    # The same for all clips: when a file was made would tell by what.
    "etag": '"clip"',
    "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
}

_logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class _Pages:
    """Answers requests to one study."""

    def __init__(self, study: Study, answers: Answers, site: Site, limits: Limits) -> None:
        self._study, self._answers, self._site = study, answers, site
        self._sessions = Sessions(answers, study_id=study.id, root=site.root, limits=limits)
        self._static = Static(directory=STATIC)
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
            Route("/about", self._known(self.about)),
            Route("/training", self.training),
            Route("/training", self._known_form(self.take_training), methods=["POST"]),
            Route("/task", self._known(self.task)),
            Route("/task", self._known_form(self.take_answer), methods=["POST"]),
            Route("/thanks", self._known(self.thanks)),
            Route("/withdraw", self._known(self.withdraw)),
            Route("/withdraw", self._known_form(self.take_withdrawal), methods=["POST"]),
            Route("/refused", self.refused),
            Route("/withdrawn", self.withdrawn),
            Route("/audio/{name}", self.clip),
            Route("/static/{name}", self.static),
            Route("/robots.txt", self.robots),
        ]

    def _known(self, handle: Callable[[Visitor], Awaitable[Response]]) -> Handler:
        """Returns a page for those who have begun; others go to the first page."""

        async def answer(request: Request) -> Response:
            visitor = await self._sessions.find(request)
            return self._site.go("") if visitor is None else await handle(visitor)

        return answer

    def _known_form(self, handle: Callable[[Visitor, dict[str, str]], Awaitable[Response]]) -> Handler:
        """Returns what takes a form of those who have begun."""

        async def answer(request: Request) -> Response:
            form = await read_form(request)
            return await self._known(functools.partial(handle, form=form))(request)

        return answer

    async def welcome(self, request: Request) -> Response:
        """What the study is about; whoever has begun goes to the tasks instead."""
        if await self._sessions.find(request) is not None:
            return self._site.go("task")
        return self._site.page("welcome.html", has_begun=False)

    async def about(self, visitor: Visitor) -> Response:
        """The same for those who have begun."""
        return self._site.page("welcome.html", has_begun=True)

    async def take_consent(self, request: Request) -> Response:
        """Begins a session, or counts a refusal."""
        form = await read_form(request)
        visitor = await self._sessions.find(request)
        if form.get("consent") not in ("yes", "no"):
            raise HTTPException(400, "The form says neither yes nor no.")
        if visitor is not None:
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
        visitor = await self._sessions.find(request)
        if visitor is None and request.scope["query_string"] == b"begun":  # consent leads here, with a cookie
            text = (
                "Your browser did not keep the cookie by which we find your answers again, so nothing could be stored. "
                "Please allow cookies for this page, or take another browser."
            )
            return self._site.page("message.html", title="It cannot begin yet", text=text, link=("", "Try again"))
        if visitor is None or visitor.progress.has_training:
            return self._site.go("task" if visitor else "")
        return self._site.page("training.html")

    async def take_training(self, visitor: Visitor, form: dict[str, str]) -> Response:
        """Stores what the listener says about herself."""
        try:
            training = parse_training(form)
        except AnswerError as error:
            return self._site.page("training.html", 422, given=form, problem=f"This cannot be taken: {error}")
        await run_in_threadpool(self._answers.train, visitor.token, training)
        return self._site.go("task")

    async def task(self, visitor: Visitor) -> Response:
        """The first task that has no answer."""
        progress = visitor.progress
        if not progress.has_training:
            return self._site.go("training")
        if progress.next_task is None:
            if not progress.finished:  # killed between the last answer and this
                await run_in_threadpool(self._answers.finish, visitor.token)
            return self._site.go("thanks")
        return self._site.page("task.html", **self._site.screens.task(progress.next_task, progress.answered))

    async def take_answer(self, visitor: Visitor, form: dict[str, str]) -> Response:
        """Stores an answer."""
        progress = visitor.progress
        if not progress.has_training:
            return self._site.go("training")
        task = next((task for task in progress.tasks if task.id == form.get("task")), None)
        if task is None:
            raise HTTPException(400, "There is no such task.")
        try:
            answer = parse_answer(task, _answer_of(form, len(task.clips)))
        except AnswerError as error:
            # What is wrong with an answer to another task than the next is not worth a page.
            if task != progress.next_task:
                raise
            shown = self._site.screens.task(task, progress.answered)
            return self._site.page("task.html", 422, **shown, given=form, problem=f"This cannot be taken: {error}")
        await run_in_threadpool(self._answers.record, visitor.token, task.id, answer)
        if task == progress.tasks[-1]:
            await run_in_threadpool(self._answers.finish, visitor.token)
        return self._site.go("task")

    async def thanks(self, visitor: Visitor) -> Response:
        """The end, for whoever has answered all."""
        return self._site.page("thanks.html") if visitor.progress.finished else self._site.go("task")

    async def withdraw(self, visitor: Visitor) -> Response:
        """The question whether all is to be deleted."""
        return self._site.page("withdraw.html")

    async def take_withdrawal(self, visitor: Visitor, form: dict[str, str]) -> Response:
        """Deletes what a listener said, and the cookie."""
        if form.get("withdraw") != "yes":
            raise HTTPException(400, "The form does not say yes.")
        await run_in_threadpool(self._answers.withdraw, visitor.token)
        answer = self._site.go("withdrawn")
        self._sessions.forget(answer)
        return answer

    async def refused(self, request: Request) -> Response:
        """After a refusal."""
        self._sessions.count(request)
        return self._site.page("message.html", **REFUSED)

    async def withdrawn(self, request: Request) -> Response:
        """After a withdrawal."""
        self._sessions.count(request)
        return self._site.page("message.html", **WITHDRAWN)

    async def clip(self, request: Request) -> Response:
        """A clip, whole or in part: Safari plays only what comes in ranges."""
        if await self._sessions.find(request) is None:
            raise HTTPException(403, "Clips are for those who take part.")
        path, content_type = self._clips.get(request.path_params["name"], (None, None))
        if path is None:
            raise HTTPException(404)
        if not await run_in_threadpool(path.is_file):
            _logger.error("%s: is missing", path)
            raise HTTPException(404)
        return FileResponse(path, headers=CLIP_HEADERS, media_type=content_type)

    async def static(self, request: Request) -> Response:
        """A style sheet, a script or a picture."""
        self._sessions.count(request)
        return await self._static.get_response(request.path_params["name"], request.scope)

    async def robots(self, request: Request) -> Response:
        """Keeps search engines out."""
        self._sessions.count(request)
        return PlainTextResponse("User-agent: *\nDisallow: /\n")


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
    root = f"{prefix}/"
    site = Site(Screens(study, root=root, storage=STORAGE), root)
    app = Starlette(
        routes=_Pages(study, answers, site, limits or Limits()).routes(), exception_handlers=site.handlers()
    )
    app.router.redirect_slashes = False  # its redirects are made of the Host that a request names
    return Guard(app, prefix=prefix, policy=f"{POLICY}'self'")


def _answer_of(form: Mapping[str, str], num_clips: int) -> dict[str, object]:
    """Returns a form as `parse_answer` reads it: numbers as numbers, lines ended as everywhere."""
    data: dict[str, object] = {name: value for name, value in form.items() if name != "task"}
    data |= {name: int(form[name]) for name in SCALES if re.fullmatch(r"[0-9]{1,3}", form.get(name, ""))}
    data["comment"] = form.get("comment", "").replace("\r\n", "\n")
    played = form.get("played_ms", "").split()  # empty without JavaScript: nothing is known
    data["played_ms"] = [int(ms) if re.fullmatch(r"[0-9]{1,9}", ms) else -1 for ms in played] or [0] * num_clips
    return data
