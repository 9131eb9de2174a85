"""README, docs, --help and pages use the field's terms: one name for each thing, as CONTRIBUTING.md lists them."""

import re
from pathlib import Path

import pytest

from ostinato.benchmarks.tables import pages
from ostinato.docs.commands import commands_reference

ROOT = Path(__file__).parents[2]

TERMS = {
    r"rows? predicted whole|predicted whole": "exact-match accuracy",
    r"rows? of (?:a|the) pieces?": "event",
    r"look-?up table": "longest-match baseline",
    r"less than markov:4": "NLL reduction over the 4-gram",
    r"boldness|boldly": "temperature",
    r"salvaged?": "repaired",
    r"broken clips?": "attention check",
    r"likeliest": "most probable",
    r"(?:written|wrote|writes?|writing) (?:new |more |whole )?(?:pieces?|music|bars?)(?!-)": "generate",
    r"(?<!--)(?:pieces?|music|bars?) (?:that (?:were|was|are|is) |are |is |to )?(?:write|written)": "generate",
    r"writers?": "model",
    r"rewrit(?:e|es|ten|ing)|writes? in (?:the keys|those) of": "generate again",
    r"by heart": "memorized",
    r"most telling": "least probable",
    r"knobs?": "option",
    r"tapes?": "stream",
    r"anew": "again",
    r"(?:go|goes|going|gone|went) on": "continue, resume",
    r"so many": "this many, that many",
    r"told(?! apart)": "given, conditioned on",
}
"""What is not said, and what is said instead."""


def pattern(term: str) -> re.Pattern[str]:
    """Returns what finds the words of a term, also where the line breaks between them."""
    return re.compile(rf"\b(?:{term})\b".replace(" ", r"\s+"), re.IGNORECASE)


def texts() -> dict[str, str]:
    """Returns what people read: pages, help, and what templates say without what is filled in."""
    found = {str(path.relative_to(ROOT)): path.read_text() for path in pages()}
    found["launch/README.md"] = (ROOT / "launch/README.md").read_text()
    found["--help"] = commands_reference()
    for path in ROOT.glob("*/**/templates/**/*.html"):
        if not path.relative_to(ROOT).parts[0].startswith((".", "build")):
            written = re.sub(r"\{([#%{]).*?[#%}]\}", " ", path.read_text(), flags=re.DOTALL)
            found[str(path.relative_to(ROOT))] = re.sub(r"<(style|script)\b.*?</\1>", " ", written, flags=re.DOTALL)
    return found


def test_one_name_for_each_thing():
    wrong = []
    for name, text in texts().items():
        for term, better in TERMS.items():
            wrong += [
                f"{name}: “{' '.join(text[max(found.start() - 30, 0) : found.end() + 30].split())}”: say {better}"
                for found in pattern(term).finditer(text)
            ]
    assert wrong == []


@pytest.mark.parametrize(
    ("said", "is_found"),
    [
        ("Pieces to write.", True),
        ("It is told\nhow", True),
        ("They are told apart", False),
        ("--bars written", False),
        ("writes piece-000.mid", False),
        ("by each writer", True),
    ],
)
def test_terms_are_found_where_they_stand(said, is_found):
    assert any(pattern(term).search(said) for term in TERMS) == is_found
