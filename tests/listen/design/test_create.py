import json

import numpy as np
import pytest
import soundfile

from ostinato.configs.listen import StudyConfig
from ostinato.listen.design.create import create_study, tasks_per_listener
from ostinato.listen.design.order import CHECK, HUMAN
from ostinato.listen.design.study import Study, StudyError
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


@pytest.fixture(scope="module")
def study(folder, dataset):
    return _create(folder / "study", dataset, ["chain=markov:1", "rules"])


def test_a_study_holds_a_clip_of_each_condition_for_each_prompt_and_the_checks(study):
    made = [(clip["condition"], clip["prompt"]) for clip in study.private.clips.values()]
    wanted = [(name, prompt) for name in (HUMAN, "chain", "rules") for prompt in range(2)]
    assert sorted(made) == sorted([*wanted, (HUMAN, 2), (CHECK, 2)])
    assert Study.open(study.folder) == study
    assert study.num_tasks == 1 + 2 + 1 + 2


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


@pytest.mark.slow
def test_the_same_seed_gives_the_same_music_under_other_names_with_the_text_that_is_given(study, dataset, tmp_path):
    text = tmp_path / "about.txt"
    text.write_text("Grüezi!\n\nHör zu.\n")
    given = {"about": str(text), "title": "Töne", "contact": "a@example.org"}
    again = _create(tmp_path / "again", dataset, ["rules"], **given)
    assert (again.about, again.title, again.contact) == ("Grüezi!\n\nHör zu.", "Töne", "a@example.org")
    assert not set(again.clips) & set(study.clips)
    assert again.private.order_seed != study.private.order_seed
    assert again.private.prompts == study.private.prompts
    lufs = [one.private.config["lufs"] for one in (study, again)]
    first, second = (
        soundfile.read(one.folder / one.clips[one.private.clip_of["rules", 1]].files["opus"])[0]
        for one in (study, again)
    )
    assert lufs[0] == lufs[1]
    np.testing.assert_array_equal(first, second)


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
