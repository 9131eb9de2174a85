"""One collection for all clusters, and what the local runner makes of it."""

import contextlib
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.music import midi
from tests.cluster.servers import Servers, servers_in
from tests.midi_files import tune, write_tunes
from tests.prepare_process import session

NUM_TUNES = 300
BEGINS = {"scan": "work/scanned/*.json", "assign": "work/pieces-*", "write": "*.tfrecord*"}
"""What lies beside the dataset when a unit has been read, pieces are being assigned, a shard is being written."""


class Collection(NamedTuple):
    """What is prepared, and what comes out on this machine alone."""

    midi: Path
    dataset: Path


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("cluster")
    write_collection(folder / "midi")
    with servers_in(folder / "local") as servers:
        prepare(servers, folder / "midi", folder / "dataset")
    return Collection(folder / "midi", folder / "dataset")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with servers_in(tmp_path / "servers") as servers:
        yield servers


def write_collection(folder: Path) -> None:
    """Writes 300 tunes: some are files, most in zips, so that there are several units of work; and damaged ones."""
    num_boxes, in_box = 12, 20
    num_files = NUM_TUNES - num_boxes * in_box
    write_tunes(folder, num_files)
    for number in range(num_boxes):
        first = num_files + number * in_box
        with zipfile.ZipFile(folder / f"box-{number}.zip", "w") as box:
            for seed in range(first, first + in_box):
                box.writestr(f"tune-{seed}.mid", midi.write(tune(seed)))
    good = midi.write(tune(0))
    (folder / "again.mid").write_bytes(good)
    (folder / "cut.mid").write_bytes(good[:40])
    (folder / "empty.mid").write_bytes(b"")
    (folder / "page.mid").write_bytes(b"<html>not found</html>")
    (folder / "noise.mid").write_bytes(bytes(range(256)) * 40)
    (folder / "link.mid").symlink_to("/dev/zero")


def start_prepare(servers: Servers, collection: Path | str, dataset: Path | str, *beam_options: str) -> None:
    """Starts `ostinato prepare` as a user does."""
    command = [sys.executable, "-m", "ostinato.launch.cli", "prepare", "--midi", collection, "--output", dataset]
    servers.start("prepare", [*command, "--num-shards=12", *beam_options])  # so that the last stage takes a moment


def prepare(servers: Servers, collection: Path | str, dataset: Path | str, *beam_options: str) -> None:
    """Runs `ostinato prepare` to its end, which has to be a good one."""
    start_prepare(servers, collection, dataset, *beam_options)
    code, _ = servers.finish("prepare", timeout_s=200)
    assert code == 0, f"exit code {code}\n{servers.tails()}"


def wait_for_stage(servers: Servers, dataset: Path, stage: str) -> int:
    """Waits until a stage has begun that no earlier command has begun; returns the number of a pool that is at it."""
    partial = Path(f"{dataset}.partial")
    servers.wait_until(lambda: any(partial.glob(BEGINS[stage])), every_s=0.005)
    return next((number for number in (1, 2) if opens_in(partial, session(servers.pid(f"pool-{number}")))), 2)


def opens_in(folder: Path, processes: Iterable[int]) -> bool:
    """Tells whether one of some processes has a file in a folder open."""
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):  # it is closed already
                if link.readlink().is_relative_to(folder):
                    return True
    return False


def assert_gave_up(code: int | None, said: str, dataset: Path) -> None:
    """Checks how a command ends whose cluster gives the job up: in one line, and what was read stays."""
    assert code == ExitCode.USAGE, said
    assert said.splitlines()[-1].startswith("ostinato: the cluster has given up: "), said
    assert "Traceback" not in said
    assert f"{dataset}.partial: what was read stays, the same command resumes" in said
    assert not dataset.exists()


def num_read_before(said: str) -> tuple[int, int]:
    """Returns how many units a command took over, and how many there are, by what it said."""
    found = re.search(r"(\d+) of (\d+) units were read before", said)
    assert found, said
    return int(found[1]), int(found[2])
