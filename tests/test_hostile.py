import os
import stat

from tests.hostile import KINDS, hostile_files, hostile_places


def test_hostile_files_are_the_same_for_the_same_seed():
    files = list(hostile_files(2 * len(KINDS), seed=1))
    assert files == list(hostile_files(2 * len(KINDS), seed=1))
    assert len({file.name for file in files}) == len(files)


def test_hostile_files_with_music_all_differ():
    data = [file.data for file in hostile_files(3 * len(KINDS), seed=1) if file.may_be_read]
    assert len(set(data)) == len(data)


def test_there_are_more_kinds_than_were_ever_tried_and_none_is_large():
    assert len(KINDS) > 78
    assert max(len(file.data) for file in hostile_files(len(KINDS), seed=3)) < 2_000_000


def test_only_small_regular_files_are_hostile_places_that_may_be_read(tmp_path):
    places = hostile_places(tmp_path)
    assert len({place.path for place in places}) == len(places) > 30
    kinds = set()
    for place in places:
        kinds.add(stat.S_IFMT(os.lstat(place.path).st_mode))
        try:
            status = os.stat(place.path)
            is_small_file = stat.S_ISREG(status.st_mode) and 0 < status.st_size < 1 << 20
        except OSError:
            is_small_file = False
        assert place.may_be_read == is_small_file, place
    assert kinds == {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK}
