#!/bin/bash
# Makes a Python environment with what this engine is compared with: peers.sh folder
# Nothing but the comparison, and the scripts that make test material, uses Python.
set -euo pipefail
venv=${1:?folder}
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
	echo "installing python3-venv through apt"
	packages="python3 python3-venv python3-dev"
	root apt-get update -qq && root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null \
		|| { echo "as root: apt-get install $packages" >&2; exit 1; }
fi
echo "installing torch, transformers, peft and accelerate from PyPI into $venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet torch transformers peft accelerate
