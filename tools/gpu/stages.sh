# What first.sh and second.sh share: stages under limits, with a log and a line in stages.jsonl each, and a summary that is there
# whatever hangs. Read by them, not run. It needs bash, coreutils and python3.
#
#   OUT                     folder for logs and summary.json
#   END=285                 seconds after the start by which everything has ended
#   SO8T_DEVICE=cuda        what is tested
#   SHAPE, SEQUENCE, RANK   of the random model that is trained: phi35, 2048, 64
#   CASES, NEW_TOKENS       what is tested of the operations, and generated: all, 192
#   SLOWER=1                what the stages' limits are multiplied by, for an emulator
#   SO8T_PEER_PYTHON        a Python that has torch, transformers and peft; python3
set -uo pipefail
cd "$(dirname "$0")/../.."
export OUT=${OUT:-.gpu/out/$(basename "$0" .sh)}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

# The stages run in a second shell: where that one hangs itself, the first ends it and still writes the summary.
if [ -z "${STAGES_END:-}" ]; then
	begun=$EPOCHSECONDS
	rm -f "$OUT/stages.jsonl" "$OUT/summary.json"
	END=${END:-285}
	STAGES_END=$((begun + END - 12)) timeout --kill-after=1 "$((END - 8))" bash "$0" || echo "the stages were cut off, or one failed"
	timeout --kill-after=1 6 python3 tools/gpu/summary.py "$OUT" --seconds "$((EPOCHSECONDS - begun))"
	exit
fi

device=${SO8T_DEVICE:-cuda} shape=${SHAPE:-phi35} sequence=${SEQUENCE:-2048} rank=${RANK:-64} new_tokens=${NEW_TOKENS:-192}
python=${SO8T_PEER_PYTHON:-python3}
kit=$PWD/.gpu/kit
# For this project's programs alone: Python brings libraries of its own.
ours=(env "SO8T_DEVICE=$device" "SO8T_NATIVE_DIR=$kit/lib" "LD_LIBRARY_PATH=$kit/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")

# stage NAME SECONDS COMMAND ...: runs it for no longer than that, nor past the end. Its output is NAME.log.
stage() {
	local name=$1 most=$(($2 * ${SLOWER:-1})) left=$((STAGES_END - EPOCHSECONDS)) begun=$EPOCHSECONDS code
	shift 2
	[ "$most" -le "$left" ] || most=$left
	echo "{\"stage\": \"$name\", \"limit\": $most}" >>"$OUT/stages.jsonl"
	[ "$most" -ge 5 ] || return 1
	timeout --kill-after=2 "$most" "$@" >"$OUT/$name.log" 2>&1 </dev/null
	code=$?
	echo "{\"stage\": \"$name\", \"code\": $code, \"seconds\": $((EPOCHSECONDS - begun))}" >>"$OUT/stages.jsonl"
	timeout 5 python3 tools/gpu/summary.py "$OUT" --stage "$name"
	return $code
}

# go_tests NAME SECONDS PACKAGE PATTERN: a package's test program, in the package's folder for its testdata.
go_tests() { stage "$1" "$2" "${ours[@]}" env -C "$3" "${wrap[@]}" "$kit/$(basename "$3").test" -test.v -test.timeout 0 -test.run "$4"; }
wrap=()

# operations TYPE ALIGNED: a pattern of native's cases, some of which have names of two parts.
operations() { echo "TestOperations/$cases/$1/aligned=$2|TestOperations/$cases/[^/]+/$1/aligned=$2"; }
cases=${CASES:-[a-z0-9_]+}

# measure NAME SECONDS COMMAND ...: a command of bench on the random model. cuBLASLt's choices are made once, by whoever comes first.
measure() {
	stage "$1" "$2" "${ours[@]}" "${wrap[@]}" "$kit/bench" "$3" --base "$base" --device "$device" --algorithms .gpu/products.choices "${@:4}"
}
train() { measure "$1" "$2" step --sequence "$sequence" --rank "$rank" "${@:3}"; }

# write_base: the random weights, 7.6 GB at Phi-3.5-mini's size, in memory where there is room. Another stage may run meanwhile.
write_base() { [ -e "$base.whole" ] || { stage base 90 "${ours[@]}" "$kit/bench" write --shape "$shape" --out "$base" && touch "$base.whole"; }; }
base=${BASE:-/dev/shm/so8t-gpu-base}
[ "$(df --output=avail -B1G /dev/shm | tail -n 1)" -gt 12 ] || base=.gpu/base

stage kit 60 python3 -m tarfile -e .gpu/kit.tar.xz .gpu
stage machine 30 "$python" tools/gpu/machine.py
