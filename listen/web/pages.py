"""`ostinato listen export`: the study as files for any web host, or to be opened from a disk.

The same pages and the same player as those of the server. A listener's answers stay in her browser (localStorage) and
are downloaded as a file at the end, which she sends to whoever runs the study; `answer.py` describes it.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.listen.design.study import CONTENT_TYPES, Study, Task
from ostinato.listen.web import screens
from ostinato.listen.web.markup import STATIC_FILES, STATIC_SCRIPT, Screen, document, read_static
from ostinato.listen.web.task_screen import NO_CLIP, Place, enough_s, task_screen

NUM_ORDERS = 240
"""Orders of tasks that are written down; each listener gets one of them at random."""

ROOT = "#/"
"""All pages are one file; what the server answers below the study's path stands behind this mark."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'none'; "
    "base-uri 'none'"
)

STORAGE = (
    "In this browser, and nowhere else until you send them: that you agreed, and when; what you say about your "
    "musical training; your answers and comments, and for how long you played each clip.",
    "At the end you download them as a file, which you can read, and send it yourself. It holds no name, no address, "
    "and nothing about your device.",
    "Whoever hosts these pages can see that they were opened, as with any page, but not what you answer.",
)


def write_static(study: Study, out: str | Path) -> None:
    """Writes the pages and clips of a study into a new folder, and nothing from which a condition could be told.

    Raises:
        UserError: the folder is there and holds something.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already; name a new folder for the static pages")
    static = out / "static"
    static.mkdir(parents=True)
    for name in (*STATIC_FILES, STATIC_SCRIPT):
        (static / name).write_bytes(read_static(name))
    files = [file for clip in study.clips.values() for file in clip.files.values()]
    for file in files:
        (out / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(study.folder / file, out / file)
    (out / "index.html").write_text(_page(study), encoding="utf-8")
    # Hosts tell when a file was changed. All the same: when clips were made may tell by what.
    written_s = datetime.now(UTC).timestamp()
    for path in out.rglob("*"):
        os.utime(path, (written_s, written_s))


def _page(study: Study) -> str:
    """Returns the one page, which holds all screens as templates."""
    public = study.public()
    total = study.num_tasks
    tasks = (Task("", "compare", (NO_CLIP, NO_CLIP)), Task("", "rate", (NO_CLIP,)))
    shown: dict[str, Screen] = {
        "welcome": screens.welcome(public, root=ROOT, storage=STORAGE),
        "about": screens.about(public, root=ROOT, storage=STORAGE),
        "training": screens.training(root=ROOT),
        **{task.kind: task_screen(task, Place(0, total), root=ROOT, prompt_s=study.prompt_s) for task in tasks},
        "thanks": screens.thanks_with_file(public, Place(total, total), root=ROOT),
        "withdraw": screens.withdraw(root=ROOT),
        "refused": screens.refused(ROOT),
        "withdrawn": screens.withdrawn(),
    }
    templates = "\n".join(
        f'<template id="{name}" data-title="{escape(screen.title)}" data-kind="{screen.kind}">\n{screen.body}\n'
        "</template>"
        for name, screen in shown.items()
    )
    needs = screens.message(study.title, "These pages keep your answers in your browser, which needs JavaScript.")
    # In a script, only "<" could end it.
    data = json.dumps(_data(study), separators=(",", ":")).replace("<", "\\u003c")
    body = f"""<div id="screen" data-no-server>
<noscript>{needs.body}</noscript>
</div>
{templates}
<script type="application/json" id="study">{data}</script>"""
    return document(
        Screen(study.title, body), study.title, root="", scripts=("listen.js", STATIC_SCRIPT), policy=POLICY
    )


def _data(study: Study) -> dict[str, Any]:
    """Returns what the script needs: clips under numbers that say nothing, and who hears which."""
    clip_ids = sorted(study.clips)
    number_of = {clip_id: number for number, clip_id in enumerate(clip_ids)}
    clips = [study.clips[clip_id] for clip_id in clip_ids]
    return {
        "id": study.id,
        "title": study.title,
        "clips": [
            {
                "sources": [[clip.files[form], kind] for form, kind in CONTENT_TYPES.items() if form in clip.files],
                "duration_s": clip.duration_s,
                "enough_s": enough_s(clip, study.prompt_s),
            }
            for clip in clips
        ],
        "orders": [
            [[number_of[clip.id] for clip in task.clips] for task in study.tasks_of(number)]
            for number in range(NUM_ORDERS)
        ],
    }
