import contextlib
import functools
import math
import operator
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ostinato.beam_pipelines.isolation import (
    BYTES_PER_BATCH,
    ITEMS_PER_BATCH,
    IsolatedPool,
    IsolationError,
    Killed,
    Limits,
    shared_pool,
)
from ostinato.beam_pipelines.parse import Parsed, Unusable, parse
from ostinato.configs.schema import PrepareConfig
from ostinato.music import midi
from ostinato.music.midi import MIDI_REASONS
from tests.hostile import KINDS, hostile_files
from tests.midi_files import tune
from tests.misbehaviour import do, fail_at_three, leak, poison_then_abort, process_id

LIMITS = Limits(memory_mb=256, cpu_s=1, wall_s=20)


ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module", autouse=True)
def children_can_import_tests():
    sys.path.append(ROOT)
    yield
    sys.path.remove(ROOT)


@contextlib.contextmanager
def pool_of(num_workers=1, limits=LIMITS):
    pool = IsolatedPool(num_workers, limits)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module")
def pool():
    with pool_of() as pool:
        yield pool


def is_alive(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_until(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_results_come_in_order_whatever_the_number_of_items_and_workers(pool):
    with pool_of(3) as larger:
        for count in (0, 1, ITEMS_PER_BATCH, ITEMS_PER_BATCH + 1, 1000):
            expected = [operator.neg(number) for number in range(count)]
            assert list(pool.imap(operator.neg, range(count))) == expected
            assert list(larger.imap(operator.neg, range(count))) == expected


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
    with pool_of(limits=LIMITS._replace(wall_s=2)) as pool:
        results = list(pool.imap(do, ["healthy", "sleep", "too"]))
    assert results == ["healthy", Killed("timed_out", "not done after 2 s"), "too"]


def test_every_item_of_a_batch_may_be_bad(pool):
    results = list(pool.imap(do, ["abort", "exit", "allocate", "segfault", "fine", "abort"]))
    assert [result.reason if isinstance(result, Killed) else result for result in results] == [
        "crashed",
        "crashed",
        "out_of_memory",
        "crashed",
        "fine",
        "crashed",
    ]


def test_an_item_is_not_blamed_for_what_an_earlier_one_did(pool):
    results = list(pool.imap(poison_then_abort, ["a", "poison", "b", "c", "abort", "d"]))
    assert results == ["a", "poison", "b", "c", Killed("crashed", "killed by SIGABRT"), "d"]


def test_a_function_that_leaks_harms_nothing(pool):
    assert list(pool.imap(leak, range(150))) == list(range(150))


def test_files_cannot_be_written(pool, tmp_path):
    with pytest.raises(OSError, match="File too large"):
        list(pool.imap(do, [("write", str(tmp_path / "file"))]))
    assert [path.stat().st_size for path in tmp_path.iterdir()] in ([], [0])


def test_what_a_function_prints_is_lost_and_harms_nothing(pool, capfd):
    assert list(pool.imap(do, ["print"] * 5)) == ["print"] * 5
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_function_is_raised_with_its_traceback_and_the_pool_goes_on(pool):
    results = pool.imap(fail_at_three, range(1000))
    with pytest.raises(ValueError, match="three is not allowed") as caught:
        list(results)
    assert "in fail_at_three" in caught.value.__notes__[0]
    assert list(pool.imap(operator.neg, [1, 2])) == [-1, -2]


def test_results_and_functions_that_cannot_be_pickled_are_errors(pool):
    with pytest.raises((pickle.PicklingError, AttributeError, RuntimeError), match="lambda"):
        list(pool.imap(do, ["lambda"]))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        list(pool.imap(lambda item: item, ["item"]))
    assert list(pool.imap(do, ["fine"])) == ["fine"]


def test_items_that_a_child_cannot_import_are_an_error(pool):
    source = "import operator\nclass Odd: pass\nitem = Odd()\n"
    space = {"__name__": "no_such_module"}
    exec(source, space)
    module = type(sys)("no_such_module")
    module.__dict__.update(space)
    sys.modules["no_such_module"] = module
    try:
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            list(pool.imap(do, [space["item"]]))
    finally:
        del sys.modules["no_such_module"]
    assert list(pool.imap(do, ["fine"])) == ["fine"]


def test_children_are_reused_and_import_only_what_the_function_needs(pool):
    assert len(set(pool.imap(process_id, range(1000)))) == 1
    with pool_of() as fresh:
        (modules,) = fresh.imap(functools.partial(eval, "sorted(__import__('sys').modules)", {}), [{}])
        assert "numpy" not in modules
        assert "apache_beam" not in modules


def test_items_are_taken_only_some_batches_ahead(pool):
    taken = 0

    def items():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = pool.imap(operator.neg, items())
    assert next(results) == -1
    assert taken <= 4 * ITEMS_PER_BATCH
    results.close()


def test_large_items_travel_in_small_batches(pool):
    megabyte = b"x" * (1 << 20)
    items = [megabyte] * 30
    taken = 0

    def counted():
        nonlocal taken
        for item in items:
            taken += 1
            yield (item, "name")

    results = pool.imap(operator.itemgetter(0), counted())
    assert next(results) == megabyte
    assert taken <= 4 * (BYTES_PER_BATCH >> 20) + 1
    assert list(results) == items[1:]


def test_results_may_be_larger_than_any_buffer(pool):
    assert [len(result) for result in pool.imap(bytes, [5_000_000, 0, 20_000_000])] == [5_000_000, 0, 20_000_000]


def test_several_threads_use_one_pool_at_once():
    with pool_of(2) as pool:
        results = {}

        def run(number):
            items = [f"{number}/{item}" if item != 50 + number else "abort" for item in range(200)]
            results[number] = [result == item for result, item in zip(pool.imap(do, items), items, strict=True)]

        threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, agreed in results.items():
        assert [item for item, agrees in enumerate(agreed) if not agrees] == [50 + number]
    assert len(results) == 6


def test_closing_ends_children_and_those_who_wait():
    pool = IsolatedPool(1, LIMITS)
    (pid,) = pool.imap(process_id, [0])
    caught = []

    def wait():
        try:
            list(pool.imap(do, ["sleep"]))
        except IsolationError as error:
            caught.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    pool.close()
    thread.join(timeout=20)
    assert caught == ["the pool was closed before all results were there"] or caught == ["the pool is closed"]
    wait_until(lambda: not is_alive(pid))
    with pytest.raises(IsolationError, match="the pool is closed"):
        list(pool.imap(do, ["fine"]))


def test_an_idle_child_that_is_killed_is_replaced(pool):
    (pid,) = pool.imap(process_id, [0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert list(pool.imap(do, ["fine", "too"])) == ["fine", "too"]


def test_a_child_that_cannot_start_is_an_error_of_the_machine_and_not_of_the_item(monkeypatch):
    with pool_of() as pool:
        monkeypatch.setattr(sys, "executable", "/usr/bin/false")
        with pytest.raises(IsolationError, match=r"did not get ready \(ended with exit code 1\)"):
            list(pool.imap(do, ["fine"]))
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(IsolationError, match="cannot start a child process"):
            list(pool.imap(do, ["fine"]))
        monkeypatch.undo()
        assert list(pool.imap(do, ["fine"])) == ["fine"]


def test_no_process_nor_open_file_is_left_behind():
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    with pool_of() as pool:
        pids = []
        for _ in range(5):
            pids += pool.imap(process_id, [0])
            assert isinstance(next(pool.imap(do, ["abort"])), Killed)
    wait_until(lambda: open_files() <= before)
    assert len(set(pids)) == 5
    assert not any(map(is_alive, pids))


def test_healthy_files_are_read_under_the_limits(pool):
    pieces = [tune(seed, num_notes=200) for seed in range(100)]
    readings = list(pool.imap(midi.read_reporting, map(midi.write, pieces)))
    assert [reading.piece for reading in readings if not isinstance(reading, Killed)] == pieces


def test_hostile_files_have_a_reason_or_music_and_kill_nobody():
    files = list(hostile_files(2 * len(KINDS), seed=2))
    function = functools.partial(parse, config=PrepareConfig(min_notes=1))
    with pool_of(limits=Limits(memory_mb=256)) as pool:
        results = list(pool.imap(function, (file.data for file in files)))
    for file, result in zip(files, results, strict=True):
        assert isinstance(result, Parsed | Unusable), file.name
        if not file.may_be_read:
            assert isinstance(result, Unusable), file.name
            assert result.reason in MIDI_REASONS, file.name
    assert sum(isinstance(result, Parsed) for result in results) > len(files) / 3


def test_one_pool_is_shared_by_a_process():
    assert shared_pool(1, LIMITS) is shared_pool(1, LIMITS)
    assert shared_pool(1, LIMITS) is not shared_pool(1, LIMITS._replace(cpu_s=2))
    assert list(shared_pool(1, LIMITS).imap(math.sqrt, [4.0])) == [2.0]


DAEMON = """
import multiprocessing
import os
from ostinato.beam_pipelines.isolation import shared_pool

def use_pool(answers):
    answers.put(list(shared_pool(1).imap(eval, ["1", "__import__('os').abort()", "2"])))

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=use_pool, args=(answers,), daemon=True)
    process.start()
    process.join()
    first, killed, last = answers.get()
    print(first, killed.reason, last)
"""


def test_a_daemonic_process_may_use_it():
    assert run_python(DAEMON) == "1 crashed 2\n"


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


def test_a_forked_process_may_use_it_and_leaves_the_children_of_its_parent_alone():
    assert run_python(FORK) == "0 True\n"


def run_python(source):
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


BUSY_PARENT = """
import threading, time, sys
from ostinato.beam_pipelines.isolation import shared_pool
pool = shared_pool(2)
pid, = pool.imap(eval, ['__import__("os").getpid()'])
print(pid, flush=True)
{work}
"""
SLEEPS = "list(pool.imap(time.sleep, [1000]))"
COMPUTES = "list(pool.imap(eval, ['10 ** 10 ** 9']))"


def start_parent(work):
    parent = subprocess.Popen(
        [sys.executable, "-c", BUSY_PARENT.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    wait_until(lambda: len(children_of(parent.pid)) >= 1)
    return parent


def children_of(parent_pid):
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent_pid:
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("work", [SLEEPS, COMPUTES, "time.sleep(1000)"], ids=["asleep", "computing", "idle"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_children_end_with_their_parent_and_say_nothing(work, end):
    parent = start_parent(work)
    time.sleep(0.1)
    children = children_of(parent.pid)
    os.killpg(parent.pid, end)  # as a terminal does with Ctrl-C
    _, errors = parent.communicate(timeout=20)
    wait_until(lambda: not any(map(is_alive, children)))
    assert errors.count("Traceback") == (1 if end == signal.SIGINT else 0)  # the parent's own
    assert "isolated_child" not in errors


def test_the_end_of_the_program_does_not_wait_for_children():
    parent = start_parent(f"threading.Thread(target=lambda: {SLEEPS}, daemon=True).start(); time.sleep(0.3)")
    children = children_of(parent.pid)
    _, errors = parent.communicate(timeout=20)
    assert (parent.returncode, errors) == (0, "")
    wait_until(lambda: not any(map(is_alive, children)))
