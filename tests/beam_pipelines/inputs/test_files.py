import os
import random
import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs import files, web
from ostinato.beam_pipelines.inputs.beam_files import BeamFiles
from ostinato.beam_pipelines.inputs.files import StorageError
from ostinato.beam_pipelines.inputs.s3 import S3
from tests.servers import (
    BreakingHandler,
    DrippingHandler,
    EndlessHandler,
    FolderHandler,
    RangesHandler,
    make_bucket,
    s3_server,
    web_server,
)

RANDOM = random.Random(0)


@pytest.fixture(scope="module")
def server():
    with s3_server() as options:
        yield options


@pytest.fixture(scope="module")
def _music(server):
    return make_bucket(server, "music")


@pytest.fixture
def bucket(server, _music):
    files.configure(server)
    yield _music
    files.configure([])


@pytest.fixture(params=["local", "s3"])
def folder(request, tmp_path):
    """A folder that does not exist yet."""
    if request.param == "local":
        yield str(tmp_path / "deep/folder")
    else:
        url = files.join(request.getfixturevalue("bucket"), "deep/folder")
        yield url
        files.delete_folder(url)


def test_what_was_written_is_read_and_listed_and_deleted(folder):
    assert files.list_files(folder) == []
    assert not files.exists(folder)
    paths = [files.join(folder, name) for name in ("b", "sub/ä ?#%.bin", "empty")]
    for number, path in enumerate(paths):
        files.write_bytes(path, bytes(number * 1000))
    files.write_bytes(paths[2], b"")
    assert files.list_files(folder) == sorted(paths)
    assert files.exists(folder)
    assert files.exists(paths[2])
    assert files.is_file(paths[1])
    assert not files.is_file(folder)
    assert [len(files.read_bytes(path)) for path in paths] == [0, 1000, 0]
    files.write_bytes(paths[0], b"replaced")
    assert files.read_bytes(paths[0]) == b"replaced"
    files.delete_folder(folder)
    files.delete_folder(folder)
    assert files.list_files(folder) == []


def test_a_large_file_is_streamed_and_can_be_sought_in(folder):
    path = files.join(folder, "large")
    block = bytes(range(256)) * 4096
    with files.create(path) as file:
        for _ in range(10):
            file.write(block)
    with files.open_binary(path) as file:
        assert file.read(3) == b"\x00\x01\x02"
        for position in (5_000_001, 7, 9_999_999, 0, 10 * len(block) - 2):
            file.seek(position)
            assert file.read(2) == bytes([position % 256, (position + 1) % 256])
        assert file.read(10) == b""
        assert file.seek(0, 2) == 10 * len(block)
        file.seek(0)
        assert file.read() == 10 * block


@pytest.mark.parametrize("gap", [0, 3_000_000])
def test_ranges_come_in_the_order_in_which_they_are_asked_for(folder, gap):
    path = files.join(folder, "ranges")
    files.write_bytes(path, b"abcdefghij" + bytes(gap) + b"klmnop")
    behind = 10 + gap
    ranges = [(behind + 2, 3), (0, 1), (8, 2), (behind, 6), (4, 0), (0, 4)]
    assert files.read_ranges(path, ranges) == [b"mno", b"a", b"ij", b"klmnop", b"", b"abcd"]
    assert files.read_ranges(path, []) == []
    with pytest.raises(StorageError, match=f"ranges: ends before byte {behind + 7}"):
        files.read_ranges(path, [(0, 2), (behind + 5, 2)])


@settings(max_examples=50, deadline=None)
@given(
    data=st.binary(max_size=300),
    ranges=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=8),
)
def test_any_ranges_are_slices_of_the_file(tmp_path_factory, data, ranges):
    path = str(tmp_path_factory.mktemp("ranges") / "file")
    files.write_bytes(path, data)
    if any(offset + length > len(data) and length for offset, length in ranges):
        with pytest.raises(StorageError, match="ends before"):
            files.read_ranges(path, ranges)
    else:
        assert files.read_ranges(path, ranges) == [data[at : at + length] for at, length in ranges]


def test_a_file_that_was_not_finished_is_not_there(folder):
    path = files.join(folder, "unfinished")

    def write_half():
        with files.create(path) as file:
            file.write(b"x" * 1_000_000)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_half()
    assert files.list_files(folder) == []


def test_a_missing_file_says_so(folder):
    path = files.join(folder, "absent")
    for read in (files.read_bytes, files.open_binary, lambda path: files.read_ranges(path, [(0, 1)])):
        with pytest.raises(StorageError, match="absent") as caught:
            read(path)
        assert caught.value.reason == "missing"
        assert "\n" not in str(caught.value)


def test_a_file_above_the_limit_is_not_read(folder):
    path = files.join(folder, "large")
    files.write_bytes(path, bytes(100))
    assert len(files.read_bytes(path, max_bytes=100)) == 100
    with pytest.raises(StorageError, match=r"at most|more than") as caught:
        files.read_bytes(path, max_bytes=99)
    assert caught.value.reason == "too_large"


def test_many_keys_are_listed_and_deleted_over_several_pages(server, bucket):
    paths = [files.join(bucket, f"many/{number}") for number in range(7)]
    for path in paths:
        files.write_bytes(path, b"")
    client = S3(server, max_keys=3)
    assert client.list_files(files.join(bucket, "many")) == paths
    client.delete(paths)
    assert client.list_files(files.join(bucket, "many")) == []


def test_what_is_no_folder_is_not_listed_with_its_neighbours(bucket):
    files.write_bytes(files.join(bucket, "lakh/a"), b"")
    files.write_bytes(files.join(bucket, "lakh-clean/b"), b"")
    files.write_bytes(f"{bucket}/lakh/", b"")  # by which some programs show a folder
    assert files.list_files(files.join(bucket, "lakh")) == [files.join(bucket, "lakh/a")]
    assert files.list_files(files.join(bucket, "lakh/")) == [files.join(bucket, "lakh/a")]
    assert not files.exists(files.join(bucket, "lak"))


def test_a_bucket_that_is_missing_is_one_line(bucket):
    for attempt in (
        lambda: files.write_bytes("s3://no-such-bucket/x", b""),
        lambda: files.list_files("s3://no-such-bucket/x"),
        lambda: files.read_bytes("s3:///x"),
    ):
        with pytest.raises(StorageError, match=r"^s3://[^\n]*bucket[^\n]*$"):
            attempt()


def test_a_server_that_is_not_there_is_trouble_that_may_pass(monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options = ["--s3_endpoint_url=http://127.0.0.1:9", "--s3_access_key_id=a", "--s3_secret_access_key=b"]
    files.configure([*options, "--s3_region_name=us-east-1"])
    try:
        with pytest.raises(StorageError, match=r"^s3://music/x: [^\n]*127.0.0.1:9[^\n]*$") as caught:
            files.read_bytes("s3://music/x")
        assert caught.value.reason is None
    finally:
        files.configure([])


def test_fifos_devices_and_folders_are_refused_before_they_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "device", "folder"):
        for read in (files.read_bytes, files.open_binary):
            with pytest.raises(StorageError, match=f"{name}: (not a regular file|a folder)") as caught:
                read(str(tmp_path / name))
            assert caught.value.reason == "not_a_file"


def test_files_without_a_size_are_read_to_their_end():
    assert files.read_bytes("/proc/self/status").startswith(b"Name:")
    with pytest.raises(StorageError, match="more than the 10 bytes"):
        files.read_bytes("/proc/self/status", max_bytes=10)


def test_a_full_disk_is_one_line_and_leaves_nothing(folder):
    path = files.join(folder, "large")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, usual[1]))
    try:
        with pytest.raises(StorageError, match=r"large: cannot be written \(File too large\)$"):
            files.write_bytes(path, bytes(3 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert files.list_files(folder) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file/new/x: cannot be written \(Not a directory\)$"):
        files.write_bytes(str(tmp_path / "file/new/x"), b"x")


def test_new_files_have_the_usual_permissions(tmp_path):
    files.write_bytes(str(tmp_path / "ours"), b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("handler", [FolderHandler, RangesHandler])
def test_web_servers_are_for_reading(tmp_path, handler):
    content = bytes(range(256)) * 10_000
    (tmp_path / "ein file.bin").write_bytes(content)
    with web_server(tmp_path, handler) as url:
        path = f"{url}/ein file.bin?a=b"
        assert files.read_bytes(path) == content
        assert files.read_bytes(path, max_bytes=len(content)) == content
        assert files.is_file(path)
        assert not files.is_file(f"{url}/absent")
        assert files.read_ranges(path, [(2_000_000, 3), (1, 2)]) == [content[2_000_000:2_000_003], b"\x01\x02"]
        with files.open_binary(path) as file:
            file.seek(-3, 2)
            assert file.read() == b"\xfd\xfe\xff"
            file.seek(1_500_000)
            assert file.read(100) == content[1_500_000:1_500_100]
        for attempt, reason in (
            (lambda: files.read_bytes(path, max_bytes=1000), "too_large"),
            (lambda: files.read_bytes(f"{url}/absent"), "missing"),
            (lambda: files.open_binary(f"{url}/absent"), "missing"),
            (lambda: files.read_bytes("http://127.0.0.1:9/x"), "unreadable"),
            (lambda: files.read_bytes("http://[bad/x"), "unreadable"),
            (lambda: files.list_files(url), None),
            (lambda: files.write_bytes(f"{url}/new", b""), None),
        ):
            with pytest.raises(StorageError, match="http") as caught:
                attempt()
            assert caught.value.reason == reason


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path):
    content = RANDOM.randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    with web_server(tmp_path, BreakingHandler) as url:
        with files.open_binary(f"{url}/file") as file:
            assert file.read() == content
        with files.open_binary(f"{url}/file") as file:
            file.seek(650_000)
            assert file.read(100_000) == content[650_000:750_000]
            file.seek(2_000_000)
            assert file.read(100_000) == content[2_000_000:2_100_000]
            file.seek(2_400_000)  # a gap that is read and dropped
            assert file.read(5) == content[2_400_000:2_400_005]
        with pytest.raises(StorageError, match="cut: 2300000 bytes are missing"):
            files.read_bytes(f"{url}/file")


def test_a_server_that_never_stops_or_hardly_sends_is_given_up(tmp_path, monkeypatch):
    with web_server(tmp_path, EndlessHandler) as url:
        with pytest.raises(StorageError, match="more than the 100000 bytes") as caught:
            files.read_bytes(f"{url}/file", max_bytes=100_000)
        assert caught.value.reason == "too_large"
        monkeypatch.setattr(web, "MAX_DOWNLOAD_BYTES", 1_000_000)
        with pytest.raises(StorageError, match="more than the 1000000 bytes"):
            files.open_binary(f"{url}/file")
    monkeypatch.setattr(web, "DEADLINE_S", 0.1)
    with web_server(tmp_path, DrippingHandler) as url:
        with pytest.raises(StorageError, match=r"bytes in 0\.1 s") as caught:
            files.read_bytes(f"{url}/file", max_bytes=1 << 30)
        assert caught.value.reason == "unreadable"


def test_beams_filesystems_do_the_same_as_ours(tmp_path):
    # gs:// and hdfs:// need servers; Beam's filesystem of this machine has the same interface.
    client, path = BeamFiles(), str(tmp_path / "new/file.gz")
    with files.create(str(tmp_path / "source")) as source:
        source.write(b"not gzip at all")
    for _ in range(2):
        with open(tmp_path / "source", "rb") as source:
            client.put(path, source)
    assert client.list_files(str(tmp_path / "new")) == [path]
    assert client.is_file(path)
    assert client.read(path, None) == b"not gzip at all"
    assert client.read(path, 3) == b"not "
    assert client.read_range(path, 4, 4) == b"gzip"
    client.delete([path])
    assert not client.is_file(path)
    with pytest.raises(StorageError, match=r"new/file\.gz"):
        client.read(path, None)
    with pytest.raises(StorageError, match="nosuch://x"):
        files.read_bytes("nosuch://x")
