#!/bin/bash
# The first minutes on a GPU: does it compute what it should, how fast does it train and decode, where does a step's time go.
# What tells most comes first. stages.sh says what it needs; summary.json holds every figure.
. "$(dirname "$0")/stages.sh"

write_base &
go_tests smoke 30 native '^(TestISAName|TestMemory|Test[A-Za-z]+Errors|TestRecording|TestSnapshot|TestEveryInt8|TestRowsInCompany|TestCausalBits)$'
# The engine's own path: bfloat16, rows on 16-byte boundaries.
go_tests operations_bfloat16 70 native "$(operations bfloat16 true)"
go_tests oracle 40 engine 'TestOracle(Logits|AdaptedLogits|Gradients)$/^d96$|TestGenerateMatchesFullPasses/^d96$|TestBFloat16Close'
wait

stage bandwidth 20 "${ours[@]}" "$kit/bench" bandwidth --device "$device" --bytes "${BANDWIDTH_BYTES:-1073741824}"
train step_1 60 --samples 1 --steps 10 --seconds 4
train step_4 45 --samples 4 --steps 7 --seconds 5
ours+=("SO8T_CUDA_PROFILE=$OUT/profile.txt")
train profile 40 --samples 4 --steps 5
unset 'ours[-1]'
measure decode_1 30 decode --batch 1 --new "$new_tokens"
measure decode_64 30 decode --batch 64 --new "$new_tokens"
measure decode_16 30 decode --batch 16 --new "$new_tokens"

SO8T_CUDA_OVERLAP=1 measure decode_1_overlap 20 decode --batch 1 --new "$new_tokens"
SO8T_CUDA_OVERLAP=1 measure decode_64_overlap 20 decode --batch 64 --new "$new_tokens"

# What is left of the operations: each attention by its name, float32, rows anywhere.
SO8T_CUDA_ATTENTION=own go_tests attention_own 20 native 'TestOperations/attention/[^/]+/bfloat16/aligned=true'
# cuDNN's is for heads of multiples of 16 up to 128.
SO8T_CUDA_ATTENTION=cudnn go_tests attention_cudnn 20 native 'TestOperations/attention/x(16|32|48|64|80|96|112|128)_/bfloat16/aligned=true'
go_tests operations_float32 60 native "$(operations float32 true)"
go_tests operations_unaligned 60 native "$(operations '(float32|bfloat16)' false)"
