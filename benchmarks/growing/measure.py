"""`ostinato prepare` on a generated collection, with all processes that take part in it (Linux)."""

import json
import os
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PERIOD_S = 0.1
STAGES = ("list", "scan", "assign", "write", "finish")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KINDS = {
    "isolated_child": "parser",
    "sdk_worker_main": "worker",
    "SdkHarness": "worker",
    "worker_pool": "pool",
    "TaskManagerRunner": "task manager",
    "StandaloneSession": "job manager",
    "job-server": "job server",
}
"""What a command line holds, and the kind of process that it is."""


class Usage(NamedTuple):
    """What a command took."""

    cpu_s: dict[str, float]
    """By stage, of all processes."""
    wall_s: dict[str, float]
    """By stage."""
    peak_mb: dict[str, float]
    """Resident memory of the largest process of each kind; the command itself is the driver."""
    driver_mb: dict[str, float]
    """Peak of the driver up to the end of each stage."""


def run(command: Sequence[str], output: Path, also: Sequence[int] = ()) -> Usage:
    """Runs `ostinato prepare` to its end and looks at its processes, ten times a second.

    Args:
        command: with all arguments.
        output: the dataset that it writes; beside it the work folder tells the stage.
        also: processes that work for it and are none of its children, such as those of a cluster.

    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watched = _Watched(process.pid, also, stage_of(Path(f"{output}.partial/work")))
    while process.poll() is None:
        watched.look()
        time.sleep(PERIOD_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:300]}: exit code {process.returncode}\n{process.communicate()[1]}")
    return watched.usage()


def stage_of(work: Path) -> Callable[[], str]:
    """Returns what tells, by the files in the work folder of a job, which stage it is in."""
    seen = "list"

    def count(stage: str, ending: str) -> int:
        try:
            return sum(entry.name.endswith(ending) for entry in os.scandir(work / stage))
        except FileNotFoundError:
            return 0

    def tell() -> str:
        nonlocal seen
        if seen == "list" and count("scanned", "json"):
            seen = "scan"
        if seen == "scan" and count("scanned", "json") == count("units", "json"):
            seen = "assign"
        if seen == "assign" and count("written", "partial") + count("written", "json"):
            seen = "write"
        if seen == "write" and (work / "described").exists():
            seen = "finish"
        return seen

    return tell


class _Watched:
    """Processes and what they have used so far."""

    def __init__(self, driver: int, also: Sequence[int], stage: Callable[[], str]) -> None:
        self._driver, self._roots, self._stage = driver, [driver, *also], stage
        self._kind: dict[int, str] = {}
        self._ticks: dict[int, int] = {}
        self._cpu: dict[str, float] = defaultdict(float)
        self._wall: dict[str, float] = defaultdict(float)
        self._peak: dict[str, float] = defaultdict(float)
        self._driver_mb: dict[str, float] = {}
        self._last_s = time.monotonic()
        for pid in self._tree():  # what a cluster took to start is not the job's
            self._ticks[pid] = 0 if pid == driver else _ticks(pid)

    def look(self) -> None:
        stage, now_s = self._stage(), time.monotonic()
        self._wall[stage] += now_s - self._last_s
        self._last_s = now_s
        for pid in self._tree():
            try:
                ticks, peak_mb = _ticks(pid), _peak_mb(pid)
            except (FileNotFoundError, ProcessLookupError, KeyError):  # it has just ended
                continue
            self._cpu[stage] += (ticks - self._ticks.get(pid, 0)) / _TICKS_PER_S
            self._ticks[pid] = ticks
            kind = self._kind_of(pid)
            self._peak[kind] = max(self._peak[kind], peak_mb)
            if pid == self._driver:
                self._driver_mb[stage] = peak_mb

    def usage(self) -> Usage:
        cpu_s, wall_s, peak_mb, driver_mb = (
            {key: round(value, 1) for key, value in one.items()}
            for one in (self._cpu, self._wall, self._peak, self._driver_mb)
        )
        return Usage(cpu_s, wall_s, peak_mb, driver_mb)

    def _tree(self) -> list[int]:
        found = list(self._roots)
        for pid in found:
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def _kind_of(self, pid: int) -> str:
        if pid == self._driver:
            return "driver"
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        kinds = [kind for word, kind in _KINDS.items() if word in line]
        # Between its start and its exec a child looks like its parent.
        return self._kind.setdefault(pid, kinds[0]) if kinds else "other"


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) / 1024


def judge(dataset: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """Compares a dataset with what is known of its collection.

    Returns:
        Counts, whether they are those of the truth, recall by kind of version (it is in the group of its piece),
        and precision (share of the files that are in a group with their piece alone).
    """
    group: dict[int, int] = {}  # by the number of the file
    work: dict[int, tuple[int, str]] = {}
    kept: dict[int, int] = {}
    numbers: dict[str, int] = {}
    for piece in _lines(dataset / "pieces.jsonl"):
        file, number, kind = _read_name(piece["path"])
        work[file] = number, kind
        group[file] = numbers.setdefault(piece["group"], len(numbers))
    kinds: Counter[str] = Counter()
    for duplicate in _lines(dataset / "duplicates.jsonl"):
        file, number, kind = _read_name(duplicate["path"])
        work[file] = number, kind
        kept[file], *_ = _read_name(duplicate["kept"])
        kinds[duplicate["kind"]] += 1
    for file, other in kept.items():
        group[file] = group[other]
    found, total = Counter[str](), Counter[str]()
    works_of: dict[int, set[int]] = defaultdict(set)
    for file, (piece, kind) in work.items():
        works_of[group[file]].add(piece)
        if kind != "original":
            total[kind] += 1
            found[kind] += group[file] == group.get(piece)
    mixed = sum(len(works_of[group[file]]) > 1 for file in work)
    manifest = json.loads((dataset / "manifest.json").read_text())
    agrees = {
        "files": manifest["counts"]["inputs"] == truth["files"],
        "notes": manifest["notes"]["found"] == truth["notes"],
        "rejected": manifest["rejected_by_reason"] == truth["rejected_by_reason"],
        "usable": len(work) == truth["files"] - sum(truth["rejected_by_reason"].values()),
    }
    return {
        "counts": manifest["counts"],
        "groups": manifest["groups"],
        "duplicates_by_kind": dict(sorted(kinds.items())),
        "agrees": agrees,
        "recall": {kind: round(found[kind] / total[kind], 4) for kind in sorted(total)},
        "precision": round(1 - mixed / max(len(work), 1), 6),
        "mixed_groups": sum(len(works) > 1 for works in works_of.values()),
    }


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open() as file:
        yield from map(json.loads, file)


def _read_name(path: str) -> tuple[int, int, str]:
    file, piece, kind = path.rpartition("!")[2].removesuffix(".mid").split("-")
    return int(file), int(piece), kind
