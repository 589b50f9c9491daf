#!/usr/bin/env bash
# Installs CUTLASS's headers from PyPI's wheel: the second source for the layouts of fragments. Nothing is built with them.
#   tools/cutlass.sh DIR     the headers are DIR/cutlass_library/source/include
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ -f "$dir/cutlass_library/source/include/cute/layout.hpp" ] || python3 -m pip install -q --disable-pip-version-check \
	--root-user-action=ignore --no-deps --no-compile --only-binary :all: --upgrade --target "$dir" nvidia-cutlass==4.2.0.0
