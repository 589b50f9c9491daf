"""Paired differences with what SciPy says of them; `python make_losses.py > losses.json` writes them anew (SciPy 1.17)."""
import json

import numpy as np
from scipy import stats

random = np.random.default_rng(20261127)
cases = []


def add(name, d, method):
    d = np.asarray(d, float)
    r = stats.wilcoxon(d, zero_method="wilcox", correction=False, method=method)
    cases.append({"name": name, "differences": [float(v) for v in d], "exact": method == "exact", "smaller_rank_sum": float(r.statistic),
                  "p": float(r.pvalue)})


for n in (1, 2, 5, 9, 17, 33, 50):
    add(f"exact, {n}", random.normal(-0.3, 1, n), "exact")
add("exact, all fall", -np.arange(1, 41) / 7, "exact")
add("51 differences", random.normal(-0.2, 1, 51), "asymptotic")
add("300 differences", random.normal(-0.1, 1, 300), "asymptotic")
add("ties", random.integers(-6, 5, 60) / 4, "asymptotic")
add("few, tied", [-0.5, -0.5, 0.25, -0.25, -1, 2], "asymptotic")
add("zeros and ties", [0, 0, 0, -1, -1, 1, -2, -3, 3, 0, -5], "asymptotic")

pairs = []
tokens = random.integers(5, 400, 120)
base = random.gamma(9, 0.25, 120) * tokens
retrained = base * random.normal(0.93, 0.12, 120)
boot = stats.bootstrap((base, retrained, tokens), lambda b, r, t, axis=-1: (r - b).sum(axis) / t.sum(axis), paired=True, n_resamples=200_000,
                       confidence_level=0.95, method="percentile", vectorized=True, batch=2000, rng=random)
sums = {"tokens": tokens.tolist(), "base": base.tolist(), "retrained": retrained.tolist(), "low": boot.confidence_interval.low,
        "high": boot.confidence_interval.high, "resamples": 200_000}
z = [1.0, 5.0, 20.0, 28.0, 29.0, 40.0, 86.6, 300.0]
tails = [{"z": v, "log_p": float(np.log(2) + stats.norm.logsf(v))} for v in z]
print(json.dumps({"wilcoxon": cases, "bootstrap": sums, "normal_tails": tails}, indent=1))
