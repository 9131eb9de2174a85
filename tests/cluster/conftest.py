"""One collection for all clusters, and what the local runner makes of it."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ostinato.music import midi
from tests.cluster.servers import Servers, servers_in
from tests.midi_files import tune, write_tunes

NUM_TUNES = 300


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
    """Writes 300 tunes: half of them files, half in zips, so that there are several units of work; and damaged ones."""
    write_tunes(folder, NUM_TUNES // 2)
    for number in range(5):
        first = NUM_TUNES // 2 + number * NUM_TUNES // 10
        with zipfile.ZipFile(folder / f"box-{number}.zip", "w") as box:
            for seed in range(first, first + NUM_TUNES // 10):
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
    servers.start("prepare", [*command, *beam_options])


def prepare(servers: Servers, collection: Path | str, dataset: Path | str, *beam_options: str) -> None:
    """Runs `ostinato prepare` to its end, which has to be a good one."""
    start_prepare(servers, collection, dataset, *beam_options)
    code, _ = servers.finish("prepare", timeout_s=200)
    assert code == 0, f"exit code {code}\n{servers.tails()}"
