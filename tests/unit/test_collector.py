"""The garbage collector as the program sets it, in a process of its own: it is the process's."""

import subprocess
import sys

from engine.collector import THRESHOLDS

SCRIPT = """
import gc
from engine.collector import calm_collector

class Node:
    pass

def walks():
    return sum(generation["collections"] for generation in gc.get_stats())

kept, lost = Node(), Node()
lost.itself = lost
del lost
before = walks()
calm_collector()
is_seen = any(one is kept for one in gc.get_objects())
print(walks() - before, gc.get_threshold(), gc.get_freeze_count() > 0, is_seen)
"""


def test_what_there_is_is_never_looked_at_again() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == f"0 {THRESHOLDS} True False"
