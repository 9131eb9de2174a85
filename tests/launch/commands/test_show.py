"""What is printed about datasets, on one whose numbers are known."""

import base64
import json
import re

import pytest

from ostinato.launch.commands.inspect import Inspect
from ostinato.launch.commands.show import print_table, show_manifest
from tests.described_dataset import HOSTILE, a_dataset

STYLE = HOSTILE.replace("\udcff", "")


def cells(text):
    """Returns the cells of each printed row."""
    return [[cell.strip() for cell in line.strip("│┃ \n").replace("┃", "│").split("│")] for line in text.splitlines()]


def test_inspect_prints_the_tables_of_the_report_and_one_piece_decoded(tmp_path, capsys):
    whole = a_dataset(
        tmp_path / "set",
        styles=("folk", STYLE),
        rejects=[{"path": HOSTILE, "stage": "parse", "reason": "no_notes", "detail": ""}],
        rejected_by_reason={"no_notes": 1},
        salvaged={"riff_wrapper": 2},
    )
    Inspect(dataset=tmp_path / "set", split="test", piece=1).run()
    text = capsys.readouterr().out
    rows = cells(text)
    assert ["all", "4", "240", f"{whole.hours:.2f}"] in [row[:4] for row in rows]
    assert "5 inputs: 4 accepted, 0 duplicates, 1 rejected" in text
    assert ["no_notes", "1", "nothing sounds"] in rows
    assert ["riff_wrapper", "2", "taken out of a RIFF file"] in rows
    assert ["folk", "2", "1", "1", "120"] in [row[:5] for row in rows]
    assert ["Acoustic Bass", "4", "48", "20.0%"] in rows
    assert any(row[0] == "tempo, quarters a minute" and row[1:] == ["120"] * 3 for row in rows)
    assert "\x1b" not in text
    assert "[/red]" in text
    assert "piece 1 of test: 60 notes" in text
    # The first rows: START, STYLE, METER 4/4, TEMPO 120, and the first notes with their names.
    assert ["0", "0", "129", "0", "0", "0"] in rows
    assert ["3", "0", "132", "0", "104", "0"] in rows
    first_note = next(row for row in rows if row[0] == "0.00")
    assert first_note[1] in ("Acoustic Grand Piano", "Bright Acoustic Piano")


def test_a_dataset_without_statistics_is_shown_with_what_there_is(tmp_path, capsys):
    a_dataset(tmp_path / "set", with_statistics=False)
    Inspect(dataset=tmp_path / "set", split="train", piece=0).run()
    text = " ".join(capsys.readouterr().out.split())
    assert "did not keep statistics" in text
    assert "│ all │ 2 │ 120 │ ? │" in text


def test_pieces_of_a_split_can_be_seen_and_heard_on_a_page(tmp_path, capsys):
    a_dataset(tmp_path / "set", styles=("folk", "jig"))
    lines = [
        {"id": f"test{number}", "path": f"tunes.zip!{name}"} for number, name in enumerate(("<b>.mid", "reel.mid"))
    ]
    (tmp_path / "set/pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "pages/heard.html"
    Inspect(dataset=tmp_path / "set", split="test", listen=path).run()
    assert "pieces of the test split to see and hear" in capsys.readouterr().out
    page = path.read_text()
    assert "2 of 2 pieces of the test split" in " ".join(page.split())
    assert page.index("&lt;b&gt;.mid") < page.index("reel.mid")
    sounds = re.findall(r'<audio [^>]*src="data:audio/ogg;base64,([^"]+)"', page)
    assert [base64.b64decode(sound)[:4] for sound in sounds] == [b"OggS"] * 2
    assert sounds[0] != sounds[1]
    assert "http" not in page


def test_a_piece_that_is_not_there_is_named(tmp_path):
    a_dataset(tmp_path / "set")
    with pytest.raises(ValueError, match="test split has pieces 0 to 0, not 7"):
        Inspect(dataset=tmp_path / "set", split="test", piece=7).run()


def test_a_manifest_of_before_inputs_were_counted_is_shown(tmp_path, capsys):
    a_dataset(tmp_path / "set")
    manifest = json.loads((tmp_path / "set/manifest.json").read_text())
    del manifest["counts"]
    show_manifest(tmp_path / "set", manifest)
    assert "inputs" not in capsys.readouterr().out


def test_cells_that_look_like_markup_are_printed_as_they_are(capsys):
    print_table("[b]title", ["[i]name", "n"], [["[/red]x", "[1]"]])
    text = capsys.readouterr().out
    assert all(part in text for part in ("[b]title", "[i]name", "[/red]x", "[1]"))
