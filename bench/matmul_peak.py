"""This machine's best bfloat16 matrix product: PyTorch (oneDNN) on a few large shapes, the best of several runs of each.

Prints one JSON line: gflops.
"""
import argparse, json, time
import torch

ap = argparse.ArgumentParser()
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--seconds", type=float, default=1.0, help="for each shape")
a = ap.parse_args()
torch.set_num_threads(a.threads)
best = {}
for m, n, k in [(512, 2304, 768), (1024, 4096, 1024), (2048, 3072, 3072)]:
    x, w = torch.randn(m, k).bfloat16(), torch.randn(n, k).bfloat16()
    end, fastest = time.perf_counter() + a.seconds, float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.nn.functional.linear(x, w)
        fastest = min(fastest, time.perf_counter() - start)
    best[f"{m}x{n}x{k}"] = round(2 * m * n * k / fastest / 1e9, 1)
print(json.dumps({"gflops": max(best.values()), "shapes": best, "torch": torch.__version__, "threads": a.threads}))
