"""The garbage collector as the program sets it, in a process of its own: it is the process's."""

import subprocess
import sys

from engine.collector import THRESHOLDS

SCRIPT = """
import gc
from engine.collector import calm_collector

class Node:
    pass

kept, lost = Node(), Node()
lost.itself = lost
del lost
calm_collector()
print(gc.get_threshold(), gc.get_freeze_count() > 0, any(o is kept for o in gc.get_objects()))
"""


def test_what_there_is_is_never_looked_at_again() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == f"{THRESHOLDS} True False"
