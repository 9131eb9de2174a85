import os
import random
import resource
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs import files, stores
from ostinato.beam_pipelines.inputs.errors import StorageError
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


@pytest.fixture(params=["local", "s3", "memory"])
def folder(request, tmp_path):
    """A folder that does not exist yet."""
    if request.param == "local":
        yield str(tmp_path / "deep/folder")
        return
    store = request.getfixturevalue("bucket") if request.param == "s3" else "memory://music"
    yield files.join(store, "deep/folder")
    files.delete_folder(store)


def test_what_was_written_is_read_and_listed_and_deleted(folder):
    assert files.list_files(folder) == []
    paths = [files.join(folder, name) for name in ("b", "sub/ä ?#%[x]*.bin", "empty")]
    for number, path in enumerate(paths):
        files.write_bytes(path, bytes(number * 1000))
    files.write_bytes(paths[2], b"")
    assert files.list_files(folder) == files.list_files(f"{folder}/") == sorted(paths)
    assert files.is_file(paths[1])
    assert not files.is_file(folder)
    assert [len(files.read_bytes(path, max_bytes=1000)) for path in paths] == [0, 1000, 0]
    files.write_bytes(paths[0], b"replaced")
    assert files.read_bytes(paths[0]) == b"replaced"
    neighbour = files.join(f"{folder}er", "x")
    files.write_bytes(neighbour, b"")
    files.delete_folder(folder)
    files.delete_folder(folder)
    assert files.list_files(folder) == []
    assert files.is_file(neighbour)


def test_a_large_file_is_streamed_and_can_be_sought_in(folder):
    path = files.join(folder, "large")
    block = bytes(range(256)) * 4096
    with files.create(path) as file:
        for _ in range(6):
            file.write(block)
    with files.open_binary(path) as file:
        assert file.read(3) == b"\x00\x01\x02"
        for position in (5_000_001, 7, 4_999_999, 0, 6 * len(block) - 2):
            file.seek(position)
            assert file.read(2) == bytes([position % 256, (position + 1) % 256])
        assert file.read(10) == b""
        assert file.seek(0, 2) == 6 * len(block)
        file.seek(0)
        assert file.read() == 6 * block


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


def _write_half(path):
    with files.create(path) as file:
        file.write(b"x" * 1_000_000)
        raise RuntimeError("stopped")


def test_what_was_not_finished_is_not_there(folder):
    path = files.join(folder, "large")
    with pytest.raises(RuntimeError, match="stopped"):
        _write_half(path)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, usual[1]))  # as where the disk is full
    try:
        with pytest.raises(StorageError, match=r"large: cannot be written \(File too large\)$"):
            files.write_bytes(path, bytes(3 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert files.list_files(folder) == []


def test_a_missing_file_and_a_large_one_say_so(folder):
    path = files.join(folder, "file")
    for read in (files.read_bytes, files.open_binary, lambda path: files.read_ranges(path, [(0, 1)])):
        with pytest.raises(StorageError, match="file") as caught:
            read(path)
        assert caught.value.reason == "missing"
        assert "\n" not in str(caught.value)
    files.write_bytes(path, bytes(100))
    assert len(files.read_bytes(path, max_bytes=100)) == 100
    with pytest.raises(StorageError, match=r"at most|more than") as caught:
        files.read_bytes(path, max_bytes=99)
    assert caught.value.reason == "too_large"


class TroubledFileSystem(MemoryFileSystem):
    """A store whose message speaks of something that was not found, though not of the file."""

    protocol = "troubled"

    def cat_file(self, path, start=None, end=None, **kwargs):
        raise OSError("the index page was not found in the cache, try later")

    def info(self, path, **kwargs):
        if "absent" in path:
            raise FileNotFoundError(path)
        raise OSError("host not found")


def test_only_the_type_of_an_error_says_that_a_file_is_missing():
    fsspec.register_implementation("troubled", TroubledFileSystem, clobber=True)
    with pytest.raises(StorageError, match=r"host not found|try later") as caught:
        files.read_bytes("troubled://music/x")
    assert caught.value.reason is None
    with pytest.raises(StorageError, match="host not found"):
        files.is_file("troubled://music/x")
    assert not files.is_file("troubled://music/absent")


def test_what_fsspec_does_not_know_is_one_line():
    for path in ("nosuch://x", "gs://music/x"):
        with pytest.raises(StorageError, match=rf"^{path}: cannot be read \([^\n]*(not known|[Ii]nstall)[^\n]*\)$"):
            files.read_bytes(path)


def test_a_process_has_one_client_for_a_store(bucket, monkeypatch):
    with ThreadPoolExecutor(8) as executor:
        paths = [f"{bucket}/{number}" for number in range(20)]
        (client,) = set(executor.map(lambda path: stores.locate(path)[0], paths))
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)  # as after a fork, which does not copy the client's thread
    assert stores.locate(bucket)[0] is not client


def test_placeholders_and_buckets_that_are_missing(bucket):
    files.write_bytes(f"{bucket}/lakh/a", b"")
    stores.locate(bucket)[0].pipe_file("music/lakh/", b"")  # by which some programs show a folder
    assert files.list_files(f"{bucket}/lakh") == [f"{bucket}/lakh/a"]
    for attempt in (files.list_files, lambda path: files.write_bytes(path, b"")):
        with pytest.raises(StorageError, match=r"^s3://[^\n]*bucket[^\n]*$"):
            attempt("s3://no-such-bucket/x")


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


def test_new_files_are_like_others(tmp_path):
    files.write_bytes(str(tmp_path / "ours"), b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(StorageError, match=r"ours/new/x: cannot be written \(Not a directory\)$"):
        files.write_bytes(str(tmp_path / "ours/new/x"), b"x")


@pytest.mark.parametrize("handler", [FolderHandler, RangesHandler])
def test_web_servers_are_for_reading(tmp_path, handler):
    content = bytes(range(256)) * 10_000
    (tmp_path / "ein file.bin").write_bytes(content)
    with web_server(tmp_path, handler) as url:
        path = f"{url}/ein file.bin?a=b"
        assert files.read_bytes(path) == files.read_bytes(path, max_bytes=len(content)) == content
        assert files.is_file(path)
        assert not files.is_file(f"{url}/absent")
        assert files.read_ranges(path, [(2_000_000, 3), (1, 2)]) == [content[2_000_000:2_000_003], b"\x01\x02"]
        with files.open_binary(path) as file:
            file.seek(-3, 2)
            assert file.read() == b"\xfd\xfe\xff"
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


def test_a_web_server_is_asked_once_for_each_file_and_each_range(tmp_path):
    (tmp_path / "file").write_bytes(bytes(8 << 20))
    with web_server(tmp_path, RangesHandler) as url:
        RangesHandler.asked.clear()
        files.read_bytes(f"{url}/file", max_bytes=1 << 30)
        assert RangesHandler.asked == ["GET"]
        RangesHandler.asked.clear()
        files.read_ranges(f"{url}/file", [(3 << 20, 100), (6 << 20, 100), ((6 << 20) + 50, 1000)])
        assert RangesHandler.asked == ["GET bytes=0-0", "GET bytes=3145728-4194303", "GET bytes=6291456-7340031"]


def test_a_connection_that_breaks_is_taken_up(tmp_path):
    content = RANDOM.randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    with web_server(tmp_path, BreakingHandler) as url:
        with files.open_binary(f"{url}/file") as file:
            assert file.read() == content
            file.seek(2_400_000)
            assert file.read(5) == content[2_400_000:2_400_005]
        with pytest.raises(StorageError, match="received 700000 of 3000000 bytes"):
            files.read_bytes(f"{url}/file")


def test_a_server_that_never_stops_or_hardly_sends_is_given_up(tmp_path, monkeypatch):
    with web_server(tmp_path, EndlessHandler) as url:
        with pytest.raises(StorageError, match="more than the 100000 bytes") as caught:
            files.read_bytes(f"{url}/file", max_bytes=100_000)
        assert caught.value.reason == "too_large"
        monkeypatch.setattr(stores, "MAX_DOWNLOAD_BYTES", 1_000_000)
        with pytest.raises(StorageError, match="more than the 1000000 bytes"):
            files.open_binary(f"{url}/file")
    monkeypatch.setattr(stores, "DEADLINE_S", 0.1)
    with web_server(tmp_path, DrippingHandler) as url:
        with pytest.raises(StorageError, match=r"bytes in 0\.1 s") as caught:
            files.read_bytes(f"{url}/file", max_bytes=1 << 30)
        assert caught.value.reason == "unreadable"
