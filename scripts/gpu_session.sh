#!/usr/bin/env bash
# What to do with a GPU that is there for a few minutes: train, measure, and check that it reads the same bits.
#
#     scripts/gpu_session.sh DATA_FOLDER OUT_FOLDER [MINUTES] [CONFIG] [START]
#
# All of it, from this line to the last, takes MINUTES (9.5), of which TAIL seconds (90) are for speed and the golden check.
# DATA_FOLDER holds packed panoramas (scripts/pack_panoramas.py). START is a model's name or the state-*.safetensors of an
# earlier session (their folder); the shipped model of CONFIG (base) is the default. OUT_FOLDER gets at most 8 files of
# less than 16 MiB: the averaged state in pieces, which `panolink train --start` takes, metrics.json, metrics.jsonl,
# speed.jsonl, golden.txt. docs/training.md tells what is worth the time. Nothing needs to be installed but PyTorch, numba,
# safetensors, Pillow, rich, typer (for the speed) and pytest (for the golden check).
# Settings: PYTHON (python3), BATCH (256), RATE (1), TAIL (90), TRAIN, SPEED (more arguments for these parts),
# PARTS ("train speed golden"). A failed part does not stop the others; the exit status tells.
set -uo pipefail
began=$SECONDS
data=${1:?DATA_FOLDER} out=${2:?OUT_FOLDER} minutes=${3:-9.5} config=${4:-base} start=${5:-}
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python3} parts=${PARTS:-train speed golden} tail_seconds=${TAIL:-90}
export PYTHONPATH="$PWD/shared:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive
mkdir -p "$out"
total=$(awk "BEGIN { print int(60 * $minutes) }")
status=0
left() { echo $((total - (SECONDS - began))); }
has() { [[ " $parts " == *" $1 "* ]]; }

# part NAME SECONDS COMMAND...: asked to stop after SECONDS, stopped 10 s later; what it wrote until then stays.
part() {
    local name=$1 seconds=$2 rc=0
    shift 2
    [ "$seconds" -gt 0 ] || { echo "$name: no time left"; status=1; return; }
    timeout --kill-after 10 "$seconds" "$@" || rc=$?
    [ $rc -eq 0 ] || { echo "$name: exit status $rc after at most $seconds s"; status=1; }
}
golden() { "$python" -m pytest -q -p no:cacheprovider tests/codec/test_golden.py >"$out/golden.txt" 2>&1; }
export -f golden
export python out

case $config in decoder | perceptual) shipped=base ;; *) shipped=$config ;; esac
[ -f "shared/panolink/weights/$shipped.safetensors" ] || shipped=
if has train; then
    start=${start:-$shipped}
    seconds=$(($(left) - tail_seconds))
    read -ra more <<<"${TRAIN:-}"
    part train $((seconds + tail_seconds / 3)) "$python" scripts/gpu_session.py train --data "$data" --out "$out" --config "$config" \
        --start "$start" --until $(($(date +%s) + seconds)) --batch "${BATCH:-256}" --rate "${RATE:-1}" "${more[@]}"
fi
if has golden; then
    part golden $(($(left) / 2)) bash -c golden
    [ -f "$out/golden.txt" ] && tail -n 1 "$out/golden.txt"
fi
if has speed; then
    read -ra more <<<"${SPEED:-}"
    part speed $(($(left) - 3)) "$python" scripts/gpu_session.py speed --out "$out" --model "${shipped:-base}" "${more[@]}"
fi
echo "session: $((SECONDS - began)) s of $total"
exit $status
