import subprocess
import sys


def test_aliases_import_nothing_but_numpy():
    code = "import sys; from panolink.phy import shapes; print({'torch', 'numba', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
