# make build   bin/worker, bin/temporal, native/build/libso8t_cpu.so
# make demo    a whole retrain of a small model under Temporal, on this machine
# make native-cuda      native/build/libso8t_cuda.so, for NVIDIA GPUs
# make native-emulated  the same sources for the CPU, for tests
# make server  bin/temporal-server and bin/temporal-sql-tool, for the tests of deploy/
# make test    every test; make test-emulated: those of the GPU library, without a GPU; make vet: go vet, staticcheck, workflowcheck, clang-format
# make crash   KILLS=1000 kills of a retrain's processes, or POWER=1000 losses of its disk's power; SEED=…
# make fuzz    every fuzz target for FUZZTIME=60s
# make soak    one run of SOAK epochs: what grows with the length of a run
# make bench   this engine against PyTorch + PEFT; make bench-full: the size of Phi-3.5-mini;
#              make bench-save: what training feels of a checkpoint
# make bench-cuda  the same on a GPU; make gpu OUT=dir: all that wants one, and tools/gpu.sh for a machine without Go

SHELL := /bin/bash
.DELETE_ON_ERROR:

NATIVE   := native/build/libso8t_cpu.so
SOURCES  := $(shell find native/abi native/cpu native/include native/CMakeLists.txt -type f 2>/dev/null)

FORMATTED := $(shell find native -path native/build -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) -print)

.PHONY: build native-cuda native-emulated setup worker server demo test test-emulated vet crash fuzz soak bench bench-full bench-save bench-cuda gpu histories clean
build: worker bin/temporal $(NATIVE)

# What a fresh Debian or Ubuntu lacks is installed through apt, saying so. The programs and
# the header are looked for, not the packages: however they came, neither apt nor root is needed.
setup:
	@command -v go >/dev/null || { echo "Go is missing: install Go $$(sed -n 's/^go //p' go.mod) or newer from https://go.dev/dl" >&2; exit 1; }
	@missing=""; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	command -v cmake >/dev/null || missing="$$missing cmake"; \
	[ -e /usr/include/dnnl.h ] || [ -e /usr/local/include/dnnl.h ] || missing="$$missing libdnnl-dev"; \
	command -v clang-format >/dev/null || missing="$$missing clang-format"; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ]; then \
		if ! command -v apt-get >/dev/null; then echo "missing:$$missing (the names are Debian's); install them and try again" >&2; exit 1; fi; \
		if [ "$$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"; \
		else echo "missing:$$missing; as root: apt-get install$$missing" >&2; exit 1; fi; \
		echo "installing$$missing through apt"; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
			|| { echo "apt could not install:$$missing" >&2; exit 1; }; \
	fi

$(NATIVE): $(SOURCES) | setup
	cmake -S native -B native/build -DCMAKE_BUILD_TYPE=Release
	cmake --build native/build --parallel $$(nproc) # without a number make starts every job at once
	@touch $@

# The GPU library, on any machine: nvcc from PATH, else from CUDA_HOME, else wheels from PyPI in .cuda. The kernels'
# Makefile knows what is new.
native-cuda:
	@if command -v nvcc >/dev/null; then :; \
	elif [ -x "$${CUDA_HOME:-}/bin/nvcc" ]; then PATH="$$CUDA_HOME/bin:$$PATH"; \
	else tools/cuda_toolchain.sh .cuda && . .cuda/env.sh; fi; \
	$(MAKE) -C native/cuda -j$$(nproc)

# The same sources on the CPU, for tests: SO8T_DEVICE=cuda_emulated.
native-emulated: $(NATIVE)
	cmake --build native/build --target so8t_cuda_emulated --parallel $$(nproc)

worker: | setup
	CGO_ENABLED=0 go build -o bin/worker ./worker

# The Temporal CLI with its development server and Web UI, from the Go module proxy:
# about three minutes the first time.
bin/temporal: tools/go.mod tools/go.sum | setup
	@echo "building the Temporal CLI (minutes the first time, seconds from the build cache)"
	cd tools && go build -o ../bin/temporal github.com/temporalio/cli/cmd/temporal

# The Temporal server that containers run, and the tool that makes its tables: what the
# development server has inside, as programs of their own. Three minutes the first time.
server: bin/temporal-server bin/temporal-sql-tool
bin/temporal-server bin/temporal-sql-tool: tools/server/go.mod tools/server/go.sum | setup
	@echo "building $@ (minutes the first time, seconds from the build cache)"
	cd tools/server && go build -o ../../$@ go.temporal.io/server/cmd/$(if $(findstring sql,$@),tools/sql,server)

bin/staticcheck: tools/lint/go.mod tools/lint/go.sum | setup
	cd tools/lint && go build -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

bin/workflowcheck: tools/lint/go.mod tools/lint/go.sum | setup
	cd tools/lint && go build -o ../../bin/workflowcheck go.temporal.io/sdk/contrib/tools/workflowcheck

demo: build
	tools/demo.sh

vet: bin/staticcheck bin/workflowcheck
	go vet ./...
	bin/staticcheck ./...
	bin/workflowcheck -config tools/workflowcheck.yaml ./workflows
	clang-format --dry-run -Werror $(FORMATTED)

test: build server
	go test -timeout 30m ./...

# The CUDA library's kernels without a GPU: every native test on the emulator, copies landing late and at once, warps in
# other orders, faults that must be noticed, two of the oracle's models, and runs whose device fails.
test-emulated: native-emulated
	SO8T_DEVICE=cuda_emulated go test -count=1 ./native
	SO8T_DEVICE=cuda_emulated SO8T_EMULATED_COPIES=now SO8T_EMULATED_SEED=2 go test -count=1 -run TestOperations ./native
	SO8T_DEVICE=cuda_emulated go test -count=1 -timeout 20m -run 'TestOracle.*/^(d96|gqa)$$|TestSameBits' ./engine
	SO8T_REQUIRE_CUDA=1 go test -run TestDeviceFaults ./activities

# Kills and losses of power, at random instants of a seed; SLACK is what a disk's stall may add to
# the work that is repeated.
POWER ?= 0
KILLS ?= $(if $(filter 0,$(POWER)),1000,0)
SEED  ?= 0
SLACK ?= 0s
crash: build
	go build -o bin/crashlab ./crashlab
	bin/crashlab --kills $(KILLS) --power $(POWER) --seed $(SEED) --slack $(SLACK)

fuzz:
	tools/fuzz.sh

# Memory, open files, goroutines, history and files of one run of very many epochs: 200 take
# two minutes on two cores.
SOAK ?= 200
soak: build
	SO8T_SOAK=$(SOAK) go test -count=1 -timeout 0 -v -run TestSoak ./worker

bench: build
	bench/run.sh

bench-full: build
	bench/full.sh

# What training feels of a checkpoint.
bench-save: build
	CGO_ENABLED=0 go build -o bin/bench ./bench
	bin/bench save

# On a GPU, with native/build/libso8t_cuda.so; BENCH_FLAGS=-quick: within three minutes.
bench-cuda: build
	bench/cuda.sh $(BENCH_FLAGS)

# Tests, parity with the CPU, compute-sanitizer and speed on a GPU; logs and results into OUT.
gpu: build
	OUT="$(OUT)" tools/gpu.sh all

# Histories that the replay tests read, from a server and a worker of this code.
histories: build
	SO8T_CAPTURE=1 go test -count=1 -run TestScenariosOnAServer ./workflows

clean:
	rm -rf bin native/build .demo
