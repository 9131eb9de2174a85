import copy

import numpy as np
import pytest

from ostinato.listen.analysis.results import summarise
from ostinato.listen.analysis.verdict import condition_name, verdict
from ostinato.listen.design.order import HUMAN
from tests.listen.simulated import listener
from tests.listen.studies import make_study

WORTH = {HUMAN: 1.5, "lstm": 1.5, "markov:3": -1.5}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdict") / "study"
    study = make_study(folder, conditions=tuple(WORTH), clip_s=0.2, is_heard=False, num_prompts=36)
    rng = np.random.default_rng(0)
    found = summarise(study, [listener(study, number, WORTH, rng=rng) for number in range(24)])
    for pair in found["main"]["preference"]["pairs"]:  # which clips are compared is drawn anew each time
        pair["p_holm"] = 0.0001 if "markov:3" in (pair["first"], pair["second"]) else 0.4
    return found


def test_a_clear_preference_is_said_and_one_that_was_not_found_is_not(results):
    alike, worse, warning = verdict(results)
    pairs = {(pair["first"], pair["second"]): pair for pair in results["main"]["preference"]["pairs"]}
    pair = pairs[HUMAN, "markov:3"]
    decided = pair["first_better"] + pair["second_better"]
    assert worse == (
        f"Listeners preferred human music to Markov chain, order 3 ({pair['first_better']} of {decided} preferences "
        f"for human music, {pair['ties']} tied; p < 0.001)."
    )
    assert alike.startswith("No preference between lstm and human music was found (")
    assert "p = 0.400" in alike
    assert "may still be there" in warning


def test_a_condition_that_is_liked_more_than_human_music_is_said_to_be(results):
    other = copy.deepcopy(results)
    for pair in other["main"]["preference"]["pairs"]:
        pair |= {"first_better": pair["second_better"], "second_better": pair["first_better"], "p_holm": 0.01}
    assert "Listeners preferred Markov chain, order 3 to human music" in verdict(other)[1]
    assert len(verdict(other)) == 2  # all were told apart


def test_without_strengths_the_reason_is_the_verdict(results):
    other = copy.deepcopy(results)
    other["main"]["preference"] |= {"strengths": None, "reason": "there are no two listeners"}
    assert verdict(other) == ["No verdict yet: there are no two listeners."]


def test_names_of_conditions_are_words():
    names = [condition_name(name) for name in ("human", "markov:4", "rules", "chorales", "markov:x")]
    assert names == ["human music", "Markov chain, order 4", "recombined beats (rules)", "chorales", "markov:x"]
