## build            bin/worker, bin/temporal, native/build/libso8t_cpu.so (the default)
## demo             a whole retrain of a small model under Temporal, on this machine, and four questions to it
## native-cuda      native/build/libso8t_cuda.so, for NVIDIA GPUs; needs neither a GPU nor a toolkit
## native-emulated  the GPU library's sources for the CPU, for tests
## setup            what a fresh Debian or Ubuntu lacks, through apt
## worker           bin/worker alone
## server           bin/temporal-server and bin/temporal-sql-tool, for the tests of deploy/
## test             every test; needs neither network nor GPU
## test-emulated    the GPU library's tests, without a GPU
## vet              go vet, staticcheck, workflowcheck, clang-format, and the repository's own rules
## notices          THIRD_PARTY_NOTICES, from the modules that the worker links
## crash            KILLS=1000 kills of a retrain's processes, POWER=1000 losses of its disk's power; SERVE_KILLS, SERVE_POWER: of a server's; SEED=…
## fuzz             every fuzz target in turn, each for FUZZTIME=60s
## forms            the same records trained in every form, compression and encoding, to the same adapter
## soak             one run of SOAK=200 epochs: what grows with the length of a run
## bench            this engine against PyTorch + PEFT, by turns
## bench-full       a model of Phi-3.5-mini's size
## bench-save       what a checkpoint costs the training
## bench-cuda       the benchmark on a GPU; BENCH_FLAGS=…
## gpu              OUT=dir: everything that wants a GPU, ten minutes; tools/gpu.sh prepares it for a machine without Go
## gpu-rehearsal    the same on the emulated library, without a GPU
## against          FROM=revision: the same bytes as an earlier commit, its runs taken over, speed by turns
## histories        the workflow histories that the replay tests read, recorded anew
## clean            removes what build and demo made
## help             this list

SHELL := /bin/bash
.DELETE_ON_ERROR:

NATIVE   := native/build/libso8t_cpu.so
SOURCES  := $(shell find native/abi native/cpu native/include native/CMakeLists.txt -type f 2>/dev/null)

FORMATTED := $(shell find native -path native/build -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) -print)

.PHONY: build native-cuda native-emulated setup worker server demo test test-emulated vet crash fuzz forms soak gpu gpu-rehearsal histories clean help notices
.PHONY: bench bench-full bench-save bench-cuda against
build: worker bin/temporal $(NATIVE)

# Installs through apt what a fresh Debian or Ubuntu lacks, and prints it. It looks for the programs and the header, not for
# packages: where they are there, neither apt nor root is needed.
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

# nvcc comes from PATH, else from CUDA_HOME, else from PyPI's wheels in .cuda. native/cuda/Makefile builds what has changed.
native-cuda:
	@if command -v nvcc >/dev/null; then :; \
	elif [ -x "$${CUDA_HOME:-}/bin/nvcc" ]; then PATH="$$CUDA_HOME/bin:$$PATH"; \
	else tools/cuda_toolchain.sh .cuda && . .cuda/env.sh; fi; \
	$(MAKE) -C native/cuda -j$$(nproc)

# For tests with SO8T_DEVICE=cuda_emulated.
native-emulated: $(NATIVE)
	cmake --build native/build --target so8t_cuda_emulated --parallel $$(nproc)

# What the worker reports as its version: tag and commit, where git knows them.
VERSION = -X so8t/version.tag=$(shell git describe --tags 2>/dev/null) \
	-X so8t/version.commit=$(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)

worker: | setup
	CGO_ENABLED=0 go build -ldflags "$(VERSION)" -o bin/worker ./worker

# The Temporal CLI with its development server and Web UI, from the Go module proxy: about three minutes the first time.
bin/temporal: tools/go.mod tools/go.sum | setup
	@echo "building the Temporal CLI (minutes the first time, seconds from the build cache)"
	cd tools && go build -o ../bin/temporal github.com/temporalio/cli/cmd/temporal

# The Temporal server that the containers run, and the tool that makes its tables. Three minutes the first time.
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

# The package in the root is the repository's own rules: imports, sizes, documents, licences.
vet: bin/staticcheck bin/workflowcheck
	go vet ./...
	go test -count=1 .
	bin/staticcheck ./...
	bin/workflowcheck -config tools/workflowcheck.yaml ./workflows
	clang-format --dry-run -Werror $(FORMATTED)

help:
	@sed -n 's/^## /  make /p' Makefile

notices:
	go test -count=1 -run TestNotices . -update

test: build server
	go test -timeout 30m ./...

# On the emulator: every native test, with copies that land late and at once and warps in other orders; the faults that must
# be noticed; two of the oracle's models; runs whose device fails.
test-emulated: native-emulated
	SO8T_DEVICE=cuda_emulated go test -count=1 ./native
	SO8T_DEVICE=cuda_emulated SO8T_EMULATED_COPIES=now SO8T_EMULATED_SEED=2 go test -count=1 -run TestOperations ./native
	SO8T_DEVICE=cuda_emulated go test -count=1 -timeout 20m -run 'TestOracle.*/^(d96|gqa)$$|TestSameBits' ./engine
	SO8T_REQUIRE_CUDA=1 go test -run TestDeviceFaults ./activities

# At random instants drawn from SEED. SLACK is what a stall of the disk may add to the repeated work. Without a number of any
# kind: 1000 kills of a retrain.
POWER ?= 0
SERVE_KILLS ?= 0
SERVE_POWER ?= 0
KILLS ?= $(if $(filter-out 0,$(POWER) $(SERVE_KILLS) $(SERVE_POWER)),0,1000)
SEED  ?= 0
SLACK ?= 0s
crash: build
	go build -o bin/crashlab ./crashlab
	bin/crashlab --kills $(KILLS) --power $(POWER) --serve-kills $(SERVE_KILLS) --serve-power $(SERVE_POWER) --seed $(SEED) --slack $(SLACK)

fuzz:
	tools/fuzz.sh

forms: build
	SO8T_FORMS=1 go test -count=1 -timeout 30m -v -run TestFormsAreTrained ./worker

# Watches memory, open files, goroutines, history and files. 200 epochs take two minutes on two cores.
SOAK ?= 200
soak: build
	SO8T_SOAK=$(SOAK) go test -count=1 -timeout 0 -v -run TestSoak ./worker

# BENCH_FLAGS="--history bench/history" leaves the result there; bin/bench diff compares two.
bench: build
	bench/run.sh $(BENCH_FLAGS)

bench-full: build
	bench/full.sh

# What training feels of a checkpoint.
bench-save: build
	CGO_ENABLED=0 go build -o bin/bench ./bench
	bin/bench save

# On a GPU, with native/build/libso8t_cuda.so; BENCH_FLAGS=--quick: within three minutes.
bench-cuda: build
	bench/cuda.sh $(BENCH_FLAGS)

# Tests, speed, parity with the CPU, compute-sanitizer; logs and summary.json go to OUT/first and OUT/second.
gpu: build
	OUT="$(OUT)" tools/gpu.sh all

# Two minutes on two idle cores. SO8T_PEER_PYTHON=… takes the peers along.
gpu-rehearsal: native-emulated
	tools/gpu/rehearsal.sh

against: build
	tools/against.sh $(FROM)

# Records them from a server and a worker of this code.
histories: build
	SO8T_CAPTURE=1 go test -count=1 -run OnAServer ./workflows

clean:
	rm -rf bin native/build .demo
