#!/bin/bash
# A model of Phi-3.5-mini's size on this machine; the last line is JSON. Flags go to `bench full`.
#   SO8T_TOKENIZER=folder   of Phi-3.5's own tokenizer files, for Japanese text instead of random tokens
set -euo pipefail
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go build -o bin/bench ./bench
exec bin/bench full ${SO8T_TOKENIZER:+--tokenizer "$SO8T_TOKENIZER"} "$@"
