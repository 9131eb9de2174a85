"""The other pages of a listening test as HTML: what it is about, musical training, thanks.

Pure functions, used by the server and by the static export alike.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ostinato.listen.web.answer import HIGHEST, LEVELS, LOWEST, PLAYBACK, PRACTICE
from ostinato.listen.web.markup import ORNAMENT, Screen, choices, contact_link, count_of, items, problem_line
from ostinato.listen.web.task_screen import Place, progress

TRAINING_QUESTIONS = {
    "practice": (
        "For how many years have you practised an instrument or singing regularly, most days?",
        ("never", "1 year", "2 years", "3 years", "4 to 5", "6 to 9", "10 or more"),
        PRACTICE,
        "short",
    ),
    "level": (
        "What is music to you?",
        ("I listen", "I play or sing for pleasure", "I study it", "I make my living with it"),
        LEVELS,
        "long",
    ),
    "playback": (
        "What are you listening with?",
        ("Headphones or earphones", "Loudspeakers", "This phone or computer"),
        PLAYBACK,
        "third",
    ),
}
"""What is asked, the answers in words and as they are stored, and how they are laid out."""


def welcome(public: Mapping[str, Any], *, root: str, storage: Sequence[str]) -> Screen:
    """Returns what the study is about, what is stored, and the question for consent.

    Args:
        public: `Study.public()`.
        root: the path of the study.
        storage: what is stored, sentence by sentence.
    """
    question = f"""<form method="post" action="{escape(root)}consent">
<div class="actions">
<button class="main" name="consent" value="yes">I agree, let us begin</button>
<button name="consent" value="no">No, thank you</button>
</div>
</form>"""
    return _about(public, storage, question)


def about(public: Mapping[str, Any], *, root: str, storage: Sequence[str]) -> Screen:
    """Returns the same for those who have begun, with ways back and out instead of the question."""
    ways = f"""<p class="actions"><a href="{escape(root)}task">Back to the clips</a>
<a href="{escape(root)}withdraw">Delete my answers</a></p>"""
    return _about(public, storage, ways)


def training(*, root: str, given: Mapping[str, str] | None = None, problem: str = "") -> Screen:
    """Returns the questions about the listener; `given` is what a form held that could not be taken, `problem` why."""
    questions = "\n".join(
        choices(name, ask, dict(zip(values, labels, strict=True)), given or {}, layout)
        for name, (ask, labels, values, layout) in TRAINING_QUESTIONS.items()
    )
    return Screen(
        "About you",
        f"""<main id="content">
<h1>About you</h1>
<p>So that we can tell whether trained ears hear it differently.</p>
<form method="post" action="{escape(root)}training">
{questions}
{problem_line(problem)}
<div class="actions"><button class="main">Continue</button></div>
</form>
</main>""",
    )


def thanks(public: Mapping[str, Any], place: Place, *, root: str) -> Screen:
    """Returns the last page."""
    contact = f" Questions are welcome at {contact_link(public['contact'])}." if public["contact"] else ""
    return Screen(
        "Thank you",
        f"""{progress(place)}
<main id="content">
<h1>Thank you</h1>
<p class="lead">All {place.total} answers are stored. You can close this page now.</p>
<p>Some of what you heard was written by people, some by machines; which was which stays closed until the study
ends, so that those who listen after you hear with open ears.{contact}</p>
</main>
<footer><p><a href="{escape(root)}withdraw">Delete my answers</a></p></footer>""",
        "task",
    )


def withdraw(*, root: str) -> Screen:
    """Returns the question whether all that a listener said is to be deleted."""
    return Screen(
        "Delete my answers",
        f"""<main id="content">
{ORNAMENT}
<h1>Delete my answers?</h1>
<p>Everything that you have answered here will be deleted from the study, and this device will forget that you were
here. It cannot be undone.</p>
<form method="post" action="{escape(root)}withdraw">
<div class="actions">
<button class="main" name="withdraw" value="yes">Delete everything</button>
<a href="{escape(root)}task">No, keep them</a>
</div>
</form>
</main>""",
    )


def message(title: str, text: str, *, link: tuple[str, str] | None = None) -> Screen:
    """Returns a page with a few words, and at most one way on: an address of ours and what stands there."""
    way = f'<p class="actions"><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return Screen(
        title, f'<main id="content">\n{ORNAMENT}\n<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n{way}\n</main>'
    )


def thanks_with_file(public: Mapping[str, Any], place: Place, *, root: str) -> Screen:
    """Returns the last page of the static export, where the answers are downloaded."""
    send = f"send the file to {contact_link(public['contact'])}" if public["contact"] else "send the file to us"
    return Screen(
        "Thank you",
        f"""{progress(place)}
<main id="content">
<h1>Thank you. One last step</h1>
<p class="lead">Your {place.total} answers are in this browser only. Please download them, and {send}.</p>
<div class="actions"><a class="button" id="download">Download my answers</a></div>
</main>
<footer><p><a href="{escape(root)}withdraw">Delete my answers</a></p></footer>""",
        "task",
    )


def no_cookies(root: str) -> Screen:
    """Returns the page of a browser that does not keep its session."""
    text = (
        "Your browser did not keep the cookie by which we find your answers again, so nothing could be stored. "
        "Please allow cookies for this page, or take another browser."
    )
    return message("It cannot begin yet", text, link=(root, "Try again"))


def refused(root: str) -> Screen:
    """Returns the page after a refusal."""
    text = "Nothing about you was stored. Thank you for your time."
    return message("That is all right", text, link=(root, "Back to the beginning"))


def withdrawn() -> Screen:
    """Returns the page after a withdrawal."""
    return message("Your answers are deleted", "Nothing of what you said is left. Thank you for your time.")


def _about(public: Mapping[str, Any], storage: Sequence[str], end: str) -> Screen:
    paragraphs = [text.strip() for text in public["about"].split("\n\n") if text.strip()]
    said = "".join(
        f"<p{' class=lead' if place == 0 else ''}>{escape(text)}</p>\n" for place, text in enumerate(paragraphs)
    )
    compare, rate = public["tasks"]["compare"], public["tasks"]["rate"]
    steps = ["First, a few words about your musical training."]
    if compare:
        steps.append(f"Then {count_of(compare, 'pair')} of clips: you say which of the two you prefer.")
    if rate:
        steps.append(f"Then {count_of(rate, 'single clip')}: you rate each from {LOWEST} to {HIGHEST}.")
    contact = f"<p>Questions? Write to {contact_link(public['contact'])}.</p>\n" if public["contact"] else ""
    return Screen(
        public["title"],
        f"""<main id="content">
{ORNAMENT}
<h1>{escape(public["title"])}</h1>
{said}<h2>What you will do</h2>
<ul>{items(steps)}</ul>
<p>It takes about {count_of(public["minutes"], "minute")}. Headphones and a quiet room are best. You may stop whenever
you like, and go on later on this device: what you have answered is kept.</p>
<h2>What is stored</h2>
<ul>{items(storage)}</ul>
{contact}{end}
</main>""",
    )
