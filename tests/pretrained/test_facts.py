"""What a person says about a model is checked before it gets into a card."""

from pathlib import Path

import pytest

from ostinato.pretrained.facts import FactsError, read_facts

ROOT = Path(__file__).parents[2]
GOOD = """
name = "tiny"
summary = "Tunes"
licence = "CC-BY-4.0"
tags = ["folk"]
limits = ["One voice."]

[data]
name = "Tunes of Ann"
licence = "CC BY 4.0"
"""


@pytest.mark.parametrize("path", sorted((ROOT / "examples/models").glob("*.toml")), ids=lambda path: path.stem)
def test_the_facts_of_the_models_in_the_box_name_source_and_licence(path):
    facts = read_facts(path)
    assert facts.name == path.stem
    assert all((facts.summary, facts.licence, facts.limits, facts.data.name, facts.data.url, facts.data.attribution))
    assert facts.licence.lower().replace("-", " ") == facts.data.licence.lower().replace("-", " ")


def test_facts_are_read(tmp_path):
    (tmp_path / "facts.toml").write_text(GOOD)
    facts = read_facts(tmp_path / "facts.toml")
    assert (facts.name, facts.tags, facts.limits, facts.data.name) == (
        "tiny",
        ("folk",),
        ("One voice.",),
        "Tunes of Ann",
    )
    assert facts.cite == facts.data.url == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name =", "cannot be read as TOML"),
        ("licens = 'x'", "licens is not one of name, summary"),
        ("name = 3", "name must be text, not 3"),
        ("name = ' '", "name must be text"),
        ("tags = 'x'", "tags must be a list of texts"),
        ("tags = [1]", "tags must be a list of texts"),
        ("data = 'x'", "data must be a table"),
        ("[data]\nauthor = 'x'", "data.author is not one of data.name"),
        ("summary = '''a\nb'''", "summary must be one line"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, message):
    (tmp_path / "facts.toml").write_text(content)
    with pytest.raises(FactsError, match=message):
        read_facts(tmp_path / "facts.toml")
