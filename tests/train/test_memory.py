"""Freed memory stays with the process."""

import subprocess
import sys

PROGRAM = """
import ctypes, resource, sys, threading
from ostinato.train.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc, size = ctypes.CDLL(None), 80 << 20
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def allocate():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        memory = libc.malloc(ctypes.c_size_t(size))
        ctypes.memset(memory, 1, size)
        libc.free(memory)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
faults = []
thread = threading.Thread(target=allocate)  # XLA's memory too is asked for by threads
thread.start()
thread.join()
print(*faults)
"""


def page_faults(how):
    run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return [int(number) for number in run.stdout.split()]


def test_memory_that_was_freed_is_used_again_without_page_faults():
    first, second = page_faults("keep")
    assert second < first / 10
    assert min(page_faults("as it is")) > first / 2
