"""`ostinato launch local`: processes that share a machine, fail, start again, and never outlive their launcher."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch import local
from ostinato.launch.cli import main
from ostinato.launch.local import divide_cores, divide_machine, judge
from ostinato.launch.process_group import Ended
from ostinato.train.hosts import place
from ostinato.train.runs import show
from tests.train.conftest import TRAIN_LENGTHS, make_dataset

# The launcher with another command than training, so that it can be told how to fail.
LAUNCHER = """
import sys
from ostinato.launch import process_group
from ostinato.launch.local import divide_machine, run_until_finished
program, folder, max_restarts, patience_s = sys.argv[1:]
process_group.SETTLE_S = float(patience_s)
shares = divide_machine({}, 2, 0, num_gpus=0)
command = [sys.executable, "-c", program, folder]
sys.exit(run_until_finished(command, shares, max_restarts=int(max_restarts), grace_s=float(patience_s)))
"""
# Notes in a folder that it was started, for the n-th time.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
me = os.environ["OSTINATO_PROCESS_ID"]
mine = Path(sys.argv[1]) / me
mine.mkdir(exist_ok=True)
times = len(list(mine.iterdir())) + 1
(mine / str(times)).touch()
"""
DEAF = """
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", os.getpid(), flush=True)
time.sleep(600)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands; when the test ends, however it ends, they are killed, and the kernel kills what they started."""
    started: list[subprocess.Popen[str]] = []

    def popen(command: list[str]) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe and not pipe.closed:
                pipe.close()
        process.wait()


@pytest.fixture
def launch(start: Start, tmp_path: Path) -> Start:
    """Starts a launcher of two processes that run a program."""

    def popen(program: str, *, max_restarts: int = 0, patience_s: float = 60.0) -> subprocess.Popen[str]:
        options = [PROGRAM + program, str(tmp_path), str(max_restarts), str(patience_s)]
        return start([sys.executable, "-c", LAUNCHER, *options])

    return popen


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Returns exit code, lines of standard output and of standard error."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, sorted(output.splitlines()), sorted(errors.splitlines())


def starts(folder: Path) -> dict[str, int]:
    """Returns how often each process was started."""
    return {mine.name: len(list(mine.iterdir())) for mine in sorted(folder.iterdir())}


def lines_until_all_say(process: subprocess.Popen[str], word: str, count: int = 2) -> list[str]:
    assert process.stdout
    lines = []
    while sum(word in line for line in lines) < count:
        lines.append(process.stdout.readline())
        assert lines[-1], "the output ended"
    return lines


def test_every_line_says_whose_it_is_and_stays_in_its_stream(launch):
    program = 'print("one\\n\\ntwo", end=""); print("trouble", file=sys.stderr)'
    code, output, errors = finish(launch(program))
    assert code == ExitCode.FINISHED
    assert output == ["[0] ", "[0] one", "[0] two", "[1] ", "[1] one", "[1] two"]
    assert errors == ["[0] trouble", "[1] trouble"]


def test_processes_get_numbers_one_coordinator_and_their_own_cores(launch):
    program = "print(os.environ['OSTINATO_NUM_PROCESSES'], os.environ['OSTINATO_COORDINATOR'], os.sched_getaffinity(0))"
    code, output, _ = finish(launch(program))
    assert code == ExitCode.FINISHED
    told = [line.split(maxsplit=3) for line in output]
    assert [words[:2] for words in told] == [["[0]", "2"], ["[1]", "2"]]
    assert told[0][2] == told[1][2]
    expected = divide_cores(sorted(os.sched_getaffinity(0)), 2)
    assert [words[3] for words in told] == [str(set(cores)) for cores in expected]


def test_all_start_again_when_one_is_killed(launch, tmp_path):
    lost = f"if times < 3: sys.exit({ExitCode.PEER_LOST:d})"
    program = f"if me == '1' and times < 3: os.kill(os.getpid(), signal.SIGKILL)\n{lost}"
    code, _, errors = finish(launch(program, max_restarts=2))
    assert code == ExitCode.FINISHED
    assert starts(tmp_path) == {"0": 3, "1": 3}
    assert errors == [
        f"ostinato launch: SIGKILL killed process 1; all go on from the last checkpoint (restart {n} of 2)"
        for n in (1, 2)
    ]


def test_they_start_again_at_most_as_often_as_was_said(launch, tmp_path):
    code, _, errors = finish(launch(f"sys.exit({ExitCode.PREEMPTED:d} if me == '0' else 0)", max_restarts=2))
    assert code == ExitCode.PREEMPTED
    assert starts(tmp_path) == {"0": 3, "1": 3}
    assert "ostinato launch: process 0 was preempted (exit code 75)" in errors


def test_mistakes_are_not_tried_again(launch, tmp_path):
    # The other one is lost without it, and is killed since it does not notice.
    program = f"if me == '1': sys.exit({ExitCode.USAGE:d})\ntime.sleep(600)"
    code, _, errors = finish(launch(program, max_restarts=5, patience_s=0.5))
    assert code == ExitCode.USAGE
    assert starts(tmp_path)["1"] == 1
    assert errors == ["ostinato launch: process 1 failed (exit code 2)"]


@pytest.mark.parametrize(
    ("asked", "expected"), [(signal.SIGTERM, ExitCode.PREEMPTED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_signals_are_passed_on_once_and_end_it(launch, tmp_path, asked, expected):
    program = f"""
codes = []
signal.signal({asked:d}, lambda *_: codes.append({expected:d}))
print("ready", flush=True)
while not codes:
    time.sleep(0.01)
time.sleep(0.2)  # for a second one
print("came", len(codes), flush=True)
sys.exit(codes[0])
"""
    process = launch(program, max_restarts=3)
    lines_until_all_say(process, "ready")
    process.send_signal(asked)
    code, output, _ = finish(process)
    assert output == ["[0] came 1", "[1] came 1"]
    assert code == expected
    assert starts(tmp_path) == {"0": 1, "1": 1}


def test_ctrl_c_is_heard_where_a_shell_lets_its_jobs_ignore_it(start, tmp_path):
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    program = PROGRAM + 'print("ready", flush=True); time.sleep(600)'  # ends as Python does at Ctrl-C
    launcher = [sys.executable, "-c", LAUNCHER, program, str(tmp_path), "0", "60"]
    process = start([sys.executable, "-c", ignoring, *launcher])
    lines_until_all_say(process, "ready")
    process.send_signal(signal.SIGINT)
    code, _, errors = finish(process)
    assert code == 128 + signal.SIGINT
    assert "ostinato launch: SIGINT killed process 0" in errors


def test_who_does_not_listen_is_killed_after_the_grace(launch):
    process = launch(DEAF, patience_s=0.5)
    lines_until_all_say(process, "ready")
    process.terminate()
    code, _, errors = finish(process)
    assert code == 128 + signal.SIGKILL
    assert errors == ["ostinato launch: process 0 did not end in time and was killed"]


def test_nobody_outlives_a_launcher_that_is_killed(launch):
    process = launch(DEAF)
    pids = [int(line.split()[-1]) for line in lines_until_all_say(process, "ready")]
    process.kill()
    finish(process)  # the pipes are closed once the last one is gone
    end = time.monotonic() + 60
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_nobody_works_on_when_nobody_reads(launch):
    program = f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit({ExitCode.PREEMPTED:d}))
for number in range(10_000):
    print("line", number, flush=True)
    time.sleep(0.01)
"""
    process = launch(program)
    process.stdout.readline()
    process.stdout.close()  # `| head -1`
    assert process.wait(60) == ExitCode.PREEMPTED


def test_the_cause_is_found_among_its_consequences():
    killed, aborted = Ended(-signal.SIGKILL), Ended(-signal.SIGABRT)
    late = Ended(-signal.SIGKILL, killed_here=True)
    failed, usage, lost = Ended(ExitCode.FAILED), Ended(ExitCode.USAGE), Ended(ExitCode.PEER_LOST)
    preempted, fine = Ended(ExitCode.PREEMPTED), Ended(ExitCode.FINISHED)
    for ended, code, restart, cause in (
        ([fine, fine], ExitCode.FINISHED, False, ""),
        ([lost, killed], 137, True, "SIGKILL killed process 1"),
        ([failed, killed], 137, True, "SIGKILL killed process 1"),
        ([aborted, failed], ExitCode.FAILED, False, "process 1 failed (exit code 1)"),
        ([aborted, usage, lost], ExitCode.USAGE, False, "process 1 failed (exit code 2)"),
        ([Ended(ExitCode.NON_FINITE), late], ExitCode.NON_FINITE, False, "process 0 failed (exit code 77)"),
        ([lost, late], ExitCode.PEER_LOST, True, "process 0 lost another (exit code 76)"),
        ([preempted, fine], ExitCode.PREEMPTED, True, "process 0 was preempted (exit code 75)"),
        ([fine, late], 137, True, "process 1 did not end in time and was killed"),
        ([Ended(-signal.SIGTERM), preempted], ExitCode.PREEMPTED, True, "SIGTERM ended process 0"),
        ([aborted, aborted], 134, True, "SIGABRT killed process 0"),
    ):
        assert judge(ended) == (code, restart, cause)


def test_devices_are_divided():
    gpus = [share.environ for share in divide_machine({}, 2, 0, num_gpus=4)]
    assert gpus == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    gpus = [share.environ for share in divide_machine({"CUDA_VISIBLE_DEVICES": "5,GPU-a"}, 2, 0, num_gpus=8)]
    assert gpus == [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "GPU-a"}]
    with pytest.raises(ValueError, match="4 GPUs cannot be divided among 3 processes"):
        divide_machine({}, 3, 0, num_gpus=4)
    cpus = divide_machine({"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_a"}, 2, 3, num_gpus=4)
    assert [share.environ for share in cpus] == [{"XLA_FLAGS": "--xla_a --xla_force_host_platform_device_count=3"}] * 2
    assert divide_cores(range(5), 2) == [{0, 1}, {2, 3, 4}]
    assert divide_cores([3, 7], 3) == [{3}, {7}, {3}]
    assert divide_cores([], 2) == [frozenset(), frozenset()]


def test_launcher_and_training_agree_on_names():
    for name in ("COORDINATOR", "NUM_PROCESSES", "PROCESS_ID"):
        assert getattr(local, name) == getattr(place, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["local", "--processes", "2"], "what is to be launched?"),
        (["local", "--", "evaluate", "--workdir", "a", "--dataset", "b", "--output", "c"], "what is to be launched?"),
        (["local", "--", "train", "--dataset", "a", "debug"], "--workdir is missing"),
        (["local", "--processes", "0", "--", "train"], "--processes 0 must be at least 1"),
        (["slurm", "--", "train"], "must be one of local"),
    ],
)
def test_mistakes_in_the_flags_are_one_line(capsys, arguments, message):
    assert main(["launch", *arguments]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def training(folder: Path, workdir: Path) -> list[str]:
    launch = ["launch", "local", "--processes", "2", "--devices-per-process", "1", "--max-restarts", "1", "--"]
    train = ["train", "--dataset", str(folder / "data"), "--workdir", str(workdir), "debug"]
    sizes = ["--num-steps", "40", "--checkpoint-every", "10", "--log-every", "10", "--data.batch-size", "4"]
    sizes += ["--peer-timeout-s", "600"]  # a busy machine is no stall
    model = ["--data.sequence-length", "8", "--model.hidden-size", "16", "--model.head-size", "8"]
    return [sys.executable, "-m", "ostinato.launch.cli", *launch, *train, *sizes, *model]


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_run_goes_on_after_one_of_its_processes_was_killed(tmp_path, start):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)
    process = start(training(tmp_path, tmp_path / "run"))
    while "step 20 of" not in (line := process.stderr.readline()):
        assert line, "it ended before step 20"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (victim,) = [pid for pid in children if "OSTINATO_PROCESS_ID=1" in environ_of(pid)]
    os.kill(int(victim), signal.SIGKILL)
    _, rest = process.communicate(timeout=600)
    assert process.returncode == ExitCode.FINISHED, rest
    assert "SIGKILL killed process 1; all go on from the last checkpoint (restart 1 of 1)" in rest
    whole = start(training(tmp_path, tmp_path / "whole"))
    assert (whole.communicate(timeout=600), whole.returncode)[1] == ExitCode.FINISHED
    killed, undisturbed = (show(tmp_path / name) for name in ("run", "whole"))
    assert killed["step"] == undisturbed["step"] == 40
    assert killed["params_sha256"] == undisturbed["params_sha256"]


def environ_of(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")
