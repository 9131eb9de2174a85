"""`python -m ostinato.benchmarks.gpu.stages NAME FOLDER END_S [smoke]`: one stage, in a process of its own.

FOLDER is where results.jsonl grows; END_S is when the stage has to be done, in seconds since 1970.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from ostinato.benchmarks.gpu import equality, machine, planning, runs, sampling, speed
from ostinato.benchmarks.gpu.context import Context

RUN: dict[str, Callable[[Context], None]] = {
    "machine": machine.run,
    "equality": equality.run,
    "speed": speed.run,
    "resume": runs.run_resume,
    "sampling": sampling.run,
    "feeding": runs.run_feeding,
    "planning": planning.run,
    "sharing": runs.run_sharing,
}

if __name__ == "__main__":
    name, folder, end_s, *smoke = sys.argv[1:]
    RUN[name](Context(name, Path(folder), float(end_s), bool(smoke)))
