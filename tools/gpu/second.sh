#!/bin/bash
# The second minutes on a GPU: this engine against PEFT, each attention, a kept copy of the base, time by kernel, twenty steps
# against the CPU's, and what only a sanitizer sees. first.sh goes before; stages.sh says what it needs.
. "$(dirname "$0")/stages.sh"

write_base &
peer_device=cuda
[ "$device" = cuda ] || peer_device=cpu
stage peer 70 env PYTHONUNBUFFERED=1 "$python" bench/peft_train.py --shape "$shape" --device "$peer_device" --dtype bfloat16 --sequence "$sequence" \
	--rank "$rank" --steps 8 --seconds 4 --batches 1,2,4
wait

# Each attention in the same run, and PyTorch's: what a card can do is known only beside it.
SO8T_CUDA_ATTENTION=own train step_4_own 30 --samples 4 --steps 7 --seconds 4
SO8T_CUDA_ATTENTION=cudnn train step_4_cudnn 30 --samples 4 --steps 7 --seconds 4
stage attention 25 "$python" tools/gpu/attention.py --device "$peer_device" --sizes "${ATTENTION_SIZES:-1x2048,4x2048,1x8192,1x16384}"
train step_1_kept 30 --samples 1 --steps 8 --seconds 3 --keep-expanded true
train step_1_expanded 30 --samples 1 --steps 8 --seconds 3 --keep-expanded false

# By kernel, at a base of few layers: its kernels are the model's. The first launches load it and take the first steps.
base=$base-few
stage base_few 20 "${ours[@]}" "$kit/bench" write --shape "$shape" --layers 4 --out "$base"
wrap=(ncu --clock-control none --metrics gpu__time_duration.sum --csv --page raw --launch-skip 1500 --launch-count 700)
train kernels 50 --samples 4 --steps 8

wrap=()
go_tests parity 40 engine 'TestParity$'

# This project's kernels alone: cuBLASLt's are many, and its own affair.
sanitizer=(compute-sanitizer --error-exitcode 9)
if compute-sanitizer --help 2>&1 | grep -q -- --kernel-name; then
	sanitizer+=(--kernel-name kernel_substring=so8t)
fi
for tool in memcheck racecheck; do
	wrap=("${sanitizer[@]}" --tool "$tool")
	go_tests "$tool" 60 native "TestOperations/${CASES:-(attention|attention_cached|linear_forward|linear_backward)}/[^/]+/bfloat16/aligned=true"
done
