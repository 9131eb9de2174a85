import json
import secrets
from collections import Counter

import numpy as np
import pytest

from ostinato.configs.listen import StudyConfig
from ostinato.data.atomic import make_folder
from ostinato.listen.design import create
from ostinato.listen.design.create import create_study, tasks_per_listener
from ostinato.listen.design.order import CHECK, HUMAN
from ostinato.listen.design.study import Clip, Study, StudyError
from tests.listen.music import counts_of, tiny_run, tunes_dataset

SHORT = {"clip_seconds": 5.0, "prompt_seconds": 2.0, "comparisons": 1, "ratings": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("create")


@pytest.fixture(scope="module")
def dataset(folder):
    return tunes_dataset(folder / "data")


def _create(out, dataset, models, **changes):
    config = StudyConfig(**SHORT | {"prompts": 2} | changes)
    return create_study(out, dataset, models, config, counts=lambda: counts_of(dataset))


@pytest.fixture
def not_rendered(monkeypatch):
    """Saves the time for sound: a list of the pieces of each study that would have been rendered."""
    asked = []

    def render(pieces, folder, **_):
        make_folder(folder / "audio")
        asked.append(pieces)
        return [Clip(secrets.token_hex(8), {}, 5.0) for _ in pieces], -18.0

    monkeypatch.setattr(create, "render_clips", render)
    return asked


@pytest.fixture(scope="module")
def study(folder, dataset):
    return _create(folder / "study", dataset, ["chain=markov:1", "rules"])


def test_a_study_holds_the_clips_of_its_sheets_and_no_others(study):
    made = Counter(clip["condition"] for clip in study.private.clips.values())
    assert sum(made.values()) == len(study.clips) == 1 * (2 + 2 + 1 + 1)
    assert (made[CHECK], made[HUMAN] >= 1) == (2, True)
    assert sorted({clip["prompt"] for clip in study.private.clips.values()}) == list(range(4))
    assert Study.open(study.folder) == study
    assert study.num_tasks == 1 + 2 + 1 + 2


@pytest.mark.parametrize(("prompts", "num_sheets"), [(0, 3), (5, 2)])
def test_there_are_as_many_sheets_as_there_are_beginnings_for(dataset, prompts, num_sheets, tmp_path, not_rendered):
    study = _create(tmp_path / "study", dataset, ["rules"], prompts=prompts)  # twelve pieces, four for each sheet
    assert len(study.private.sheets) == num_sheets
    assert len(study.private.prompts) == 4 * num_sheets


def test_each_listener_gets_tasks_whose_clips_exist(study):
    for number in range(30):
        for task in study.tasks_of(number):
            assert all((study.folder / file).is_file() for clip in task.clips for file in clip.files.values())


def test_it_is_known_to_the_researcher_how_each_clip_was_made(study, dataset):
    human, chain, _ = study.private.conditions
    assert human["source"] == HUMAN
    assert (chain["source"], chain["dataset"]) == ("markov:1", dataset.fingerprint)
    assert all(prompt["record"].startswith("test-") for prompt in study.private.prompts)
    assert study.private.config["lufs"] <= -18


def test_what_listeners_may_see_tells_no_condition(study):
    shown = (study.folder / "study.json").read_text() + json.dumps(study.public())
    assert not any(word in shown for word in ("human", "chain", "markov", "rules", "broken", "condition", "test-"))
    assert "5 seconds long" in study.about


def test_the_text_that_is_given_is_shown_and_the_secret_is_another_each_time(study, dataset, tmp_path, not_rendered):
    text = tmp_path / "about.txt"
    text.write_text("Grüezi!\n\nHör zu.\n")
    given = {"about": str(text), "title": "Töne", "contact": "a@example.org"}
    again = _create(tmp_path / "again", dataset, ["rules"], **given)
    assert (again.about, again.title, again.contact) == ("Grüezi!\n\nHör zu.", "Töne", "a@example.org")
    assert not set(again.clips) & set(study.clips)
    assert again.private.secret != study.private.secret  # with the same seed
    assert len(again.private.secret) == 64


def test_the_same_seed_gives_the_same_music_whatever_the_secret_chooses_of_it(dataset, tmp_path, not_rendered):
    def pieces(number):
        study = _create(tmp_path / f"{number}", dataset, ["rules"], prompts=0)
        made = [(clip["condition"], clip["prompt"]) for clip in study.private.clips.values()]
        return study.private.prompts, dict(zip(made, not_rendered.pop(), strict=True))

    prompts, first = pieces(0)
    compared = Counter()
    for number in range(1, 8):
        again_prompts, again = pieces(number)
        assert again_prompts == prompts
        for key in first.keys() & again.keys():
            np.testing.assert_array_equal(first[key].notes, again[key].notes)
            compared[key[0]] += 1
        assert first.keys() != again.keys()
    assert compared.keys() == {HUMAN, "rules", CHECK}


@pytest.mark.slow
def test_it_is_known_of_a_run_what_it_was(folder, dataset):
    study = _create(folder / "run", dataset, [f"lstm={tiny_run(folder / 'tiny')}"])
    _, lstm = study.private.conditions
    assert len(lstm["params_sha256"]) == 64
    assert lstm["other_dataset"], "a run that was not trained here is named in the log"


@pytest.mark.parametrize(
    ("out", "changes", "said"),
    [
        (".", {}, "never overwritten"),
        ("few", {"prompts": 1}, "each listener hears 2 of them"),
        ("none", {"about": "none.txt"}, "not a text file"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(dataset, tmp_path, out, changes, said):
    with pytest.raises(StudyError, match=said):
        _create(tmp_path / out, dataset, ["rules"], **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("num_conditions", "tasks"), [(2, (6, 6)), (3, (6, 6)), (4, (6, 8)), (5, (10, 10)), (6, (12, 6))]
)
def test_by_default_a_listener_has_a_moderate_number_of_tasks(num_conditions, tasks):
    assert tasks_per_listener(num_conditions, StudyConfig()) == tasks
    assert tasks_per_listener(num_conditions, StudyConfig(comparisons=3, ratings=4)) == (3, 4)
