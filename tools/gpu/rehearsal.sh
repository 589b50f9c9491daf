#!/bin/bash
# first.sh and second.sh from end to end on the emulated library and a tiny model, so that no line of theirs runs on a GPU for the first
# time: the kit is packed, and unpacked beside the tracked files alone, with doubles of NVIDIA's programs in PATH and without Go.
# rehearsed.py then holds the summaries against what must be in them, and every line of the scripts against what bash traced.
#
#   SO8T_PEER_PYTHON=python   that has torch, transformers and peft: the peers run as well, on the CPU
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work" /dev/shm/so8t-gpu-base-"$$"*' EXIT
mkdir "$work/tree"
SO8T_DEVICE=cuda_emulated tools/gpu.sh prepare
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -C "$work/tree" -x
mkdir "$work/tree/.gpu"
mv .gpu/kit.tar.xz "$work/tree/.gpu/"
rm -rf .gpu/kit

# Every shell below notes the lines that it runs.
cat >"$work/trace" <<'TRACE'
exec 9>>"$TRACED"
BASH_XTRACEFD=9 PS4='+${BASH_SOURCE##*/}:$LINENO:'
set -x
TRACE

# play SCRIPT SECONDS SLOWER: as on the other machine.
play() {
	local begun=$SECONDS
	env -i PATH="$work/tree/tools/gpu/doubles:/usr/local/bin:/usr/bin:/bin" HOME="$work" TMPDIR="$work" BASH_ENV="$work/trace" TRACED="$work/traced" \
		SO8T_DEVICE=cuda_emulated SO8T_EMULATED_ARCH=sm_90 SO8T_EMULATED_CUDNN=92801 SHAPE=tiny SEQUENCE=32 RANK=8 BASE="/dev/shm/so8t-gpu-base-$$" \
		BANDWIDTH_BYTES=1048576 ATTENTION_SIZES=1x32 NEW_TOKENS=5 SLOWER="$3" CASES="(cast|rmsnorm|linear_forward)" \
		${SO8T_PEER_PYTHON:+SO8T_PEER_PYTHON="$SO8T_PEER_PYTHON"} OUT="$work/$1" END="$2" "$work/tree/tools/gpu/$1.sh" || true
	echo "$((SECONDS - begun)) $2" >"$work/$1/took"
}
play first 600 10
play second 600 10
play hangs 60 1
python3 tools/gpu/rehearsed.py "$work"
