#!/bin/bash
# This engine against PyTorch + PEFT on this machine's GPU, at Phi-3.5-mini's size; the last line is JSON. Flags go to `bench cuda`.
#   SO8T_PEER_PYTHON=/path/to/python   that has torch, transformers and peft; without it this engine is measured alone
#   SO8T_BENCH=/path/to/bench          a program that was built elsewhere, for machines without Go
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${SO8T_BENCH:-}" ]; then
	CGO_ENABLED=0 go build -o bin/bench ./bench
fi
exec "${SO8T_BENCH:-bin/bench}" cuda "$@"
