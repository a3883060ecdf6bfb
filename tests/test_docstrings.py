"""Docstrings as NumPy's style has them: a name and its type on one line, what it is below."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for folder in ("shared/panolink", "services") for file in sorted((ROOT / folder).rglob("*.py"))]


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Sections of a docstring, each with the lines at its own indentation."""
    lines = text.splitlines()
    section = ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line and set(below.strip()) == {"-"}:
            section = line.strip()
        elif section and line and not line.startswith(" ") and set(line) != {"-"}:
            yield section, line


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            text := ast.get_docstring(node)
        ):
            yield text


@pytest.mark.slow
def test_types_are_types() -> None:
    prose = []
    for file in FILES:
        for text in docstrings(file):
            for section, line in entries(text):
                after = line.partition(" : ")[2]
                if section in ("Parameters", "Attributes") and re.search(r"[.;]$", after):
                    prose.append(f"{file.relative_to(ROOT)}: {line}")
                if section == "Raises" and after:
                    prose.append(f"{file.relative_to(ROOT)}: {line}")
    assert not prose, "\n".join(prose[:20])


def test_prose_is_found() -> None:
    parameters = "Parameters\n----------\na : how much of it.\nb : int\n    How often.\n"
    raises = "Raises\n------\nE : it is bad.\n"
    found = [line for _, line in entries(f"Do it.\n\n{parameters}\n{raises}")]
    assert found == ["a : how much of it.", "b : int", "E : it is bad."]
