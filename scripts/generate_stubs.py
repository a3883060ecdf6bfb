#!/usr/bin/env python
"""Make the Python stubs of the protocol: `proto/panolink/v1/*.proto` → `shared/panolink/v1/`.

    python scripts/generate_stubs.py            write them
    python scripts/generate_stubs.py --check    exit 1 if the committed ones are not what would be written

Needs `grpcio-tools` (the `dev` extra pins it, so that everybody's stubs are the same).
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = ROOT / "shared" / "panolink" / "v1"
MARKER = '"""Generated from `proto/panolink/v1` by `scripts/generate_stubs.py`; not to be edited."""\n'


def generate(out: Path) -> None:
    """Write messages, type hints and gRPC stubs of all protos below `out` (as `panolink/v1/…`)."""
    protos = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    includes = [f"-I{PROTO}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, *protos]) != 0:
        raise SystemExit("generate_stubs: protoc failed")
    (out / "panolink" / "v1" / "__init__.py").write_text(MARKER)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.py*")) if path.is_file()}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = contents(Path(folder) / "panolink" / "v1")
    present = contents(STUBS)
    stale = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
    if arguments:
        for name in stale:
            print(f"{STUBS.relative_to(ROOT) / name} is stale: run python scripts/generate_stubs.py")
        return 1 if stale else 0
    STUBS.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (STUBS / name).unlink() if name not in fresh else (STUBS / name).write_text(fresh[name])
        print(f"{STUBS.relative_to(ROOT) / name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
