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
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ostinato.configs.listen import ServeConfig
from ostinato.listen.design.study import CONTENT_TYPES, Study
from ostinato.listen.web.answer import SCALES, AnswerError, parse_answer, parse_training
from ostinato.listen.web.answers import Answers, Progress, utc_now
from ostinato.listen.web.guard import Guard, read_form
from ostinato.listen.web.hosts import HostCheck, is_loopback
from ostinato.listen.web.proxies import Proxies
from ostinato.listen.web.screens import POLICY, STATIC
from ostinato.listen.web.serving import Static, check_prefix
from ostinato.listen.web.sessions import LIMITS, Limits, Sessions
from ostinato.listen.web.site import Site
from ostinato.report.text import printable

_logger = logging.getLogger(__name__)

CLIP_HEADERS = {
    "cache-control": "private, max-age=86400",
    # The same for all clips: when a file was made would tell by what.
    "etag": '"clip"',
    "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
}


class _Pages:
    """Answers requests to one study."""

    def __init__(self, study: Study, answers: Answers, site: Site, limits: Limits) -> None:
        self._answers, self._site = answers, site
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
            Route("/training", self._known(self.take_training), methods=["POST"]),
            Route("/task", self._known(self.task)),
            Route("/task", self._known(self.take_answer), methods=["POST"]),
            Route("/thanks", self._known(self.thanks)),
            Route("/withdraw", self._known(self.withdraw)),
            Route("/withdraw", self._known(self.take_withdrawal), methods=["POST"]),
            Route("/refused", self._free("refused.html")),
            Route("/withdrawn", self._free("withdrawn.html")),
            Route("/audio/{name}", self.clip),
            Route("/static/{name}", self.static),
            Route("/robots.txt", self.robots),
        ]

    def _free(self, template: str) -> Callable[[Request], Awaitable[Response]]:
        """Returns what shows a page to everybody."""

        async def answer(request: Request) -> Response:
            self._sessions.count(request)
            return self._site.page(template)

        return answer

    def _known(self, handle: Callable[..., Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Returns what serves those who have begun, by how far they are and, if they send one, their form."""

        async def answer(request: Request) -> Response:
            sent = [await read_form(request)] if request.method == "POST" else []
            listener = await self._sessions.find(request)
            return self._site.go("") if listener is None else await handle(listener, *sent)

        return answer

    async def welcome(self, request: Request) -> Response:
        """What the study is about; whoever has begun goes to the tasks instead."""
        if await self._sessions.find(request) is not None:
            return self._site.go("task")
        return self._site.page("welcome.html", has_begun=False)

    async def about(self, listener: Progress) -> Response:
        """The same for those who have begun."""
        return self._site.page("welcome.html", has_begun=True)

    async def take_consent(self, request: Request) -> Response:
        """Begins a session, or counts a refusal."""
        form = await read_form(request)
        listener = await self._sessions.find(request)
        if form.get("consent") not in ("yes", "no"):
            raise HTTPException(400, "The form says neither yes nor no.")
        if listener is not None:
            return self._site.go("task")
        self._sessions.count_consent(request)
        if form["consent"] == "no":
            await run_in_threadpool(self._answers.refuse)
            return self._site.go("refused")
        token, _ = await run_in_threadpool(self._answers.begin)
        answer = self._site.go("training?begun")
        self._sessions.remember(request, answer, token)
        return answer

    async def training(self, request: Request) -> Response:
        """The questions about the listener."""
        listener = await self._sessions.find(request)
        if listener is None and request.scope["query_string"] == b"begun":  # consent leads here, with a cookie
            return self._site.page("no_cookies.html")
        if listener is None or listener.has_training:
            return self._site.go("task" if listener else "")
        return self._site.page("training.html")

    async def take_training(self, listener: Progress, form: dict[str, str]) -> Response:
        """Stores what the listener says about herself."""
        try:
            training = parse_training(form)
        except AnswerError as error:
            return self._site.page("training.html", 422, given=form, problem=f"This cannot be taken: {error}")
        await run_in_threadpool(self._answers.train, listener.token, training)
        return self._site.go("task")

    async def task(self, listener: Progress) -> Response:
        """The first task that has no answer."""
        if not listener.has_training:
            return self._site.go("training")
        if listener.next_task is None:
            return self._site.go("thanks")
        return self._site.page("task.html", **self._site.screens.task(listener.next_task, listener.answered))

    async def take_answer(self, listener: Progress, form: dict[str, str]) -> Response:
        """Stores an answer."""
        if not listener.has_training:
            return self._site.go("training")
        task = next((task for task in listener.tasks if task.id == form.get("task")), None)
        if task is None:
            raise HTTPException(400, "There is no such task.")
        try:
            answer = parse_answer(task, _answer_of(form, len(task.clips)))
        except AnswerError as error:
            # What is wrong with an answer to another task than the next is not worth a page.
            if task != listener.next_task:
                raise
            shown = self._site.screens.task(task, listener.answered)
            return self._site.page("task.html", 422, **shown, given=form, problem=f"This cannot be taken: {error}")
        await run_in_threadpool(self._answers.record, listener.token, task.id, answer)
        return self._site.go("task")

    async def thanks(self, listener: Progress) -> Response:
        """The end, for whoever has answered all."""
        return self._site.go("task") if listener.next_task else self._site.page("thanks.html")

    async def withdraw(self, listener: Progress) -> Response:
        """The question whether all is to be deleted."""
        return self._site.page("withdraw.html")

    async def take_withdrawal(self, listener: Progress, form: dict[str, str]) -> Response:
        """Deletes what a listener said, and the cookie."""
        if form.get("withdraw") != "yes":
            raise HTTPException(400, "The form does not say yes.")
        await run_in_threadpool(self._answers.withdraw, listener.token)
        answer = self._site.go("withdrawn")
        self._sessions.forget(answer)
        return answer

    async def clip(self, request: Request) -> Response:
        """A clip, whole or in part: Safari plays only what comes in ranges."""
        if await self._sessions.find(request) is None:
            raise HTTPException(403, "Clips are for those who take part.")
        path, content_type = self._clips.get(request.path_params["name"], (None, ""))
        if path is None or not await run_in_threadpool(path.is_file):
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


def application(
    study: Study | str | Path,
    config: ServeConfig | None = None,
    *,
    limits: Limits = LIMITS,
    now: Callable[[], datetime] = utc_now,
) -> ASGIApp:
    """Returns the ASGI application of a study, which may be given by its folder.

    Requests may come with or without the prefix of the configuration, the path below which a reverse proxy shows the
    study, such as "/listen". `now` is the clock by which answers are stored.

    Raises:
        UserError: the folder is no study, or the prefix is no path.
    """
    config = config or ServeConfig()
    prefix = check_prefix(config.prefix, example="/listen")
    study = study if isinstance(study, Study) else Study.open(study)
    if not study.is_blind:
        _logger.warning(
            "%s: was made by an earlier version: whoever knows our source and takes part can tell conditions by the "
            "order of tasks",
            printable(str(study.folder)),
        )
    answers = Answers.open(study, now=now)
    site = Site(study, f"{prefix}/")
    pages = _Pages(study, answers, site, limits)
    app = Starlette(routes=pages.routes(), exception_handlers=site.handlers())
    app.router.redirect_slashes = False  # its redirects are made of the Host that a request names
    refusal = PlainTextResponse(
        "The study is not known by this name; 'ostinato listen serve --public-host NAME' allows it.\n", 421
    )
    hosts = HostCheck(app, is_local=is_loopback(config.host), names=config.public_host, refusal=refusal)
    return Proxies(Guard(hosts, prefix=prefix, policy=f"{POLICY}'self'"), config.proxies)


def _answer_of(form: Mapping[str, str], num_clips: int) -> dict[str, object]:
    """Returns a form as `parse_answer` reads it: numbers as numbers, lines ended as everywhere."""
    data: dict[str, object] = {name: value for name, value in form.items() if name != "task"}
    data |= {name: int(form[name]) for name in SCALES if re.fullmatch(r"[0-9]{1,3}", form.get(name, ""))}
    data["comment"] = form.get("comment", "").replace("\r\n", "\n")
    played = form.get("played_ms", "").split()  # empty without JavaScript: nothing is known
    data["played_ms"] = [int(ms) if re.fullmatch(r"[0-9]{1,9}", ms) else -1 for ms in played] or [0] * num_clips
    return data
