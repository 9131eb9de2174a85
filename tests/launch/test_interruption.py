import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

INTERRUPTED_IN_A_FINALIZER = """
import os, signal, time
from ostinato.launch import interruption

class Interrupting:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # here it is raised, and ignored

signal.signal(signal.SIGINT, signal.default_int_handler)
with interruption.heard():
    try:
        Interrupting()
        time.sleep(60)
    except KeyboardInterrupt:
        print("heard")
os.kill(os.getpid(), signal.SIGINT)
print("ended")
"""


def test_an_interruption_in_a_finalizer_is_heard_and_one_after_the_end_is_not():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_IN_A_FINALIZER], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "heard\nended\n", "")
