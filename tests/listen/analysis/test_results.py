import json

import numpy as np
import pytest

from ostinato.listen.analysis.results import summarise
from ostinato.listen.design.order import CHECK, HUMAN
from tests.listen.simulated import listener
from tests.listen.studies import make_study

WORTH = {HUMAN: 1.0, "lstm": 0.0, "markov:3": -1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(
        tmp_path_factory.mktemp("results") / "study",
        num_prompts=48,
        num_comparisons=6,
        num_ratings=6,
        clip_s=0.2,
        is_heard=False,
        secret="always the same",
    )


@pytest.fixture(scope="module")
def listeners(study):
    rng = np.random.default_rng(0)
    return [listener(study, number, WORTH, rng=rng) for number in range(40)]


@pytest.fixture(scope="module")
def results(study, listeners):
    return summarise(study, listeners)


def test_a_known_preference_is_found(results):
    found = results["main"]["preference"]
    assert [row["condition"] for row in found["strengths"]] == list(WORTH)
    for row, worth in zip(found["strengths"], WORTH.values(), strict=True):
        assert row["low"] < worth < row["high"]
        assert row["low"] < row["strength"] < row["high"]
    assert all(pair["p_holm"] < 0.05 and pair["first_better"] > pair["second_better"] for pair in found["pairs"])
    assert found["answers"] == 40 * 6
    assert sum(pair["first_better"] + pair["second_better"] + pair["ties"] for pair in found["pairs"]) == 40 * 6


def test_known_ratings_are_found(results):
    found = results["main"]["ratings"]
    for row in found["means"]:
        assert row["mean"] == pytest.approx(3 + WORTH[row["condition"]], abs=0.25)
        assert row["low"] <= row["mean"] <= row["high"]
    assert len(found["tests"]) == 9
    assert all(test["p_holm"] < 0.001 and test["difference"] > 0 for test in found["tests"])
    assert all(alpha > 0.5 for alpha in found["agreement"].values())


def test_careless_listeners_are_left_out_of_the_main_results_only(study, listeners):
    careless = [listener(study, 40 + i, WORTH | {CHECK: 9.0}, rng=np.random.default_rng(i)) for i in range(5)]
    for one in careless:
        for task in study.plan_of(one.number):
            if task.role == CHECK and task.kind == "compare":
                choice = "ab"[task.conditions.index(CHECK)]
                one.answers[task.id] = type(one.answers[task.id])(choice=choice, comment="", played_ms=(900, 900))
    results = summarise(study, [*listeners, *careless])
    assert results["listeners"] == {"begun": 45, "finished": 45, "count": 40}
    assert results["checks"]["excluded"] == results["checks"]["chose_broken"] == 5
    assert results["main"] == summarise(study, listeners)["main"]
    assert results["all"]["listeners"] == 45


def test_who_was_faster_than_the_clips_is_marked_and_left_out_of_the_main_results_only(study, listeners):
    def pace(number, share):
        took_s = {task.id: share * len(task.clip_ids) * study.clip_s for task in study.plan_of(number)}
        return listener(study, number, WORTH, rng=np.random.default_rng(number), took_s=took_s)

    slow, fast = [pace(40 + i, 1.1) for i in range(2)], [pace(42 + i, 0.5) for i in range(3)]
    results = summarise(study, [*listeners, *slow, *fast])
    assert results["listeners"] == {"begun": 45, "finished": 45, "count": 42}
    assert results["checks"]["excluded"] == results["checks"]["too_fast"] == 3
    assert results["main"] == summarise(study, [*listeners, *slow])["main"]
    assert results["all"]["listeners"] == 45
    assert "faster than the clips last" in results["rule"]


def test_results_are_json_and_say_what_they_rest_on(results):
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert "attention check" in results["rule"]
    assert results["training"] == {"practice": {"2": 40}, "level": {"amateur": 40}, "playback": {"device": 40}}


def test_fewer_listeners_are_needed_for_a_larger_effect_and_more_for_more_power(study, listeners):
    def needed(**options):
        return summarise(study, listeners, **options)["needed"]

    assert needed()["preference"] > needed(effect=0.75)["preference"]
    assert needed(power=0.9)["preference"] > needed()["preference"]
    assert needed(points=0.25)["ratings"] > needed()["ratings"]
    assert needed()["preference_more"] == max(0, needed()["preference"] - 40)
    assert not needed()["assumed"]


def test_one_listener_gives_results_without_strengths(study, listeners):
    results = summarise(study, listeners[:1])
    assert results["main"]["preference"]["strengths"] is None
    assert "two listeners" in results["main"]["preference"]["reason"]
    assert results["needed"]["assumed"]
    json.dumps(results, allow_nan=False)


def test_nobody_who_counts_gives_empty_results(study, listeners):
    early = listener(study, 0, WORTH, rng=np.random.default_rng(0), answers={"1": listeners[0].answers["1"]})
    results = summarise(study, [early], counts={"refused": 3, "withdrawn": 1, "begun": 9})
    assert results["listeners"] == {"begun": 1, "finished": 0, "count": 0, "refused": 3, "withdrawn": 1}
    assert results["main"]["listeners"] == 0
    json.dumps(results, allow_nan=False)
