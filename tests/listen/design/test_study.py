import json
import stat
from pathlib import Path

import pytest

from ostinato.listen.design.order import CHECK, HUMAN
from ostinato.listen.design.study import Study, StudyError
from tests.listen.studies import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study") / "study")


def test_a_study_is_read_back_as_it_was_written(study):
    again = Study.open(study.folder)
    assert again == study
    assert again.plan_of(5) == study.plan_of(5)


def test_what_a_browser_may_see_tells_no_condition_and_the_rest_is_read_by_its_owner_only(study):
    shown = json.dumps(study.public()) + (study.folder / "study.json").read_text()
    for word in (*study.private.names, CHECK, study.private.secret, "condition", "seed", "secret", "role", "repeat"):
        assert word not in shown
    listed = list(json.loads((study.folder / "study.json").read_text())["clips"])
    assert listed == sorted(listed)
    assert all(set(vars(task)) == {"id", "kind", "clips"} for task in study.tasks_of(0))
    assert stat.S_IMODE((study.folder / "conditions.json").stat().st_mode) == 0o600


def test_nobody_else_can_read_the_private_file_while_it_is_written_either(tmp_path, monkeypatch):
    modes = []
    replace = Path.replace

    def look(self, target):
        modes.append((Path(target).name, stat.S_IMODE(self.stat().st_mode)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    make_study(tmp_path / "study", num_prompts=2, num_comparisons=1, num_ratings=1, is_heard=False)
    assert ("conditions.json", 0o600) in modes


def test_the_tasks_of_a_listener_are_those_of_the_plan(study):
    for number in (0, 1, 40):
        tasks, plan = study.tasks_of(number), study.plan_of(number)
        assert [(task.id, task.kind, tuple(clip.id for clip in task.clips)) for task in tasks] == [
            (task.id, task.kind, task.clip_ids) for task in plan
        ]
        for task in plan:
            assert [study.private.clips[name]["condition"] for name in task.clip_ids] == list(task.conditions)
            assert {study.private.clips[name]["prompt"] for name in task.clip_ids} == {task.prompt}


def test_the_attention_check_is_heard_on_either_side(study):
    sides = {task.conditions for number in range(20) for task in study.plan_of(number) if task.role == CHECK}
    assert sides == {(CHECK, HUMAN), (HUMAN, CHECK), (CHECK,)}


def test_a_folder_that_is_no_study_is_refused_in_one_line(study, tmp_path):
    with pytest.raises(StudyError, match=r"study\.json is missing"):
        Study.open(tmp_path)
    with pytest.raises(StudyError, match="there is no listener -1"):
        study.plan_of(-1)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(StudyError, match="damaged"):
        Study.open(tmp_path)
    other = make_study(tmp_path / "study", num_prompts=3, num_comparisons=1, num_ratings=2)
    clip = next(iter(other.clips.values()))
    (other.folder / clip.files["mp3"]).unlink()
    with pytest.raises(StudyError, match="is missing"):
        Study.open(other.folder)
