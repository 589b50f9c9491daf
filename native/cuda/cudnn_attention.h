// Attention by cuDNN, where it has a deterministic engine for the card; elsewhere attention's own kernels do it.
#pragma once

#include <memory>
#include <string>

#include "checks/attention.h"
#include "context.h"

namespace so8t {

class CudnnAttention {
public:
    // Reads SO8T_CUDA_ATTENTION: auto, own or cudnn; without it a new run takes the own kernels. `algorithms`: path of the file of algorithms, or empty.
    CudnnAttention(Context& c, const std::string& algorithms);
    ~CudnnAttention();
    // False: the own kernels are to do it. Throws where SO8T_CUDA_ATTENTION=cudnn and cuDNN cannot.
    bool forward(const so8t_attention_forward_params& p, const AttentionForwardViews& v);
    bool backward(const so8t_attention_backward_params& p, const AttentionBackwardViews& v);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace so8t
