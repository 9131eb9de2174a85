"""Whatever comes in, nothing but an answer below 500 goes out, and nothing is stored for anybody else."""

import asyncio
import socket
from urllib.parse import urlencode, urlsplit

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.listen.web.answers import Answers
from ostinato.listen.web.application import application
from ostinato.listen.web.guard import Limit
from ostinato.listen.web.sessions import Limits
from tests.listen.studies import make_study
from tests.listen.visitors import TRAINING, answer_to, begin, running_server, visitor

PATHS = (
    "/", "/consent", "/about", "/training", "/task", "/thanks", "/withdrawn", "/refused", "/robots.txt",
    "/static/listen.js", "/audio/x.ogg", "/withdraw",
)  # fmt: skip
FIELDS = ("task", "choice", "coherence", "style", "emotion", "comment", "played_ms", "consent", *TRAINING)
VALUES = (
    "1", "2", "a", "none", "yes", "no", "5", "0", "-1", "99999999999999999999", "1 2", "6-9", "²", "nan", "\0", "",
)  # fmt: skip
LINES = (
    b"GET / HTTP/1.1\r\n", b"POST /task HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"Content-Length: 9\r\n",
    b"Transfer-Encoding: chunked\r\n", b"ffffffffff\r\n", b"Cookie: a=\xff;;\r\n", b"GET /%00%zz HTTP/1.1\r\n",
    b"Range: bytes=0-\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n",
)  # fmt: skip
NO_LIMITS = Limits(Limit(1e9, 1e9), Limit(1e9, 1e9), Limit(1e9, 1e9))

forms = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), st.sampled_from(VALUES) | st.text(max_size=40))
encoded = forms.map(lambda form: urlencode(form, errors="replace").encode())
bodies = st.lists(encoded | st.binary(max_size=60), min_size=0, max_size=3)
names = st.sampled_from([b"range", b"cookie", b"origin", b"host", b"sec-fetch-site", b"content-length", b"if-range"])
headers = st.lists(
    st.tuples(names, st.binary(max_size=30) | st.just(b"bytes=1-2") | st.just(b"same-origin")), max_size=4
)


async def _ask(app, *, method, path, query, sent_headers, parts):
    """Returns what an application answers, spoken to without any client that would mend the request."""
    incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    incoming += [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    outgoing = []

    async def receive():
        return incoming.pop(0)

    async def send(message):
        outgoing.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(errors="replace"), "query_string": query,
        "root_path": "", "headers": [(b"host", b"localhost"), *sent_headers],
        "client": ("192.0.2.1", 1), "server": ("study.example", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return outgoing[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("listen") / "study")


@pytest.fixture(scope="module")
def app(study):
    return application(study, limits=NO_LIMITS)


@pytest.fixture(scope="module")
def sessions(app, study):
    """Cookies of one who has done nothing yet, one who answers, and one who is left alone."""
    cookies = []
    for step in range(3):
        client = visitor(app)
        client.post("/consent", data={"consent": "yes"})
        if step:
            page = client.post("/training", data=TRAINING)
            client.post("/task", data=answer_to(page.text))
        cookies.append(f"listen-{study.id}={client.cookies[f'listen-{study.id}']}".encode())
    return cookies


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_request_is_answered_with_an_error_of_the_server(app, sessions, study, data):
    form_type = (b"content-type", b"application/x-www-form-urlencoded")
    sent = data.draw(headers) + data.draw(st.sampled_from([[form_type], [], [(b"content-type", b"text/plain")]]))
    session = data.draw(st.sampled_from([*sessions[:2], None]))
    if session:
        sent.append((b"cookie", session))
    answer = asyncio.run(
        _ask(
            app,
            method=data.draw(st.sampled_from(["GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "BREW"])),
            path=data.draw(st.sampled_from(PATHS[:-1]) | st.text(max_size=20).map(lambda text: f"/{text}")),
            query=data.draw(st.binary(max_size=20)),
            sent_headers=sent,
            parts=data.draw(bodies),
        )
    )
    assert answer["status"] < 500
    location = dict(answer["headers"]).get(b"location", b"/").decode()
    assert location.startswith("/")
    assert not urlsplit(location).netloc
    assert b"content-security-policy" in dict(answer["headers"])


def test_what_others_send_changes_nothing_of_a_listener(app, sessions, study):
    answers = Answers.open(study)
    alone = answers.progress(sessions[2].partition(b"=")[2].decode())
    (said,) = (listener for listener in answers.listeners() if listener.number == alone.number)
    answers.close()
    assert alone.answered == 1
    assert list(said.answers) == ["1"]
    assert said.answers["1"].comment == "about 1"


@given(st.text(max_size=2000), st.integers(-3, 10), st.lists(st.integers(-(10**30), 10**30), max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_form_with_any_values_is_taken_or_refused(app, sessions, comment, point, played):
    form = {"task": "2", "choice": "a", "comment": comment, "played_ms": " ".join(map(str, played))}
    form |= {"coherence": str(point), "style": "1", "emotion": "1"} if point % 2 else {}
    sent = [(b"content-type", b"application/x-www-form-urlencoded"), (b"cookie", sessions[1])]
    body = urlencode(form, errors="replace").encode()
    answer = asyncio.run(_ask(app, method="POST", path="/task", query=b"", sent_headers=sent, parts=[body]))
    assert answer["status"] in (303, 409, 413, 422)


@pytest.mark.slow
def test_bytes_that_are_no_http_end_no_server(study):
    with running_server(study.folder) as (process, address):
        where = urlsplit(address)

        @given(st.lists(st.sampled_from(LINES) | st.binary(max_size=30), max_size=12))
        @settings(max_examples=100, deadline=None)
        def throw(parts):
            with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
                connection.sendall(b"".join(parts))
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                assert b"HTTP/1.1 5" not in answer

        throw()
        assert process.poll() is None
        with httpx.Client(base_url=address) as client:
            client.follow_redirects = True
            assert 'name="task"' in begin(client).text
