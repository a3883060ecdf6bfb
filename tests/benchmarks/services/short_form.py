"""Benchmarks as a user starts them, short."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_short(module: str, *arguments: str) -> None:
    """Run a benchmark of `benchmarks/services` as a process, without settings from outside; it has to find no fault."""
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.services.{module}", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PANOLINK_")}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert '"faults": []' in run.stdout
