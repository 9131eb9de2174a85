"""README.md and docs/: what they quote exists, what they show can be typed, figures are those of the results."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest

from ostinato.benchmarks.tables import RESULTS, TABLES, current, pages, table
from ostinato.configs.errors import ExitCode, UserError
from ostinato.docs.commands import commands_reference, exit_codes
from ostinato.launch.arguments import _spellings, parse
from ostinato.launch.cli import COMMANDS
from tests.test_architecture import FILES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks(path: Path, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def command_lines() -> dict[str, Path]:
    """Returns every line of the pages that begins with `ostinato`, without its comment, and a page that has it."""
    found = {}
    for path in pages():
        for block in blocks(path):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["ostinato"] and not {"…", "|", ">"} & set(words):
                    found[shlex.join(words[1:])] = path
    return found


def messages() -> set[str]:
    """Returns all texts in the source, with … for what is filled in."""

    def text(node: ast.AST) -> str:
        match node:
            case ast.Constant(value=str(value)):
                return value
            case ast.JoinedStr(values=values):
                return "".join(text(value) for value in values)
            case _:
                return "…"

    found = set()
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                found.add(text(node))
    return found


def test_the_readme_is_short():
    assert README.stat().st_size <= 6_000
    assert "make demo " in README.read_text()
    assert "make test " in README.read_text()


def test_no_page_is_long():
    lines = {path: path.read_text().splitlines() for path in [*pages(), ROOT / "CONTRIBUTING.md"]}
    words = {path.name: sum(len(line.split()) for line in text if line[:1] != "|") for path, text in lines.items()}
    assert {name: number for name, number in words.items() if number >= 1_200} == {}


def test_every_table_is_that_of_the_results():
    assert [path.name for path in pages() if current(path.read_text()) != path.read_text()] == []


def test_every_table_that_is_kept_is_shown_once_and_says_its_command():
    shown = re.findall(r"<!-- table: (\S+) -->", "".join(path.read_text() for path in pages()))
    kept = [
        f"{path.stem}/{name}"
        for path in RESULTS.glob("*.json")
        if isinstance(document := json.loads(path.read_text()), dict) and "tables" in document
        for name, entry in document["tables"].items()
        if entry["command"]
    ]
    assert sorted(kept) == sorted(name for name in shown if "/" in name)
    assert set(TABLES) == {name for name in shown if "/" not in name}


def test_a_table_that_has_changed_is_written_where_it_stands():
    page = "a\n\n  <!-- table: performances -->\n  | old |\n  <!-- end of table -->\nb <!-- end of table -->\n"
    written = current(page)
    assert written.startswith("a\n\n  <!-- table: performances -->\n  | corpus | no wrong notes | 5 % wrong |")
    assert written.endswith("\n  <!-- end of table -->\nb <!-- end of table -->\n")
    assert "old" not in written
    assert current(written) == written


def test_a_table_without_results_is_an_error():
    with pytest.raises(UserError, match=r"no table speed/frob; speed\.json has read, prepare"):
        table("speed/frob")


def test_every_message_that_the_faq_quotes_is_one():
    quoted = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs/faq.md").read_text(), re.MULTILINE)
    assert len(quoted) > 20
    known = messages()
    assert [quote for quote in quoted if not any(quote in message for message in known)] == []


def test_every_command_of_the_pages_can_be_typed():
    lines = command_lines()
    assert len(lines) > 45
    wrong = []
    for line, path in lines.items():
        try:
            parse(shlex.split(line), COMMANDS)
        except UserError as error:
            wrong.append(f"{path.name}: ostinato {line}: {error}")
    assert wrong == []


def test_the_reference_has_every_command_and_every_option():
    reference = commands_reference()
    for name, command in COMMANDS.items():
        assert f"\n## ostinato {name}\n" in "\n" + reference
        for spelling in _spellings(command):
            assert spelling in reference, f"{name} {spelling}"
    assert all(f"| {code.value} |" in exit_codes() for code in ExitCode)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (code,) = blocks(README, "python")
    assert len(code.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    assert len(list(tmp_path.glob("*.mid"))) == 3
    assert "-" in capsys.readouterr().out  # nats are below 0
