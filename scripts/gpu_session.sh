#!/usr/bin/env bash
# What to do with a GPU that is there for a few minutes: train, measure, and check that it reads the same bits.
#
#     scripts/gpu_session.sh DATA_FOLDER OUT_FOLDER [MINUTES] [CONFIG]
#
# DATA_FOLDER holds panoramas (scripts/pack_panoramas.py makes a small one). OUT_FOLDER gets weights.safetensors, a model of
# less than 16 MiB, metrics.json, speed.jsonl and golden.txt; a later call with the same folder goes on from those weights.
# The entropy coder is fitted in a hurry, on one copy of each panorama; COPIES=8 is what ships and takes a quarter of an hour more.
# PYTHON=… chooses the interpreter. A failed part does not stop the others; the exit status tells.
set -uo pipefail
data=${1:?DATA_FOLDER} out=${2:?OUT_FOLDER} minutes=${3:-5} config=${4:-base}
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH="$PWD/shared:$PWD" PYTHONUNBUFFERED=1
mkdir -p "$out"
status=0

# The run's own folder stays behind: its checkpoint is large, and the weights go on without it.
run=$(mktemp -d)
start=()
if [ "$config" = perceptual ]; then
    start=(--start base) # a second decoder is one of a finished model, and each call begins with that model's own
elif [ -f "$out/weights.safetensors" ]; then
    cp "$out/weights.safetensors" "$run/before.safetensors"
    start=(--start "$run/before.safetensors")
elif [ -f "shared/panolink/weights/$config.safetensors" ]; then
    start=(--start "$config")
fi
"$python" -m panolink.cli train --data "$data" --config "$config" --batch "${BATCH:-64}" --minutes "$minutes" \
    --copies "${COPIES:-1}" "${start[@]}" --out "$run/run" --cache "$run/cache" --json >"$out/summary.json" || status=1
for file in weights.safetensors metrics.json metrics.jsonl; do
    [ -f "$run/run/$file" ] && cp "$run/run/$file" "$out/$file"
done
rm -rf "$run"

sizes=(--width 2048 --width 4096 --width 7680 --batch 1 --batch 2 --batch 4 --batch 8 --batch 16 --batch 32)
[ -n "${SIZES:-}" ] && read -ra sizes <<<"$SIZES"
"$python" benchmarks/codec/codec_speed.py samples/city.webp "${sizes[@]}" | tee "$out/speed.jsonl" || status=1
"$python" -m pytest -q -k golden | tee "$out/golden.txt" || status=1
exit $status
