import json
import os

import pytest

from ostinato.beam_pipelines.inputs.labels import Label, LabelsError, load_labels
from ostinato.beam_pipelines.inputs.places import printable


def _write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    load_labels.cache_clear()
    return str(path)


def test_csv_and_json_lines_say_the_same(tmp_path):
    csv = _write(
        tmp_path, "a.csv", 'path,style,split,year,composer\na/1.mid,jazz,test,1959,"Davis, Miles"\n2.mid,,,,\n'
    )
    rows = [
        {"path": "a/1.mid", "style": "jazz", "split": "test", "year": "1959", "composer": "Davis, Miles"},
        {"path": "2.mid"},
    ]
    lines = _write(tmp_path, "b.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    labels = load_labels(csv)
    assert labels.by_path == load_labels(lines).by_path
    assert labels.find("nowhere", "a/1.mid") == Label("jazz", "test", '{"composer": "Davis, Miles", "year": "1959"}')
    assert labels.find("2.mid") == Label("", "", "")
    assert labels.find("3.mid") is None
    assert labels.columns == ("style", "split", "year", "composer")


def test_numbers_and_lists_of_json_lines_stay_what_they_are(tmp_path):
    path = _write(tmp_path, "a.jsonl", '{"path": "1.mid", "year": 1959, "tags": ["cool", "modal"]}')
    label = load_labels(path).find("1.mid")
    assert label is not None
    assert json.loads(label.metadata) == {"year": 1959, "tags": ["cool", "modal"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "path\n1.mid\n", "must end in .csv or .jsonl"),
        ("a.csv", "file,style\n1.mid,jazz\n", r"line 2: no column 'path' with a value \(others: file, style\)"),
        ("a.csv", 'path,style\n"1.mid,jazz\n2.mid,folk\n', r"not CSV \(unexpected end of data\)"),
        ("a.csv", "path,split\n1.mid,dev\n", "line 2: split 'dev' is not one of train, validation, test"),
        ("a.csv", "path\n1.mid\n2.mid\n1.mid\n", "line 4: a second line about 1.mid"),
        ("a.csv", "path\n1.mid,jazz\n", "line 2: more values than columns"),
        ("a.csv", "path\n", "holds no labels"),
        ("a.jsonl", '{"path": "1.mid"}\n{"path"', "line 2: not JSON"),
        ("a.jsonl", '["1.mid"]', "line 1: must be a JSON object, not list"),
        ("a.jsonl", '{"path": "1.mid", "year": NaN}', "line 1: not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path, name, text, message):
    with pytest.raises(LabelsError, match=message):
        load_labels(_write(tmp_path, name, text))


def test_what_is_no_utf8_is_written_as_in_the_names_of_inputs(tmp_path):
    path = tmp_path / "latin-1.csv"
    path.write_bytes("path,style,composer\ncafé.mid,fadó,Tomé\n".encode("latin-1"))
    label = load_labels(str(path)).find(printable(os.fsdecode(b"caf\xe9.mid")))
    assert label == Label(r"fad\xf3", "", r'{"composer": "Tom\\xe9"}')
    lone_surrogate = _write(tmp_path, "a.jsonl", r'{"path": "1.mid", "style": "a\ud800\n"}')
    assert load_labels(lone_surrogate).find("1.mid") == Label(r"a\ud800\n")
