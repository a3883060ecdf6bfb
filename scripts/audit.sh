#!/bin/sh
# Known vulnerabilities of what is installed in .venv, from the advisories of PyPI. Where those cannot be reached it says so
# and ends with 0: what cannot be asked is no finding. Exit code 1 where there are any.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python

if ! $python - <<'PYTHON'
import sys, urllib.request
try:
    urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=5).close()
except Exception:
    sys.exit(1)
PYTHON
then
    echo "audit: the advisories of PyPI cannot be reached from here; nothing was checked"
    exit 0
fi
exec $python -m pip_audit --local --skip-editable --progress-spinner off
