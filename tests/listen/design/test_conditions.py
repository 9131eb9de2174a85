import numpy as np
import pytest

from ostinato.configs.listen import StudyConfig
from ostinato.listen.design.conditions import check_piece, continue_prompts, parse_models
from ostinato.listen.design.prompts import draw_prompts
from ostinato.listen.design.study import StudyError
from tests.listen.music import counts_of, tiny_run, tunes_dataset
from tests.sample.runs import untrained, write_run
from tests.sample.tiny_models import NOTES

CLIP_S = 8.0
LENGTHS = {"clip_seconds": CLIP_S, "prompt_seconds": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conditions")


@pytest.fixture(scope="module")
def dataset(folder):
    return tunes_dataset(folder / "data")


@pytest.fixture(scope="module")
def prompts(dataset):
    return draw_prompts(dataset, "test", 3, StudyConfig(**LENGTHS), least=3)


def _continue(source, dataset, prompts, *, seed=0):
    config = StudyConfig(**LENGTHS, seed=seed)
    if source == "run":
        source = dataset.path.parent / "tiny"
        if not source.exists():
            tiny_run(source)
    return continue_prompts("x", str(source), dataset, prompts, config, lambda: counts_of(dataset))


@pytest.mark.parametrize("source", ["human", "markov:2", "rules", pytest.param("run", marks=pytest.mark.slow)])
def test_every_condition_begins_with_the_prompt_and_is_long_enough(source, dataset, prompts):
    pieces, facts = _continue(source, dataset, prompts)
    assert len(pieces) == 3
    assert facts["dataset"] == ("" if source == "run" else dataset.fingerprint)
    for piece, prompt in zip(pieces, prompts, strict=True):
        given = dataset.codec.decode(prompt.rows).notes
        np.testing.assert_array_equal(piece.notes.onset[: len(given.onset)], given.onset)
        np.testing.assert_array_equal(piece.notes.pitch[: len(given.onset)], given.pitch)
        assert piece.duration_s >= CLIP_S


@pytest.mark.parametrize("source", ["markov:2", "rules", pytest.param("run", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_music_and_another_other_music(source, dataset, prompts):
    first, again, other = (_continue(source, dataset, prompts, seed=seed)[0] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_models_get_short_names_or_those_they_are_given():
    found = parse_models(["runs/deep/", "old=runs/old", "markov:3", "rules"])
    assert list(found) == ["human", "deep", "old", "markov:3", "rules"]
    assert found["deep"] == "runs/deep/"


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "at least once"),
        (["a/run", "b/run"], "'run' is there twice"),
        (["human=runs/1"], "'human' is there twice"),
        (["broken=runs/1"], "'broken' is there twice, or its name is taken"),
        (["=runs/1"], "is not a run's folder"),
        (["x="], "is not a run's folder"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(models, said):
    with pytest.raises(StudyError, match=said):
        parse_models(models)


@pytest.mark.slow
def test_a_run_of_another_codec_is_refused(folder, dataset, prompts):
    other = write_run(folder / "notes", untrained(codec=NOTES))
    with pytest.raises(StudyError, match="another codec"):
        _continue(other, dataset, prompts)


def test_the_attention_check_has_as_many_notes_as_real_music_and_no_sense(prompts):
    check = check_piece(prompts[0], CLIP_S, seed=0)
    piece = prompts[0].piece
    is_heard = piece.seconds(piece.notes.onset) < CLIP_S
    assert check.num_notes == is_heard.sum()
    assert sorted(check.notes.duration) == sorted(piece.notes.duration[is_heard])
    assert check.notes.pitch.max() - check.notes.pitch.min() > 40
    assert check.seconds(check.notes.onset).max() < CLIP_S
    assert check == check_piece(prompts[0], CLIP_S, seed=0)

    # The page says that both clips begin alike: a beginning of its own would tell that it is a check.
    def beginning(one):
        is_given = one.seconds(one.notes.onset) < prompts[0].end_s
        return sorted(zip(*(column[is_given].tolist() for column in one.notes), strict=True))

    assert len(beginning(piece)) >= 4
    assert beginning(check) == beginning(piece)
