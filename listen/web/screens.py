"""The pages of a listening test as HTML, of templates/; the server and the static export show the same ones."""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import escape

from ostinato.listen.design.study import CONTENT_TYPES, Clip, Study, Task
from ostinato.listen.web.answer import CHOICES, HIGHEST, LOWEST, MAX_COMMENT, TRAINING
from ostinato.report.templates import render

STATIC = Path(__file__).parent / "static"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; base-uri 'none'; "
    "form-action "
)
"""The content security policy: nothing from elsewhere, nothing inline. It ends with where forms may go."""

UNHEARD_S, HEARD_SHARE = 1.0, 0.9
"""Where there is JavaScript, an answer is taken when all of each clip was heard but its last second, the fade; or so
much of a short one. Who answers faster than clips last does not count (`responses.RULE`)."""

COOKIE_DAYS = 90
"""How long a listener can come back."""

_TEMPLATES = Path(__file__).parent / "templates"
_MAIL = re.compile(r"""[^\s@?&<>"']+@[^\s?&<>"']*\.[^\s?&<>"']*""")


class Screens:
    """The pages of one study."""

    def __init__(self, study: Study, *, root: str, **values: Any) -> None:
        """Prepares the pages of a study below the path `root`, which has a slash at its end; `values` are for all."""
        self._values = {
            "study": _verbatim(study.public()),
            "paragraphs": [escape(text.strip()) for text in study.about.split("\n\n") if text.strip()],
            "is_mail": _MAIL.fullmatch(study.contact),
            "prompt_s": round(study.prompt_s),
            "total": study.num_tasks,
            "root": root,
            "cookie_days": COOKIE_DAYS,
            "scripts": ("listen.js",),
            "version": lambda name: version_of(STATIC / name),
            "training": TRAINING,
            "preferences": CHOICES,
            "lowest": LOWEST,
            "highest": HIGHEST,
            "max_comment": MAX_COMMENT,
            "layout": "page.html",
            "policy": "",
            "is_static": False,
            **values,
        }

    def render(self, template: str, *, given: Mapping[str, str] | None = None, problem: str = "", **values: Any) -> str:
        """Returns a page; `given` is what a form held that could not be taken, `problem` why."""
        fields = dict.fromkeys(("choice", "coherence", "style", "emotion", "comment", *TRAINING), "")
        written = _verbatim(fields | dict(given or {}))
        return render(_TEMPLATES, template, **self._values | {"given": written, "problem": problem} | values)

    def task(self, task: Task, answered: int) -> dict[str, Any]:
        """Returns what task.html needs to show a comparison or a rating."""
        clips = [self.describe(clip) for clip in task.clips]
        return {"kind": task.kind, "task_id": task.id, "clips": clips, "answered": answered}

    def describe(self, clip: Clip) -> dict[str, Any]:
        """Returns what a page needs to play a clip, and how much of it must be heard before it is judged."""
        return {
            "sources": [[clip.files[form], kind] for form, kind in CONTENT_TYPES.items() if form in clip.files],
            "duration_s": clip.duration_s,
            "enough_s": round(max(clip.duration_s - UNHEARD_S, HEARD_SHARE * clip.duration_s), 1),
        }


@functools.cache
def version_of(file: Path) -> str:
    """Returns what changes when a file of ours changes, so that browsers may keep it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def _verbatim(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values whose text is escaped and nothing else: some scripts need joiners and marks of direction."""
    return {name: escape(value) if isinstance(value, str) else value for name, value in values.items()}
