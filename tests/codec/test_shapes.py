import subprocess
import sys


def test_aliases_import_no_torch():
    code = "import sys; from panolink.codec import shapes; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
