"""The pages on which clips are heard, as HTML: a comparison or a rating, and the progress above them."""

from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from ostinato.listen.design.study import CONTENT_TYPES, SUFFIXES, Clip, Task
from ostinato.listen.web.answer import HIGHEST, LOWEST, MAX_COMMENT
from ostinato.listen.web.markup import Screen, choices, problem_line

HEARD_AFTER_PROMPT_S = 5.0
"""So much of what follows the prompt must be heard before an answer is taken, where there is JavaScript."""

NO_CLIP = Clip("", {}, 0.0)
"""Stands where the static export's script puts a clip."""

SCALE_QUESTIONS = {
    "coherence": ("Coherence", "Does it hang together, from beginning to end?", "not at all", "completely"),
    "style": ("Style", "How convincing is it as music of its kind?", "not at all", "completely"),
    "emotion": ("Emotion", "How much does it move you?", "not at all", "very much"),
}


class Place(NamedTuple):
    """Where a listener is among the tasks."""

    answered: int
    total: int


def task_screen(
    task: Task,
    place: Place,
    *,
    root: str,
    prompt_s: float,
    given: Mapping[str, str] | None = None,
    problem: str = "",
) -> Screen:
    """Returns a comparison or a rating; `given` is what a form held that could not be taken, `problem` why."""
    make = _compare if task.kind == "compare" else _rate
    title, said, clips, questions = make(task, root=root, prompt_s=prompt_s, given=given or {})
    comment = escape((given or {}).get("comment", ""))
    return Screen(
        f"{place.answered + 1} of {place.total}",
        f"""{progress(place)}
<main id="content">
<h1>{title}</h1>
<p class="soft">{said}</p>
{clips}
<form method="post" action="{escape(root)}task" class="answer">
<input type="hidden" name="task" value="{escape(task.id)}">
<input type="hidden" name="played_ms" value="">
{questions}
<details class="comment"{" open" if comment else ""}><summary>Add a comment</summary>
<label for="comment" class="visually-hidden">Comment, optional</label>
<textarea id="comment" name="comment" maxlength="{MAX_COMMENT}" rows="3">{comment}</textarea>
</details>
{problem_line(problem)}
<div class="actions"><button class="main">Continue</button></div>
</form>
</main>
{_task_footer(task.kind, root)}""",
        "task",
    )


def enough_s(clip: Clip, prompt_s: float) -> float:
    """Returns how much of a clip must be heard before it is judged."""
    return round(min(prompt_s + HEARD_AFTER_PROMPT_S, 0.9 * clip.duration_s), 1)


def progress(place: Place) -> str:
    """Returns where a listener is: each answer is the next note of a figure that keeps recurring."""
    notes = "".join(
        f"<i{' class=done' if index < place.answered else ' class=now' if index == place.answered else ''}></i>"
        for index in range(place.total)
    )
    where = f"{place.answered + 1} of {place.total}" if place.answered < place.total else f"All {place.total} answered"
    return f"""<header class="progress"><div class="stave" aria-hidden="true">{notes}</div>
<p class="where">{where}</p></header>"""


def _compare(task: Task, *, root: str, prompt_s: float, given: Mapping[str, str]) -> tuple[str, str, str, str]:
    first, second = task.clips
    clips = "".join(
        _clip(f"clip {letter}", clip, root=root, prompt_s=prompt_s) for letter, clip in (("A", first), ("B", second))
    )
    labels = {"a": "Clip A", "b": "Clip B", "none": "No preference"}
    said = f"Both begin alike, for about {round(prompt_s)} seconds; what follows is to be judged."
    return (
        "Listen to both clips",
        said if round(prompt_s) else "Each as often as you like.",
        f'<div class="clips two">{clips}</div>',
        choices("choice", "Which do you prefer?", labels, given, "row"),
    )


def _rate(task: Task, *, root: str, prompt_s: float, given: Mapping[str, str]) -> tuple[str, str, str, str]:
    (clip,) = task.clips
    said = f"The first {round(prompt_s)} seconds or so are a given beginning; what follows is to be judged."
    return (
        "Listen to the clip",
        said if round(prompt_s) else "As often as you like.",
        f'<div class="clips">{_clip("the clip", clip, root=root, prompt_s=prompt_s)}</div>',
        "\n".join(_scale(name, given) for name in SCALE_QUESTIONS),
    )


def _clip(name: str, clip: Clip, *, root: str, prompt_s: float) -> str:
    sources = "".join(
        f'<source src="{escape(root + clip.files[form])}" type="{escape(CONTENT_TYPES[form])}">'
        for form in SUFFIXES
        if form in clip.files
    )
    key = name.replace(" ", "-").lower()
    shown = name.removeprefix("the ").capitalize() if name.startswith("the") else f"Clip {name[-1]}"
    return f"""<section class="clip" aria-labelledby="{key}" data-name="{name}" data-duration="{clip.duration_s:g}"
 data-enough="{enough_s(clip, prompt_s):g}">
<h2 id="{key}">{shown}</h2>
<audio controls preload="auto" aria-label="{shown}">{sources}</audio>
</section>"""


def _scale(name: str, given: Mapping[str, str]) -> str:
    title, ask, low, high = SCALE_QUESTIONS[name]
    ends = {LOWEST: low, HIGHEST: high}
    steps = "\n".join(
        f'<label class="step"><input type="radio" name="{name}" value="{point}" required'
        f'{" checked" if given.get(name) == str(point) else ""}><span class="dot">{point}</span>'
        f"{f'<span class=end>{ends[point]}</span>' if point in ends else ''}</label>"
        for point in range(LOWEST, HIGHEST + 1)
    )
    return f"""<fieldset class="question" aria-describedby="ask-{name}">
<legend>{title}</legend>
<p class="ask" id="ask-{name}">{ask}</p>
<div class="scale">
{steps}
</div>
</fieldset>"""


def _task_footer(kind: str, root: str) -> str:
    answers = "1 2 3" if kind == "compare" else "1 2 3 4 5"
    meaning = "Clip A, Clip B, no preference" if kind == "compare" else "answer a question, and go to the next"
    rows = [("Space P", "play or pause"), (answers, meaning), ("Enter", "continue")]
    if kind == "compare":
        rows.insert(1, ("A B", "play or pause that clip"))
    keys = "".join(
        f"<dt>{' '.join(f'<kbd class=key>{key}</kbd>' for key in names.split())}</dt><dd>{does}</dd>"
        for names, does in rows
    )
    return f"""<footer>
<p>You can close this page and go on later, on this device. <a href="{escape(root)}about">About this study</a></p>
<details class="keys" hidden><summary>Keyboard</summary>
<dl>{keys}</dl>
<label><input type="checkbox" checked> Use these keys</label>
</details>
</footer>"""
