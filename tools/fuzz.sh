#!/bin/bash
# make fuzz: runs every fuzz target of the repository in turn, each for FUZZTIME (60s). An input that fails is written under
# the package's testdata/fuzz and fails every `go test` from then on.
# tools/fuzz.sh PACKAGE... runs those of some packages, such as ./dataset.
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...
failed=()
for pkg in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "$@"); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$pkg"/*_test.go 2>/dev/null | cut -c6-); do
		echo "== ${pkg#"$PWD"/} $target"
		# One worker, and few tries to shorten an input: otherwise shortening takes most of the time.
		out=$(ulimit -v 16000000 && nice -n 15 go test "$pkg" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" \
			-parallel 1 -fuzzminimizetime 200x 2>&1 | tee -a /dev/stderr)
		# go test also reports a failure when the time ends while it shortens an input.
		grep -q '^ok' <<<"$out" || { grep -q '^ *context deadline exceeded' <<<"$out" && ! grep -q 'Failing input' <<<"$out"; } ||
			failed+=("${pkg#"$PWD"/} $target")
	done
done
[ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; exit 1; }
