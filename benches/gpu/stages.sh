#!/usr/bin/env bash
# Measurements on a GPU, stage by stage: bash stages.sh [OPTION]... STAGE...
#
#   device      the card, the day, and what PyTorch can do on it at most: products of matrices, copies, attention
#   matmul      our products of matrices at the model's shapes, and a pass over memory
#   attention   our attention, there and back
#   golden      the reference's numbers, computed on the card
#   check       our loss and gradients on the card against those of the CPU, and a short training, twice
#   offload     a training step of the default preset with half of the blocks on the host
#   step        a training step at five presets, ours and PyTorch's by turns; step:PRESET for one of them
#   all         all of these, in this order
#
#   --out FOLDER   where each stage leaves STAGE.jsonl when it is done (results)
#   --limit N      seconds that a stage may take (470)
#   --layers N     blocks of the model in `step` and `offload` (48)
#   --kept N       of them, those whose graph our step keeps; the others run forward twice (0, and as many as fit)
#   --tiny         tiny sizes, on a machine without a GPU
#
# PYTHON names the Python that has PyTorch (python3). A stage whose program fails writes that, too, and the next goes on;
# the exit code is 1 then. Lines of a stage that is run again are added to those that are there.
set -u -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
files=$here/files
python=${PYTHON:-python3}
out=results
limit=470
tiny=()
size=()
layers=()
kept=(--kept 0 --kept auto)
blocks=48
presets=(medium-1x1 low-1x1 medium-16x9 high-16x9 high-1x1)
stages=()
failed=0
# Seconds that a preset needs at least, and that a compiled step is not begun without.
least=60

usage() {
  sed -n '2,20s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
}

# The programs, from the archive that they travelled in.
unpack() {
  [ -x "$files/gpu" ] && return
  mkdir -p "$files"
  if command -v xz >/dev/null; then
    xz -dc "$here/files.tar.xz" | tar -xf - -C "$files"
  else
    "$python" -m tarfile -e "$here/files.tar.xz" "$files"
  fi
}

left() {
  echo $((deadline - SECONDS))
}

# Runs a program within what is left of the stage's time. Its lines go to the stage.
guarded() {
  local status=0
  timeout --kill-after=5 "$(left)" "$@" >>"$part" || status=$?
  if [ $status -ne 0 ]; then
    failed=1
    echo "stage $stage: \`$(basename "$1") ${*:2}\` ended with $status" >&2
    printf '{"what":"failure","stage":"%s","program":"%s","status":%d}\n' "$stage" "$(basename "$1")" $status >>"$part"
  fi
}

ours() {
  guarded "$files/gpu" "$@"
}

pytorch() {
  PYTHONPATH=$files/site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 \
    guarded "$python" "$files/pytorch/$1" "${@:2}" "${tiny[@]}"
}

device() {
  printf '{"what":"run","date":"%s"}\n' "$(date -u +%F)" >>"$part"
  ours device
  pytorch gpu_ceiling.py
}

# The first preset is the default one.
offload() {
  local half=$((${layers[1]:-$blocks} / 2))
  ours step --preset "${presets[0]}" --rank 32 --steps 3 --offload $half "${layers[@]}" --kept 0 "${size[@]}"
}

step() {
  local preset=$1
  ours step --preset "$preset" --rank 32 --steps 3 "${layers[@]}" "${kept[@]}" "${size[@]}"
  pytorch gpu_step.py --presets "$preset" --modes eager compile --steps 3 --rank 32 \
    --budget "$(left)" --compile-reserve $least "${layers[@]}"
}

# Runs one stage and adds its lines to its file.
run() {
  stage=$1
  local file=$out/${stage%%:*}.jsonl start=$SECONDS
  part=$out/.part
  : >"$part"
  case $stage in
  device) device ;;
  matmul | attention) ours "$stage" "${size[@]}" ;;
  golden) ours golden --from "$files/golden" ;;
  offload) offload ;;
  check) ours check && ours train ;;
  step:*) step "${stage#step:}" ;;
  esac
  printf '{"what":"stage","stage":"%s","seconds":%d}\n' "$stage" $((SECONDS - start)) >>"$part"
  cat "$part" >>"$file" && rm "$part"
  echo "stage $stage: $((SECONDS - start)) s"
}

steps() {
  local preset
  for preset in "${presets[@]}"; do
    if [ "$(left)" -lt $least ]; then
      echo "no time is left for step:$preset and what follows it" >&2
      failed=1
      return
    fi
    run "step:$preset"
  done
}

while [ $# -gt 0 ]; do
  case $1 in
  --out) out=${2:?--out wants a folder} && shift ;;
  --limit) limit=${2:?--limit wants seconds} && shift ;;
  --layers) layers=(--layers "${2:?--layers wants a number}") && shift ;;
  --kept) kept=(--kept "${2:?--kept wants a number}") && shift ;;
  --tiny) tiny=(--tiny) && size=(--size tiny) && blocks=2 && presets=(tiny-1x1 tiny-16x9) && least=1 ;;
  device | matmul | attention | golden | check | offload | step | step:*) stages+=("$1") ;;
  all) stages+=(device matmul attention golden check offload step) ;;
  *) usage ;;
  esac
  shift
done
[ ${#stages[@]} -gt 0 ] || usage

mkdir -p "$out"
unpack || { echo "cannot unpack $here/files.tar.xz" >&2 && exit 1; }
for name in "${stages[@]}"; do
  deadline=$((SECONDS + limit))
  case $name in
  step) steps ;;
  *) run "$name" ;;
  esac
done
exit $failed
