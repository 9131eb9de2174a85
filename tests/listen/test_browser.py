"""The listening test in a real browser: desktop and phone, mouse and keyboard, with and without JavaScript."""

import re

import pytest

from ostinato.listen.analysis.answer_files import read_answer_files
from ostinato.listen.web.answers import Answers
from ostinato.listen.web.pages import write_static
from tests.chromium import ARGUMENTS, find_browser
from tests.listen.studies import make_study
from tests.listen.visitors import running_server

pytestmark = pytest.mark.slow

SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 375, "height": 720}}
SLOW = "for (const audio of document.querySelectorAll('audio')) audio.playbackRate = 0.1"
FAST = "for (const audio of document.querySelectorAll('audio')) audio.playbackRate = 4"
AT = "index => document.querySelectorAll('audio')[index].currentTime"
PAUSED = "() => [...document.querySelectorAll('audio')].map(audio => audio.paused)"
WIDER = "() => document.scrollingElement.scrollWidth > document.documentElement.clientWidth"
NAME = """() => {
  const one = document.activeElement;
  return one.getAttribute("aria-label") || (one.matches("input") && one.value) || one.textContent;
}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("listen") / "study", clip_s=1.0, num_comparisons=1, num_ratings=1)


@pytest.fixture(scope="module")
def address(study):
    with running_server(study.folder) as (_, address):
        yield address


def _begin(page, address):
    page.goto(address)
    page.get_by_role("button", name="I agree").click()
    _train(page)
    page.get_by_text("1 of 6").wait_for()


def _train(page):
    for answer in ("6 to 9", "I play or sing for pleasure", "Headphones"):
        page.get_by_label(answer).check()
    page.get_by_role("button", name="Continue").click()


def _hear_all(page):
    """Plays every clip of a page until it counts as heard."""
    page.evaluate(FAST)
    for index in range(page.locator(".clip").count()):
        clip = page.locator(".clip").nth(index)
        clip.get_by_role("button", name="Play").click()
        clip.locator(".heard").wait_for()
        assert not clip.locator(".trouble").count()


def _answer(page):
    """Answers the questions of a page with the mouse."""
    if page.locator("input[name=choice]").count():
        page.get_by_role("radio", name="Clip B").check()
    else:
        for scale, point in (("Coherence", 4), ("Style", 2), ("Emotion", 5)):
            page.get_by_role("group", name=scale).get_by_role("radio").nth(point - 1).check()


def _continue(page):
    """Hears and answers a page, and waits for the next."""
    where = page.locator(".where").inner_text()
    _hear_all(page)
    _answer(page)
    page.get_by_role("button", name="Continue").click()
    page.locator(".where", has_not_text=where).wait_for()


def _finish(page):
    while page.locator("form.answer").count():
        _continue(page)
    page.get_by_role("heading", name="Thank you").wait_for()


def _look(page, pictures, name):
    """Keeps a picture; holds that everything has a name and enough contrast, and that nothing is cut off."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.screenshot(path=pictures / f"{name}.png", full_page=True)
    found = axe.Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert not page.evaluate(WIDER)


def _listener(study, number):
    answers = Answers.open(study)
    said = next(listener for listener in answers.listeners() if listener.number == number)
    answers.close()
    return said


def _count(study):
    answers = Answers.open(study)
    begun = answers.counts()["begun"]
    answers.close()
    return begun


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_a_whole_session_from_consent_to_thanks(visit, address, study, pictures, size, scheme):
    number = _count(study)
    options = {"viewport": SIZES[size], "color_scheme": scheme, "reduced_motion": "reduce"}
    with visit(address, **options) as page:
        page.goto(address)
        _look(page, pictures, f"{size}-1-welcome")
        page.get_by_role("button", name="I agree").click()
        _look(page, pictures, f"{size}-2-training")
        _train(page)
        _look(page, pictures, f"{size}-3-compare")

        page.evaluate(SLOW)  # neither ends while the test looks
        page.get_by_role("button", name="Play clip A").click()
        page.wait_for_function("() => document.querySelectorAll('audio')[0].currentTime > 0.1")  # it really plays
        assert page.get_by_role("button", name="Pause clip A").is_visible()
        page.get_by_role("button", name="Play clip B").click()
        page.wait_for_function("() => document.querySelectorAll('audio')[1].currentTime > 0.05")
        assert page.evaluate(PAUSED) == [True, False]
        stopped_s = page.evaluate(AT, 0)
        page.get_by_role("radio", name="No preference").check()
        page.get_by_role("button", name="Continue").click()
        assert page.get_by_role("alert").inner_text().startswith("Please listen to clip")
        assert page.evaluate(AT, 0) == stopped_s
        page.get_by_role("button", name="Pause clip B").click()
        _look(page, pictures, f"{size}-4-unheard")
        _hear_all(page)
        page.get_by_text("Add a comment").click()
        page.get_by_label("Comment, optional").fill("Die Bassstimme ist schön.\nSehr sogar.")
        _look(page, pictures, f"{size}-5-answered")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("2 of 6").wait_for()
        for _ in range(2):
            _continue(page)
        page.get_by_role("group", name="Coherence").wait_for()
        _look(page, pictures, f"{size}-6-rate")
        _finish(page)
        _look(page, pictures, f"{size}-7-thanks")
    said = _listener(study, number)
    assert said.finished
    assert said.training.playback == "headphones"
    assert [answer.choice for answer in said.answers.values() if hasattr(answer, "choice")] == ["none", "b", "b"]
    assert {(a.coherence, a.style, a.emotion) for a in said.answers.values() if hasattr(a, "style")} == {(4, 2, 5)}
    assert said.answers["1"].comment == "Die Bassstimme ist schön.\nSehr sogar."
    assert all(900 <= ms < 20_000 for answer in said.answers.values() for ms in answer.played_ms)


def test_whoever_closes_the_browser_comes_back_to_the_same_task(browser, address, tmp_path):
    options = {"executable_path": find_browser(), "args": ARGUMENTS}
    context = browser.browser_type.launch_persistent_context(tmp_path, **options)
    page = context.pages[0]
    _begin(page, address)
    _continue(page)
    sources = page.locator("source").evaluate_all("all => all.map(one => one.src)")
    context.close()
    context = browser.browser_type.launch_persistent_context(tmp_path, **options)
    page = context.pages[0]
    page.goto(address)
    page.get_by_text("2 of 6").wait_for()
    assert page.locator("source").evaluate_all("all => all.map(one => one.src)") == sources
    page.go_back()  # out of the study and in again
    page.goto(address)
    _finish(page)
    context.close()


def test_the_keyboard_alone_is_enough(visit, address, study):
    number = _count(study)
    with visit(address, viewport=SIZES["desktop"]) as page:
        page.goto(address)

        def tab_to(name):
            for _ in range(30):
                page.keyboard.press("Tab")
                if (page.evaluate(NAME) or "").strip().startswith(name):
                    outline = page.evaluate(
                        "() => { const one = document.activeElement, next = one.nextElementSibling;"
                        " return [one, next].some(e => e && getComputedStyle(e).outlineStyle === 'solid'); }"
                    )
                    assert outline, f"{name}: no focus to be seen"
                    return
            raise AssertionError(f"{name} cannot be reached by the Tab key")

        tab_to("I agree")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="About you").wait_for()
        tab_to("0")
        for _ in range(5):
            page.keyboard.press("ArrowDown")
        tab_to("listener")
        page.keyboard.press("ArrowDown")
        tab_to("headphones")
        page.keyboard.press("Space")
        tab_to("Continue")
        page.keyboard.press("Enter")
        page.get_by_text("1 of 6").wait_for()

        # Once without any shortcut of ours: Tab, Space and arrows as everywhere.
        page.evaluate(FAST)
        for letter in "AB":
            tab_to(f"Play clip {letter}")
            page.keyboard.press("Space")
            page.locator(".clip", has_text=f"Clip {letter}").locator(".heard").wait_for()
        tab_to("a")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.get_by_text("2 of 6").wait_for()

        # Then with shortcuts.
        for place in (2, 3):
            page.evaluate(FAST)
            for letter in "ab":
                page.keyboard.press(letter)
                page.locator(".clip", has_text=f"Clip {letter.upper()}").locator(".heard").wait_for()
            page.keyboard.press("3")
            page.keyboard.press("Enter")
            page.get_by_text(f"{place + 1} of 6").wait_for()
        for place in (4, 5, 6):
            page.evaluate(FAST)
            page.keyboard.press("Space")
            page.locator(".heard").wait_for()
            for digit in "251":
                page.keyboard.press(digit)
            assert page.evaluate(NAME) == "Continue"
            page.keyboard.press("Enter")
            page.get_by_text(f"{place + 1} of 6" if place < 6 else "All 6 answered").wait_for()
    said = _listener(study, number)
    assert (said.training.practice, said.training.level) == ("6-9", "amateur")
    assert [answer.choice for answer in said.answers.values() if hasattr(answer, "choice")] == ["b", "none", "none"]
    assert {(a.coherence, a.style, a.emotion) for a in said.answers.values() if hasattr(a, "style")} == {(2, 5, 1)}


def test_shortcuts_leave_comments_alone_and_can_be_switched_off(visit, address):
    with visit(address) as page:
        _begin(page, address)
        page.get_by_text("Add a comment").click()
        page.get_by_label("Comment, optional").press_sequentially("1 a p")
        assert page.get_by_label("Comment, optional").input_value() == "1 a p"
        assert page.evaluate(PAUSED) == [True, True]
        assert page.locator("input[name=choice]:checked").count() == 0
        page.get_by_text("Keyboard").click()
        page.get_by_label("Use these keys").uncheck()
        page.reload()
        page.keyboard.press("1")
        page.keyboard.press("a")
        assert page.locator("input[name=choice]:checked").count() == 0
        assert page.evaluate(PAUSED) == [True, True]


def test_without_javascript_the_browsers_own_player_and_the_same_forms_do(visit, address, study):
    number = _count(study)
    with visit(address, java_script_enabled=False) as page:
        _begin(page, address)
        assert page.locator("audio[controls]").count() == 2
        assert not page.get_by_text("Keyboard").is_visible()
        for place in range(6):
            page.get_by_text(f"{place + 1} of 6").wait_for()
            _answer(page)
            page.get_by_role("button", name="Continue").click()
        page.get_by_role("heading", name="Thank you").wait_for()
    assert _listener(study, number).finished


def test_a_listener_can_refuse_and_can_withdraw_on_the_smallest_phone(visit, address, study, pictures):
    number = _count(study)
    with visit(address, viewport={"width": 320, "height": 568}) as page:
        page.goto(address)
        _look(page, pictures, "small-1-welcome")
        page.get_by_role("button", name="No, thank you").click()
        page.get_by_role("heading", name="That is all right").wait_for()
        _look(page, pictures, "small-2-refused")
        page.get_by_role("link", name="Back to the beginning").click()
        assert _count(study) == number
        _begin(page, address)
        _look(page, pictures, "small-3-compare")
        page.get_by_role("link", name="About this study").click()
        page.get_by_role("link", name="Back to the clips").wait_for()
        _look(page, pictures, "small-4-about")
        page.get_by_role("link", name="Delete my answers").click()
        page.get_by_role("button", name="Delete everything").wait_for()
        _look(page, pictures, "small-5-withdraw")
        page.get_by_role("button", name="Delete everything").click()
        page.get_by_role("heading", name="Your answers are deleted").wait_for()
        _look(page, pictures, "small-6-withdrawn")
        page.goto(address)
        page.get_by_role("button", name="I agree").wait_for()


def test_a_clip_that_does_not_come_is_said_and_holds_nobody_up(browser, address):
    page = browser.new_page()
    _begin(page, address)
    page.route("**/audio/*", lambda route: route.abort())
    page.reload()
    page.get_by_text("This clip could not be played.").nth(1).wait_for()
    page.unroute("**/audio/*")
    page.get_by_role("button", name="Try again").first.click()
    page.locator(".clip", has_text="Clip A").locator(".heard").wait_for()
    assert page.get_by_text("This clip could not be played.").count() == 1
    _answer(page)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("2 of 6").wait_for()
    page.close()


def test_the_static_export_keeps_answers_in_the_browser_and_gives_them_as_a_file(visit, study, tmp_path, pictures):
    write_static(study, tmp_path / "out")
    address = (tmp_path / "out/index.html").as_uri()
    begun = _count(study)
    with visit((tmp_path / "out").as_uri(), viewport=SIZES["phone"]) as page:
        page.goto(address)
        _look(page, pictures, "static-1-welcome")
        page.get_by_role("button", name="No, thank you").click()
        page.get_by_role("link", name="Back to the beginning").click()
        _begin(page, address)
        _look(page, pictures, "static-2-compare")
        _continue(page)
        sources = page.locator("source").evaluate_all("all => all.map(one => one.src)")
        page.close()
        page = page.context.new_page()
        page.goto(address)  # closed and come back
        page.get_by_text("2 of 6").wait_for()
        assert page.locator("source").evaluate_all("all => all.map(one => one.src)") == sources
        _finish(page)
        _look(page, pictures, "static-3-thanks")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download my answers").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
        page.get_by_role("link", name="Delete my answers").click()
        page.get_by_role("button", name="Delete everything").click()
        page.get_by_role("heading", name="Your answers are deleted").wait_for()
        page.goto(address)
        page.get_by_role("button", name="I agree").wait_for()
    assert _count(study) == begun
    ((said,), problems) = read_answer_files(study, [tmp_path / download.value.suggested_filename])
    assert problems == []
    assert said.finished
    assert said.training.level == "amateur"
    assert download.value.suggested_filename == f"ostinato-answers-{said.name}.json"
    tasks = study.tasks_of(said.number)
    assert list(said.answers) == [task.id for task in tasks]
    assert all(ms >= 900 for answer in said.answers.values() for ms in answer.played_ms)
    assert [answer.choice for answer in said.answers.values() if hasattr(answer, "choice")] == ["b"] * 3
    shown = [clip.files["opus"] for clip in tasks[1].clips]
    assert [re.search(r"audio/\w+\.ogg", source)[0] for source in sources if ".ogg" in source] == shown
