from ostinato.benchmarks.rolls.table import Result, markdown


def result(dataset, column, seed, test):
    return Result(dataset, column, seed, "Recipe()", 3, test + 0.1, test, 90, 100, 1234, 60.0)


def test_columns_are_not_mixed_and_what_was_not_run_says_so():
    results = [result("jsb", "frame", seed, nats) for seed, nats in enumerate([8.0, 8.2, 8.4])]
    text = markdown([*results, result("nottingham", "chord", 0, 2.3)], {"uniform": {"jsb": 61.0}}, "ostinato bench")
    frame, chord = text.split("## ")[1:3]
    assert "| **Ostinato** | **8.200** ± 0.200 (3 seeds) | not run | not run | not run |" in frame
    assert "| **Ostinato** | not run | **2.300** (1 seed) | not run | not run |" in chord
    assert "RNN-NADE" in chord
    assert "RNN-NADE" not in frame
    assert "TCN" in frame
    assert "TCN" not in chord
    assert "| uniform | 61.00 |" in frame


def test_every_model_is_listed_with_its_recipe():
    text = markdown([result("jsb", "frame", 5, 8.25)], {}, "ostinato bench rolls --data rolls")
    assert "`ostinato bench rolls --data rolls`" in text
    assert "| JSB | A | 5 | 8.3500 | 8.2500 | 3 | 1,234 | 1.0 |" in text
    assert "- JSB, frame: `Recipe()`" in text
