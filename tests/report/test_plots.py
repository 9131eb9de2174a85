import re

import numpy as np
import pytest

from ostinato.report import plots
from ostinato.report.plots import Estimate, Series

LINES = [Series("a <line>", [(0, 0.1), (1, 0.4)]), Series("b", [(0, 0.2)], "s-", plots.SECOND)]
DRAWN = {
    "lines": lambda: plots.line_plot(LINES, name="x", label="two <lines>", ticks=[(0, "zero")], shares=True),
    "intervals": lambda: plots.interval_plot(
        [Estimate("a <line>", 2.0, [1.5, 2.5]), Estimate("b", 30.0, None)], name="x", label="two <lines>",
        x_label="nats", is_logarithmic=True,
    ),
    "bars": lambda: plots.histogram(
        np.arange(3.0), np.array([0.25, 0.75]), name="x", label="two <lines>", x_label="a <line>",
        ticks=[(0, "0"), (5, "5")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWN)
def test_a_plot_is_an_element_with_the_page_s_colours_and_words_for_those_who_do_not_see_it(kind):
    svg = DRAWN[kind]()
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert 'aria-label="two &lt;lines&gt;"' in svg
    assert "a &lt;line&gt;" in svg
    assert "var(--accent)" in svg
    assert not re.search(r"#(\d0)\1{2}\b", svg), "no stand-in for a colour is left"
    assert all(name.startswith("x-") for name in re.findall(r'\bid="([^"]*)"', svg))
    assert svg == DRAWN[kind](), "the same figures are the same plot"


def test_a_long_name_leaves_room_for_the_plot():
    svg = plots.interval_plot([Estimate("x" * 300, 1.0, None)], name="x", label="one", x_label="nats")
    assert "xxx…xxx" in svg
    assert "x" * 20 not in svg


def test_shares_are_per_cent_and_ticks_are_named():
    svg = DRAWN["lines"]()
    assert "40 %" in svg
    assert "zero" in svg
    assert ">5<" not in DRAWN["bars"](), "beyond the bars"
