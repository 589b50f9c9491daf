// Attention over packed sequences as operation graphs for cuDNN: which tensors there are, and what is computed from what.
#pragma once

#include <cmath>

#include "cudnn_graph.h"

namespace so8t::cudnn {

// What a graph depends on. Sequences are rows of packed matrices; a tensor's offsets say where each one begins.
struct Sdpa {
    int64_t batch, length;  // most sequences, and rows of the longest
    int64_t heads, kv_heads, head_dim, window;
    int64_t q, k, v, out, dout, dq, dk, dv;  // elements between rows
};

// Numbers that a graph reads from the host. They stay where they are until a plan has run.
struct Numbers {
    float scale, window, one = 1.0f, nothing = -INFINITY;
};

// The operands that have rows of their own, in the order of their offsets.
enum Operand { kQ, kK, kV, kOut, kLse, kDout, kDq, kDk, kDv, kOperands };

// A graph and its tensors' numbers; 0 where there is none.
struct Operands {
    int64_t offsets[kOperands] = {}, operand[kOperands] = {};
    int64_t lengths = 0;            // int32 [batch]
    int64_t sum = 0, dq_float = 0;  // scratch of the backward pass: float32, laid out as lse and dq
    int64_t scale = 0, window = 0, one = 0, nothing = 0;
};

Operands build_forward(Graph& g, const Sdpa& s);
Operands build_backward(Graph& g, const Sdpa& s);

// The engine whose backward pass adds in a fixed order on a card, if this version of cuDNN has one. It is asked for by number:
// the heuristics propose those that add in any order.
const Engine* ordered_backward(int capability, size_t version);

}  // namespace so8t::cudnn
