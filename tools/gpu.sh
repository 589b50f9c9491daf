#!/bin/bash
# What wants a GPU: tests, training and decoding timed, PyTorch + PEFT beside them, time by kernel, sanitizers.
#
#   OUT=dir tools/gpu.sh all      on a machine with Go and a GPU (make gpu OUT=dir): packs the kit, then runs both scripts
#   tools/gpu.sh prepare          on any machine with Go: packs .gpu/kit.tar.xz, which git ignores
#
# A machine with a GPU alone, without Go or a network, needs the tracked files and .gpu/kit.tar.xz in their place. There:
#
#   OUT=dir tools/gpu/first.sh    is it right, how fast is it: five minutes
#   OUT=dir tools/gpu/second.sh   against PEFT, by kernel, under sanitizers: five minutes
#
# Each ends by itself within END=285 seconds, prints what was learnt as it is, and leaves a log for each stage and summary.json, which
# `bench estimate --against` reads. `make gpu-rehearsal` runs both on the emulated library.
set -euo pipefail
cd "$(dirname "$0")/.."
most=$((55 << 20)) # of what is carried: the tracked files and the kit

prepare() {
	local device=${SO8T_DEVICE:-cuda} kit=.gpu/kit
	case $device in
	cuda) make native/build/libso8t_cpu.so native-cuda ;;
	*) make native/build/libso8t_cpu.so native-emulated ;; # the rehearsal's
	esac
	rm -rf "$kit" && mkdir -p "$kit/lib"
	export CGO_ENABLED=0
	go build -trimpath -ldflags='-s -w' -o "$kit/bench" ./bench
	go test -c -trimpath -ldflags='-s -w' -o "$kit/native.test" ./native
	go test -c -trimpath -ldflags='-s -w' -o "$kit/engine.test" ./engine
	cp native/build/libso8t_cpu.so "native/build/libso8t_$device.so" "$kit/lib/"
	strip "$kit"/lib/*.so
	# A machine for GPUs rarely has oneDNN; libc and libstdc++ are its own.
	ldd native/build/libso8t_cpu.so | awk '/libdnnl|libgomp|libOpenCL/ && $3 ~ /^\// {print $3}' | xargs -r -I{} cp -L {} "$kit/lib/"
	XZ_OPT="-T0 -2" tar -C .gpu -cJf .gpu/kit.tar.xz kit # Python unpacks it where xz is missing
	local packed tracked
	packed=$(stat -c %s .gpu/kit.tar.xz)
	tracked=$(git ls-files -z --cached --others --exclude-standard | du -cb --files0-from=- | tail -n 1 | cut -f 1)
	printf '.gpu/kit.tar.xz has %.1f MiB, the tracked files %.1f; at most %.0f may be carried\n' "$(mib "$packed")" "$(mib "$tracked")" "$(mib $most)"
	if [ $((packed + tracked)) -gt $most ]; then
		echo "too much to carry; the kit holds, unpacked:" >&2
		du -ab "$kit" | sort -rn >&2
		exit 1
	fi
}

mib() { awk "BEGIN {print $1 / 2^20}"; }

case ${1:-} in
prepare) prepare ;;
all)
	prepare
	out=${OUT:-.gpu/out} failed=0
	OUT=$out/first tools/gpu/first.sh || failed=1
	OUT=$out/second tools/gpu/second.sh || failed=1
	exit $failed
	;;
*) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
