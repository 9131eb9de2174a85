import gzip
import json
import lzma
import os
import pickle
import tempfile
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import READ_REASONS, SourceError, StorageError
from ostinato.beam_pipelines.inputs.sources import find_units, read_unit
from ostinato.beam_pipelines.inputs.units import Unit, check_streams
from tests.archives import compress, make_tar, make_zip
from tests.servers import FolderHandler, RangesHandler, make_bucket, s3_server, web_server

LIMIT = 1 << 20
ENDINGS = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2"]
SONGS = [(f"album {number % 3}/{number}.mid", b"MThd" + bytes([number]) * 50) for number in range(20)]


def read(*patterns, max_bytes=LIMIT, **options):
    """Returns every input of every unit, and checks what holds for all."""
    units = find_units([str(pattern) for pattern in patterns], **options)
    inputs = []
    for unit in units:
        found = list(read_unit(unit, max_bytes=max_bytes))
        assert unit.num_inputs in (None, len(found))
        inputs += found
    for one in inputs:
        json.dumps([one.name, one.key, one.folder, one.detail], ensure_ascii=False).encode()
        assert one.reason in ("", *READ_REASONS)
        assert bool(one.reason) == bool(one.detail)
        assert not (one.reason and one.data)
        assert "\n" not in one.detail
    assert len({one.name for one in inputs}) == len(inputs)
    return inputs


def make_archive(path, members):
    data = make_zip(members) if str(path).endswith(".zip") else compress(make_tar(members), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_files(folder):
    for name, data in SONGS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def by_key(inputs):
    return {one.key: (one.reason or one.data) for one in inputs}


def test_a_folder_is_read_in_units_of_limited_size(tmp_path):
    write_files(tmp_path)
    units = find_units([str(tmp_path)], inputs_per_unit=8)
    assert [unit.num_inputs for unit in units] == [8, 8, 4]
    inputs = read(tmp_path, inputs_per_unit=8)
    assert by_key(inputs) == dict(SONGS)
    assert all(one.name == f"{tmp_path}/{one.key}" and one.folder == one.key.split("/")[0] for one in inputs)
    assert inputs == read(tmp_path, inputs_per_unit=100)


def test_relative_names_stay_relative_wherever_the_worker_runs(tmp_path, monkeypatch):
    write_files(tmp_path / "music")
    make_archive(tmp_path / "x.zip", SONGS)
    monkeypatch.chdir(tmp_path)
    units = find_units(["music", "x.zip"])
    monkeypatch.chdir("/")
    inputs = [one for unit in units for one in read_unit(unit, max_bytes=LIMIT)]
    assert [one.name for one in inputs if not one.name.startswith(("music/album", "x.zip!album"))] == []
    assert not any(one.reason for one in inputs)


def test_the_folder_of_a_file_in_the_current_folder_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "bach").mkdir()
    (tmp_path / "bach/1.mid").write_bytes(b"MThd")
    monkeypatch.chdir(tmp_path / "bach")
    assert [one.folder for one in read("1.mid")] == [one.folder for one in read(".")] == ["bach"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_archives_hold_what_was_put_into_them(tmp_path, ending):
    others = [("readme.txt", b"hello"), ("cover.jpg", b"x" * 10_000)]
    path = make_archive(tmp_path / f"all{ending}", [("./top.mid", b"MThd"), *SONGS, *others])
    inputs = read(path, inputs_per_unit=8)
    assert by_key(inputs) == {"top.mid": b"MThd", **dict(SONGS)}
    assert inputs[0].folder == "all"
    assert all(one.name == f"{path}!{one.key}" for one in inputs)
    assert {one.folder for one in inputs[1:]} == {"album 0", "album 1", "album 2"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_archives_are_found_in_folders(tmp_path, ending):
    write_files(tmp_path / "midi")
    path = make_archive(tmp_path / f"midi/more/all{ending}", SONGS)
    inputs = read(tmp_path / "midi")
    assert by_key(inputs) == {**dict(SONGS), **{f"more/all{ending}!{name}": data for name, data in SONGS}}
    assert sorted(inputs) == sorted(read(tmp_path / "midi", tmp_path / "midi/more", path))


@pytest.mark.parametrize("ending", ENDINGS[2:])
@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_parts_of_a_stream_share_its_members(tmp_path, ending, parts):
    path = make_archive(tmp_path / f"all{ending}", [*SONGS, SONGS[3]])
    units = find_units([str(path)], stream_parts=parts)
    assert [unit.num_inputs for unit in units] == [None] * parts
    shares = [list(read_unit(unit, max_bytes=LIMIT)) for unit in units]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert sorted(one for share in shares for one in share) == sorted(read(path))
    check_streams(units, map(len, shares))
    if parts > 1:
        with pytest.raises(SourceError, match="changed while it was being read"):
            check_streams(units, [len(shares[0]) + 2, *map(len, shares[1:])])


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("ending", [".tar.gz", ".tar.zst"])
def test_the_parts_of_a_stream_that_is_cut_agree(tmp_path, ending, cut):
    songs = [(f"{number}.mid", os.urandom(30_000)) for number in range(30)]
    path = make_archive(tmp_path / f"all{ending}", songs)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    units = find_units([str(path)], stream_parts=4)
    shares = [list(read_unit(unit, max_bytes=LIMIT)) for unit in units]
    check_streams(units, map(len, shares))
    together = sorted(one for share in shares for one in share)
    assert together == sorted(read(path))
    assert Counter(one.reason for one in together if one.reason)["damaged_archive"] == 1
    assert [one.name for one in together if one.reason == "damaged_archive"] == [str(path)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_members_of_one_name_are_inputs_of_their_own(tmp_path, ending):
    path = make_archive(tmp_path / f"all{ending}", [("a.mid", b"1"), ("b.mid", b"2"), ("a.mid", b"3"), ("a.mid", b"4")])
    for inputs in (read(path), read(path, inputs_per_unit=1)):
        assert [(one.name, one.key, one.data) for one in inputs] == [
            (f"{path}!a.mid", "a.mid", b"1"),
            (f"{path}!b.mid", "b.mid", b"2"),
            (f"{path}!a.mid#2", "a.mid", b"3"),
            (f"{path}!a.mid#3", "a.mid", b"4"),
        ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_names_that_lead_out_of_an_archive_are_only_names(tmp_path, ending):
    names = ["/etc/x.mid", "../../x.mid", "a\n\x1b[0m.mid"]
    before = sorted(tmp_path.rglob("*"))
    path = make_archive(tmp_path / f"all{ending}", [(name, b"MThd") for name in names])
    inputs = read(path)
    assert [one.key for one in inputs] == ["/etc/x.mid", "../../x.mid", "a\\n\\x1b[0m.mid"]
    assert all(one.data == b"MThd" for one in inputs)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_archive_in_a_folder_is_one_rejected_input(tmp_path, ending):
    write_files(tmp_path)
    (tmp_path / f"broken{ending}").write_bytes(b"not an archive")
    rejected = [one for one in read(tmp_path, stream_parts=3) if one.reason]
    assert [(one.name, one.key) for one in rejected] == [(f"{tmp_path}/broken{ending}", f"broken{ending}")]
    assert rejected[0].reason == "damaged_archive"
    assert rejected[0].folder == tmp_path.name


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_that_cannot_be_opened_is_one_rejected_input(tmp_path, ending):
    write_files(tmp_path)
    os.mkfifo(tmp_path / f"fifo{ending}")
    (tmp_path / f"gone{ending}").symlink_to(tmp_path / "nowhere")
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / f"folder{ending}/inside.mid").write_bytes(b"MThd")
    found = by_key(read(tmp_path, stream_parts=2))
    assert {key: value for key, value in found.items() if key not in dict(SONGS)} == {
        f"fifo{ending}": "not_a_file",
        f"gone{ending}": "missing",
        f"folder{ending}/inside.mid": b"MThd",
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_without_music_alone_is_an_error_or_holds_no_inputs(tmp_path, ending):
    path = make_archive(tmp_path / f"none{ending}", [("readme.txt", b"hello")])
    if ending in (".zip", ".tar"):
        with pytest.raises(SourceError, match=rf"none\{ending}: no member ends in \.mid"):
            find_units([str(path)])
    else:
        assert read(path) == []


def test_hostile_files_have_their_reasons(tmp_path):
    (tmp_path / "good.mid").write_bytes(b"MThd")
    (tmp_path / "large.mid").write_bytes(bytes(LIMIT + 1))
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / "zero.mid").symlink_to("/dev/zero")
    (tmp_path / "nowhere.mid").symlink_to("nowhere")
    (tmp_path / "circle.mid").symlink_to("circle.mid")
    os.mkfifo(tmp_path / "fifo.mid")
    (tmp_path / os.fsdecode(b"caf\xe9\n.mid")).write_bytes(b"latin")
    assert by_key(read(tmp_path)) == {
        "good.mid": b"MThd",
        "large.mid": "too_large",
        "folder.mid": "not_a_file",
        "zero.mid": "not_a_file",
        "nowhere.mid": "missing",
        "circle.mid": "unreadable",
        "fifo.mid": "not_a_file",
        "caf\\xe9\\n.mid": b"latin",
    }


def test_a_file_without_permission_has_its_reason():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders can only be entered by their owner
        os.chmod(name, 0o755)
        (Path(name) / "closed.mid").write_bytes(b"MThd")
        os.chmod(Path(name) / "closed.mid", 0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            (one,) = read(name)
        finally:
            os.seteuid(user)
        assert (one.reason, one.detail) == ("unreadable", "cannot be read (Permission denied)")


def test_lines_of_a_list_that_are_missing_are_rejected_inputs(tmp_path):
    write_files(tmp_path)
    make_archive(tmp_path / "x.zip", [("in.mid", b"MThd")])
    lines = [SONGS[0][0], "absent.mid", "absent.zip", "absent.tgz", "x.zip", SONGS[1][0], "nul\0.mid", "long" * 99]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = by_key(read(tmp_path / "list.txt", stream_parts=2))
    assert found == {
        SONGS[0][0]: SONGS[0][1],
        SONGS[1][0]: SONGS[1][1],
        "in.mid": b"MThd",
        "absent.mid": "missing",
        "absent.zip": "missing",
        "absent.tgz": "missing",
        "nul\\x00.mid": "missing",
        "long" * 99: "unreadable",
    }


def test_a_file_that_has_vanished_is_rejected_but_an_archive_ends_the_job(tmp_path):
    write_files(tmp_path)
    for ending in (".zip", ".tar", ".tgz"):
        make_archive(tmp_path / f"x{ending}", SONGS)
    loose, *archives = find_units([str(tmp_path)])
    (tmp_path / SONGS[0][0]).unlink()
    assert Counter(one.reason for one in read_unit(loose, max_bytes=LIMIT)) == {"": 19, "missing": 1}
    for unit in archives:
        Path(unit.path).unlink()
        with pytest.raises(StorageError, match=r"x\.\w+: cannot be read \(No such file or directory\)$"):
            list(read_unit(unit, max_bytes=LIMIT))


def test_an_archive_that_has_changed_costs_its_members(tmp_path):
    path = make_archive(tmp_path / "x.zip", SONGS)
    units = find_units([str(path)])
    path.write_bytes(os.urandom(100))
    assert Counter(one.reason for one in read_unit(units[0], max_bytes=LIMIT)) == {"damaged_member": 20}


def test_units_travel_through_beam_and_pickle(tmp_path):
    write_files(tmp_path)
    (tmp_path / os.fsdecode(b"\xe4.mid")).write_bytes(b"latin")
    for ending in (".zip", ".tar", ".tgz"):
        make_archive(tmp_path / f"x{ending}", [*SONGS, ("\udce4.mid", b"")] if ending != ".zip" else SONGS)
    units = find_units([str(tmp_path)], inputs_per_unit=5)
    assert pickle.loads(pickle.dumps(units)) == units

    def check(received):
        assert sorted(received, key=repr) == sorted(units, key=repr)
        assert all(isinstance(unit, Unit) for unit in received)

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        arrived = pipeline | beam.Create(units) | beam.Reshuffle()
        together = arrived | "Key" >> beam.Map(lambda unit: ("", unit)) | beam.GroupByKey()
        _ = together | "Check" >> beam.Map(lambda group: check(group[1]))


def test_a_bucket_is_read_like_a_folder(tmp_path):
    with s3_server() as options:
        bucket = make_bucket(options, "music")
        files.configure(options)
        for name, data in SONGS[:6]:
            files.write_bytes(f"{bucket}/midi/{name}", data)
        files.write_bytes(f"{bucket}/midi/large.mid", bytes(5000))
        for ending in ENDINGS:
            files.write_bytes(f"{bucket}/midi/x{ending}", make_archive(tmp_path / f"x{ending}", SONGS[:6]).read_bytes())
        inputs = read(f"{bucket}/midi", max_bytes=4999, inputs_per_unit=4, stream_parts=2)
        expected = {f"x{ending}!{name}": data for ending in ENDINGS for name, data in SONGS[:6]}
        assert by_key(inputs) == {**dict(SONGS[:6]), "large.mid": "too_large", **expected}
        assert all(one.name == f"{bucket}/midi/{one.key}" for one in inputs)
        assert {one.folder for one in inputs} == {"album 0", "album 1", "album 2", "midi"}
        units = find_units([f"{bucket}/midi/x.zip", f"{bucket}/midi/album 0"])
        files.delete_folder(bucket)
        assert {one.reason for one in read_unit(units[0], max_bytes=LIMIT)} == {"missing"}
        with pytest.raises(StorageError, match=r"^s3://music/midi/x\.zip: "):
            list(read_unit(units[1], max_bytes=LIMIT))
        files.configure([])


def test_a_server_that_fails_ends_the_job_and_does_not_reject_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3_server() as options:
        bucket = make_bucket(options, "music")
        files.configure(options)
        files.write_bytes(f"{bucket}/a.mid", b"MThd")
        units = find_units([bucket])
    files.configure(options)
    (tmp_path / "list.txt").write_text(f"{bucket}/x.zip\n")
    with pytest.raises(StorageError, match=r"^s3://music/x\.zip: "):
        find_units([str(tmp_path / "list.txt")])
    with pytest.raises(StorageError, match=r"^s3://music/a\.mid: "):
        list(read_unit(units[0], max_bytes=LIMIT))
    files.configure([])


@pytest.mark.parametrize("handler", [FolderHandler, RangesHandler])
def test_files_and_archives_are_read_from_web_servers(tmp_path, handler):
    write_files(tmp_path)
    for ending in ENDINGS:
        make_archive(tmp_path / f"x{ending}", SONGS)
    (tmp_path / "large.mid").write_bytes(bytes(5000))
    with web_server(tmp_path, handler) as url:
        lines = [f"{url}/{SONGS[0][0]}", f"{url}/absent.mid", f"{url}/large.mid", "http://127.0.0.1:9/x.mid"]
        (tmp_path / "list.txt").write_text("\n".join([*lines, f"{url}/absent.zip", f"{url}/absent.tgz"]))
        assert by_key(read(tmp_path / "list.txt", max_bytes=4999)) == {
            lines[0]: SONGS[0][1],
            lines[1]: "missing",
            lines[2]: "too_large",
            lines[3]: "unreadable",
            f"{url}/absent.zip": "missing",
            f"{url}/absent.tgz": "missing",
        }
        for ending in ENDINGS:
            inputs = read(f"{url}/x{ending}?version=2", stream_parts=2)
            assert by_key(inputs) == dict(SONGS)
            assert inputs[0].name == f"{url}/x{ending}?version=2!album 0/0.mid"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), st.binary(max_size=20)), max_size=12),
    st.sampled_from(ENDINGS[1:]),
    st.integers(1, 4),
)
def test_any_members_come_back_once_each(tmp_path_factory, members, ending, parts):
    # The name of a tar's member ends at the first zero byte.
    members = [(name.replace("\0", "") + ".mid", data) for name, data in members]
    path = make_archive(tmp_path_factory.mktemp("any") / f"x{ending}", members)
    try:
        inputs = read(path, inputs_per_unit=3, stream_parts=parts)
    except SourceError:
        assert not members
        return
    assert Counter(one.data for one in inputs) == Counter(data for _, data in members)


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.zst"])
def test_the_checksum_at_the_end_of_a_stream_is_looked_at(tmp_path, ending):
    data = bytearray(compress(make_tar(SONGS) + os.urandom(500_000), ending))
    data[-6 if ending == ".tar.gz" else -2] ^= 1
    (tmp_path / f"x{ending}").write_bytes(data)
    assert by_key(read(tmp_path / f"x{ending}", stream_parts=3)) == {**dict(SONGS), f"x{ending}": "damaged_archive"}


BOOK = b"X:1\nK:C\nCDE|\nX:2\nK:C\nEDC|\n"


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("parts", [1, 3])
def test_an_archive_may_hold_zips_books_and_compressed_files(tmp_path, ending, parts):
    inner = make_zip([("jazz/#1 a.mid", b"MThd a"), ("b.abc", BOOK), ("c.mid.xz", lzma.compress(b"MThd c"))])
    inner_most = make_zip([("d.mid", b"MThd d"), ("more.zip", inner)])
    bomb = gzip.compress(bytes(LIMIT + 1))
    members = [("x/in.zip", inner), ("deep.zip", inner_most), ("broken.zip", b"PK"), ("x/e.mid.gz", bomb)]
    path = make_archive(tmp_path / f"all{ending}", [*members, *SONGS])
    inputs = read(path, stream_parts=parts)
    assert by_key(inputs) == {
        **dict(SONGS),
        "x/in.zip!jazz/#1 a.mid": b"MThd a",
        "x/in.zip!b.abc#1": BOOK[:13],
        "x/in.zip!b.abc#2": BOOK[13:],
        "x/in.zip!c.mid.xz": b"MThd c",
        "deep.zip!d.mid": b"MThd d",
        "deep.zip": "other_members",
        "broken.zip": "damaged_archive",
        "x/e.mid.gz": "too_large",
    }
    found = {one.key: one for one in inputs}
    assert {found[f"x/in.zip!{name}"].folder for name in ("b.abc#1", "c.mid.xz")} == {"in"}
    assert (found["x/in.zip!jazz/#1 a.mid"].folder, found["x/in.zip!b.abc#2"].kind) == ("jazz", "abc")


def test_endings_that_are_not_read_are_counted_in_folders_and_archives(tmp_path):
    write_files(tmp_path)
    (tmp_path / "album 0/a.mid.gz").write_bytes(gzip.compress(b"MThd"))
    for name in ("cover.jpg", "README", "x.rar", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    make_archive(tmp_path / "x.zip", [("a.mid", b"MThd"), ("b.JPG", b""), ("folder/", b"")])
    not_read = Counter()
    units = find_units([str(tmp_path)], not_read=not_read)
    assert not_read == {".jpg": 2, "(none)": 1, ".rar": 1, ".ds_store": 1}
    assert sum(unit.num_inputs for unit in units) == len(SONGS) + 2
