"""One process of a benchmark that runs training steps when it is told to; needs nothing but the file that makes them.

    python -P benchmarks/worker.py FILE REQUEST

FILE defines `make_run(request)`, which returns a function that runs k steps to their end and returns the loss of the
last. REQUEST is JSON. Each line on standard input is a k, and each line of the answer is JSON: CPU seconds of all
threads, seconds, page faults, and the loss. The end of the input is the end of the process.
"""

import importlib.util
import json
import os
import resource
import sys
import time


def main() -> None:
    """Answers until there are no more questions."""
    file, request = sys.argv[1], json.loads(sys.argv[2])
    os.sched_setaffinity(0, request["cores"])  # before a library counts the cores
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    spec = importlib.util.spec_from_file_location("steps", file)
    assert spec, file
    assert spec.loader, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = module.make_run(request)
    for line in sys.stdin:
        before, start_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        loss = run(int(line))
        after, end_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        answer = {
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "wall_s": end_s - start_s,
            "page_faults": after.ru_minflt - before.ru_minflt,
            "loss": loss,
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
