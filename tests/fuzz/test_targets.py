"""Parsers of outside bytes: the corpus, mutations of it, and a few seconds of coverage-guided fuzzing.

`make fuzz MINUTES=10` goes on where this ends.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import targets

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "fuzz/corpus"


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    targets.prepare()


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_seeds_and_takes_them() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(targets.TARGETS)
    for name in targets.TARGETS:
        for path in sorted((CORPUS / name).iterdir()):
            if not path.name.startswith("bug-"):
                targets.TARGETS[name](path.read_bytes())  # not even refused


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/bug-*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_a_bug_once_is_none_any_more(path: Path) -> None:
    targets.run(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", ["packet", "payloads", "update"])
def test_what_a_header_says_is_looked_at_behind_its_checksum(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed byte of the header is not refused for its checksum, which a search would never find."""
    reached = []
    codec = targets._codec()
    monkeypatch.setattr(type(codec), "unpack", lambda *_: reached.append("unpack"))
    monkeypatch.setattr(targets.StreamDecoder, "update", lambda *_: reached.append("update"))
    seed = seeds(name)[0]
    at = seed.index(bytes.fromhex(codec.fingerprint))
    with contextlib.suppress(AttributeError):  # of what is no state
        targets.TARGETS[name](seed[:at] + bytes([seed[at] ^ 1]) + seed[at + 1 :])
    assert reached


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "repeat", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(
            st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x80" * 9 + b"\1", b"1e999"])
        ),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[str, float, bytes, int]]) -> bytes:
    for kind, where, what, count in edits:
        at = int(where * (len(data) + 1))
        if kind == "replace":
            data = data[:at] + what + data[at + len(what) :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + count :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + 16] * count + data[at:]
        else:
            data = data[:at]
    return data


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.TARGETS)
def test_mutations_of_seeds_are_taken_or_refused(name: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(seeds(name)), EDITS)
    def mutated(seed: bytes, edits: list[tuple[str, float, bytes, int]]) -> None:
        targets.run(name, edited(seed, edits))

    mutated()


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="no atheris for this platform")
def test_a_few_seconds_guided_by_coverage() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fuzz.run", "all", "--seconds", "15"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-4000:]
    assert "Done " in run.stderr
