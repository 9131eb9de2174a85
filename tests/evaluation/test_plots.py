import re

import numpy as np

from ostinato.evaluation.plots import structure_plots
from ostinato.evaluation.statistics import compare_statistics
from ostinato.evaluation.tables import HUMAN
from tests.evaluation.metrics.made import quarters
from tests.midi_files import tune

REAL = [tune(seed, num_notes=160) for seed in range(8)]
LOOPS = [quarters(*[60 + seed, 64, 67, 72] * 24) for seed in range(4)]
SHORT = [quarters(*np.random.default_rng(seed).permutation(24) + 50) for seed in range(4)]
"""Too short for two stretches of 16 quarters."""


def test_structure_is_plotted_at_each_length_that_pieces_have_beside_the_range_of_real_music():
    statistics = [
        {"name": name, **compare_statistics(pieces, REAL, num_splits=4)}
        for name, pieces in (("lstm", LOOPS), ("rules", SHORT))
    ]
    plots = structure_plots({"runs": [{"name": "lstm"}], "statistics": statistics})
    assert len(plots) == 2
    said = []
    for plot in plots:
        label = re.search(r'aria-label=".*? quarters: (.*?)\."', plot)
        assert label
        values = [re.fullmatch(r"(.*?) (-?\d.*)", part) for part in label[1].split("; ")]
        said.append({found[1]: [float(value) for value in found[2].split(", ")] for found in values if found})
        assert 'id="structure-' in plot or 'id="repetition-' in plot
        assert plot.count("FillBetweenPolyCollection") == 1
    repetition, above_chance = said
    assert repetition["lstm"] == [1.0] * 4
    assert len(repetition["rules"]) == 2
    real = statistics[0]["features"]["repetition at 8 quarters"]["real"]
    assert repetition[HUMAN][1] == round(real["mean"], 2)
    assert real["mean_range"][0] < real["mean"] < real["mean_range"][1] < 1
    assert above_chance["lstm"][2] > 0.4 > above_chance[HUMAN][2]
