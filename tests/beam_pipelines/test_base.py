"""A dataset that is made from another one is as if all had been prepared at once, but for splits, which never move."""

import json
import os
import shutil

import pytest

from ostinato.beam_pipelines import scan
from ostinato.beam_pipelines.base import BaseError, removal
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.prepare import PrepareError, prepare
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.data.records import Dataset
from tests.midi_files import write_parts, write_tunes
from tests.prepare_process import content
from tests.servers import make_bucket, s3_server

HERE = ["--runner=FnApiRunner"]
CONFIG = PrepareConfig(split=(34, 33, 33))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Melodies of twelve tunes, some tunes of their own, a copy and a broken file."""
    root = tmp_path_factory.mktemp("base")
    write_parts(root / "midi", range(12), ["melody"])
    paths = write_tunes(root / "midi/own", 8, first_seed=50)
    (root / "midi/own/copy.mid").write_bytes(paths[0].read_bytes())
    (root / "midi/own/broken.mid").write_bytes(b"MThd")
    prepare([str(root / "midi")], root / "old", CONFIG, HERE, keep_scan=True)
    write_parts(root / "midi", range(6), ["both"])  # of which the melodies are parts
    write_tunes(root / "midi/new", 10, first_seed=80)
    prepare([str(root / "midi")], root / "at-once", CONFIG, HERE)
    return root


def lines(dataset, name):
    return [json.loads(line) for line in (dataset / f"{name}.jsonl").read_text().splitlines()]


def splits_of(dataset):
    return {line["path"]: line["split"] for line in lines(dataset, "pieces")}


def assert_same_but_for_splits(one, other):
    for name in ("rejects", "duplicates"):
        assert lines(one, name) == lines(other, name)
    pieces = [
        sorted((line["path"], line["id"], line["group"]) for line in lines(dataset, "pieces"))
        for dataset in (one, other)
    ]
    assert pieces[0] == pieces[1]
    manifests = [json.loads((dataset / "manifest.json").read_text()) for dataset in (one, other)]
    for key in ("counts", "groups", "by_style", "notes", "rejected_by_reason", "duplicates_by_kind"):
        assert manifests[0][key] == manifests[1][key], key


def read_names(monkeypatch):
    names = []
    read_unit = scan.read_unit

    def noted(unit, **options):
        for one in read_unit(unit, **options):
            names.append(one.name)
            yield one

    monkeypatch.setattr(scan, "read_unit", noted)
    return names


def test_what_is_added_alone_is_read_and_no_piece_changes_its_split(base, tmp_path, monkeypatch):
    names = read_names(monkeypatch)
    manifest = prepare([str(base / "midi")], tmp_path / "new", PrepareConfig(), HERE, base=str(base / "old"))
    assert len(names) == 16
    assert all("/both/" in name or "/new/" in name for name in names)
    assert_same_but_for_splits(tmp_path / "new", base / "at-once")
    before, after = splits_of(base / "old"), splits_of(tmp_path / "new")
    assert all(after[path] == before[path] for path in before.keys() & after.keys())
    assert len(before.keys() - after.keys()) == 6  # of which there is a better version now: in the same split
    for path in before.keys() - after.keys():
        assert after[path.replace("/melody/", "/both/")] == before[path]
    old = Dataset.open(base / "old")
    pieces = {split: len(old.source(split)) for split in old.splits}
    assert manifest["made_from"] == [{"fingerprint": old.fingerprint, "removed": [], "pieces": pieces}]

    # What was added is taken away again, which is the inverse.
    again = tmp_path / "again"
    removed = [str(base / "midi/both"), str(base / "midi/new")]
    prepare([], again, PrepareConfig(), HERE, base=str(tmp_path / "new"), remove=removed)
    assert_same_but_for_splits(again, base / "old")
    assert splits_of(again) == before
    assert Dataset.open(again).codec == Dataset.open(base / "old").codec


def test_a_kept_piece_that_is_removed_gives_way_to_its_duplicate_in_the_same_split(base, tmp_path):
    (kept,) = (line["kept"] for line in lines(base / "old", "duplicates"))
    (copy,) = (line["path"] for line in lines(base / "old", "duplicates"))
    prepare([], tmp_path / "new", PrepareConfig(), HERE, base=str(base / "old"), remove=[kept])
    assert splits_of(tmp_path / "new")[copy] == splits_of(base / "old")[kept]
    assert kept not in splits_of(tmp_path / "new")


def test_the_notes_codec_keeps_the_vocabulary_of_the_base(base, tmp_path):
    config = PrepareConfig(codec=CodecConfig(name="notes"))
    prepare([str(base / "midi/own")], tmp_path / "old", config, HERE, keep_scan=True)
    prepare([str(base / "midi/new")], tmp_path / "new", PrepareConfig(), HERE, base=str(tmp_path / "old"))
    old, new = Dataset.open(tmp_path / "old"), Dataset.open(tmp_path / "new")
    assert new.codec == old.codec
    assert new.manifest["counts"]["accepted"] == old.manifest["counts"]["accepted"] + 10


def test_what_is_added_in_place_gives_what_is_made_beside_it_and_a_second_time_nothing(base, tmp_path, caplog):
    for name in ("there", "beside"):
        shutil.copytree(base / "old", tmp_path / name / "set")
    output = tmp_path / "there/set"
    prepare([str(base / "midi/new")], output, PrepareConfig(), HERE, add=True)
    prepare([str(base / "midi/new")], tmp_path / "set", PrepareConfig(), HERE, base=str(tmp_path / "beside/set"))
    assert content(output) == content(tmp_path / "set")
    assert os.listdir(tmp_path / "there") == ["set"]
    with caplog.at_level("INFO"):
        prepare([str(base / "midi/new")], output, PrepareConfig(), HERE, add=True)
    assert "holds all of this already" in caplog.text
    assert content(output) == content(tmp_path / "set")
    prepare([], output, PrepareConfig(), HERE, add=True, remove=[str(base / "midi/new")])
    assert splits_of(output) == splits_of(base / "old")
    assert os.listdir(tmp_path / "there") == ["set"]


def test_what_was_read_under_another_spelling_of_its_path_is_not_new(base, tmp_path, monkeypatch):
    shutil.copytree(base / "midi/own", tmp_path / "midi/own")
    monkeypatch.chdir(tmp_path)
    prepare(["midi"], "old", CONFIG, HERE, keep_scan=True)
    names, seen = read_names(monkeypatch), []
    monkeypatch.chdir("midi")
    (tmp_path / "link").symlink_to("midi")
    write_tunes(tmp_path / "midi", 1, first_seed=99)
    options = {"base": str(tmp_path / "old"), "watch": seen.append}
    prepare([f"{tmp_path}/link/own", "../midi"], tmp_path / "new", PrepareConfig(), HERE, **options)
    assert len(names) == 1
    assert {progress.total for progress in seen} == {len(list((tmp_path / "midi").rglob("*.mid")))}
    assert seen[-1].inputs == seen[-1].total


def test_a_new_piece_goes_with_its_group_though_an_old_one_in_another_split_has_its_name(base, tmp_path, monkeypatch):
    """Paths are as the command had them: in another folder the same one is another file."""
    write_parts(tmp_path / "one", range(12), ["melody"])
    monkeypatch.chdir(tmp_path / "one")
    prepare(["melody"], tmp_path / "old", CONFIG, HERE, keep_scan=True)
    before = splits_of(tmp_path / "old")
    write_parts(tmp_path / "two", range(12), ["both"])
    (tmp_path / "two/melody").mkdir()
    monkeypatch.chdir(tmp_path / "two")
    wanted = {}
    for name, split in before.items():
        other = next(one for one in before if before[one] != split)
        shutil.copyfile(other.replace("melody", "both"), name)
        wanted[name] = before[other]
    prepare(["melody"], tmp_path / "new", PrepareConfig(), HERE, base=str(tmp_path / "old"))
    old_ids = {line["id"] for line in lines(tmp_path / "old", "pieces")}
    new = {line["path"]: line["split"] for line in lines(tmp_path / "new", "pieces") if line["id"] not in old_ids}
    assert new
    assert new == {name: wanted[name] for name in new}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a/[1] b.mid", ["a/[1] b.mid"]),
        ("a/*", ["a/[1] b.mid", "a/c.zip!d/e.mid", "a/f.abc#2"]),
        ("a/", ["a/[1] b.mid", "a/c.zip!d/e.mid", "a/f.abc#2"]),
        ("a/c.zip", ["a/c.zip!d/e.mid"]),
        ("a/c.zip!d/e.mid", ["a/c.zip!d/e.mid"]),
        ("*.abc", []),
        ("*.abc#?", ["a/f.abc#2"]),
        ("", []),
        ("/", []),
    ],
)
def test_what_a_pattern_names(pattern, names):
    is_removed = removal([(pattern, 3)], 3)
    assert [name for name in ("a/[1] b.mid", "a/c.zip!d/e.mid", "a/f.abc#2", "/b/[1]") if is_removed(name)] == names
    assert not any(map(removal([(pattern, 2)], 3), names))


def test_in_a_store_as_here(base, tmp_path):
    own, new = str(base / "midi/own"), str(base / "midi/new")
    prepare([own], tmp_path / "old", CONFIG, HERE, keep_scan=True)
    prepare([new], tmp_path / "new", PrepareConfig(), HERE, base=str(tmp_path / "old"))
    with s3_server() as options:
        bucket, options = make_bucket(options, "sets"), [*HERE, *options]
        prepare([own], f"{bucket}/old", CONFIG, options, keep_scan=True)
        # What a command has left that was killed while it kept the scan does not stay.
        files.write_bytes(f"{bucket}/new/scan/units/00000099.json", b"[]")
        prepare([new], f"{bucket}/new", PrepareConfig(), options, base=f"{bucket}/old")
        prepare([new], tmp_path / "here/new", PrepareConfig(), options, base=f"{bucket}/old")
        for name in ("old", "new"):
            paths = files.list_files(f"{bucket}/{name}")
            found = {path.removeprefix(f"{bucket}/{name}/"): files.read_bytes(path) for path in paths}
            assert found == content(tmp_path / name)
        with pytest.raises(BaseError, match=r"--remove \*/nothing: names no input of s3://sets/old"):
            prepare([], f"{bucket}/no", PrepareConfig(), options, base=f"{bucket}/old", remove=["*/nothing"])
        files.write_bytes(f"{bucket}/old/scan/job.json", b"{")
        with pytest.raises(BaseError, match=r"^s3://sets/old/scan/job\.json: damaged"):
            prepare([new], f"{bucket}/no", PrepareConfig(), options, base=f"{bucket}/old")
    assert content(tmp_path / "here/new") == content(tmp_path / "new")


def test_what_no_dataset_can_be_made_from_is_said_in_a_line(base, tmp_path):
    def refused(error, match, *patterns, config=CONFIG, folder=base / "old", **options):
        with pytest.raises(error, match=match):
            prepare(list(map(str, patterns)), tmp_path / "no", config, HERE, base=str(folder), **options)
        assert not (tmp_path / "no").exists()

    refused(BaseError, "was prepared without --keep-scan", base / "midi", folder=base / "at-once")
    refused(BaseError, "keeps the settings of its dataset; asked for are seed 3, not 0", base / "midi",
            config=PrepareConfig(seed=3))  # fmt: skip
    refused(PrepareError, "need music to add", folder=base / "old")
    refused(PrepareError, "--add adds to the dataset of --output, --from makes another", base / "midi", add=True)
    refused(BaseError, r"--remove \*/typo: names no input of", remove=["*/typo", "*/tune-*"])
    shutil.copytree(base / "old", tmp_path / "damaged")
    (spool,) = (tmp_path / "damaged/scan/scanned").glob("*.pieces")
    spool.write_bytes(spool.read_bytes()[:-1])
    refused(PrepareError, "is missing or damaged; prepare the dataset of --from again", base / "midi/new",
            folder=tmp_path / "damaged")  # fmt: skip
    description = tmp_path / "damaged/scan/job.json"
    as_it_was = description.read_text()
    description.write_text(as_it_was.replace('"format": 2', '"format": 1'))
    refused(BaseError, r"job\.json: has format 1, this version reads 2; prepare the dataset again", base / "midi/new",
            folder=tmp_path / "damaged")  # fmt: skip
    description.write_text(as_it_was)
    (unit,) = (tmp_path / "damaged/scan/units").glob("*.json")
    unit.unlink()
    refused(BaseError, "what it says of its units is missing or damaged", base / "midi/new",
            folder=tmp_path / "damaged")  # fmt: skip
    shutil.copytree(base / "midi", tmp_path / "midi")
    prepare([str(tmp_path / "midi/own")], tmp_path / "old", CONFIG, HERE, keep_scan=True)
    (tmp_path / "midi/own/broken.mid").write_bytes(b"MThd again")
    refused(BaseError, r"broken\.mid: is another file than when", tmp_path / "midi/own", folder=tmp_path / "old")
