"""This machine's best matrix products in PyTorch, by number type: a few large shapes, the best of several runs of each.

Prints one JSON line: products, each with by, type, weight and gflops, as `bench products` does.
"""
import argparse
import json
import time

import torch

SHAPES = [(512, 2304, 768), (1024, 4096, 1024), (2048, 3072, 3072)]

ap = argparse.ArgumentParser()
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--seconds", type=float, default=0.5, help="for each shape")
a = ap.parse_args()
torch.set_num_threads(a.threads)


def fastest(m, n, k, dtype):
    """GFLOP/s of x [m, k] by wᵀ, w [n, k]."""
    x, w = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < a.seconds or best == float("inf"):
        start = time.perf_counter()
        torch.nn.functional.linear(x, w)
        best = min(best, time.perf_counter() - start)
    return 2 * m * n * k / best / 1e9


products = []
for name in ["float32", "bfloat16"]:
    rate = max(fastest(*shape, getattr(torch, name)) for shape in SHAPES)
    products.append({"by": "PyTorch", "type": name, "weight": name, "gflops": round(rate, 1)})
print(json.dumps({"products": products, "torch": torch.__version__, "threads": a.threads}))
