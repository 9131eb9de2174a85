"""A dataset that is made from another one is as if all had been prepared at once, but for splits, which never move."""

import json
import shutil

import pytest

from ostinato.beam_pipelines import scan
from ostinato.beam_pipelines.base import BaseError
from ostinato.beam_pipelines.prepare import PrepareError, prepare
from ostinato.configs.schema import CodecConfig, PrepareConfig
from ostinato.data.records import Dataset
from tests.midi_files import write_parts, write_tunes

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


def test_what_no_dataset_can_be_made_from_is_said_in_a_line(base, tmp_path):
    def refused(error, match, *patterns, config=CONFIG, folder=base / "old", **options):
        with pytest.raises(error, match=match):
            prepare(list(map(str, patterns)), tmp_path / "no", config, HERE, base=str(folder), **options)
        assert not (tmp_path / "no").exists()

    refused(BaseError, "was prepared without --keep-scan", base / "midi", folder=base / "at-once")
    refused(BaseError, "keeps the settings of its dataset; asked for are seed 3, not 0", base / "midi",
            config=PrepareConfig(seed=3))  # fmt: skip
    refused(PrepareError, "needs music to add", folder=base / "old")
    shutil.copytree(base / "old", tmp_path / "damaged")
    (spool,) = (tmp_path / "damaged/scan/scanned").glob("*.pieces")
    spool.write_bytes(spool.read_bytes()[:-1])
    refused(PrepareError, "is missing or damaged; prepare the dataset of --from anew", base / "midi/new",
            folder=tmp_path / "damaged")  # fmt: skip
    description = tmp_path / "damaged/scan/job.json"
    description.write_text(description.read_text().replace('"format": 2', '"format": 1'))
    refused(BaseError, r"job\.json: has format 1, this version reads 2; prepare the dataset anew", base / "midi/new",
            folder=tmp_path / "damaged")  # fmt: skip
    shutil.copytree(base / "midi", tmp_path / "midi")
    prepare([str(tmp_path / "midi/own")], tmp_path / "old", CONFIG, HERE, keep_scan=True)
    (tmp_path / "midi/own/broken.mid").write_bytes(b"MThd again")
    refused(BaseError, r"broken\.mid: is another file than when", tmp_path / "midi/own", folder=tmp_path / "old")
