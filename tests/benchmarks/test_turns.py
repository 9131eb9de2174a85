import sys

import pytest

from ostinato.benchmarks.turns import KEEP_FREED_MEMORY, Variant, measure, ratio, started

STEPS = """
import os
import time

print("what a library prints is no answer")

def make_run(request):
    def run(num_steps):
        end_s = time.process_time() + num_steps * request["step_s"]
        while time.process_time() < end_s:
            pass
        return len(os.sched_getaffinity(0))
    return run
"""


@pytest.fixture(scope="module")
def steps_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("turns") / "steps.py"
    path.write_text(STEPS)
    return str(path)


def test_variants_take_turns_and_each_round_counts_one_step(steps_file):
    variants = {label: Variant(steps_file, {"step_s": step_s}) for label, step_s in (("quick", 0.01), ("slow", 0.04))}
    turns = measure(variants, num_rounds=3, round_s=0.05)
    assert {len(column) for one in turns.values() for column in one} == {3}
    assert all(cpu_s >= 0.01 for cpu_s in turns["quick"].cpu_s)
    assert all(cpu_s >= 0.04 for cpu_s in turns["slow"].cpu_s)
    assert turns["quick"].losses == [1] * 3, "each is pinned to one core"


def test_the_processes_end_with_their_turns(steps_file):
    with started("quick", Variant(steps_file, {"step_s": 0.001})) as worker:
        assert worker.run(2)["cpu_s"] >= 0.002
        assert worker.process.poll() is None
    assert worker.process.returncode == 0


def test_a_process_that_fails_says_why(tmp_path):
    (tmp_path / "steps.py").write_text("raise ModuleNotFoundError('no such library')")
    with pytest.raises(RuntimeError, match=r"(?s)broken: exit code 1.*no such library"):
        measure({"broken": Variant(str(tmp_path / "steps.py"), {})}, num_rounds=1, round_s=0.1)


def test_ratios_are_taken_round_by_round():
    assert ratio([2.0, 20.0, 3.0], [1.0, 10.0, 1.0]) == 2.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_a_process_that_keeps_freed_memory_pays_no_page_faults_for_it_again(tmp_path):
    (tmp_path / "steps.py").write_text(
        """
import ctypes

def make_run(request):
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    def run(num_steps):
        for _ in range(num_steps):
            block = ctypes.c_void_p(libc.malloc(1 << 26))
            ctypes.memset(block, 1, 1 << 26)
            libc.free(block)
        return 0.0
    return run
"""
    )
    variants = {
        "default": Variant(str(tmp_path / "steps.py"), {}),
        "keeping": Variant(str(tmp_path / "steps.py"), {}, environment=KEEP_FREED_MEMORY),
    }
    faults = {}
    for label, variant in variants.items():
        with started(label, variant) as worker:
            worker.run(1)
            faults[label] = worker.run(4)["page_faults"]
    pages = 4 * (1 << 26) // 4096
    assert faults["keeping"] < 0.1 * pages < 0.9 * pages < faults["default"]
