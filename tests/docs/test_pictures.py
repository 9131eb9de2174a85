"""The pictures of the pages can be made again, and are what the code draws."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ostinato.benchmarks.figures import save
from ostinato.docs.figures import draw_bars, draw_duplicates, draw_notes, example_chorale, tune
from tests.chromium import find_browser
from tests.studio.studios import make_run

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.slow


def test_the_figures_of_the_concepts_are_those_of_the_code(tmp_path):
    pytest.importorskip("music21", reason="music21 is not installed (extra demo)")
    drawn = {"notes": draw_notes(example_chorale()), "bars": draw_bars(tune()), "duplicates": draw_duplicates(tune())}
    for name, figure in drawn.items():
        figure.patch.set_alpha(0)
        save(figure, tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").read_text() == (DOCS / f"{name}.svg").read_text(), name


def test_the_studio_is_filmed_while_it_generates_and_plays(tmp_path):
    pytest.importorskip("playwright", reason="playwright is not installed")
    if find_browser() is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    from ostinato.docs.pictures import BLANK_FRAMES, film_studio

    frames = [np.asarray(frame) for frame in film_studio(str(make_run(tmp_path)))]
    changed = [bool((one != other).any()) for one, other in pairwise(frames)]
    assert not any(changed[: BLANK_FRAMES - 1]), "a blank sheet stands for a while"
    assert sum(changed[BLANK_FRAMES:]) > 10, "the line moves on"


def test_what_the_readme_shows_and_lets_hear_is_small():
    assert (DOCS / "studio.webp").stat().st_size < 600_000
    assert all((DOCS / name).stat().st_size < 500_000 for name in ("chorale.ogg", "pop.ogg"))
