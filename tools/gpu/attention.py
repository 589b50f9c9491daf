"""PyTorch's attention at Phi-3.5-mini's heads, by backend: what a card's attention can reach, beside this project's.

    python3 attention.py --device cuda --sizes 1x2048,4x2048     samples x tokens: causal, 32 heads of 96, bfloat16

Prints a line of JSON for each backend and size. FLOP/s count half of the square forward, and 2.5 times that backward.
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

ap = argparse.ArgumentParser()
ap.add_argument("--device", default="cuda")
ap.add_argument("--sizes", default="1x2048,4x2048,1x8192,1x16384")
ap.add_argument("--times", type=int, default=10)
a = ap.parse_args()
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
HEADS, WIDTH = 32, 96


def synchronize():
    if a.device == "cuda":
        torch.cuda.synchronize()


def seconds(f):
    for _ in range(3):
        f()
    synchronize()
    start = time.perf_counter()
    for _ in range(a.times):
        f()
    synchronize()
    return (time.perf_counter() - start) / a.times


def measure(samples, tokens):
    q, k, v = (torch.randn(samples, HEADS, tokens, WIDTH, device=a.device, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    dout = torch.randn_like(out)
    forward = seconds(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
    backward = seconds(lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True))
    flops = 2 * samples * HEADS * tokens * tokens * WIDTH
    return {"forward_ms": 1e3 * forward, "backward_ms": 1e3 * backward,
            "forward_tflops": flops / forward / 1e12, "backward_tflops": 2.5 * flops / backward / 1e12}


for size in a.sizes.split(","):
    samples, tokens = (int(n) for n in size.split("x"))
    for name, backend in BACKENDS.items():
        line = {"attention": name, "samples": samples, "tokens": tokens}
        try:
            with sdpa_kernel(backend):
                line.update(measure(samples, tokens))
        except RuntimeError as e:
            line["error"] = str(e).split("\n")[0][:150]
        print(json.dumps(line), flush=True)
