"""Opens what a run exported in transformers and PEFT, and compares.

    pip install torch transformers peft
    python demo/verify_export.py --final checkpoints/demo/final_model --base demo/base --engine bin/bench

Three models on the records' own prompts and answers, in float32: the base with adapter and adapter_oft in a PeftMixedModel, the merged
folder, and, with --engine, this project's own (`bench score` prints its log-probabilities). Fails if they differ by more than bfloat16 explains.
"""
import argparse, glob, json, os, subprocess, sys
import torch
from peft import PeftMixedModel
from transformers import AutoModelForCausalLM, AutoTokenizer

# Weights merged in bfloat16 carry 8 bits of significand, each rounded once: a few parts in a thousand of the logits, over all of them together.
MERGED = 5e-3
# This engine computes in bfloat16 all the way, on int8 rows: the mean error of a token's log-probability.
ENGINE = 1e-3

ap = argparse.ArgumentParser()
ap.add_argument("--final", required=True, help="a run's final_model folder")
ap.add_argument("--base", required=True)
ap.add_argument("--data", default="demo/data/four_class_demo.jsonl")
ap.add_argument("--samples", type=int, default=64)
ap.add_argument("--engine", help="path of bin/bench; without it transformers and PEFT are compared with each other only")
a = ap.parse_args()

tok = AutoTokenizer.from_pretrained(os.path.join(a.final, "merged"))
rows = []
for line in open(a.data, encoding="utf-8"):
    d = json.loads(line)
    user = d["instruction"] + ("\n\n" + d["input"] if d["input"] else "")
    prompt = tok(tok.apply_chat_template([{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True), add_special_tokens=False).input_ids
    rows.append((prompt, tok(d["output"] + "<|end|>", add_special_tokens=False).input_ids))
    if len(rows) == a.samples:
        break


def load_base(int8):
    m = AutoModelForCausalLM.from_pretrained(a.base, dtype=torch.float32).eval()
    if int8:  # rows as LLM.int8 holds them, and as this engine trains on
        with torch.no_grad():
            for n, p in m.named_parameters():
                if "_proj" in n:
                    s = p.abs().amax(1, keepdim=True)
                    p.copy_(torch.round(p * (127 / s).nan_to_num(0, 0, 0)) * s / 127)
    return m


def adapted(int8):
    m = PeftMixedModel.from_pretrained(load_base(int8), os.path.join(a.final, "adapter"), adapter_name="lora")
    if os.path.isdir(os.path.join(a.final, "adapter_oft")):
        m.load_adapter(os.path.join(a.final, "adapter_oft"), adapter_name="gates")
        m.set_adapter(["lora", "gates"])
    return m.eval()


@torch.no_grad()
def logits(m):
    return [m(input_ids=torch.tensor([p + q])).logits[0, len(p) - 1:-1] for p, q in rows]


def log_probabilities(ls):
    return torch.tensor([float(l.log_softmax(-1).gather(1, torch.tensor(q)[:, None]).sum()) for l, (_, q) in zip(ls, rows)])


def relative(x, y):
    x, y = torch.cat(x), torch.cat(y)
    return float((x - y).norm() / y.norm()), float((x - y).abs().max()), float((x.argmax(-1) == y.argmax(-1)).float().mean())


failed = []


def report(name, value, limit, more=""):
    print(f"{name}: {value:.2e} (limit {limit:.0e}){more}")
    if not value <= limit:
        failed.append(name)


result = {"samples": len(rows)}
plain = logits(load_base(False))
with_adapters = logits(adapted(False))
merged = logits(AutoModelForCausalLM.from_pretrained(os.path.join(a.final, "merged"), dtype=torch.float32).eval())
change, _, _ = relative(with_adapters, plain)
print(f"the adapters change the base's logits by {change:.2f} of their norm")
if change < 10 * MERGED:
    sys.exit("the adapters change so little that nothing can be compared: is this a trained run?")
error, worst, agree = relative(merged, with_adapters)
report("merged against base + adapters in PEFT", error, MERGED, f", largest difference {worst:.3f}, same likeliest token {agree:.2%}")
result |= dict(change=change, merged_relative=error, merged_largest=worst, merged_same_token=agree)

if a.engine:
    cases = "\n".join(json.dumps({"prompt": p, "continuation": q}) for p, q in rows)

    def engine(*args):
        out = subprocess.run([a.engine, "score", *args], input=cases, capture_output=True, text=True)
        if out.returncode:
            sys.exit(out.stderr)
        return torch.tensor(json.loads(out.stdout.splitlines()[-1])["log_probabilities"])

    tokens = torch.tensor([len(q) for _, q in rows])
    theirs = log_probabilities(logits(adapted(True)))
    ours = engine("--base", a.base, "--adapter", a.final, "--int8")
    e = float(((ours - theirs) / tokens).abs().mean())
    report("this engine (int8 base + adapters) against PEFT, log-probability of a token", e, ENGINE)
    theirs = log_probabilities(merged)
    ours = engine("--base", os.path.join(a.final, "merged"))
    f = float(((ours - theirs) / tokens).abs().mean())
    report("this engine (merged) against transformers, log-probability of a token", f, ENGINE)
    result |= dict(engine_adapted=e, engine_merged=f)
result["ok"] = not failed
print(json.dumps(result))
sys.exit("differs: " + "; ".join(failed) if failed else 0)
