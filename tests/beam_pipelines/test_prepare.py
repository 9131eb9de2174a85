import dataclasses
import fcntl
import json
import os
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.sources import SourceError
from ostinato.beam_pipelines.output import LISTS, OutputError, open_output
from ostinato.beam_pipelines.prepare import prepare
from ostinato.beam_pipelines.runners import BeamOptionsError, complete_beam_args
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.data.records import Dataset
from ostinato.music import midi
from ostinato.music.piece import make_piece
from ostinato.music.score_codec import ScoreCodec
from tests.midi_events import midi_file, on, timed_track
from tests.midi_files import tune, write_parts, write_tunes
from tests.prepare_process import content
from tests.servers import make_bucket, s3_server

CONFIG = PrepareConfig(min_notes=16)
IN_MEMORY = ["--runner=FnApiRunner"]


def test_every_input_is_accounted_for(tmp_path):
    paths = write_tunes(tmp_path / "midi", 30)
    (tmp_path / "midi/copy.mid").write_bytes(paths[0].read_bytes())
    (tmp_path / "midi/broken.mid").write_bytes(paths[1].read_bytes()[:30])
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


def test_scores_and_tune_books_are_sources_and_unknown_endings_are_counted(tmp_path, caplog):
    folder = tmp_path / "music/folk"
    folder.mkdir(parents=True)
    head = "M:2/4\nL:1/8\nK:G\n"
    tunes = [f"X:{i}\n{head}" + "|".join("DEFGABcd"[(i * j) % 5 :][:4] for j in range(8)) + "|\n\n" for i in (1, 2, 3)]
    (folder / "book.abc").write_text("".join(tunes))
    (folder / "song.krn").write_text("**kern\n*M4/4\n" + "".join(f"4{note}\n" for note in "cdefgab" * 3) + "*-\n")
    (folder / "broken.mxl").write_bytes(b"PK\3\4")
    (folder / "a.rar").write_bytes(b"Rar!")
    labels = tmp_path / "labels.csv"
    labels.write_text("path,style,split\nfolk/book.abc,folk,train\nfolk/book.abc#2,reel,\n")
    config = dataclasses.replace(CONFIG, duplicates="keep")
    with caplog.at_level("WARNING"):
        manifest = prepare([str(tmp_path / "music")], tmp_path / "out", config, IN_MEMORY, labels=str(labels))
    assert manifest["counts"] == {"inputs": 5, "accepted": 4, "rejected": 1, "duplicates": 0}
    assert manifest["rejected_by_reason"] == {"bad_notation": 1}
    assert manifest["not_read"] == {".rar": 1}
    assert "1 file with endings we do not read: .rar 1; .rar: unpack it first" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "out/pieces.jsonl").read_text().splitlines()]
    styles = {os.path.basename(line["path"]): line.get("style", "") for line in lines}
    assert styles == {"book.abc#1": "folk", "book.abc#2": "reel", "book.abc#3": "folk", "song.krn": ""}
    assert "files not read for their endings" in (tmp_path / "out/report.html").read_text()


def test_the_same_music_gives_the_same_bytes_from_any_folder_in_any_order(tmp_path):
    write_tunes(tmp_path / "a", 80)
    paths = [str(path) for path in sorted((tmp_path / "a").iterdir())]
    one = dataclasses.replace(CONFIG, num_shards=3)
    prepare([str(tmp_path / "a")], tmp_path / "one/music", one, IN_MEMORY)
    prepare(paths[::-1], tmp_path / "two/music", one, IN_MEMORY)
    assert content(tmp_path / "one/music") == content(tmp_path / "two/music")


@pytest.mark.cluster
def test_the_number_of_worker_processes_does_not_change_a_byte(tmp_path):
    write_tunes(tmp_path / "a", 200)
    config = dataclasses.replace(CONFIG, num_shards=4)
    processes = [*IN_MEMORY, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    prepare([str(tmp_path / "a")], tmp_path / "one/music", config, IN_MEMORY)
    prepare([str(tmp_path / "a")], tmp_path / "two/music", config, processes)
    assert content(tmp_path / "one/music") == content(tmp_path / "two/music")


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
    write_parts(tmp_path, range(12))
    config = PrepareConfig(split=(34, 33, 33), duplicates="variants")
    manifest = prepare([str(tmp_path)], tmp_path / "out", config, IN_MEMORY)
    assert manifest["counts"]["accepted"] == 36
    assert manifest["groups"] == 12
    splits = {}
    for line in (tmp_path / "out/pieces.jsonl").read_text().splitlines():
        piece = json.loads(line)
        splits.setdefault(os.path.basename(piece["path"]), set()).add(piece["split"])
    assert len(splits) == 12
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}

    manifest = prepare([str(tmp_path)], tmp_path / "dropped", PrepareConfig(split=(34, 33, 33)), IN_MEMORY)
    assert manifest["counts"] == {"inputs": 36, "accepted": 12, "rejected": 0, "duplicates": 24}
    assert manifest["duplicates_by_kind"] == {"near": 24}
    kept = [json.loads(line)["path"] for line in (tmp_path / "dropped/pieces.jsonl").read_text().splitlines()]
    assert {os.path.basename(os.path.dirname(path)) for path in kept} == {"both"}  # they have the most notes


def test_a_group_of_the_labels_holds_its_files_together_and_overrides_what_is_found(tmp_path):
    write_parts(tmp_path, range(12), ("both", "melody"))
    labels = tmp_path / "labels.csv"
    rows = [f"{name}/{number}.mid,all {name}" for name in ("both", "melody") for number in range(10)]
    labels.write_text("\n".join(["path,group", *rows, ""]))  # tunes 10 and 11 have none
    found = {}
    for output, options in (("plain", {}), ("labelled", {"labels": str(labels)})):
        config = PrepareConfig(split=(34, 33, 33), duplicates="variants", seed=1)
        manifest = prepare([str(tmp_path / "*/*.mid")], tmp_path / output, config, IN_MEMORY, **options)
        assert manifest["counts"]["accepted"] == 24
        lines = [json.loads(line) for line in (tmp_path / output / "pieces.jsonl").read_text().splitlines()]
        found[output] = {tuple(line["path"].split("/")[-2:]): (line["group"], line["split"]) for line in lines}
        assert manifest["groups"] == len({group for group, _ in found[output].values()})
    for number in range(12):
        tune_and_melody = (("both", f"{number}.mid"), ("melody", f"{number}.mid"))
        assert found["plain"][tune_and_melody[0]] == found["plain"][tune_and_melody[1]]
        groups = {found["labelled"][name][0] for name in tune_and_melody}
        assert len(groups) == (2 if number < 10 else 1)
    for name in ("both", "melody"):
        assert len({found["labelled"][name, f"{number}.mid"] for number in range(10)}) == 1
        assert len({found["plain"][name, f"{number}.mid"] for number in range(10)}) == 10
    assert len({group for group, _ in found["labelled"].values()}) == 4
    assert found["labelled"]["both", "0.mid"][1] != found["labelled"]["melody", "0.mid"][1]


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


def test_splits_that_are_not_wanted_are_not_there_and_many_shards_are_in_the_order_of_their_numbers(tmp_path):
    for number in range(22):  # every piece has another length
        (tmp_path / f"{number}.mid").write_bytes(midi.write(tune(number, num_notes=30 + number)))
    prepare([str(tmp_path)], tmp_path / "out", PrepareConfig(split=(80, 20, 0), num_shards=11), IN_MEMORY)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.splits == ("train", "validation")
    names = [shard["file"] for shard in dataset.manifest["splits"]["train"]["shards"]]
    assert len(names) == 11
    assert names == sorted(names)
    found = [shard["records"] for shard in dataset.manifest["splits"]["train"]["shards"]]
    (train,) = (
        s for s in json.loads((tmp_path / "out/dataset_info.json").read_text())["splits"] if s["name"] == "train"
    )
    assert train["shardLengths"] == list(map(str, found))


def test_mistakes_are_one_line_and_leave_nothing_that_looks_finished(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"holds no file ending in \.mid"):
        prepare([str(tmp_path / "empty")], tmp_path / "out", CONFIG, IN_MEMORY)
    with pytest.raises(SourceError, match="no such file or folder"):
        prepare([str(tmp_path / "nowhere/*.mid")], tmp_path / "out", CONFIG, IN_MEMORY)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.mid").write_text("nothing")
    with pytest.raises(ValueError, match=r"none of 1 inputs can be used \(1 not_midi\)\n .*a\.mid: begins with"):
        prepare([str(tmp_path / "bad")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert not (tmp_path / "out.partial").exists()
    config = PrepareConfig(codec=CodecConfig(style="labels"))
    with pytest.raises(ValueError, match="needs a file given by --labels with a column 'style'"):
        prepare([str(tmp_path / "bad")], tmp_path / "out", config, IN_MEMORY)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        prepare([str(tmp_path / "bad")], tmp_path / "out", CONFIG, IN_MEMORY)
    with pytest.raises(BeamOptionsError, match=r"unknown options --codec\.nam notes"):
        complete_beam_args(["--runner=FnApiRunner", "--codec.nam", "notes"])


def test_labels_give_style_split_and_metadata(tmp_path):
    write_tunes(tmp_path / "midi", 6)
    rows = ["path,style,split,composer"]
    rows += [f"tune-{n:03d}.mid,{('folk', 'rock')[n % 2]},{('train', 'test')[n == 5]},someone {n}" for n in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "midi/broken.mid").write_bytes(b"MThd")
    manifest = prepare(
        [str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY, labels=str(tmp_path / "labels.csv")
    )
    assert manifest["codec"]["styles"] == ["folk", "rock"]
    assert manifest["splits"]["train"]["pieces"] == 5
    assert manifest["labels"] == {"labelled": 6, "moved": 0}
    assert manifest["by_style"]["rock"] == {"accepted": 3, "rejected": 0, "duplicates": 0}
    assert manifest["by_style"][""] == {"accepted": 0, "rejected": 1, "duplicates": 0}
    lines = [json.loads(line) for line in (tmp_path / "out/pieces.jsonl").read_text().splitlines()]
    (held_out,) = [line for line in lines if line["split"] == "test"]
    assert held_out["path"].endswith("tune-005.mid")
    assert held_out["style"] == "rock"
    assert held_out["metadata"] == {"composer": "someone 5"}


def test_what_was_repaired_is_counted(tmp_path):
    paths = write_tunes(tmp_path / "midi", 4)
    data = paths[0].read_bytes()
    paths[0].write_bytes(
        b"RIFF" + (len(data) + 12).to_bytes(4, "little") + b"RMIDdata" + len(data).to_bytes(4, "little") + data
    )
    data = bytearray(paths[1].read_bytes())
    data[data.index(b"\x90") + 2] |= 0x80  # the loudness of the first note
    paths[1].write_bytes(data)
    manifest = prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert manifest["counts"]["accepted"] == 4
    assert manifest["salvaged"] == {"riff_wrapper": 1, "stray_data_bytes": 1}


def test_notes_are_accounted_for_like_files(tmp_path):
    paths = write_tunes(tmp_path / "midi", 20)
    (tmp_path / "midi/copy.mid").write_bytes(paths[0].read_bytes())
    hits = [(tick, on(36 + tick // 240 % 5, channel=9)) for tick in range(0, 9600, 240)]
    (tmp_path / "midi/hits.mid").write_bytes(midi_file(timed_track(hits)))
    manifest = prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    notes = manifest["notes"]
    assert notes["found"] == notes["duplicates"] + notes["read"]
    assert notes["read"] == notes["kept"] + notes["merged"] + notes["left_out"]
    assert notes["kept"] == sum(split["notes"] for split in manifest["splits"].values())
    assert (notes["unreleased"], manifest["pieces_with"]["unreleased"]) == (len(hits), 1)
    lines = [json.loads(line) for line in (tmp_path / "out/changed.jsonl").read_text().splitlines()]
    assert manifest["changed"] == Counter(line["reason"] for line in lines)
    (line,) = [line for line in lines if line["path"].endswith("hits.mid")]
    assert (line["reason"], line["notes"], line["of"]) == ("unreleased", len(hits), len(hits))
    content = json.loads((tmp_path / "out/statistics.json").read_text())
    assert sum(split["notes"] for split in content["splits"].values()) == notes["kept"]
    lengths = []
    dataset = Dataset.open(tmp_path / "out")
    for split in dataset.splits:
        source = dataset.source(split)
        lengths += [dataset.codec.decode(source[i].steps).num_notes for i in range(len(source))]
    assert content["quartiles"]["piece_notes"] == np.quantile(lengths, (0.25, 0.5, 0.75)).round().tolist()
    assert "changed.jsonl" in (tmp_path / "out/report.html").read_text()


def test_the_notes_codec_accounts_for_what_it_does_not_say(tmp_path):
    write_tunes(tmp_path / "midi", 20)
    config = dataclasses.replace(CONFIG, codec=CodecConfig(name="notes"), pedal="off")
    manifest = prepare([str(tmp_path / "midi")], tmp_path / "out", config, IN_MEMORY)
    assert manifest["notes"]["kept"] == sum(split["notes"] for split in manifest["splits"].values())
    assert manifest["prepare"]["pedal"] == "off"


def test_an_archive_gives_the_same_dataset_as_its_folder_however_many_workers_share_it(tmp_path, monkeypatch):
    write_tunes(tmp_path / "midi", 20)
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "midi", "midi")
    prepare([str(tmp_path / "midi")], tmp_path / "a/music", CONFIG, IN_MEMORY)
    prepare([str(tmp_path / "all.tar.gz")], tmp_path / "b/music", CONFIG, IN_MEMORY)
    # As on a cluster: parts of the stream and several worker processes.
    processes = [*IN_MEMORY, "--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    prepare([str(tmp_path / "all.tar.gz")], tmp_path / "c/music", CONFIG, processes)
    assert content(tmp_path / "b/music") == content(tmp_path / "c/music")
    one, other = (Dataset.open(tmp_path / name / "music") for name in "ab")
    assert one.fingerprint == other.fingerprint


def test_two_jobs_do_not_write_one_dataset(tmp_path):
    write_tunes(tmp_path / "midi", 3)
    (tmp_path / "out.partial").mkdir()
    other = os.open(tmp_path / "out.partial", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(OutputError, match="another prepare is writing it"):
        prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    os.close(other)
    (tmp_path / "out.partial/out-train.tfrecord-00007-of-00009").write_text("of a job that was killed")
    (tmp_path / "out.partial/thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"exists already, with 'thesis\.tex'"):
        prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert (tmp_path / "out.partial/thesis.tex").read_text() == "mine"
    (tmp_path / "out.partial/thesis.tex").unlink()
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY)
    assert not (tmp_path / "out/out-train.tfrecord-00007-of-00009").exists()


def test_progress_is_reported_to_the_end(tmp_path):
    write_tunes(tmp_path / "midi", 5)
    (tmp_path / "midi/broken.mid").write_bytes(b"MThd")
    reported = []
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, IN_MEMORY, watch=reported.append)
    last = reported[-1]
    assert (last.inputs, last.rejected, last.total) == (6, 1, 6)
    assert last.shards == last.num_shards == 3


def stopped_when_finished(output):
    with open_output(output) as place:
        for name in LISTS:
            files.write_bytes(files.join(place.folder, name), b"")
        with place.completed() as folder:
            (folder / "manifest.json").write_text('{"splits": {}}')
        raise KeyboardInterrupt


def test_from_a_bucket_to_a_bucket_it_is_the_same_dataset(tmp_path):
    paths = write_tunes(tmp_path / "midi", 12)
    with s3_server() as options:
        bucket = make_bucket(options, "music")
        files.configure(options)
        for path in paths:
            files.write_bytes(f"{bucket}/midi/{path.name}", path.read_bytes())
        prepare([f"{bucket}/midi"], f"{bucket}/out", CONFIG, options)
        assert files.list_files(f"{bucket}/out.partial") == []
        names = [path.removeprefix(f"{bucket}/out/") for path in files.list_files(f"{bucket}/out")]
        for name in names:
            file = tmp_path / "copy/out" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files.read_bytes(f"{bucket}/out/{name}"))

        with pytest.raises(OutputError, match=r"out: exists already, with 'manifest\.json'"):
            prepare([f"{bucket}/midi"], f"{bucket}/out", CONFIG, options)
        with pytest.raises(OutputError, match=r"midi: exists already, with 'tune-000\.mid'"):
            prepare([f"{bucket}/midi"], f"{bucket}/midi", CONFIG, options)
        # A job that was killed before its end leaves all but the manifest.
        files.write_bytes(f"{bucket}/killed/killed-train.tfrecord-00000-of-00007", b"half of it")
        files.write_bytes(f"{bucket}/killed/rejects.jsonl", b"")
        prepare([f"{bucket}/midi"], f"{bucket}/killed", CONFIG, options)
        assert not files.is_file(f"{bucket}/killed/killed-train.tfrecord-00000-of-00007")
        # What is finished stays, also where the job is stopped in its last moment.
        with pytest.raises(KeyboardInterrupt):
            stopped_when_finished(f"{bucket}/late")
        assert files.read_bytes(f"{bucket}/late/manifest.json") == b'{"splits": {}}'
    prepare([str(tmp_path / "midi")], tmp_path / "here/out", CONFIG, IN_MEMORY)
    there, here = (Dataset.open(tmp_path / name / "out") for name in ("copy", "here"))
    assert there.fingerprint == here.fingerprint
    assert set(names) == content(tmp_path / "here/out").keys()
