"""Who a listener is: the cookie, and how many requests each listener and each address has left."""

import re
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ostinato.listen.web.answer import AnswerError
from ostinato.listen.web.answers import Answers, Progress
from ostinato.listen.web.guard import Allowance, Limit, address_of
from ostinato.listen.web.screens import COOKIE_DAYS

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Limits(NamedTuple):
    """How many requests are answered."""

    stranger: Limit
    """Of an address, without a session: the first pages, and whatever is no listener."""
    consent: Limit
    """Of an address: new sessions and refusals, which are written to disk."""
    listener: Limit
    """Of a session."""


LIMITS = Limits(stranger=Limit(3000, 30), consent=Limit(400, 1), listener=Limit(200, 20))
"""Two hundred listeners behind one address stay far below."""


class Sessions:
    """The sessions of a study. All that is kept here can be lost: who a listener is stands in the database."""

    def __init__(self, answers: Answers, *, study_id: str, root: str, limits: Limits) -> None:
        """Serves the study under the path `root`, to which its cookies are bound."""
        self._answers, self._root = answers, root
        self._cookie = f"listen-{study_id}"  # one for each study: ports of a machine share their cookies
        self._strangers, self._consents, self._listeners = (Allowance(limit) for limit in limits)

    async def find(self, request: Request) -> Progress | None:
        """Returns who sent a request, and counts it.

        Raises:
            HTTPException: 429, there were too many.
        """
        token = request.cookies.get(self._cookie, "")
        if _TOKEN.fullmatch(token):
            try:
                listener = await run_in_threadpool(self._answers.progress, token)
            except AnswerError:
                pass  # not of this study, or withdrawn: a stranger
            else:
                self._listeners.take(listener.number)
                return listener
        self.count(request)
        return None

    def count(self, request: Request) -> None:
        """Counts a request for which it does not matter who sent it."""
        self._strangers.take(address_of(request.scope))

    def count_consent(self, request: Request) -> None:
        """Counts a consent or a refusal."""
        self._consents.take(address_of(request.scope))

    def remember(self, request: Request, answer: Response, token: str) -> None:
        """Puts the token of a new session into the browser."""
        answer.set_cookie(
            self._cookie,
            token,
            max_age=COOKIE_DAYS * 24 * 3600,
            path=self._root,
            httponly=True,
            samesite="lax",  # with "strict", whoever comes back by the link in a letter would be taken for a new one
            secure=request.scope["scheme"] == "https",
        )

    def forget(self, answer: Response) -> None:
        """Takes it out again."""
        answer.delete_cookie(self._cookie, path=self._root, httponly=True, samesite="lax")
