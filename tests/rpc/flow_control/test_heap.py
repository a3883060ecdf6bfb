"""Memory that was freed in pieces goes back to the system."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from panolink.rpc.flow_control.heap import return_free_memory, share_one_heap

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS"))

share_one_heap()
rest = resident()
pieces = [np.ones(100_000, np.uint8) for _ in range(2000)]  # each is below what the heap asks the system for singly
full = resident()
del pieces[:-1]  # the last one keeps the heap's end where it is
held = resident()
return_free_memory()
print(rest, full, held, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_pieces_are_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    rest, full, held, after = map(int, run.stdout.split())
    assert full - rest > 150 and held - rest > 150, run.stdout
    assert after - rest < 20, run.stdout
