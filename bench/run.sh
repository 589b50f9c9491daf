#!/bin/bash
# This engine against PyTorch + PEFT by turns on this machine; the last line is JSON. Flags go to `bench compare`;
# --history bench/history leaves the result there for `bench diff`.
#   SO8T_PEER_PYTHON=/path/to/python   that has torch, transformers, peft and accelerate; else .venv is made from PyPI
#   SO8T_TOKENIZER=folder              whose tokenizer is measured; else the demo's
set -euo pipefail
cd "$(dirname "$0")/.."
python=${SO8T_PEER_PYTHON:-.venv/bin/python}
if [ -z "${SO8T_PEER_PYTHON:-}" ] && ! "$python" -c 'import torch, transformers, peft, accelerate' 2>/dev/null; then
	bench/peers.sh .venv
fi
CGO_ENABLED=0 go build -o bin/bench ./bench
exec bin/bench compare --python "$python" --tokenizer "${SO8T_TOKENIZER:-demo/base}" "$@"
