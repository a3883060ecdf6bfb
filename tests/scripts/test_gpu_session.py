import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

WITHOUT = """
import sys
ABSENT = {"grpc_health", "pydantic", "pydantic_settings", "constriction", "av", "cryptography", "docker"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_golden_files_can_be_checked_where_there_is_only_what_the_codec_needs():
    """A GPU machine that is lent has PyTorch, and not what services need."""
    command = [sys.executable, "-c", WITHOUT, "--collect-only", "tests/codec/test_golden.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
