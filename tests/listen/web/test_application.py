"""The pages of a listening test as a browser without JavaScript sees them, and what it must not see."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import httpx2 as httpx
import pytest

from ostinato.configs.listen import ServeConfig
from ostinato.listen.analysis.responses import check
from ostinato.listen.web.answers import Answers
from ostinato.listen.web.application import application
from ostinato.listen.web.guard import MAX_FORM_BYTES, Limit
from ostinato.listen.web.screens import STATIC
from ostinato.listen.web.sessions import Limits
from tests.listen.studies import make_study
from tests.listen.visitors import TRAINING, answer_to, begin, finish, running_server, visitor, words

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'so'"
SPOOFED = (
    "x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-forwarded",
    "x-cluster-client-ip", "via",
)  # fmt: skip
CLIP_HEADERS = {"etag": '"clip"', "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT", "accept-ranges": "bytes"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("listen") / "study", about=f"First.\n\n{HOSTILE}")


@pytest.fixture
def answers(study):
    answers = Answers.open(study)
    yield answers
    answers.close()


@pytest.fixture(scope="module")
def app(study):
    return application(study)


def _said(answers, client, study):
    number = answers.progress(client.cookies[f"listen-{study.id}"]).number
    return next(listener for listener in answers.listeners() if listener.number == number)


def test_a_session_goes_from_consent_to_thanks_and_all_is_stored(app, study, answers):
    client = visitor(app)
    page = client.get("/")
    assert "What is stored" in page.text
    assert client.cookies == {}
    page = client.post("/consent", data={"consent": "yes"})
    assert page.url.path == "/training"
    assert "About you" in page.text
    page = client.post("/training", data=TRAINING)
    for place, task in enumerate(study.tasks_of(_said(answers, client, study).number)):
        assert page.url.path == "/task"
        assert f"{place + 1} of {study.num_tasks}" in words(page.text)
        assert all(file in page.text for clip in task.clips for file in clip.files.values())
        page = client.post("/task", data=answer_to(page.text, comment=f"Zwei\r\nZeilen {place} ♪"))
    assert page.url.path == "/thanks"
    assert f"All {study.num_tasks} answers are stored" in words(page.text)
    said = _said(answers, client, study)
    assert said.finished
    assert said.training.level == "amateur"
    assert len(said.answers) == study.num_tasks
    assert said.answers["1"].comment == "Zwei\nZeilen 0 ♪"
    assert said.answers["1"].played_ms == (101, 200)
    assert said.answers["1"].choice == "b"
    assert said.answers[str(study.num_tasks)].emotion == 5


def test_whoever_comes_back_continues_where_she_was(app):
    client = visitor(app)
    page = begin(client)
    client.post("/task", data=answer_to(page.text))
    again = visitor(app, cookies=dict(client.cookies))
    page = again.get("/")
    assert page.url.path == "/task"
    assert "2 of " in words(page.text)
    assert again.get("/training").url.path == "/task"
    assert again.get("/thanks").url.path == "/task"
    assert "Back to the clips" in again.get("/about").text
    assert finish(again, page).url.path == "/thanks"
    assert again.get("/").url.path == "/thanks"


def test_without_consent_there_is_nothing_but_the_first_page(app, study, answers):
    before = answers.counts()
    client = visitor(app)
    for path in ("/training", "/task", "/thanks", "/about", "/withdraw"):
        assert client.get(path).url.path == "/"
    for path in ("/training", "/task", "/withdraw"):
        assert client.post(path, data={"withdraw": "yes"}).url.path == "/"
    clip = next(iter(study.clips.values())).files["opus"]
    assert client.get(f"/{clip}").status_code == 403
    page = client.post("/consent", data={"consent": "no"})
    assert page.url.path == "/refused"
    assert "Nothing about you was stored" in page.text
    assert client.cookies == {}
    assert answers.counts() == before | {"refused": before["refused"] + 1}


def test_a_browser_without_cookies_is_named(app):
    client = visitor(app, follow_redirects=False)
    begun = client.post("/consent", data={"consent": "yes"})
    client.cookies.clear()
    assert "allow cookies" in words(client.get(begun.headers["location"]).text)
    assert client.get("/training").headers["location"] == "/"


def test_consent_given_twice_is_one_session(app, answers):
    client = visitor(app)
    begin(client)
    before = answers.counts()
    for consent in ("yes", "no"):
        assert client.post("/consent", data={"consent": consent}).url.path == "/task"
    assert answers.counts() == before


def test_an_answer_can_be_sent_again_but_not_changed(app, study, answers):
    client = visitor(app)
    page = begin(client)
    form = answer_to(page.text, choice="a")
    assert "2 of " in words(client.post("/task", data=form).text)
    assert "2 of " in words(client.post("/task", data=form | {"played_ms": "9000 9000"}).text)
    refused = client.post("/task", data=form | {"choice": "b"})
    assert refused.status_code == 409
    assert "cannot be changed" in words(refused.text)
    assert client.post("/training", data=TRAINING | {"level": "student"}).status_code == 409
    assert _said(answers, client, study).answers["1"].choice == "a"


def test_nobody_answers_for_another_or_out_of_turn(app, study, answers):
    one, other = visitor(app), visitor(app)
    begin(one)
    page = begin(other)
    skipped = one.post("/task", data=answer_to(page.text, task="3"))
    assert skipped.status_code == 409
    assert "comes before" in words(skipped.text)
    assert one.post("/task", data=answer_to(page.text, task="999")).status_code == 400
    other.post("/task", data=answer_to(page.text))
    assert "1 of " in words(one.get("/").text)
    stranger = visitor(app, cookies={f"listen-{study.id}": "x" * 43})
    assert stranger.post("/task", data=answer_to(page.text, task="2")).url.path == "/"
    assert len(_said(answers, one, study).answers) == 0


def test_what_cannot_be_taken_comes_back_with_what_was_written(app):
    client = visitor(app)
    page = begin(client)
    comment = f"\n{HOSTILE}\nnext\u200cline"  # some scripts need joiners
    back = client.post("/task", data=answer_to(page.text, choice="c", comment=comment))
    assert back.status_code == 422
    assert "choice must be one of a, b, none" in words(back.text)
    assert HOSTILE in words(back.text)
    assert "next\u200cline</textarea>" in back.text
    assert "<script>alert" not in back.text
    long = client.post("/task", data=answer_to(page.text, comment="♪" * 1001))
    assert long.status_code == 422
    assert "at most 1,000 characters" in words(long.text)
    lines = client.post("/task", data=answer_to(page.text, comment="a\r\n" * 500))
    assert lines.status_code == 200
    assert "2 of " in words(lines.text)
    fresh = visitor(app)
    fresh.post("/consent", data={"consent": "yes"})
    back = fresh.post("/training", data=TRAINING | {"practice": "99"})
    assert back.status_code == 422
    assert 'value="amateur" required checked' in back.text


def test_answers_are_deleted_on_request(app, study, answers):
    other = visitor(app)
    other.post("/task", data=answer_to(begin(other).text, comment="please keep"))
    client = visitor(app)
    client.post("/task", data=answer_to(begin(client).text, comment="please forget"))
    token = dict(client.cookies)
    number = _said(answers, client, study).number
    assert client.post("/withdraw", data={"withdraw": "no"}).status_code == 400
    assert client.post("/withdraw", data={"withdraw": "yes"}).url.path == "/withdrawn"
    assert client.cookies == {}
    assert all(listener.number != number for listener in answers.listeners())
    assert visitor(app, cookies=token).get("/task").url.path == "/"
    left = b"".join(file.read_bytes() for file in study.folder.glob("answers.sqlite*"))
    assert b"please keep" in left
    assert b"please forget" not in left


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("study@example.org", 'href="mailto:study@example.org"'),
        ("a@b", "Write to a@b."),
        ("study@example.org?cc=x@y.z", "Write to study@example.org?cc=x@y.z."),
        ('"><script>@x.y', "Write to &#34;&gt;&lt;script&gt;@x.y."),
    ],
)
def test_a_study_cannot_put_code_into_its_pages_and_a_contact_is_a_link_only_where_it_is_an_address(
    study, contact, link
):
    shown = type(study)(**vars(study) | {"title": f"</title>{HOSTILE}", "contact": contact})
    page = visitor(application(shown, ServeConfig(prefix="/p"))).get("/p/about").text
    assert words(page).count(HOSTILE) == 3  # in two titles and in the text
    assert "<script>" not in page
    assert link in page


def test_every_answer_carries_the_same_protection(app):
    client = visitor(app)
    begin(client)
    for page in (
        client.get("/task"),
        client.get("/nothing"),
        client.put("/task"),
        client.get("/static/listen.css"),
        client.get("/static/../server.py"),
        client.post("/consent", data={"consent": "yes"}, headers={"origin": "http://elsewhere.example"}),
        client.get("/task", follow_redirects=False),
    ):
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert "server-timing" not in page.headers
        assert not re.search(r"<[^>]* (style|on\w+)=|<script>|<style", page.text)
    assert client.get("/task").headers["cache-control"] == "no-store"


def test_the_cookie_is_for_this_study_alone_and_no_script_sees_it(study):
    app = application(study, ServeConfig(prefix="/music/listen"))
    client = visitor(app, follow_redirects=False)
    said = client.post("/music/listen/consent", data={"consent": "yes"})
    assert said.headers["location"] == "/music/listen/training?begun"
    assert said.status_code == 303
    assert re.fullmatch(
        rf"listen-{study.id}=[\w-]{{43}}; HttpOnly; Max-Age=7776000; Path=/music/listen/; SameSite=lax",
        said.headers["set-cookie"],
    )
    behind_tls = visitor(app, follow_redirects=False)
    behind_tls.base_url = "https://localhost"
    assert "; Secure" in behind_tls.post("/music/listen/consent", data={"consent": "yes"}).headers["set-cookie"]


@pytest.mark.parametrize("is_stripped", [False, True])
def test_a_prefix_is_kept_in_all_links_whether_the_proxy_takes_it_off_or_not(study, is_stripped):
    client = visitor(application(study, ServeConfig(prefix="/music/listen/")), follow_redirects=False)
    path = "" if is_stripped else "/music/listen"
    page = client.get(f"{path}/")
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
    assert all(link.startswith(("/music/listen/", "#", "mailto:")) for link in links)
    assert len(links) > 4
    assert client.get(f"{path}/task").headers["location"] == "/music/listen/"
    assert client.get(f"{path}/static/listen.js").status_code == 200
    if not is_stripped:
        assert client.get("/music/listen").headers["location"] == "/music/listen/"


@pytest.mark.parametrize("prefix", ["listen", "//host", "/a b", "/..", "/a/../b", "/x?y", "https://elsewhere.example"])
def test_a_prefix_that_is_no_path_is_refused(study, prefix):
    with pytest.raises(ValueError, match="must be a path such as /listen"):
        application(study, ServeConfig(prefix=prefix))


def test_forms_of_other_sites_are_refused(app):
    client = visitor(app)
    for headers in (
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://localhost"},
        {"origin": "http://localhost.elsewhere.example"},
        {"origin": "http://[broken"},
    ):
        assert client.post("/consent", data={"consent": "yes"}, headers=headers).status_code == 403
    assert client.cookies == {}
    for headers in ({"origin": "http://localhost"}, {"sec-fetch-site": "same-origin", "origin": "null"}):
        assert client.post("/consent", data={"consent": "yes"}, headers=headers).url.path == "/training"


def test_forms_are_limited_and_must_be_forms(app):
    client = visitor(app)
    begin(client)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body, headers, status in (
        (b"a=" + b"x" * MAX_FORM_BYTES, form, 413),
        ((b"&".join([b"a=1"] * 10) for _ in range(2000)), form, 413),
        (b"task=1&task=2", form, 400),
        (b"&".join(b"a%d=1" % i for i in range(17)), form, 400),
        (b"task=%ff", form, 400),
        (b"\xff\xfe", form, 400),
        (b"nothing", form, 400),
        (b"", form, 400),
        (b"{}", {"content-type": "application/json"}, 415),
        (b"--a\r\n", {"content-type": "multipart/form-data; boundary=a"}, 415),
        (b"task=1", {}, 415),
    ):
        assert client.post("/task", content=body, headers=headers).status_code == status, headers


def test_clips_come_whole_or_in_part_and_say_nothing_about_themselves(app, study):
    client = visitor(app)
    begin(client)
    seen = set()
    for clip in study.clips.values():
        for form, file in clip.files.items():
            data = (study.folder / file).read_bytes()
            whole = client.get(f"/{file}")
            assert whole.content == data
            part = client.get(f"/{file}", headers={"range": "bytes=10-19", "if-range": whole.headers["etag"]})
            assert (part.status_code, part.content) == (206, data[10:20])
            assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
            assert client.head(f"/{file}").headers["content-length"] == str(len(data))
            beyond = client.get(f"/{file}", headers={"range": f"bytes={len(data)}-"})
            assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
            seen.add((form, *sorted((k, v) for k, v in whole.headers.items() if k not in ("content-length", "date"))))
            assert CLIP_HEADERS.items() <= dict(whole.headers).items()
    assert len(seen) == 2  # the same headers for each clip of a format
    assert not {name for one in seen for name, _ in one[1:]} & {"server-timing", "content-disposition"}


def test_nothing_private_is_served(app, study):
    client = visitor(app)
    begin(client)
    for path in (
        "/conditions.json", "/study.json", "/answers.sqlite", "/answers.sqlite-wal", "/audio/conditions.json",
        "/audio/..%2fconditions.json", "/audio/%2e%2e/answers.sqlite", "/static/..%2f..%2fserver.py", "/audio/",
        "/static/%2e%2e", "/static/%00", "/static/" + "x" * 300,
    ):  # fmt: skip
        assert client.get(path).status_code in (404, 403), path


def test_our_files_are_kept_under_their_version_and_ask_for_nothing_from_elsewhere(app):
    client = visitor(app)
    (script,) = re.findall(r'src="(/static/[^"]*)"', client.get("/").text)
    assert "immutable" in client.get(script).headers["cache-control"]
    plain = client.get("/static/listen.js")
    assert plain.headers["cache-control"] == "no-cache"
    assert client.get("/static/listen.js", headers={"if-none-match": plain.headers["etag"]}).status_code == 304
    for file in STATIC.iterdir():
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*|@import|url\(", file.read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, never asked for


def test_too_many_requests_of_an_address_are_refused_and_listeners_continue(study):
    limits = Limits(stranger=Limit(6, 0.001), consent=Limit(2, 0.001), listener=Limit(50, 0.001))
    app = application(study, limits=limits)
    client, other = visitor(app), visitor(app)
    page = begin(client)  # one as a stranger
    other.post("/consent", data={"consent": "yes"})  # one more
    refused = visitor(app).post("/consent", data={"consent": "yes"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    last = [visitor(app).get("/").status_code for _ in range(4)]
    assert last == [200, 200, 200, 429]
    assert finish(client, page).url.path == "/thanks"
    assert {client.get("/thanks").status_code for _ in range(50)} == {200, 429}
    assert other.get("/training").status_code == 200


def test_a_database_that_cannot_be_written_is_said_to_the_listener(study, monkeypatch):
    app = application(study)
    client = visitor(app)
    page = begin(client)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Answers, "record", full)
    lost = client.post("/task", data=answer_to(page.text))
    assert lost.status_code == 503
    assert "could not be stored" in words(lost.text)
    monkeypatch.undo()
    assert "2 of " in words(client.post("/task", data=answer_to(page.text)).text)


@pytest.mark.slow
def test_a_proxy_that_is_trusted_says_that_there_is_tls(study):
    with running_server(study.folder, "/x", "127.0.0.1") as (_, address), httpx.Client(base_url=address) as client:
        said = client.post("consent", data={"consent": "yes"}, headers={"x-forwarded-proto": "https"})
        assert said.status_code == 303
        assert "; Secure" in said.headers["set-cookie"]
        assert "server" not in said.headers


@pytest.mark.parametrize(
    ("host", "config", "status"),
    [
        ("localhost:8000", {}, 200),
        ("127.0.0.1", {}, 200),
        ("[::1]:8000", {}, 200),
        ("192.0.2.7", {}, 421),
        ("evil.example", {}, 421),
        ("localhost.evil.example", {}, 421),
        ("", {}, 421),
        ("study.example", {"public_host": ("study.example",)}, 200),
        ("STUDY.example:443", {"public_host": ("study.example",)}, 200),
        ("other.example", {"public_host": ("study.example",)}, 421),
        ("192.0.2.7:8000", {"host": "0.0.0.0"}, 200),
        ("evil.example", {"host": "0.0.0.0"}, 421),
    ],
)
def test_only_names_that_are_known_are_answered(study, host, config, status):
    client = visitor(application(study, ServeConfig(**config)), follow_redirects=False)
    for path in ("/", "/static/listen.js", "/robots.txt"):
        page = client.get(path, headers={"host": host})
        assert page.status_code == status
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    said = client.post("/consent", data={"consent": "yes"}, headers={"host": host})
    assert said.status_code == (303 if status == 200 else 421)


def test_what_a_request_says_of_where_it_comes_from_opens_no_new_allowance(study, answers):
    """Two hundred addresses in every header that there is, and one consent is left of two."""
    limits = Limits(stranger=Limit(1000, 0.001), consent=Limit(2, 0.001), listener=Limit(50, 0.001))
    peer = ("198.51.100.1", 1)
    before = answers.counts()["begun"]
    app = application(study, ServeConfig(trusted_proxies="127.0.0.1"), limits=limits)
    statuses = [
        visitor(app, client=peer, follow_redirects=False)
        .post("/consent", data={"consent": "yes"}, headers=dict.fromkeys(SPOOFED, f"203.0.113.{number}"))
        .status_code
        for number in range(1, 201)
    ]
    assert statuses == [303] * 2 + [429] * 198
    assert answers.counts()["begun"] == before + 2
    # Behind a proxy that is named each listener has an allowance, whatever she writes in front of her own address.
    app = application(study, ServeConfig(trusted_proxies="198.51.100.1"), limits=limits)
    statuses = [
        visitor(app, client=peer, follow_redirects=False)
        .post("/consent", data={"consent": "no"}, headers={"x-forwarded-for": f"10.0.0.{number}, {listener}"})
        .status_code
        for listener in ("203.0.113.1", "203.0.113.2")
        for number in range(4)
    ]
    assert statuses == [303, 303, 429, 429] * 2
    assert answers.counts()["begun"] == before + 2


def test_a_name_that_a_stranger_forwards_makes_no_form_ours(study):
    headers = {"origin": "http://elsewhere.example", "x-forwarded-host": "elsewhere.example"}
    client = visitor(application(study))
    assert client.post("/consent", data={"consent": "yes"}, headers=headers).status_code == 403


def test_answers_are_stored_by_the_servers_clock_and_who_is_faster_than_the_clips_is_marked(tmp_path):
    study = make_study(tmp_path / "study", clip_s=20.0, num_comparisons=1, num_ratings=1, is_heard=False)
    times = [datetime(2026, 12, 1, tzinfo=UTC)]
    app = application(study, now=lambda: times[-1])

    def listen(pace):
        """Says that all was played, and takes so much of the time that the clips last."""
        client = visitor(app)
        page = begin(client)
        while 'name="task"' in page.text:
            clips = 2 if 'name="choice"' in page.text else 1
            times.append(times[-1] + timedelta(seconds=pace * 20 * clips))
            page = client.post("/task", data=answer_to(page.text, played_ms=" ".join(["20000"] * clips)))

    for pace in (0.0, 0.9, 1.0, 1.3):
        listen(pace)
    answers = Answers.open(study)
    listeners = answers.listeners()
    answers.close()
    assert [check(study, one).too_fast for one in listeners] == [True, True, False, False]
    assert [*listeners[3].took_s.values()] == [52.0, 52.0, 52.0, 26.0, 26.0, 26.0]
    assert [check(study, one).did_not_listen for one in listeners] == [False] * 4
