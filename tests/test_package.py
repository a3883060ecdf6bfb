import subprocess
import sys

import pytest

import panolink
from panolink import errors


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("panolink", {"torch", "grpc", "numba", "PIL"}), ("panolink.client", {"torch", "numba"})],
    ids=["the package", "a client, which codes nothing"],
)
def test_import_is_light(module: str, heavy: set[str]):
    code = f"import sys, {module}; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", panolink.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(panolink, name) is not None


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Kodec'"):
        _ = panolink.Kodec


def test_one_error_tree():
    public = [getattr(panolink, name) for name in panolink.__all__ if name.endswith("Error")]
    assert all(issubclass(error, errors.PanolinkError) for error in public)
