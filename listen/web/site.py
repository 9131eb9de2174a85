"""Pages and redirects as answers to requests, and the pages of what is refused or fails."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ostinato.listen.web.answer import AnswerError
from ostinato.listen.web.markup import Screen, document
from ostinato.listen.web.screens import message

_logger = logging.getLogger(__name__)

_TITLES = {
    403: "This is not open",
    404: "There is nothing here",
    405: "There is nothing here",
    429: "One moment, please",
}
_ADVICE = {
    404: "The address may be mistyped.",
    405: "Please begin with the link that you were given.",
    429: "There were very many requests at once. Please try again in a minute; all answers so far are safe.",
}


@dataclass(frozen=True)
class Site:
    """Where a study is shown, and under which title."""

    title: str
    root: str
    """The path, with a slash at its end."""

    def page(self, screen: Screen, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Returns a screen as a whole page."""
        return Response(document(screen, self.title, root=self.root), status, headers, media_type="text/html")

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
        screen = message(_TITLES.get(status, "This did not work"), text, link=(self.root, "To the study"))
        return self.page(screen, status, error.headers)

    async def _refuse_answer(self, request: Request, error: Exception) -> Response:
        said = str(error)
        text = f"{said[:1].upper()}{said[1:]}. What was stored before is as it was."
        return self.page(message("This was not stored", text, link=(f"{self.root}task", "Go on")), 409)

    async def _fail_to_store(self, request: Request, error: Exception) -> Response:
        """Answers when the database cannot be read or written (a full disk, say)."""
        _logger.error("answers cannot be read or stored: %s", error)
        text = "Your last answer could not be stored. Please try again in a moment; all earlier ones are safe."
        screen = message("Not stored", text, link=(f"{self.root}task", "Go on"))
        return self.page(screen, 503, {"retry-after": "5"})

    async def _apologise(self, request: Request, error: Exception) -> Response:
        """Answers when there is an error in our code; Starlette raises it again, so that it is logged."""
        text = "The fault is ours. All answers so far are safe; please try again."
        return self.page(message("Something went wrong", text, link=(f"{self.root}task", "Go on")), 500)
