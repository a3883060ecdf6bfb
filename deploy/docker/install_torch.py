"""Install torch in the version of the constraints, made for CPUs or with CUDA, and never the other by mistake.

    install_torch.py cpu|cuda --python PYTHON --constraints FILE [--index URL]

PyPI holds one build for each platform: for Linux on x86-64 that is the one with CUDA, several GB of it. It stands in
locks/cuda.txt with its hash, so that there is nothing to do here unless an index is given. The builds for CPUs are on
an index of their own, which is asked first where it answers (or are found by what pip is configured with). A build of
the wrong kind is an error before anything large is fetched. What torch needs in turn is in the locks.
"""

import argparse
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import unquote

CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


def answers(index: str) -> bool:
    """Whether an index can be reached; pip itself would try it again and again."""
    try:
        urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def _hash_of(found: dict) -> str:
    """What pip's report says of a file; pip has compared it where its index tells one."""
    return found["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "unknown")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("cpu", "cuda"))
    parser.add_argument("--python", required=True, help="the interpreter to install for")
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--index", default="", help="where builds of this kind are, besides pip's own indexes")
    given = parser.parse_args()
    if given.kind == "cuda" and not given.index:
        return 0

    version = re.search(r"^torch==([\w.]+)", given.constraints.read_text(), re.MULTILINE)
    if not version:
        parser.error(f"{given.constraints} does not pin torch")
    index = given.index or (CPU_BUILDS if given.kind == "cpu" else "")
    if index and not answers(index):
        if given.index:
            parser.error(f"nothing answers at {index}")
        print(f"{index} cannot be reached: pip's own indexes have to do", file=sys.stderr)
        index = ""

    wanted = f"torch=={version[1]}"  # of several, 2.0 and 2.0+cpu, the highest
    install = [sys.executable, "-m", "pip", "--python", given.python, "install", "--no-deps"]
    install += ["-c", str(given.constraints), wanted]
    if index:
        install += ["--extra-index-url", index]
    plan = subprocess.run(
        [*install, "--dry-run", "--quiet", "--report", "-"], stdout=subprocess.PIPE, text=True, check=True
    )
    (found,) = json.loads(plan.stdout)["install"]
    needs = " ".join(found["metadata"].get("requires_dist", []))
    kind = "cuda" if re.search(r"\b(nvidia|cuda|triton)", needs) else "cpu"
    if kind != given.kind:
        what = f"torch {found['metadata']['version']} is a build for {kind}"
        print(f"install_torch: {what}, wanted is {given.kind}; say with --index where one is", file=sys.stderr)
        return 1
    file = unquote(found["download_info"]["url"].rpartition("/")[2])
    print(f"install_torch: {file}, sha256 {_hash_of(found)}", file=sys.stderr)
    return subprocess.run(install).returncode


if __name__ == "__main__":
    raise SystemExit(main())
