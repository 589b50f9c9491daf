"""Writes digests of bitsandbytes' 8-bit AdamW states on the CPU, of each of 20 steps for seeds 0 to 31.

    pip install torch bitsandbytes
    python make_optimizer_seeds.py > optimizer/adamw8bit_seeds.json

The inputs are not stored: gradient() is exact arithmetic that TestAdamW8bitSeeds repeats. A digest is the first 16 digits of
the SHA-256 of both states' bytes and both float32 absmax. It needs AVX2 or more: without, torch rounds a product before it adds.
"""
import hashlib, json
import bitsandbytes as bnb
import numpy as np
import torch

SEEDS, STEPS, N = 32, 20, 4352 + 48  # the last block is not whole


def gradient(seed, step):
    """SplitMix64 of a counter; the difference of its halves, over 14 powers of two."""
    i = np.arange(N, dtype=np.uint64)
    z = (np.uint64((seed * STEPS + step) * N) + i) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    difference = (z & np.uint64(0xFFFFFFFF)).astype(np.int64) - (z >> np.uint64(32)).astype(np.int64)
    return np.ldexp(difference.astype(np.float32), (i.astype(np.int32) * 14 // N - 42).astype(np.int32))


def digests(seed):
    p = torch.nn.Parameter(torch.zeros(N))
    optimizer = bnb.optim.AdamW8bit([p], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, min_8bit_size=1)
    for step in range(STEPS):
        p.grad = torch.from_numpy(gradient(seed, step))
        optimizer.step()
        state = optimizer.state[p]
        yield hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in ("state1", "state2", "absmax1", "absmax2"))).hexdigest()[:16]


print("[" + ",\n".join(json.dumps(list(digests(seed))) for seed in range(SEEDS)) + "]")
