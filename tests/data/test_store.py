"""A dataset that stays in a bucket, of a real server of S3 on this machine."""

import contextlib
import itertools
import re
import select
import socket
import socketserver
import struct
import threading

import jax
import numpy as np
import pytest

from ostinato.beam_pipelines.prepare import prepare
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.configs.schema import DataConfig
from ostinato.data import remote_records, store
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.mixture import open_mixture
from ostinato.data.records import Dataset, DatasetError, Record
from ostinato.data.store import Range, Store, url_of
from ostinato.launch.commands.inspect import Inspect
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.data import evaluation_batches, training_batches
from ostinato.train.loop import train
from ostinato.train.run_metadata import CheckpointError
from tests.midi_files import tune, write_tunes
from tests.servers import make_bucket, s3_server
from tests.train.conftest import config, replace

__all__ = ["config"]

CODEC = ScoreCodec()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here") / "music"
    pieces = [Record(str(i), "", CODEC.encode(tune(i, num_notes=20 + i))) for i in range(30)]
    write_dataset(folder, {"train": pieces[:24], "validation": pieces[24:]}, CODEC)
    return folder


@pytest.fixture(scope="module")
def server(here):
    with s3_server() as options:
        make_bucket(options, "bucket")
        yield dict(option.removeprefix("--s3_").split("=", 1) for option in options)


@pytest.fixture
def bucket(server, here, monkeypatch):
    """The URL of a copy of the dataset."""
    reach(monkeypatch, server["endpoint_url"])
    fs = store._client("s3", "bucket", 0)
    with contextlib.suppress(FileNotFoundError):
        fs.rm("bucket/sets", recursive=True)
    fs.put(str(here), "bucket/sets/music", recursive=True)
    yield "s3://bucket/sets/music"
    store._client.cache_clear()


def reach(monkeypatch, endpoint):
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store._client.cache_clear()


@pytest.fixture
def asked(monkeypatch):
    """The ranges of each call that reads records."""
    calls = []
    read = Store.read_ranges
    monkeypatch.setattr(Store, "read_ranges", lambda self, ranges: calls.append(list(ranges)) or read(self, ranges))
    return calls


class ResettingProxy(socketserver.ThreadingTCPServer):
    """Passes connections on to a server, but for the first ones, which it resets."""

    def __init__(self, endpoint, num_resets):
        super().__init__(("127.0.0.1", 0), PassOn)
        host, port = re.fullmatch(r"http://(.*):(\d+)", endpoint).groups()
        self.upstream, self.num_resets, self.reset = (host, int(port)), num_resets, []
        self.is_ending = threading.Event()

    @contextlib.contextmanager
    def at_work(self):
        with self:
            thread = threading.Thread(target=self.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{self.server_address[1]}"
            self.is_ending.set()
            self.shutdown()
            thread.join()


class PassOn(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self):
        if len(self.server.reset) < self.server.num_resets:
            self.server.reset.append(self.request.recv(100))
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
            return
        with socket.create_connection(self.server.upstream) as upstream:
            others = {upstream: self.request, self.request: upstream}
            while not self.server.is_ending.is_set():
                for source in select.select([*others], [], [], 0.1)[0]:
                    if not (data := source.recv(1 << 16)):
                        return
                    others[source].sendall(data)


def test_urls_are_told_from_paths():
    assert url_of("s3://bucket/a/") == url_of("s3:/bucket/a") == "s3://bucket/a"
    assert [url_of(path) for path in ("C:/data", "a:0.5", "/x", "a/b:/c", "data")] == [None] * 5


def test_batches_from_a_bucket_are_those_from_here_and_each_record_is_read_once(bucket, here, asked):
    there, local = Dataset.open(bucket), Dataset.open(here)
    assert (str(there), there.location, there.fingerprint) == (bucket, bucket, local.fingerprint)
    config = DataConfig(batch_size=4, sequence_length=16)
    one, other = (training_batches(dataset.source("train"), config, seed=0) for dataset in (there, local))
    steps = one.steps_per_epoch
    for k in range(steps):
        jax.tree.map(np.testing.assert_array_equal, one[k], other[k])
    ranges = list(itertools.chain(*asked))
    assert len(ranges) == len(set(ranges)) <= 24
    assert max(map(len, asked)) >= 4  # those of a batch are asked for together
    for k in range(2 * steps, 3 * steps):
        _ = one[k]
    assert len(list(itertools.chain(*asked))) <= 24  # a small collection stays in memory
    for ours, theirs in zip(*(evaluation_batches(d.source("validation"), 4, 16) for d in (there, local)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_reading_one_record_after_the_other_reads_ahead(bucket, here, asked, monkeypatch):
    local = Dataset.open(here).source("train")
    source = Dataset.open(bucket).source("train")
    assert [source[i].id for i in range(24)] == [local[i].id for i in range(24)]
    assert len(asked) == 2  # the first, and the block behind it
    monkeypatch.setattr(remote_records, "KEPT_BYTES", 1)
    source = Dataset.open(bucket).source("train")
    for i in (5, 3, 23, 0, 5):
        np.testing.assert_array_equal(source[i].steps, local[i].steps)


def test_a_connection_that_is_reset_is_made_again(bucket, here, server, monkeypatch):
    proxy = ResettingProxy(server["endpoint_url"], 3)
    with proxy.at_work() as endpoint:
        reach(monkeypatch, endpoint)
        assert Dataset.open(bucket).source("train")[7].id == "7"
        assert len(proxy.reset) == 3
        store._client.cache_clear()


def test_what_a_bucket_lacks_is_named(bucket, here):
    fs = store._client("s3", "bucket", 0)
    with pytest.raises(
        DatasetError, match=r"^s3://bucket/nothing: not a finished dataset \(manifest\.json is missing\)"
    ):
        Dataset.open("s3://bucket/nothing")
    with pytest.raises(DatasetError, match=r"^s3://absent/x: cannot be read"):
        Dataset.open("s3://absent/x")
    source = Dataset.open(bucket).source("train")
    (shard,) = here.glob("*-train.*")
    data = bytearray(shard.read_bytes())
    data[30] ^= 1
    fs.pipe_file(f"bucket/sets/music/{shard.name}", bytes(data))
    with pytest.raises(DatasetError, match=rf"^{bucket}/{shard.name}: .*prepare the dataset again"):
        source[0]
    fs.pipe_file(f"bucket/sets/music/{shard.name}", bytes(data[:-1]))
    with pytest.raises(DatasetError, match=rf"{shard.name}: has {len(data) - 1} bytes, the manifest says {len(data)}"):
        Dataset.open(bucket)
    with pytest.raises(DatasetError, match=r"cannot be read of .*\(ends before byte"):
        Store(bucket).read_ranges([Range(shard.name, 0, len(data) + 5)])
    fs.pipe_file("bucket/sets/music/manifest.json", b"{")
    with pytest.raises(DatasetError, match=rf"^{bucket}/manifest\.json: damaged"):
        Dataset.open(bucket)


def test_commands_take_a_bucket(bucket, here, capsys):
    mixture = open_mixture([f"{bucket}:0.5", f"{here}:0.5"])
    assert [str(part.dataset) for part in mixture.parts] == [bucket, str(here)]
    Inspect(dataset=bucket).run()
    said = capsys.readouterr().out
    assert said.startswith(bucket)
    assert "its first events" in said


@pytest.mark.slow
def test_a_run_goes_on_with_a_dataset_that_was_made_from_its_own_in_a_bucket(server, config, tmp_path, monkeypatch):
    reach(monkeypatch, server["endpoint_url"])
    options = ["--runner=FnApiRunner", *(f"--s3_{name}={value}" for name, value in server.items())]
    kept = PrepareConfig(codec=CodecConfig(name="notes"))
    write_tunes(tmp_path / "midi", 12)
    prepare([str(tmp_path / "midi")], "s3://bucket/grown/old", kept, options, keep_scan=True)
    write_tunes(tmp_path / "more", 6, first_seed=40)
    base = "s3://bucket/grown/old"
    prepare([str(tmp_path / "more")], "s3://bucket/grown/new", PrepareConfig(), options, base=base)
    old, new = Dataset.open(base), Dataset.open("s3://bucket/grown/new")
    train(replace(config, num_steps=2), old, tmp_path / "run")
    more = replace(config, num_steps=4)
    with pytest.raises(CheckpointError, match="--accept-dataset resumes with it"):
        train(more, new, tmp_path / "run")
    assert train(more, new, tmp_path / "run", accept_dataset=True).step == 4
    store._client.cache_clear()
