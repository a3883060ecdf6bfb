"""Run a target with atheris, guided by coverage, over the corpus.

python -m fuzz.run picture --seconds 60        one target; names in fuzz/targets.py
python -m fuzz.run all --seconds 60            all in one process: the first byte of an input chooses

What it finds new goes to `.cache/fuzz/NAME`; an input that is a bug is written to `.cache/fuzz/crashes` and ends the
run with exit code 77.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Parse the command line and hand over to libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args()

    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["panolink", "PIL", "tomllib"], exclude=_compiled()):
        from fuzz import targets

    names = list(targets.TARGETS)
    if options.target not in (*names, "all"):
        parser.error(f"no target {options.target!r}; there is all, {', '.join(names)}")
    targets.prepare()

    def one(data: bytes) -> None:
        if options.target == "all":
            targets.run(names[data[0] % len(names)] if data else names[0], data[1:])
        else:
            targets.run(options.target, data)

    found, crashes = ROOT / ".cache/fuzz" / options.target, ROOT / ".cache/fuzz/crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    corpus = [found, *([ROOT / "fuzz/corpus" / options.target] if options.target != "all" else [_all(names)])]
    arguments = [
        sys.argv[0],
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        f"-max_len={1 << (19 if options.target == 'weights' else 15)}",
        f"-artifact_prefix={crashes}/{options.target}-",
        *map(str, corpus),
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def _compiled() -> list[str]:
    """Modules with functions that numba compiles, which does not know instrumented bytecode."""
    package = ROOT / "shared/panolink"
    return [
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in package.rglob("*.py")
        if "panolink.jit" in (text := path.read_text()) or "import numba" in text
    ]


def _all(names: list[str]) -> Path:
    """The whole corpus, each input behind the number of its target."""
    folder = ROOT / ".cache/fuzz/all-corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        for path in (ROOT / "fuzz/corpus" / name).glob("*"):
            (folder / f"{name}-{path.name}").write_bytes(bytes([number]) + path.read_bytes())
    return folder


if __name__ == "__main__":
    main()
