import functools
import operator
import os
import pickle
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostinato.beam_pipelines.isolation import (
    BYTES_PER_BATCH,
    ITEMS_PER_BATCH,
    IsolatedPool,
    IsolationError,
    Killed,
    Limits,
)
from ostinato.beam_pipelines.parse import Parsed, Unusable, parse
from ostinato.configs.preparation import PrepareConfig
from ostinato.music.midi import MIDI_REASONS
from tests.hostile import KINDS, hostile_files
from tests.misbehaviour import do, fail_at_three, leak, poison_then_abort, process_id
from tests.prepare_process import run, session, started

pytestmark = pytest.mark.usefixtures("children_import_tests")

LIMITS = Limits(memory_mb=256, cpu_s=1, wall_s=20)
ABORTED = Killed("crashed", "killed by SIGABRT")


@pytest.fixture(scope="module")
def pool():
    return IsolatedPool(1, LIMITS)


def _wait_until(condition, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_results_come_in_order_whatever_the_number_of_items_and_workers(pool):
    larger = IsolatedPool(3, LIMITS)
    for count in (0, 1, ITEMS_PER_BATCH, ITEMS_PER_BATCH + 1, 1000):
        expected = [operator.neg(number) for number in range(count)]
        assert list(pool.imap(operator.neg, range(count))) == expected
        assert list(larger.imap(operator.neg, range(count))) == expected
    assert [len(result) for result in pool.imap(bytes, [5_000_000, 0, 20_000_000])] == [5_000_000, 0, 20_000_000]


@pytest.mark.parametrize(
    ("action", "reason", "detail"),
    [
        ("abort", "crashed", "killed by SIGABRT"),
        ("exit", "crashed", "ended with exit code 0"),
        ("system exit", "crashed", "ended with exit code 1: so long"),
        ("segfault", "crashed", "killed by SIGSEGV"),
        ("complain and abort", "crashed", "killed by SIGABRT: heap corrupted"),
        ("recurse in C", "crashed", "killed by SIGSEGV"),
        ("close every file", "crashed", ""),
        ("loop in C", "timed_out", "more than 1 s of CPU time"),
        ("allocate", "out_of_memory", "more than 256 MB"),
        ("allocate in small pieces", "out_of_memory", "more than 256 MB"),
        ("allocate in NumPy", "out_of_memory", "more than 256 MB"),
        ("killed by the system", "out_of_memory", "killed by SIGKILL, as the system does where memory runs out"),
    ],
)
def test_what_happens_to_one_item_costs_that_item_alone(pool, action, reason, detail):
    healthy = [f"healthy {number}" for number in range(30)]
    results = list(pool.imap(do, [*healthy, action, *healthy]))
    killed = results.pop(30)
    assert isinstance(killed, Killed)
    assert killed.reason == reason
    assert killed.detail.startswith(detail)
    assert results == 2 * healthy


def test_an_item_that_sleeps_is_given_up():
    results = list(IsolatedPool(1, LIMITS._replace(wall_s=1)).imap(do, ["healthy", "sleep", "too"]))
    assert results == ["healthy", Killed("timed_out", "not done after 1 s"), "too"]


def test_an_item_is_not_blamed_for_what_an_earlier_one_did(pool):
    results = list(pool.imap(poison_then_abort, ["a", "poison", "b", "c", "abort", "d", "abort"]))
    assert results == ["a", "poison", "b", "c", ABORTED, "d", ABORTED]
    assert list(pool.imap(leak, range(150))) == list(range(150))


def test_children_neither_write_files_nor_print(pool, tmp_path, capfd):
    with pytest.raises(OSError, match="File too large"):
        list(pool.imap(do, [("write", str(tmp_path / "file"))]))
    assert [path.stat().st_size for path in tmp_path.iterdir()] in ([], [0])
    assert list(pool.imap(do, ["print"] * 5)) == ["print"] * 5
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_function_is_raised_with_its_traceback_and_the_pool_goes_on(pool):
    with pytest.raises(ValueError, match="three is not allowed") as caught:
        list(pool.imap(fail_at_three, range(1000)))
    assert "in fail_at_three" in caught.value.__notes__[0]
    for function, item in ((do, "lambda"), (lambda item: item, "item")):
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            list(pool.imap(function, [item]))
    assert list(pool.imap(operator.neg, [1, 2])) == [-1, -2]


def test_items_that_a_child_cannot_import_are_an_error(pool, monkeypatch):
    module = type(sys)("no_such_module")
    exec("class Odd: pass\nitem = Odd()\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "no_such_module", module)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        list(pool.imap(do, [module.item]))
    assert list(pool.imap(do, ["fine"])) == ["fine"]


def test_children_are_reused_and_import_only_what_the_function_needs():
    fresh = IsolatedPool(1, LIMITS)
    (modules,) = fresh.imap(functools.partial(eval, "sorted(__import__('sys').modules)", {}), [{}])
    assert not {"numpy", "apache_beam"} & set(modules)
    assert len(set(fresh.imap(process_id, range(1000)))) == 1


@pytest.mark.parametrize(("item_bytes", "most"), [(1, 4 * ITEMS_PER_BATCH), (1 << 20, 4 * (BYTES_PER_BATCH >> 20) + 1)])
def test_items_are_taken_only_some_batches_ahead(pool, item_bytes, most):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number, bytes(item_bytes)

    results = pool.imap(operator.itemgetter(0), items(), size=lambda item: len(item[1]))
    assert next(results) == 0
    assert len(taken) <= most
    results.close()


def test_several_threads_use_one_pool_at_once():
    pool = IsolatedPool(2, LIMITS)

    def killed(number):
        items = [f"{number}/{item}" if item != 50 + number else "abort" for item in range(200)]
        return [place for place, result in enumerate(pool.imap(do, items)) if result != items[place]]

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(killed, range(6))) == [[50 + number] for number in range(6)]


def test_a_child_that_dies_leaves_nothing_open_and_is_replaced(pool):
    list(pool.imap(process_id, [0]))
    num_open = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        (pid,) = pool.imap(process_id, [0])
        os.kill(pid, signal.SIGKILL)
        assert list(pool.imap(do, ["fine", "abort"])) == ["fine", ABORTED]
        assert not Path(f"/proc/{pid}").exists()
    assert list(pool.imap(do, ["fine"])) == ["fine"]
    assert len(os.listdir("/proc/self/fd")) <= num_open


def test_a_child_that_cannot_start_is_an_error_of_the_machine_and_not_of_the_item(monkeypatch):
    pool = IsolatedPool(1, LIMITS)
    for executable, message in (
        ("/usr/bin/false", r"did not get ready \(ended with exit code 1\)"),
        ("/no/such/python", "cannot start a child process"),
    ):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(IsolationError, match=message):
            list(pool.imap(do, ["fine"]))
    monkeypatch.undo()
    assert list(pool.imap(do, ["fine"])) == ["fine"]


def test_hostile_files_have_a_reason_or_music_and_kill_nobody(pool):
    files = list(hostile_files(len(KINDS), seed=2))
    results = list(pool.imap(functools.partial(parse, config=PrepareConfig(min_notes=1)), (one.data for one in files)))
    for file, result in zip(files, results, strict=True):
        is_parsed = isinstance(result, Parsed)
        assert is_parsed or isinstance(result, Unusable), file.name
        assert file.may_be_read or (not is_parsed and result.reason in MIDI_REASONS), file.name
    assert sum(isinstance(result, Parsed) for result in results) > len(files) / 3


DAEMON = """
import multiprocessing
from ostinato.beam_pipelines.isolation import shared_pool

def use_pool(answers):
    answers.put(list(shared_pool(1).imap(eval, ["1", "__import__('os').abort()", "2"])))

context = multiprocessing.get_context("fork")
answers = context.SimpleQueue()
context.Process(target=use_pool, args=(answers,), daemon=True).start()
first, killed, last = answers.get()
print(first, killed.reason, last)
"""

FORK = """
import os, sys
from ostinato.beam_pipelines.isolation import shared_pool

def child():
    return next(shared_pool(1).imap(eval, ["__import__('os').getpid()"]))

before = child()
if os.fork() == 0:
    sys.exit(0 if child() != before else 1)
_, status = os.wait()
print(status, child() == before)
"""


@pytest.mark.parametrize(("source", "printed"), [(DAEMON, "1 crashed 2\n"), (FORK, "0 True\n")], ids=["daemon", "fork"])
def test_daemonic_and_forked_processes_have_children_of_their_own(source, printed):
    ended = run("-c", source, command=[sys.executable])
    assert (ended.code, ended.output, ended.complaints) == (0, printed, [])


PARENT = """
import threading, time
from ostinato.beam_pipelines.isolation import shared_pool
pool = shared_pool(1)
print(*pool.imap(eval, ['__import__("os").getpid()']), flush=True)
{work}
"""
SLEEPS = "list(pool.imap(time.sleep, [1000]))"
COMPUTES = "list(pool.imap(eval, ['10 ** 10 ** 9']))"


@pytest.mark.parametrize(
    ("end", "work"),
    [(end, SLEEPS) for end in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)]
    + [(signal.SIGKILL, COMPUTES), (signal.SIGKILL, "time.sleep(1000)")]
    + [(None, f"threading.Thread(target=lambda: {SLEEPS}, daemon=True).start(); time.sleep(0.3)")],
)
def test_children_end_with_their_parent_and_say_nothing(end, work):
    with started("-c", PARENT.format(work=work), command=[sys.executable]) as parent:
        child = int(parent.stdout.readline())
        assert child in session(parent.pid)
        if end:
            time.sleep(0.1)
            os.killpg(parent.pid, end)  # as a terminal does with Ctrl-C
        _, errors = parent.communicate(timeout=60)
        assert parent.returncode == (-end if end else 0)
        _wait_until(lambda: not session(parent.pid))
    assert errors.count("Traceback") == (end == signal.SIGINT)  # the parent's own
    assert "isolated_child" not in errors
