"""Of which code figures are: those of another revision are measured anew."""

import ast
import functools
import gc
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import panolink
from benchmarks.lib import quality_measures

PACKAGE = Path(panolink.__file__).parent


def revision(codec: panolink.Codec) -> str:
    """Of what a model's figures depend on and its fingerprint does not tell: the encoder, the decoder that is loaded,
    and the code of codec, sphere and measures, but for streams, comments, docstrings and layout."""
    digest = hashlib.sha256()
    for name, value in sorted(codec.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    packages = (sorted((PACKAGE / package).rglob("*.py")) for package in ("codec", "metrics", "sphere"))
    # Of streams single pictures know nothing.
    sources = [source for package in packages for source in package if source.parent.name != "streaming"]
    digest.update(of_code(sources).encode())
    return digest.hexdigest()[:8]


@functools.cache
def of_measures() -> str:
    """Of what scores depend on: the code of measures, but for comments, docstrings and layout."""
    metrics = sorted(set((PACKAGE / "metrics").glob("*.py")) - {PACKAGE / "metrics/bd_rate.py"})
    sphere = [PACKAGE / "sphere" / name for name in ("viewports.py", "latitude.py")]
    return of_code([*metrics, *sphere, Path(quality_measures.__file__)])[:8]


def is_of_these_measures(point: Mapping[str, Any]) -> bool:
    """Whether a kept point was scored by the measures as they are."""
    return point.get("revision") == of_measures()


def of_code(sources: Iterable[Path]) -> str:
    """SHA-256 of what Python files do: comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    collects = gc.isenabled()
    gc.disable()  # Python 3.11 may fail where garbage is collected while it builds a tree: "recursion depth mismatch"
    try:
        for source in sources:
            digest.update(ast.dump(_without_docstrings(ast.parse(source.read_text()))).encode())
    finally:
        if collects:
            gc.enable()
    return digest.hexdigest()


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)]
    return tree


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
