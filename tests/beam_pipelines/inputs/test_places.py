import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import SourceError
from ostinato.beam_pipelines.inputs.places import Place, find_places, folder_name, printable, stem
from tests.servers import make_bucket, s3_server, web_server

NAMES = ["a.mid", "B.MIDI", "sub/c.kar", "sub/deep/d.rmi", "sub/e.zip", "x.tar", "x.TAR.GZ", "y.tgz", "z.tar.zst"]
OTHERS = ["readme.txt", "cover.jpg", "sub/mid", "song.mid.part", "x.rar"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES + OTHERS:
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).write_bytes(b"")
    return tmp_path / "music"


@contextmanager
def without_privileges():
    """Acts as a user whom permissions bind; tests may be run by root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def keys(*patterns):
    return [place.key for place in find_places([str(pattern) for pattern in patterns])]


def test_a_folder_holds_the_files_and_archives_below_it(folder):
    places = find_places([str(folder)])
    assert [place.key for place in places] == sorted(NAMES)
    assert all(place == Place(str(folder / place.key), place.key, named=False) for place in places)
    assert [place.path for place in find_places([f"{folder}/"])] == [place.path for place in places]


def test_a_named_file_may_end_as_it_likes(folder):
    assert find_places([str(folder / "cover.jpg")]) == [Place(str(folder / "cover.jpg"), "cover.jpg", named=True)]


def test_globs_match_files_and_folders(folder):
    assert keys(folder / "*.mid") == ["a.mid"]
    assert keys(folder / "**/*.[kr]*") == ["sub/c.kar", "sub/deep/d.rmi"]
    assert keys(folder / "s*") == ["c.kar", "deep/d.rmi", "e.zip"]
    assert set(keys(folder / "*")) == {*NAMES[:2], *NAMES[5:], "c.kar", "deep/d.rmi", "e.zip"}
    with pytest.raises(SourceError, match="holds no file ending in"):
        find_places([str(folder / "*.jpg")])
    (folder / "[live] x?.mid").write_bytes(b"")
    assert keys(folder / "[live] x?.mid") == ["[live] x?.mid"]


def test_a_file_that_is_named_twice_is_one_input(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    patterns = ["music", "./music", str(folder), "link", "music/*.mid", "music/sub/../a.mid", "music/sub"]
    assert len(find_places(patterns)) == len(NAMES)
    places = find_places(["./music/a.mid", "music"])
    assert [place.path for place in places if place.key == "a.mid"] == ["./music/a.mid"]


def test_a_link_to_a_file_is_an_input_but_links_to_folders_are_not_followed(folder):
    (folder / "again.mid").symlink_to(folder / "a.mid")
    (folder / "around").symlink_to(folder)
    assert set(keys(folder)) == {*NAMES, "again.mid"}


def test_a_folder_with_the_name_of_a_file_is_an_input_and_is_looked_into(folder):
    (folder / "album.mid").mkdir()
    (folder / "album.mid/1.mid").write_bytes(b"")
    (folder / "loop.mid").symlink_to(folder)
    assert set(keys(folder)) == {*NAMES, "album.mid", "album.mid/1.mid", "loop.mid"}


@pytest.mark.parametrize("pattern", ["nothing", "no*.mid", "sub/*.xyz"])
def test_a_pattern_that_matches_nothing_is_an_error(folder, pattern):
    with pytest.raises(SourceError, match="no such file or folder"):
        find_places([str(folder), str(folder / pattern)])


def test_a_folder_without_music_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(SourceError, match=r"holds no file ending in \.mid.*\.zip"):
        find_places([str(tmp_path)])


def test_a_folder_that_may_not_be_listed_is_one_clear_line():
    # pytest's own folders can only be entered by their owner.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        closed = Path(name) / "closed"
        closed.mkdir()
        (Path(name) / "a.mid").write_bytes(b"")
        closed.chmod(0)
        with without_privileges(), pytest.raises(SourceError, match=r"closed: cannot be listed \(Permission denied\)$"):
            find_places([name])
        closed.chmod(0o700)


def test_a_list_names_files_folders_archives_and_urls(folder):
    lines = ["# a comment", "", "  a.mid ", "sub", "absent.mid", "y.tgz", str(folder / "cover.jpg"), "http://h/%20.mid"]
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\n\xff.mid")
    places = find_places([str(folder / "list.txt")])
    assert {place.key: place.path for place in places if place.named} == {
        "a.mid": str(folder / "a.mid"),
        "absent.mid": str(folder / "absent.mid"),
        "y.tgz": str(folder / "y.tgz"),
        str(folder / "cover.jpg"): str(folder / "cover.jpg"),
        "http://h/%20.mid": "http://h/%20.mid",
        "\udcff.mid": str(folder / "\udcff.mid"),
    }
    assert [place.key for place in places if not place.named] == ["c.kar", "deep/d.rmi", "e.zip"]


def test_a_list_of_nothing_is_an_error(tmp_path):
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(SourceError, match=r"list\.txt"):
        find_places([str(tmp_path / "list.txt")])


def test_lists_and_files_are_taken_from_web_servers(folder):
    (folder / "list.txt").write_text("a.mid\nsub/c.kar\n")
    with web_server(folder) as url:
        places = find_places([f"{url}/list.txt", f"{url}/x.tar?key=1"])
        assert {place.key: place.path for place in places} == {
            "a.mid": f"{url}/a.mid",
            "sub/c.kar": f"{url}/sub/c.kar",
            "x.tar": f"{url}/x.tar?key=1",
        }
        with pytest.raises(SourceError, match=r"absent\.txt: .*no such file"):
            find_places([f"{url}/absent.txt"])


def test_buckets_have_files_folders_globs_and_lists():
    with s3_server() as options:
        bucket = make_bucket(options, "music")
        files.configure(options)
        for name in ("lakh/a.mid", "lakh/sub/b.mid", "lakh/sub/c.zip", "lakh/readme", "lakh2/d.mid", "lakh/[x].mid"):
            files.write_bytes(f"{bucket}/{name}", b"")
        everything = ["[x].mid", "a.mid", "sub/b.mid", "sub/c.zip"]
        assert keys(f"{bucket}/lakh") == keys(f"{bucket}/lakh/") == everything
        assert keys(f"{bucket}/lakh/readme", f"{bucket}/lakh/a.mid") == ["a.mid", "readme"]
        assert keys(f"{bucket}/lakh/[x].mid") == ["[x].mid"]
        assert keys(f"{bucket}/lakh/*.mid") == ["[x].mid", "a.mid"]
        assert keys(f"{bucket}/**/*.mid") == ["lakh/[x].mid", "lakh/a.mid", "lakh/sub/b.mid", "lakh2/d.mid"]
        assert keys(f"{bucket}/lakh/**/?.mid") == ["a.mid", "sub/b.mid"]
        assert keys(f"{bucket}/la*/[!a-c].*") == ["lakh2/d.mid"]
        files.write_bytes(f"{bucket}/list.txt", b"lakh/a.mid\nlakh/sub/\ns3://music/lakh2/d.mid\nabsent.mid\n")
        assert keys(f"{bucket}/list.txt") == ["absent.mid", "lakh/a.mid", "b.mid", "c.zip", "s3://music/lakh2/d.mid"]
        for pattern in ("absent", "absent/*.mid", "lakh/*.xyz"):
            with pytest.raises(SourceError, match="no such file"):
                find_places([f"{bucket}/{pattern}"])
    with pytest.raises(SourceError, match="http"):
        find_places(["http://127.0.0.1:9/list.txt"])


def test_names_become_text_that_any_program_can_show():
    assert printable("Dvořák 7. Sinfonie\u00a0(d).mid") == "Dvořák 7. Sinfonie\u00a0(d).mid"
    assert printable(os.fsdecode(b"caf\xe9\n\x1b[31m.mid")) == "caf\\xe9\\n\\x1b[31m.mid"
    assert printable("\ud800\x85") == "\\ud800\\x85"


def test_parts_of_a_path_are_those_of_its_url():
    assert folder_name("a/b/c.mid") == folder_name("s3://x/b/c.mid") == folder_name("http://x/b/c.mid?d=/e/f") == "b"
    assert folder_name("c.mid") == folder_name("http://x/c.mid") == ""
    assert stem("a/Lakh.full.TAR.GZ") == "Lakh.full"
    assert stem("https://x/a.tar.zst?b=/c.zip") == stem("a.zip") == "a"
