import subprocess
import sys

import pytest

import panolink
from panolink import errors


def test_import_is_light():
    code = "import sys, panolink; print(sorted({'torch', 'grpc', 'numba', 'PIL'} & sys.modules.keys()))"
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
