// What both forms of attention's backward pass take: tiles for tensor cores, and rows for CUDA cores.
#pragma once

#include "attention.h"

namespace so8t::cuda {

// A query's log-sum-exp, to base 2, and delta; 0 for rows beyond the last.
struct Statistics {
    float lse, delta;
};

template <class T>
struct Backward : Attention<T> {
    Matrix<const T> dout;
    Matrix<T> dq, dk, dv;
    const Statistics* statistics;  // [heads, padded]
    int padded;                    // rows, to a multiple of kTile
};

// The first query whose dS for a key may differ from 0.
__device__ inline int after_alone(const Seen& seen, int key) { return seen.low[key] == key ? key + 1 : key; }

// On CUDA cores.
template <class T>
void backward_rows(Context& c, const Backward<T>& a);

}  // namespace so8t::cuda
