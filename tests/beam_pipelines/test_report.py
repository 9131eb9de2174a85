"""The page and the tables, on datasets of a few tunes whose numbers are known."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest

from ostinato.beam_pipelines import summary as tables
from ostinato.beam_pipelines.charts import charts
from ostinato.beam_pipelines.inputs.errors import READ_REASONS
from ostinato.beam_pipelines.isolation import Killed
from ostinato.beam_pipelines.report import EXAMPLES, write_report
from ostinato.beam_pipelines.summary import MAX_ROWS, summarise
from ostinato.beam_pipelines.text import (
    EXPLANATIONS,
    REPAIRS,
    duration_text,
    hours_text,
    note_name,
    share_text,
)
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.data.records import DatasetError
from ostinato.data.statistics import Statistics
from ostinato.launch.arguments import parse
from ostinato.launch.cli import COMMANDS
from ostinato.music.midi import MIDI_REASONS
from ostinato.music.midi_chunks import Repair
from ostinato.music.notation_error import NOTATION_REASONS
from ostinato.music.piece import DRUMS
from tests.described_dataset import HOSTILE, a_dataset
from tests.midi_files import piece_of


class Page(HTMLParser):
    """Checks that tags are balanced, and gathers text, attributes and tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes, self.rows = [], Counter(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_says_what_is_in_the_dataset(tmp_path):
    whole = a_dataset(
        tmp_path / "set",
        styles=("folk", "rock"),
        prepare=asdict(PrepareConfig(min_notes=8)),
        by_style={
            "folk": {"accepted": 2, "rejected": 3, "duplicates": 0},
            "rock": {"accepted": 2, "rejected": 0, "duplicates": 5},
        },
        groups=4,
    )
    assert (whole.pieces, whole.notes) == (4, 4 * 60)
    page = page_of(tmp_path / "set")
    text = "".join(page.text)
    hours = f"{whole.hours:.2f}"
    assert ["all", "4", "240", hours] == next(row[:4] for row in page.rows if row[0] == "all")
    assert [row[0] for row in page.rows if row[0] in ("train", "validation", "test")] == ["train", "test"]
    header = next(row for row in page.rows if row[0] == "style")
    rock = dict(zip(header, next(row for row in page.rows if row[0] == "rock"), strict=True))
    assert (rock["pieces"], rock["in train"], rock["notes"], rock["duplicates"], rock["rejected"]) == (
        "2", "1", "120", "5", "0"
    )  # fmt: skip
    bass = next(row for row in page.rows if row[0] == "Acoustic Bass")
    assert bass[1:4] == ["4", "48", "20.0%"]
    assert "4 groups of related pieces" in text
    assert "ostinato prepare --midi … --output … --min-notes 8" in text
    manifest = json.loads((tmp_path / "set/manifest.json").read_text())
    assert manifest["fingerprint"] in text
    for title in ("Pitch", "Note length", "Tempo", "Polyphony", "Length of a piece", "Notes in a piece"):
        assert title in page.text or f"{title} " in page.text
    assert not any(row[0] == "Drums" for row in page.rows)  # there are none


def test_the_page_stands_alone_is_the_same_each_time_and_every_picture_has_a_text(tmp_path):
    for name in "ab":
        a_dataset(tmp_path / name / "set")
    pages = [write_report(tmp_path / name / "set").read_text() for name in "ab"]
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0]
    page = Page(pages[0])
    assert not {"script", "iframe", "object", "embed"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "onload", "onclick"), (tag, name)
        if name in ("href", "xlink:href"):
            assert value.startswith("#") or value == "data:,", (tag, value)
    (style,) = re.findall(r"<style>(.*?)</style>", pages[0], re.DOTALL)
    assert not re.search(r"url\(|@import", style)
    pictures = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert page.tags["svg"] == len(pictures) == 3  # tunes of one tempo, length and loudness have no histograms of these
    assert all(len(label) > 20 for label in pictures)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = [value[1:] for _, name, value in page.attributes if name == "xlink:href"]
    assert set(used) <= set(ids)


def test_what_was_left_out_is_named_with_its_reason_and_hostile_names_do_no_harm(tmp_path):
    rejects = [{"path": HOSTILE, "stage": "parse", "reason": "not_midi", "detail": "begins with b'<html>'"}]
    rejects += [{"path": f"{i}.mid", "stage": "parse", "reason": "no_notes", "detail": "7 notes"} for i in range(9)]
    duplicates = [{"path": HOSTILE, "kept": "<b>kept.mid", "kind": "near"}]
    duplicates += [{"path": f"copy-{i}.mid", "kept": "one.mid", "kind": "bytes"} for i in range(8)]
    a_dataset(
        tmp_path / "set",
        styles=("<i>folk", HOSTILE.replace("\udcff", "")),
        rejects=rejects,
        duplicates=duplicates,
        rejected_by_reason={"no_notes": 9, "not_midi": 1},
        duplicates_by_kind={"bytes": 8, "near": 1},
        salvaged={"stray_data_bytes": 3},
    )
    page = page_of(tmp_path / "set")
    text = "".join(page.text)
    assert not {"script", "i", "html>"} & set(page.tags) - {"html"}
    assert page.tags["html"] == 1
    shown = "a<script>alert('x')</script>\"&\\x1b[31m\\u202egnp\\udcff[/red].mid"
    assert [shown, "parse", "begins with b'<html>'"] in page.rows
    assert [shown, "<b>kept.mid"] in page.rows
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert sum(row[1:] == ["parse", "7 notes"] for row in page.rows) == EXAMPLES
    copies = [row[0] for row in page.rows if row[-1] == "one.mid"]
    assert len(copies) == EXAMPLES
    assert copies[-1] == "copy-6.mid"  # from all over the list
    assert "9 no_notes nothing sounds" in text
    assert "23 inputs: 4 accepted, 9 duplicates, 10 rejected" in text
    assert "3 with data bytes out of range" in text
    assert [value for tag, _, value in page.attributes if tag == "span" and str(value).startswith("flex")] == [
        "flex: 4", "flex: 9", "flex: 10"
    ]  # fmt: skip


def test_hundreds_of_styles_are_twenty_rows_and_the_rest(tmp_path):
    a_dataset(tmp_path / "set", styles=[f"style {i:03d}" for i in range(150)])
    folder = tmp_path / "set"
    page = page_of(folder)
    assert sum(row[0].startswith("style ") for row in page.rows) == MAX_ROWS
    rest = next(row for row in page.rows if row[0] == "130 other styles")
    assert rest[1] == "260"
    programs = tables.program_table(summarise(folder, json.loads((folder / "manifest.json").read_text())))
    assert programs.rows[-1][0] == "108 other programs"
    assert sum(int(row[2].replace(",", "")) for row in programs.rows) == 300 * 60


def test_a_dataset_of_before_there_were_statistics_says_so(tmp_path):
    a_dataset(tmp_path / "set", with_statistics=False, duplicates=[{"path": "a.mid", "kept": "b.mid"}])
    page = page_of(tmp_path / "set")
    text = "".join(page.text)
    assert "did not keep statistics" in text
    assert next(row[:4] for row in page.rows if row[0] == "all") == ["all", "2", "120", "?"]
    assert ["a.mid", "b.mid"] in page.rows
    assert page.tags["svg"] == 0


def test_a_folder_that_is_no_dataset_and_damaged_statistics_are_named(tmp_path):
    with pytest.raises(DatasetError, match="not a finished dataset"):
        write_report(tmp_path)
    a_dataset(tmp_path / "set")
    (tmp_path / "set/statistics.json").write_text('{"splits": {"train": {"pieces": 1}}, "styles": {}}')
    with pytest.raises(UserError, match=r"statistics\.json: splits\.train: of another version"):
        write_report(tmp_path / "set")
    assert not (tmp_path / "set/report.html").exists()


def test_every_reason_of_the_closed_lists_is_explained():
    killed = get_args(Killed.__annotations__["reason"])
    selected = ("too_few_notes", "too_many_notes", "only_drums")
    assert set(EXPLANATIONS) == {*READ_REASONS, *MIDI_REASONS, *NOTATION_REASONS, *killed, *selected}
    assert set(REPAIRS) == set(get_args(Repair))


def heights_of(svg):
    """Returns the heights of the bars that are not empty, as parts of the highest."""
    [outline] = re.findall(r'<path d="([^"]*)"[^>]*var\(--accent\)', svg)
    corners = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", outline), float)
    heights = np.ptp(corners[: len(corners) // 4 * 4, 1].reshape(-1, 4), axis=1)
    return (heights[heights > 0] / heights.max()).tolist()


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (
            {
                "prepare": asdict(
                    PrepareConfig(split=(70, 20, 10), duplicates="variants", codec=CodecConfig(style="none"))
                )
            },
            "--codec.style none --split 70 20 10 --duplicates variants",
        ),
        (
            {"labels": {"labelled": 2, "moved": 0}, "prepare": asdict(PrepareConfig(pedal="off", max_parse_s=60))},
            "--labels … --max-parse-s 60 --pedal off",
        ),
        (
            {
                "prepare": asdict(PrepareConfig(min_notes=8)),
                "made_from": [{"fingerprint": "f", "removed": ["jigs/*", "a b.mid"], "pieces": {}}],
            },
            "--from … --remove 'jigs/*' 'a b.mid'",
        ),
        (
            {"made_from": [{"fingerprint": "f", "removed": [f"{i}.mid" for i in range(40)], "pieces": {}}]},
            "--from … --remove 0.mid 1.mid 2.mid 3.mid 4.mid …",
        ),
    ],
)
def test_the_command_of_the_page_can_be_typed(extra, expected, tmp_path):
    a_dataset(tmp_path / "set", **extra)
    text = "".join(page_of(tmp_path / "set").text)
    command = next(line for line in text.splitlines() if line.startswith("ostinato prepare"))
    assert command == f"ostinato prepare --midi … --output … {expected}"
    parse(shlex.split(command)[1:], COMMANDS)


def test_each_histogram_draws_the_shares_of_its_bins():
    piece = piece_of(*[(480 * i, 480, 60 + i % 2, 64, 0) for i in range(4)], (0, 480, 38, 64, DRUMS))
    drawn = {chart.title: chart for chart in charts(Statistics.from_piece(piece))}
    assert list(drawn) == [
        "Pitch", "Polyphony", "Note length", "Tempo", "Length of a piece", "Notes in a piece", "Velocity", "Drums"
    ]  # fmt: skip
    assert "from C4 to C♯4" in drawn["Pitch"].caption
    assert "100.0% of the drum notes are on key 38 (Acoustic Snare)" in drawn["Drums"].caption
    assert "about 1 quarter notes: 100.0% of all" in drawn["Note length"].caption
    assert "1.2 notes on average, drums included; silence for 0.0%" in drawn["Polyphony"].caption
    assert heights_of(drawn["Pitch"].svg) == pytest.approx([1.0, 1.0], abs=0.01)  # two pitches, equally often
    # For half a second two notes sound, then for a second and a half one.
    assert heights_of(drawn["Polyphony"].svg) == pytest.approx([1.0, 1 / 3], abs=0.01)
    assert drawn["Velocity"].svg == ""
    assert drawn["Velocity"].caption.endswith("have a velocity of 64. All are in one bin.")
    assert charts(Statistics.empty()) == []


def test_figures_are_written_as_people_do():
    assert [duration_text(seconds) for seconds in (0.5, 42, 89, 90, 5399, 5400, 93_600)] == [
        "0.5 s", "42 s", "89 s", "1.5 min", "90 min", "1.5 h", "26 h"
    ]  # fmt: skip
    assert [hours_text(hours) for hours in (0.034, 9.99, 12.34, 12_345)] == ["0.03", "9.99", "12.3", "12,345.0"]
    assert [share_text(part, 10_000) for part in (0, 1, 10, 5000)] == ["0.0%", "< 0.1%", "0.1%", "50.0%"]
    assert [note_name(pitch) for pitch in (0, 60, 70, 127)] == ["C-1", "C4", "A♯4", "G9"]


def test_matplotlib_is_not_loaded_by_importing_the_report():
    code = "import sys, ostinato.beam_pipelines.report as r; assert not {'matplotlib', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_tables_hold_the_sums_of_the_statistics(tmp_path):
    whole = a_dataset(tmp_path / "set", styles=("", "folk"))
    summary = summarise(tmp_path / "set", json.loads((tmp_path / "set/manifest.json").read_text()))
    assert summary.whole == whole
    styles = tables.style_table(summary)
    assert [row[0] for row in styles.rows] == ["(no name)", "folk"]
    assert np.array([row[1:4] for row in styles.rows], int).sum(axis=0).tolist() == [4, 2, 2]
    assert tables.counts_line(summary) == "4 inputs: 4 accepted, 0 duplicates, 0 rejected"
