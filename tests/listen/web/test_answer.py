import pytest

from ostinato.listen.design.study import Clip, Task
from ostinato.listen.web.answer import AnswerError, parse_answer, parse_training, says_the_same, to_json

CLIP = Clip("00", {}, 20.0)
PAIR = Task("1", "compare", (CLIP, CLIP))
ONE = Task("2", "rate", (CLIP,))
CHOICE = {"choice": "a", "comment": "", "played_ms": [1, 2]}
POINTS = {"coherence": 1, "style": 5, "emotion": 3, "comment": " good ", "played_ms": [7]}
TRAINING = {"practice": "4-5", "level": "student", "playback": "headphones"}


def test_answers_survive_json():
    for task, data in ((PAIR, CHOICE), (ONE, POINTS)):
        answer = parse_answer(task, data)
        assert parse_answer(task, to_json(answer)) == answer
    assert to_json(parse_training(TRAINING)) == TRAINING
    assert parse_answer(ONE, POINTS).comment == "good"


@pytest.mark.parametrize(
    ("task", "data"),
    [
        *((PAIR, CHOICE | {"choice": choice}) for choice in ("left", None)),
        *((PAIR, CHOICE | {"played_ms": [1, *other]}) for other in ([], [-1], [True], [1.5], [10**9])),
        *((PAIR, CHOICE | {"comment": comment}) for comment in ("x" * 1001, "\ud800")),
        *((ONE, POINTS | {"style": point}) for point in (0, 6, True, 3.0, "3")),
        *((PAIR, data) for data in (CHOICE | {"more": 1}, {"choice": "a"}, POINTS)),
        *((ONE, data) for data in (CHOICE, [], None)),
    ],
)
def test_what_is_no_answer_is_refused(task, data):
    with pytest.raises(AnswerError):
        parse_answer(task, data)


@pytest.mark.parametrize("data", [TRAINING | {"level": "king"}, TRAINING | {"practice": 4}, {}, None, "x"])
def test_what_says_nothing_about_training_is_refused(data):
    with pytest.raises(AnswerError):
        parse_training(data)


def test_how_long_a_clip_was_played_makes_no_other_answer():
    first = parse_answer(PAIR, CHOICE)
    assert says_the_same(first, parse_answer(PAIR, CHOICE | {"played_ms": [9, 9]}))
    for task, data in ((PAIR, CHOICE | {"choice": "b"}), (PAIR, CHOICE | {"comment": "x"}), (ONE, POINTS)):
        assert not says_the_same(first, parse_answer(task, data))
