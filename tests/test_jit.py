import inspect
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from panolink.jit import kernel, unpack_cache


def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


def test_a_kernel_computes_what_its_function_does() -> None:
    compiled = kernel(total)
    values = np.arange(7, dtype=np.float64)
    assert compiled(values) == total(values) == 21
    assert compiled.targetoptions["nogil"], "threads run side by side"
    assert inspect.getdoc(compiled) == inspect.getdoc(total)


@pytest.mark.slow
def test_a_kernel_is_compiled_anew_where_what_it_uses_of_others_has_changed(tmp_path: Path) -> None:
    """numba keeps what it has compiled until the kernel's own file changes."""
    (tmp_path / "outer.py").write_text(
        "from inner import ADDED, twice\nfrom panolink.jit import kernel\n\n\n"
        "@kernel\ndef outer(value):\n    return below(value)\n\n\n"
        "@kernel\ndef below(value):\n    return twice(value) + ADDED\n\n\nprint(outer(5))\n"
    )
    inner = (
        "import numpy as np\nfrom panolink.jit import kernel\n\nADDED = np.int64({added})\n\n\n"
        "@kernel\ndef twice(value):\n    return {factor} * value\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for factor, added, expected in ((2, 1, 11), (3, 1, 16), (3, 4, 19)):
        (tmp_path / "inner.py").write_text(inner.format(factor=factor, added=added))
        run = subprocess.run(
            [sys.executable, "outer.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.stdout == f"{expected}\n", run.stderr


def test_kernels_are_plain_functions_where_numba_is_told_so() -> None:
    """`NUMBA_DISABLE_JIT=1`, for debuggers."""
    code = "from panolink.jit import kernel\n@kernel\ndef f(x):\n    return x + 1\nprint(f(1))\n"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout == "2\n", run.stderr


def test_where_no_cache_can_be_written_kernels_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    njit, asked = numba.njit, []

    def without_a_place(*, cache: bool, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(cache=False, **options)

    monkeypatch.setattr(numba, "njit", without_a_place)
    assert kernel(total)(np.ones(3)) == 3
    assert asked == [True, False]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernels that came with an image, and where numba is to find them."""
    (tmp_path / "image" / "phy").mkdir(parents=True)
    (tmp_path / "image" / "phy" / "kernel.nbi").write_bytes(b"compiled")
    monkeypatch.setenv("PANOLINK_KERNEL_CACHE", str(tmp_path / "image"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_kernels_of_an_image_are_unpacked_once(image: Path) -> None:
    unpack_cache()
    unpacked = image / "cache" / "phy" / "kernel.nbi"
    assert unpacked.read_bytes() == b"compiled"
    unpacked.write_bytes(b"newer")
    unpack_cache()
    assert unpacked.read_bytes() == b"newer"


def test_what_cannot_be_unpacked_leaves_nothing_half(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (image / "image" / "phy" / "dangling.nbi").symlink_to(image / "absent")
    unpack_cache()
    assert not (image / "cache").exists()
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    unpack_cache()  # nowhere to unpack to
