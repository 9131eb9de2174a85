import dataclasses
import json
import os
import zipfile

import numpy as np
import pytest

from ostinato.beam_pipelines.prepare import PrepareError, check_beam_args, prepare
from ostinato.beam_pipelines.sources import SourceError
from ostinato.configs.schema import CodecConfig, PrepareConfig
from ostinato.music import midi
from ostinato.music.piece import Notes, make_piece
from ostinato.music.records import Dataset
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import tune, write_tunes

CONFIG = PrepareConfig(min_notes=16)
IN_MEMORY = ["--runner=FnApiRunner"]


def _all_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _ids(dataset, split):
    source = dataset.source(split)
    return {source[i].id for i in range(len(source))}


def test_every_input_is_accounted_for(tmp_path):
    paths = write_tunes(tmp_path / "midi", 30)
    (tmp_path / "midi/copy.mid").write_bytes(paths[0].read_bytes())
    (tmp_path / "midi/broken.mid").write_bytes(paths[1].read_bytes()[:-40])
    (tmp_path / "midi/page.MID").write_text("<html>not found</html>")
    (tmp_path / "midi/short.mid").write_bytes(midi.write(tune(99, num_notes=4)))
    (tmp_path / "midi/notes.txt").write_text("not an input")
    os.mkfifo(tmp_path / "midi/pipe.mid")
    manifest = prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert manifest["counts"] == {"inputs": 35, "accepted": 30, "rejected": 4, "duplicates": 1}
    rejects = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    found = {os.path.basename(reject["path"]): (reject["stage"], reject["reason"]) for reject in rejects}
    assert found == {
        "broken.mid": ("parse", "truncated"),
        "page.MID": ("parse", "not_midi"),
        "pipe.mid": ("read", "not_a_file"),
        "short.mid": ("select", "too_few_notes"),
    }
    dataset = Dataset.open(tmp_path / "out")
    assert sum(len(dataset.source(split)) for split in dataset.splits) == 30
    source = dataset.source("train")
    originals = {ScoreCodec().encode(midi.read(path.read_bytes())).tobytes() for path in paths}
    assert {source[i].steps.tobytes() for i in range(len(source))} <= originals
    assert not (tmp_path / "out.partial").exists()


def test_the_same_music_gives_the_same_bytes_from_any_folder_in_any_order(tmp_path):
    write_tunes(tmp_path / "a", 80)
    paths = [str(path) for path in sorted((tmp_path / "a").iterdir())]
    one = dataclasses.replace(CONFIG, num_shards=3)
    prepare([str(tmp_path / "a")], tmp_path / "one/music", one, IN_MEMORY)
    prepare(paths[::-1], tmp_path / "two/music", one, IN_MEMORY)
    assert _all_bytes(tmp_path / "one/music") == _all_bytes(tmp_path / "two/music")


@pytest.mark.cluster
def test_the_number_of_worker_processes_does_not_change_a_byte(tmp_path):
    write_tunes(tmp_path / "a", 200)
    config = dataclasses.replace(CONFIG, num_shards=4)
    processes = [*IN_MEMORY, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    prepare([str(tmp_path / "a")], tmp_path / "one/music", config, IN_MEMORY)
    prepare([str(tmp_path / "a")], tmp_path / "two/music", config, processes)
    assert _all_bytes(tmp_path / "one/music") == _all_bytes(tmp_path / "two/music")


def _disguises(piece):
    """The same music transposed, re-timed, with other loudness and other instruments."""
    notes = piece.notes
    yield "transposed", notes._replace(pitch=notes.pitch + 3), piece.ticks_per_quarter
    yield "slower", notes._replace(onset=notes.onset * 3, duration=notes.duration * 3), piece.ticks_per_quarter
    yield "resolution", notes, piece.ticks_per_quarter * 2
    yield "loud", notes._replace(velocity=np.full(piece.num_notes, 127)), piece.ticks_per_quarter
    yield "organ", notes._replace(program=np.full(piece.num_notes, 19)), piece.ticks_per_quarter


def test_music_in_disguise_is_a_duplicate(tmp_path):
    paths = write_tunes(tmp_path, 5)
    for name, notes, resolution in _disguises(tune(2)):
        piece = make_piece(**notes._asdict(), ticks_per_quarter=resolution)
        (tmp_path / f"zz-{name}.mid").write_bytes(midi.write(piece))
    manifest = prepare([str(tmp_path)], tmp_path / "out", CONFIG, IN_MEMORY)
    assert manifest["counts"] == {"inputs": 10, "accepted": 5, "rejected": 0, "duplicates": 5}
    lines = (tmp_path / "out/duplicates.jsonl").read_text().splitlines()
    assert {json.loads(line)["kept"] for line in lines} == {str(paths[2])}


def test_a_tune_its_melody_and_its_bass_share_a_split(tmp_path):
    for number in range(12):
        piece = tune(number, num_notes=80)
        for name, keep in (
            ("both", piece.notes.program >= 0),
            ("melody", piece.notes.program == 0),
            ("bass", piece.notes.program == 32),
        ):
            part = Notes(*(column[keep] for column in piece.notes))
            (tmp_path / name).mkdir(exist_ok=True)
            file = tmp_path / name / f"{number}.mid"
            file.write_bytes(midi.write(make_piece(**part._asdict(), ticks_per_quarter=480)))
    manifest = prepare([str(tmp_path)], tmp_path / "out", PrepareConfig(split=(34, 33, 33)), IN_MEMORY)
    assert manifest["counts"]["accepted"] == 36
    assert manifest["groups"] == 12
    splits = {}
    for line in (tmp_path / "out/pieces.jsonl").read_text().splitlines():
        piece = json.loads(line)
        splits.setdefault(os.path.basename(piece["path"]), set()).add(piece["split"])
    assert len(splits) == 12
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_zip_archives_and_styles_by_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number in range(12):
            archive.writestr(f"{('folk', 'rock')[number % 2]}/{number}.mid", midi.write(tune(number)))
    config = PrepareConfig(codec=CodecConfig(style="folder"))
    prepare([str(tmp_path / "all.zip")], tmp_path / "out", config, IN_MEMORY)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.codec.styles == ("folk", "rock")
    for split in dataset.splits:
        source = dataset.source(split)
        for i in range(len(source)):
            assert source[i].steps[1, 2] == dataset.codec.styles.index(source[i].style)


def test_the_notes_codec_counts_its_vocabulary_on_the_training_split_alone(tmp_path):
    write_tunes(tmp_path / "midi", 40)
    config = PrepareConfig(codec=CodecConfig(name="notes", min_count=1), split=(60, 20, 20))
    prepare([str(tmp_path / "midi")], tmp_path / "out", config, IN_MEMORY)
    dataset = Dataset.open(tmp_path / "out")
    train, test = (
        np.concatenate([s[i].steps for i in range(len(s))])[:, 0] for s in map(dataset.source, ("train", "test"))
    )
    unknown = 2
    assert unknown not in train
    assert set(range(3, dataset.codec.fields[0].size)) <= set(train.tolist())
    assert unknown in test  # tunes that wander differ in some chord


def test_the_paper_has_two_splits(tmp_path):
    write_tunes(tmp_path / "midi", 20)
    prepare([str(tmp_path / "midi")], tmp_path / "out", PrepareConfig(split=(80, 20, 0)), IN_MEMORY)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.splits == ("train", "validation")
    assert not _ids(dataset, "train") & _ids(dataset, "validation")


def test_mistakes_are_told_in_a_line_and_leave_nothing_that_looks_finished(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"holds no file ending in \.mid"):
        prepare([str(tmp_path / "empty")], tmp_path / "out", CONFIG, IN_MEMORY)
    with pytest.raises(SourceError, match="no such file or folder"):
        prepare([str(tmp_path / "nowhere/*.mid")], tmp_path / "out", CONFIG, IN_MEMORY)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.mid").write_text("nothing")
    with pytest.raises(PrepareError, match=r"none of 1 inputs can be used \(1 not_midi\)"):
        prepare([str(tmp_path / "bad")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(PrepareError, match="exists already"):
        prepare([str(tmp_path / "bad")], tmp_path / "out", CONFIG, IN_MEMORY)
    with pytest.raises(PrepareError, match=r"unknown options --codec\.nam notes"):
        check_beam_args(["--runner=FnApiRunner", "--codec.nam", "notes"])


def test_a_file_that_changes_while_it_is_prepared_ends_the_job(tmp_path, monkeypatch):
    """The file is really changed, between the scan and the writing of its shard."""
    from ostinato.beam_pipelines import prepare as module

    (path, *_) = write_tunes(tmp_path / "midi", 4)
    real = module.assign

    def change_then_assign(*arguments, **options):
        path.write_bytes(midi.write(tune(77)))
        return real(*arguments, **options)

    monkeypatch.setattr(module, "assign", change_then_assign)
    with pytest.raises(Exception, match="changed while it was being prepared"):
        prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert not (tmp_path / "out").exists()
