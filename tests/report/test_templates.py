import html
import json
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from ostinato.report import templates
from ostinato.report.templates import environment, render

SHARED = Path(templates.__file__).parent

ROWS = (["name", "count"], [["<a>", "3"], ["b\u202e", "x" * 200]])


@pytest.fixture
def folder(tmp_path):
    def write(body):
        (tmp_path / "page.html").write_text(
            '{% extends "base.html" %}{% from "macros.html" import table, numbers, details, player, figure %}'
            "{% block title %}{{ title }}{% endblock %}{% block main %}" + body + "{% endblock %}"
        )
        return tmp_path

    yield write
    environment.cache_clear()


def test_a_page_has_the_style_of_all_and_escapes_what_is_put_into_it(folder):
    page = render(folder("<p>{{ title }}</p>"), "page.html", title="<i> & \x07")
    assert page.startswith("<!DOCTYPE html>")
    assert "<title>&lt;i&gt; &amp; \\x07</title>" in page
    assert "--accent" in page
    with pytest.raises(UndefinedError):
        render(folder("{{ missing }}"), "page.html", title="")


def test_a_table_sets_rows_off_and_shortens_long_cells(folder):
    body = '{{ table(rows, ours=["<a>"], sum=true, bars=[50], caption="as <is>") }}'
    page = render(folder(body), "page.html", title="", rows=ROWS)
    assert (
        '<tr class="ours"><td class="words">&lt;a&gt;</td><td>3</td><td class="bar"><span style="width: 50.0%">' in page
    )
    assert re.search(
        r'<tr class="sum"><td class="words">b\\u202e</td><td><span title="x{200}">x{80} … x{80}</span>', page
    )
    assert '<p class="soft">as &lt;is&gt;</p>' in page
    assert "<table" not in render(folder("{{ table(rows) }}"), "page.html", title="", rows=(["a"], []))


def test_a_player_holds_its_picture_and_notes_that_a_script_can_read(folder):
    body = '{{ player("a roll", "roll.png", {"names": {"0": "it\'s <b>"}}, sound="s.ogg") }}'
    page = render(folder(body + '{% include "player_script.html" %}'), "page.html", title="")
    (data,) = re.findall("data-roll='(.*?)'", page)
    assert json.loads(html.unescape(data)) == {"names": {"0": "it's <b>"}}
    assert '<img src="roll.png" alt="a roll">' in page
    assert 'src="s.ogg" aria-label="a roll"' in page
    script = (SHARED / "static/roll.js").read_text().rstrip()
    assert f'<script type="module">{script}' in page, "the script is as it was written"
    assert "import " not in script, "a page of one file loads nothing"


def test_numbers_and_details_hold_what_they_are_given(folder):
    body = '{{ numbers([("a", "1", ""), ("b", "2", "<c>")]) }}{% call details("more", number="7") %}inside{% endcall %}'
    page = render(folder(body), "page.html", title="")
    assert "<div><dt>a</dt><dd>1</dd></div>" in page
    assert "<dd>2 <small>&lt;c&gt;</small></dd>" in page
    assert "<details><summary><b>7</b> more</summary>\ninside</details>" in page
