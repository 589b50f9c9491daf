#!/bin/bash
# Everything that wants a GPU, in one command: tests, parity with the CPU, compute-sanitizer, speed.
#
#   OUT=dir tools/gpu.sh all                    prepare and run on one machine: make gpu OUT=dir
#   tools/gpu.sh prepare                        on a machine with Go: packs .gpu/kit.tar.gz
#   OUT=dir tools/gpu.sh run [stage ...]        on the machine with the GPU: no Go, no network, no libdnnl needed
#
# What must be carried to the second machine: the repository's files, and .gpu/kit.tar.gz, which git ignores. It holds the test
# programs and the benchmark, compiled; the CPU library and what it links; the CUDA library where it is built already. Else the
# stage `build` makes that there, with nvcc. The peers are measured where a Python has torch, transformers and peft:
# SO8T_PEER_PYTHON, or python3. BENCH_FLAGS goes to `bench cuda`, SO8T_DEVICE says what is tested (cuda).
#
# A stage that fails or takes too long stops no other. $OUT gets a log for each, summary.txt as they end, and cuda.json.
set -uo pipefail
cd "$(dirname "$0")/.."
kit=.gpu/kit
device=${SO8T_DEVICE:-cuda}
stages=(env build test parity bench sanitize) # bench before sanitize: that one takes what time there is

prepare() {
	set -e
	make native/build/libso8t_cpu.so
	rm -rf "$kit" && mkdir -p "$kit/lib"
	export CGO_ENABLED=0
	go build -ldflags='-s -w' -o "$kit/bench" ./bench
	go test -c -ldflags='-s -w' -o "$kit/native.test" ./native
	go test -c -ldflags='-s -w' -o "$kit/nvml.test" ./native/nvml
	go test -c -ldflags='-s -w' -o "$kit/engine.test" ./engine
	go test -c -ldflags='-s -w' -o "$kit/phi3.test" ./engine/phi3
	cp native/build/libso8t_c*.so "$kit/lib/"
	# A machine for GPUs rarely has oneDNN; libc and libstdc++ are its own.
	ldd native/build/libso8t_cpu.so | awk '/libdnnl|libgomp|libOpenCL/ && $3 ~ /^\// {print $3}' | xargs -r -I{} cp -L {} "$kit/lib/"
	tar -C .gpu -czf .gpu/kit.tar.gz kit
	echo "packed .gpu/kit.tar.gz, $(du -h .gpu/kit.tar.gz | cut -f1); libraries: $(ls "$kit/lib" | tr '\n' ' ')"
	set +e
}

# stage NAME SECONDS FUNCTION
stage() {
	local start=$SECONDS rc
	echo "== $1 (at most $2 s)"
	timeout --kill-after=10 "$2" "$0" --in "$1" >"$OUT/$1.log" 2>&1
	rc=$?
	case $rc in
	0) said=ok ;;
	77) said="left out: $(tail -n 1 "$OUT/$1.log")" ;;
	124 | 137) said="cut off after $2 s" ;;
	*) said="failed ($rc)" ;;
	esac
	echo "$1: $said, $((SECONDS - start)) s" | tee -a "$OUT/summary.txt"
	[ $rc = 0 ] || [ $rc = 77 ] || { tail -n 15 "$OUT/$1.log"; failed=1; }
}

leave_out() { echo "$*"; exit 77; }

in_env() {
	uname -a; nproc; free -g | head -2; df -h /dev/shm | tail -1
	command -v nvcc >/dev/null && nvcc --version | tail -2
	command -v python3 >/dev/null && python3 -c 'import torch; print("torch", torch.__version__)'
	for program in cmake make compute-sanitizer ncu nsys; do command -v $program || echo "no $program"; done
	command -v nvidia-smi >/dev/null || leave_out "no nvidia-smi"
	nvidia-smi && nvidia-smi -q -d CLOCK,POWER | head -60
}

in_build() {
	[ "$device" = cuda ] || leave_out "SO8T_DEVICE=$device needs no CUDA library"
	tar -tzf .gpu/kit.tar.gz | grep -q libso8t_cuda && leave_out "the kit came with libso8t_cuda.so"
	make native-cuda && cp native/build/libso8t_cuda.so "$kit/lib/"
}

# tests PROGRAM FOLDER ARGUMENTS: a test program runs in its package's folder, for testdata.
tests() {
	local program=$PWD/$kit/$1.test folder=$2
	shift 2
	(cd "$folder" && "${wrap[@]}" "$program" -test.timeout 0 "$@")
}
wrap=()

in_test() {
	local bad=0
	tests nvml native/nvml -test.v || bad=1
	tests native native || bad=1
	tests phi3 engine/phi3 || bad=1
	tests engine engine -test.skip 'TestParity$' || bad=1
	return $bad
}

in_parity() {
	[ "$device" != cpu ] || leave_out "SO8T_DEVICE=cpu has nothing to be held against"
	tests engine engine -test.v -test.run 'TestParity$'
}

in_sanitize() {
	command -v compute-sanitizer >/dev/null || leave_out "no compute-sanitizer"
	local bad=0
	for tool in memcheck racecheck; do
		echo "-- $tool"
		wrap=(compute-sanitizer --tool "$tool" --error-exitcode 9)
		tests native native -test.v || bad=1
	done
	return $bad
}

in_bench() {
	PYTHONUNBUFFERED=1 SO8T_PEER_PYTHON=${SO8T_PEER_PYTHON:-python3} SO8T_BENCH=$PWD/$kit/bench bench/cuda.sh --device "$device" --out "$OUT/cuda.json" \
		--limit "${BENCH_LIMIT:-8m}" ${BENCH_FLAGS:-}
}

declare -A limits=([env]=60 [build]=900 [test]=240 [parity]=240 [bench]=540 [sanitize]=420)

run() {
	# each time: an earlier kit may lie there
	tar -C .gpu -xzf .gpu/kit.tar.gz || { echo "no kit: tools/gpu.sh prepare makes it" >&2; exit 1; }
	failed=0
	for s in "${@:-${stages[@]}}"; do
		[ -n "${limits[$s]:-}" ] || { echo "no stage $s; there are ${stages[*]}" >&2; exit 1; }
		stage "$s" "${limits[$s]}"
	done
	[ -e "$OUT/bench.log" ] && grep -v '^{' "$OUT/bench.log"
	[ -e "$OUT/parity.log" ] && grep 'apart (step' "$OUT/parity.log"
	cat "$OUT/summary.txt"
	exit $failed
}

OUT=${OUT:-.gpu/out}
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd)
export OUT SO8T_DEVICE=$device SO8T_NATIVE_DIR=$PWD/$kit/lib LD_LIBRARY_PATH=$PWD/$kit/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
case ${1:-} in
prepare) unset LD_LIBRARY_PATH SO8T_NATIVE_DIR && prepare ;;
run) shift && run "$@" ;;
all) shift && (unset LD_LIBRARY_PATH SO8T_NATIVE_DIR && prepare) && run "$@" ;;
--in) "in_$2" ;;
*) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
