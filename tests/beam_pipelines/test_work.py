"""What a command takes over of an earlier one, by which units it leaves as they are."""

import json
import os

import pytest

from ostinato.beam_pipelines import prepare as prepare_module
from ostinato.beam_pipelines import scan
from ostinato.beam_pipelines.inputs.sources import find_units
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.output import OutputError, clean, open_output
from ostinato.beam_pipelines.prepare import prepare
from ostinato.beam_pipelines.work import number_units
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.music import midi
from tests.midi_files import tune, write_tunes
from tests.prepare_process import content

CONFIG = PrepareConfig()
HERE = ["--runner=FnApiRunner"]
NUM_TUNES = 24


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A folder of tunes, and what a command has left that was interrupted while it wrote; three units of eight."""
    paths = write_tunes(tmp_path / "midi", NUM_TUNES)
    monkeypatch.setattr(prepare_module, "INPUTS_PER_UNIT", 8)
    with monkeypatch.context() as interruption:
        interruption.setattr(prepare_module, "finish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert len(list((tmp_path / "out.partial/work/scanned").glob("*.pieces"))) == 3
    return paths


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read."""
    names = []

    def noted(unit, **options):
        for one in read_unit(unit, **options):
            names.append(os.path.basename(one.name))
            yield one

    read_unit = scan.read_unit
    monkeypatch.setattr(scan, "read_unit", noted)
    return names


def _names(first, last):
    return [f"tune-{number:03d}.mid" for number in range(first, last)]


def _assert_as_if_undisturbed(tmp_path, config=CONFIG):
    prepare([str(tmp_path / "midi")], tmp_path / "new/out", config, HERE)
    assert content(tmp_path / "out") == content(tmp_path / "new/out")
    assert not (tmp_path / "out.partial").exists()


def test_nothing_is_read_again_and_the_shards_stay(interrupted, read, tmp_path, caplog):
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out.partial").glob("*.tfrecord*")}
    with caplog.at_level("INFO"):
        prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert read == []
    assert "3 of 3 units were read before; 0 are read now" in caplog.text
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord*")} == before
    _assert_as_if_undisturbed(tmp_path)


def test_new_files_before_all_others_and_one_that_changed_are_read_and_the_unit_of_that_one(
    interrupted, read, tmp_path
):
    (tmp_path / "midi/a-new.mid").write_bytes(midi.write(tune(90)))
    interrupted[9].write_bytes(midi.write(tune(91)))
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert sorted(read) == ["a-new.mid", *_names(8, 16)]
    _assert_as_if_undisturbed(tmp_path)


def test_what_a_unit_says_of_a_file_that_is_gone_is_not_taken_over(interrupted, read, tmp_path):
    interrupted[20].unlink()
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert sorted(read) == [name for name in _names(16, 24) if name != "tune-020.mid"]
    _assert_as_if_undisturbed(tmp_path)


def test_a_spool_that_is_cut_or_damaged_is_made_anew(interrupted, read, tmp_path):
    first, second, _ = sorted((tmp_path / "out.partial/work/scanned").glob("*.pieces"))
    first.write_bytes(first.read_bytes()[:-5])
    damaged = bytearray(second.read_bytes())
    damaged[40] ^= 1
    second.write_bytes(damaged)
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert sorted(read) == _names(0, 16)
    _assert_as_if_undisturbed(tmp_path)


@pytest.mark.parametrize("verify", [False, True])
def test_a_change_that_time_and_size_do_not_show_is_found_by_the_bytes_alone(interrupted, read, tmp_path, verify):
    path = interrupted[0]
    status, data = path.stat(), bytearray(path.read_bytes())
    data[data.index(b"\x90") + 1] ^= 1  # the pitch of the first note
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE, verify=verify)
    assert sorted(set(read)) == (_names(0, 24) if verify else [])
    assert read.count("tune-000.mid") == (2 if verify else 0)
    assert read.count("tune-023.mid") == (1 if verify else 0)


def test_settings_that_decide_what_is_found_begin_anew_and_others_do_not(interrupted, read, tmp_path):
    prepare([str(tmp_path / "midi")], tmp_path / "out", PrepareConfig(seed=3, num_shards=2), HERE)
    assert read == []
    _assert_as_if_undisturbed(tmp_path, PrepareConfig(seed=3, num_shards=2))


def test_another_minimum_of_notes_reads_all_again(interrupted, read, tmp_path, caplog):
    config = PrepareConfig(min_notes=17, codec=CodecConfig(name="notes"))
    with caplog.at_level("INFO"):
        prepare([str(tmp_path / "midi")], tmp_path / "out", config, HERE)
    assert sorted(read) == _names(0, 24)
    assert "were read before" not in caplog.text


def test_a_folder_that_lacked_its_name_alone_gets_it(tmp_path, monkeypatch, read):
    write_tunes(tmp_path / "midi", 4)
    with monkeypatch.context() as interruption:
        interruption.setattr("ostinato.beam_pipelines.output.write_atomically", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    read.clear()
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    assert read == []
    _assert_as_if_undisturbed(tmp_path)


def test_what_is_whole_but_has_not_kept_its_scan_is_prepared_anew_where_it_is_to_be_kept(tmp_path, monkeypatch):
    write_tunes(tmp_path / "midi", 4)
    with monkeypatch.context() as interruption:
        interruption.setattr("ostinato.beam_pipelines.output.write_atomically", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE)
    prepare([str(tmp_path / "midi")], tmp_path / "out", CONFIG, HERE, keep_scan=True)
    assert len(list((tmp_path / "out/scan/scanned").iterdir())) == 1


def test_what_a_killed_worker_has_left_of_its_pieces_goes_when_the_next_command_starts(tmp_path):
    left = tmp_path / "out.partial/work/pieces-1a2b"
    left.mkdir(parents=True)
    (left / "text").write_text("3 kB of each piece")
    with open_output(str(tmp_path / "out")):
        assert not left.exists()


def test_clean_removes_a_work_folder_and_nothing_else(interrupted, tmp_path):
    (tmp_path / "out.partial/diary.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"exists already, with 'diary\.txt'"):
        clean(str(tmp_path / "out"))
    (tmp_path / "out.partial/diary.txt").unlink()
    assert clean(str(tmp_path / "out")) == [str(tmp_path / "out.partial")]
    assert sorted(os.listdir(tmp_path)) == ["midi"]
    assert clean(str(tmp_path / "out")) == []


def test_units_are_written_and_read_as_they_are_also_with_names_that_are_no_text(tmp_path):
    write_tunes(tmp_path / "midi", 2)
    (tmp_path / "midi" / os.fsdecode(b"caf\xe9.mid")).write_bytes(b"")
    units = find_units([str(tmp_path / "midi")])
    assert [Unit.from_json(unit.to_json().encode()) for unit in units] == units
    for damaged in (b"", b"[]", b"{}", json.dumps(["files", "", "", "", True, [[1, 2, 3, 4, 5, 6]]]).encode()):
        with pytest.raises(ValueError, match=r"not a unit|Expecting value"):
            Unit.from_json(damaged)


def test_of_old_units_none_is_used_twice_and_new_numbers_come_behind_theirs(tmp_path):
    write_tunes(tmp_path / "midi", 6)
    (unit,) = find_units([str(tmp_path / "midi")])
    first, again = (unit._replace(entries=unit.entries[:2]) for _ in range(2))
    numbered = number_units([unit], {3: first, 7: again}, first=8, inputs_per_unit=3)
    assert numbered[3] == first
    assert [len(one.entries) for one in numbered.values()] == [2, 3, 1]
    assert sorted(numbered) == [3, 8, 9]
