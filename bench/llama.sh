#!/bin/bash
# Generation of this engine against llama.cpp by turns on this machine; the last line is JSON. Flags go to `bench llama`.
#   SO8T_LLAMA=folder   of libllama and libggml; else llama.cpp v0.4.0 is taken from npm into .llama
set -euo pipefail
cd "$(dirname "$0")/.."
package=@node-llama-cpp/linux-x64@3.21.1
libraries=${SO8T_LLAMA:-.llama/package/bins/linux-x64}
if [ ! -d "$libraries" ]; then
	echo "fetching $package from npm into .llama"
	mkdir -p .llama
	(cd .llama && npm pack --silent "$package" | xargs tar xzf)
fi
CGO_ENABLED=0 go build -o bin/bench ./bench
exec bin/bench llama --libraries "$libraries" "$@"
