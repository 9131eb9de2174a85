"""`ostinato plan` as a user runs it: targets, the process of each, and the compilers for TPU and GPU where they are."""

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from ostinato.configs.presets import PRESETS
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Record
from ostinato.launch.cli import main
from ostinato.launch.plan.command import music_of, plan
from ostinato.launch.plan.costs import Loop, Matmul, Operation, Program
from ostinato.launch.plan.machines import MACHINES, find_target, target_config, usable_cores
from ostinato.launch.plan.report import Music, report_target
from ostinato.launch.plan.roofline import Torus
from ostinato.launch.plan.step import Memory, StepPlan
from ostinato.launch.plan.tables import show_plan
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import tune

DEBUG = PRESETS["debug"]().train


@pytest.mark.parametrize(
    ("text", "devices", "topology"),
    [("v5e:4x4", 16, "v5e:4x4"), ("v5p:2x2x2", 8, "v5p:2x2x2"), ("h200:8", 8, "1x1x8"), ("a100:32", 32, "1x4x8")],
)
def test_a_target_is_a_machine_and_a_number_of_devices(text, devices, topology):
    target = find_target(text)
    assert (target.num_devices, target.topology) == (devices, topology)
    assert target.machine.name == text.split(":")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v9:4", "no such machine; known are cpu, v5e"),
        ("cpu:0", "no such machine; known are cpu, v5e"),
        ("v5e", "write the slice after the colon, one of .*4x4"),
        ("v5e:3x5", "one of .*4x4"),
        ("v5p:4x4", "one of .*2x2x2"),
        ("h100", "1 to 8 or a multiple of 8"),
        ("h100:12", "1 to 8 or a multiple of 8"),
        ("h100:0", "1 to 8 or a multiple of 8"),
    ],
)
def test_a_target_that_does_not_exist_is_refused_with_those_that_do(text, said):
    with pytest.raises(ValueError, match=said):
        find_target(text)


def test_a_system_that_cannot_pin_processes_is_planned_for_as_a_whole(monkeypatch):
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.delattr(os, "sched_setaffinity")
    assert usable_cores() == os.cpu_count()
    assert find_target("cpu").num_devices == 1
    with pytest.raises(ValueError, match="plan for --on cpu"):
        find_target("cpu:1")


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_figures_of_a_machine_fit_together(machine):
    assert 0 < machine.usable <= 1
    assert all(0 < share <= 1 for share in machine.reached)
    assert machine.speeds.matmul_flops["float32"] < machine.peak.matmul_flops["bfloat16"]
    links = machine.interconnect
    if isinstance(links, Torus):
        assert all(math.prod(grid) == chips for chips, grid in links.slices.items())
    times = [links.all_reduce_s(1e9, 2**k) for k in range(9)]
    assert times[0] == 0.0
    assert all(0 < seconds < 1 for seconds in times[1:])


def test_a_gpu_is_described_to_its_compiler():
    text = target_config(MACHINES["h100"])
    assert "cuda_compute_capability { major: 9 minor: 0 }" in text
    assert 'device_description_str: "NVIDIA H100 80GB HBM3"' in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize(("text", "extra"), [("v5e:2x2", "plan-tpu"), ("h100:8", "plan-cuda")])
def test_a_missing_compiler_is_one_line_that_says_what_to_install(text, extra, monkeypatch):
    monkeypatch.setattr("ostinato.launch.plan.command._is_installed", lambda module: False)
    with pytest.raises(ValueError, match=rf"--on {text}: .* pip install 'ostinato\[{extra}\]'"):
        plan(DEBUG, ["cpu", text])


def _report(batch_size=64):
    """Returns the report for a made-up step: a scan of 32 products, a reduced gradient."""
    product = Operation(32, Loop(32, 1, 10**6), Matmul("float32", 64, 2048, 8192), whole_bytes=10**6, group_size=16)
    reduce = Operation(collective="all-reduce", collective_bytes=10**8, group_size=16)
    memory = Memory(params=10**9, optimizer=2 * 10**9, inputs=0, temporaries=10**9, code=0)
    step = StepPlan(batch_size, 10**6, 1.0, memory, Program([product, reduce]), xla_cycles=32 * 1500)
    config = dataclasses.replace(DEBUG, data=dataclasses.replace(DEBUG.data, batch_size=batch_size))
    found = report_target(find_target("v5e:4x4"), [step], config, Music((8,), 10**9, 0.5, "made up"))
    return {"target": "v5e:4x4", "memory_limit": 16 * 10**9, "largest_batch": 128, **json.loads(json.dumps(found))}


def test_a_report_adds_up():
    report = _report()
    assert report["fits"]
    assert report["memory_total"] == 4 * 10**9
    assert report["step_s"] == pytest.approx(sum(report["times"].values()))
    assert report["at_peak_s"] < report["step_s"]
    assert report["rows_per_s"] * report["step_s"] == pytest.approx(64 * 32)
    assert report["notes_per_s"] == pytest.approx(report["rows_per_s"] / 2)
    assert report["epoch"]["steps"] == 10**9 // (64 * 32)
    assert report["epoch"]["device_hours"] == pytest.approx(16 * report["epoch"]["steps"] * report["step_s"] / 3600)
    assert report["flops_over_model"] == 1.0
    assert 0 < report["share_of_peak"] < 1
    assert report["bytes"] == report["fast_bytes"] == 32 * 10**6
    assert report["collectives"] == [{"kind": "all-reduce", "devices": 16, "count": 1, "bytes": 10**8}]
    assert report["compiler_s"] == pytest.approx(32 * 1500 / 1.5e9 + report["times"]["interconnect"])
    assert report["scan"]["iterations"] == 32
    assert [one["num_devices"] for one in report["scaling"]] == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_the_tables_hold_every_target_and_what_does_not_compile(capsys):
    report = {**_report(), "assumptions": ["the moon is round"]}
    failed = {
        "target": "v5p:2x2x1", "compiles": False, "fits": False, "reason": "Used 20.5G of 15.75G hbm",
        "batch_size": 64, "memory_limit": 16 * 10**9, "largest_batch": 32,
    }  # fmt: skip
    music = {"origin": "made up", "rows": 10**9}
    show_plan({"music": music, "config": dataclasses.asdict(DEBUG), "targets": [report, report, failed]})
    out = capsys.readouterr().out
    assert out.count("v5e:4x4") >= 12
    assert "assumed: the moon is round" in out
    assert "an epoch: made up" in out
    assert "batch 64 does not compile: Used 20.5G of 15.75G hbm" in out


def test_fields_and_epoch_come_from_the_dataset_or_are_as_many_notes_as_are_said(tmp_path):
    codec = ScoreCodec(styles=("a", "b"))
    pieces = [Record(str(n), "a", codec.encode(tune(n))) for n in range(3)]
    write_dataset(tmp_path / "data", {"train": pieces}, codec)
    music = music_of(DEBUG, tmp_path / "data", 7)
    assert music.field_sizes == tuple(field.size for field in codec.fields)
    assert music.rows == sum(len(piece.steps) for piece in pieces)
    assert 0 < music.notes_per_row < 1  # START, END and tempo are no notes
    assert len(music_of(PRESETS["paper"]().train, None, 7).field_sizes) == 1
    music = music_of(DEBUG, None, 7)
    assert (len(music.field_sizes), music.rows, music.notes_per_row) == (5, 7, 1.0)


@pytest.mark.parametrize(
    ("on", "options", "said"),
    [
        ([], {}, "name a machine to plan for"),
        (["h100:16"], {}, "--on h100:16: batch_size 8 cannot be split over 16 devices"),
        (["cpu"], {"num_notes": 0}, "num_notes 0 must be at least 1"),
    ],
)
def test_what_cannot_be_planned_is_refused(on, options, said):
    with pytest.raises(ValueError, match=said):
        plan(DEBUG, on, **options)


def test_a_compiler_that_fails_is_told_and_does_not_stop_the_plan(monkeypatch):
    monkeypatch.setattr("ostinato.launch.plan.command.check_extra", lambda target: None)
    monkeypatch.setenv("PYTHONHOME", os.devnull)  # the target's process cannot even start
    config = dataclasses.replace(DEBUG, data=dataclasses.replace(DEBUG.data, batch_size=16))
    found = plan(config, ["h100:8", "v5e:4x4"])["targets"]
    assert [report["target"] for report in found] == ["h100:8", "v5e:4x4"]
    assert not any(report["compiles"] for report in found)
    assert all("process ended with exit code 1" in report["reason"] for report in found)


@pytest.mark.slow
def test_this_machine_is_planned_and_measured(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert main(["plan", "debug", "--on", "cpu:1", "--no-search", "--num-notes", "1000000", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "predicted over measured" in shown
    assert "an epoch: 1,000,000 notes of the score codec; no dataset given" in shown
    (report,) = json.loads(path.read_text())["targets"]
    assert report["fits"]
    assert report["flops_over_model"] == pytest.approx(1.0)
    assert report["flops_counted_once_over_xla"] == pytest.approx(1.0, abs=0.1)
    assert report["measured_s"] > 0
    assert report["predicted_over_measured"] > 0
    assert report["epoch"]["steps"] == 10**6 // (8 * 32)


@pytest.fixture(scope="session")
def compilers() -> Path:
    """A folder with the compilers that the extras plan-tpu and plan-cuda install, 1.3 GB in the user's cache.

    They are no part of this environment, which every test would have to start JAX in, with their messages.
    """
    extras = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    wanted = [*extras["plan-tpu"], *extras["plan-cuda"]]
    key = hashlib.sha256(json.dumps([wanted, version("jax"), sys.version]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "plan"
    finished = cache / f"compilers-{key}"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            venv.create(folder)
            (here,) = Path(folder).glob("lib/python*/site-packages")
            # pip finds there what this environment has, and adds what is missing.
            (here / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
            command = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "--quiet", *wanted]
            made = subprocess.run(command, capture_output=True, text=True, timeout=800)
            assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
            (here / "this.pth").unlink()
            here.rename(finished)
    return finished


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first time the compilers are downloaded
@pytest.mark.parametrize(("cell", "rounds"), [("lstm", 2 * 32 / 4), ("mlstm", 2)])
def test_the_step_compiles_for_a_tpu_and_a_gpu_that_are_not_there(compilers, tmp_path, cell, rounds):
    command = [sys.executable, "-m", "ostinato.launch.cli", "plan", "debug", "--data.batch-size", "128", "--no-search"]
    command += ["--model.cell", cell, "--on", "v5e:2x2", "--on", "h100:8", "--json", str(tmp_path / "plan.json")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(compilers)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "h100:8: batch 128:" in done.stderr  # progress
    reports = json.loads((tmp_path / "plan.json").read_text())["targets"]
    assert [(report["target"], report["num_devices"]) for report in reports] == [("v5e:2x2", 4), ("h100:8", 8)]
    for report in reports:
        assert report["compiles"]
        assert report["fits"]
        assert not report["remarks"]
        assert report["flops_over_model"] == pytest.approx(1.0)
        gradient_bytes = report["memory"]["params"]
        assert gradient_bytes == 4 * report["num_params"]
        assert {found["devices"] for found in report["collectives"]} == {report["num_devices"]}
        assert gradient_bytes <= report["collective_bytes"] < gradient_bytes + 4096
        # Forward and backward: of the LSTM four iterations are one, of the mLSTM all 32 steps are a chunk.
        assert report["scan"]["iterations"] == rounds
        assert report["at_peak_s"] < report["step_s"] < 1.0
        assert len(report["scaling"]) == 9
    assert reports[0]["compiler_s"] > 0
    assert reports[0]["flops_counted_once_over_xla"] == pytest.approx(1.0, abs=0.25)
