"""Pages and redirects as answers to requests, and the pages of what is refused or fails."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import AnswerError
from ostinato.listen.web.screens import Screens

_logger = logging.getLogger(__name__)

_GO_ON = ("task", "Go on")
_NOTHING = "There is nothing here"
_TITLES = {403: "This is not open", 404: _NOTHING, 405: _NOTHING, 429: "One moment, please"}
_ADVICE = {
    404: "The address may be mistyped.",
    405: "Please begin with the link that you were given.",
    429: "There were very many requests at once. Please try again in a minute; all answers so far are safe.",
}


class Site:
    """A study that is shown under a path, which has a slash at its end."""

    def __init__(self, study: Study, root: str) -> None:
        self.screens, self.root = Screens(study, root=root), root

    def page(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> Response:
        """Returns a page; for the values see `Screens.render`."""
        return HTMLResponse(self.screens.render(template, **values), status, headers)

    def go(self, path: str) -> RedirectResponse:
        """Returns the way to another page of this study; after a form too (303)."""
        return RedirectResponse(self.root + path, 303)

    def handlers(self) -> dict[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
        """Returns what answers for each kind of exception."""
        return {
            HTTPException: self._refuse,
            AnswerError: self._refuse_answer,
            sqlite3.Error: self._fail_to_store,
            Exception: self._apologise,
        }

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        said = error.detail if error.detail != HTTPStatus(status).phrase else ""
        text = f"{said} {_ADVICE.get(status, '')}".strip() or "Please go back and try again."
        title, link = _TITLES.get(status, "This did not work"), ("", "To the study")
        return self.page("message.html", status, error.headers, title=title, text=text, link=link)

    async def _refuse_answer(self, request: Request, error: Exception) -> Response:
        said = str(error)
        text = f"{said[:1].upper()}{said[1:]}. What was stored before is as it was."
        return self.page("message.html", 409, title="This was not stored", text=text, link=_GO_ON)

    async def _fail_to_store(self, request: Request, error: Exception) -> Response:
        """Answers when the database cannot be read or written (a full disk, say)."""
        _logger.error("answers cannot be read or stored: %s", error)
        text = "Your last answer could not be stored. Please try again in a moment; all earlier ones are safe."
        return self.page("message.html", 503, {"retry-after": "5"}, title="Not stored", text=text, link=_GO_ON)

    async def _apologise(self, request: Request, error: Exception) -> Response:
        """Answers when there is an error in our code; Starlette raises it again, so that it is logged."""
        text = "The fault is ours. All answers so far are safe; please try again."
        return self.page("message.html", 500, title="Something went wrong", text=text, link=_GO_ON)
