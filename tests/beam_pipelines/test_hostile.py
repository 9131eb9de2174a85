"""A thousand hostile files among ten thousand good ones: in folders, in a zip archive and in a tar.gz archive."""

import hashlib
import io
import json
import re
import sys
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from ostinato.beam_pipelines.inputs.errors import READ_REASONS
from ostinato.beam_pipelines.inputs.places import printable
from ostinato.data.records import Dataset
from ostinato.music import midi
from tests.hostile import HostileFile, hostile_files, hostile_places
from tests.midi_files import tune
from tests.prepare_process import end, session, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

NUM_GOOD = 10_000
NUM_HOSTILE = 1_000
MAX_MAIN_MB = 600
MAX_PARSE_MB = 256
PARSER_ITSELF_MB = 300
"""Of a parser that has imported what it needs."""

REASONS = {
    "read": READ_REASONS,
    "parse": (*midi.MIDI_REASONS, "crashed", "out_of_memory", "timed_out"),
    "select": ("too_few_notes", "too_many_notes"),
}


class Collection(NamedTuple):
    """What was put where."""

    patterns: list[Path]
    good: dict[str, str]
    """Path of each good file, as the dataset writes it, and the digest of its bytes."""
    hostile: dict[str, bool]
    """Path of each hostile one, and whether it may be read."""


def _collect(folder):
    """Writes three fifths of all files into folders, a fifth into a zip archive and a fifth into a tar.gz archive."""
    loose, zipped, tarred = folder / "loose", folder / "some.zip", folder / "more.tar.gz"
    (loose / "places").mkdir(parents=True)
    good, hostile = {}, {}
    with zipfile.ZipFile(zipped, "w") as zip_archive, tarfile.open(tarred, "w:gz", compresslevel=1) as tar_archive:
        for number, (data, is_hostile, name, may_be_read) in enumerate(_mixed()):
            match number % 5:
                case 0:
                    zip_archive.writestr(name, data)
                    path = f"{zipped}!{name}"
                case 1:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar_archive.addfile(member, io.BytesIO(data))
                    path = f"{tarred}!{name}"
                case _:
                    file = loose / f"{number // 500:02d}" / name
                    file.parent.mkdir(exist_ok=True)
                    file.write_bytes(data)
                    path = str(file)
            if is_hostile:
                hostile[path] = may_be_read
            else:
                good[path] = hashlib.sha256(data).hexdigest()
    hostile |= {printable(place.path): place.may_be_read for place in hostile_places(loose / "places")}
    return Collection([loose, zipped, tarred], good, hostile)


def _mixed():
    """Yields bytes, whether they are hostile, a name, and whether they may be read."""
    bad = hostile_files(NUM_HOSTILE, seed=3)
    for number in range(NUM_GOOD):
        yield midi.write(tune(number)), False, f"good-{number}.mid", True
        if number % (NUM_GOOD // NUM_HOSTILE) == 0:
            file: HostileFile = next(bad)
            yield file.data, True, file.name, file.may_be_read


def _peaks_mb(process):
    """Returns the largest resident size that the process and each of its children has had."""
    peaks = {}
    for pid in session(process.pid):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # it has just ended
            continue
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
            peaks[pid] = int(found[1]) / 1024
    return peaks


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.timeout(600)
def test_every_good_file_is_in_and_every_hostile_one_has_its_reason(tmp_path):
    collection = _collect(tmp_path / "midi")
    output = tmp_path / "out"
    peaks_mb: dict[int, float] = {}
    with started("--output", output, "--max-parse-mb", MAX_PARSE_MB, "--midi", *collection.patterns) as process:
        while process.poll() is None:
            peaks_mb |= _peaks_mb(process)
            time.sleep(0.05)
        ended = end(process)
    assert ended.code == 0, ended.complaints
    assert "Traceback" not in "".join(ended.complaints)

    counts = json.loads((output / "manifest.json").read_text())["counts"]
    pieces, rejects, duplicates = (_lines(output / f"{name}.jsonl") for name in ("pieces", "rejects", "duplicates"))
    assert counts["inputs"] == counts["accepted"] + counts["rejected"] + counts["duplicates"]
    assert (len(pieces), len(rejects), len(duplicates)) == (
        counts["accepted"],
        counts["rejected"],
        counts["duplicates"],
    )
    named = Counter(line["path"] for line in [*pieces, *rejects, *duplicates])
    assert set(named.values()) == {1}
    assert set(named) <= collection.good.keys() | collection.hostile.keys()

    ids = {piece["path"]: piece["id"] for piece in pieces}
    assert {path: ids.get(path) for path in collection.good} == collection.good
    dataset = Dataset.open(output)
    sources = [dataset.source(split) for split in dataset.splits]
    assert {source[i].id for source in sources for i in range(len(source))} == set(ids.values())

    refused = {reject["path"]: reject for reject in rejects}
    for path, may_be_read in collection.hostile.items():
        assert may_be_read or path in refused, path
        assert path in named, path
    for reject in rejects:
        assert reject["reason"] in REASONS[reject["stage"]], reject
        assert reject["detail"], reject

    main_mb = peaks_mb.pop(process.pid)
    assert main_mb < MAX_MAIN_MB
    assert max(peaks_mb.values()) < MAX_PARSE_MB + PARSER_ITSELF_MB
