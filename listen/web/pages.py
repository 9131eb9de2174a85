"""`ostinato listen export`: the study as files for any web host, or to be opened from a disk.

The same pages and the same player as those of the server. A listener's answers stay in her browser (localStorage) and
are downloaded as a file at the end, which she sends to whoever runs the study; `answer.py` describes it.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ostinato.configs.errors import UserError
from ostinato.data.atomic import atomic_folder
from ostinato.listen.design.study import Clip, Study, Task
from ostinato.listen.web.screens import POLICY, STATIC, Screens

NUM_ORDERS = 240
"""Orders of tasks that are written down; each listener gets one of them at random."""

ROOT = "#/"
"""All pages are one file; what the server answers below the study's path stands behind this mark."""

_NO_CLIP = Clip("", {}, 0.0)
"""Stands where the script puts a clip."""


def write_static(study: Study, out: str | Path) -> None:
    """Writes the pages and clips of a study into a new folder, and nothing from which a condition could be told.

    Raises:
        UserError: the folder is there and holds something, or the study's orders would tell its conditions.
    """
    out = Path(out)
    if not study.is_blind:
        raise UserError(
            f"{study.folder}: was made by an earlier version, and whoever knows our source reads the conditions from "
            "its orders, which a page has to hold; 'ostinato listen create' with the same --seed makes the same music "
            "anew, and 'listen serve' and 'listen results' go on with this study"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already; name a new folder for the static pages")
    with atomic_folder(out) as folder:
        shutil.copytree(STATIC, folder / "static", copy_function=shutil.copyfile)
        for file in (file for clip in study.clips.values() for file in clip.files.values()):
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(study.folder / file, folder / file)
        (folder / "index.html").write_text(_page(study), encoding="utf-8")
        # Hosts tell when a file was changed. All the same: when clips were made may tell by what.
        written_s = datetime.now(UTC).timestamp()
        for path in folder.rglob("*"):
            os.utime(path, (written_s, written_s))


def _page(study: Study) -> str:
    """Returns the one page, which holds all others as parts."""
    screens = Screens(study, root=ROOT, layout="part.html", is_static=True)
    compare, rate = Task("", "compare", (_NO_CLIP, _NO_CLIP)), Task("", "rate", (_NO_CLIP,))
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "welcome": ("welcome.html", {"has_begun": False}),
        "about": ("welcome.html", {"has_begun": True}),
        "training": ("training.html", {}),
        "compare": ("task.html", screens.task(compare, 0)),
        "rate": ("task.html", screens.task(rate, 0)),
        "thanks": ("thanks.html", {}),
        "withdraw": ("withdraw.html", {}),
        "refused": ("refused.html", {}),
        "withdrawn": ("withdrawn.html", {}),
    }
    data = json.dumps(_data(study, screens), separators=(",", ":"))
    return screens.render(
        "export.html",
        parts=[Markup(screens.render(template, id=name, **values)) for name, (template, values) in parts.items()],
        data=Markup(data.replace("<", "\\u003c")),  # in a script, only "<" could end it
        scripts=("listen.js", "static.js"),
        root="",
        policy=f"{POLICY}'none'",
    )


def _data(study: Study, screens: Screens) -> dict[str, Any]:
    """Returns what the script needs: clips under numbers that say nothing, and who hears which.

    Orders ask for no condition (`order.py`), so that all of them together tell none.
    """
    clip_ids = sorted(study.clips)
    number_of = {clip_id: number for number, clip_id in enumerate(clip_ids)}
    orders = [[[number_of[clip.id] for clip in task.clips] for task in study.tasks_of(i)] for i in range(NUM_ORDERS)]
    clips = [screens.describe(study.clips[clip_id]) for clip_id in clip_ids]
    return {"id": study.id, "title": study.title, "clips": clips, "orders": orders}
