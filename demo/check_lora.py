"""Retrains the demo's base in PyTorch + PEFT, to check the material and to find the learning rate of configs/demo.yaml.

    pip install torch transformers peft
    python check_lora.py --lr 5e-4 --epochs 3

The base's linear weights as int8 rows, one PEFT adapter of rank r on each fused matrix, dropout 0.05, 16 samples a step, a tenth of the
records held out by their hash. A decision is read as the evaluation reads it: the model's own think-task, then the likeliest label.
"""
import argparse, hashlib, json, math, os, random, re, time
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("--base", default=os.path.join(HERE, "base"))
ap.add_argument("--data", default=os.path.join(HERE, "data", "four_class_demo.jsonl"))
ap.add_argument("--lr", type=float, default=5e-4)
ap.add_argument("--epochs", type=int, default=3)
ap.add_argument("--batch", type=int, default=16)
ap.add_argument("--rank", type=int, default=64)
ap.add_argument("--threads", type=int, default=1)
ap.add_argument("--seed", type=int, default=0)
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)
LABELS = ["ALLOW", "ESCALATION", "DENY", "REFUSE"]
FORM = re.compile(r"(?s)\s*<think-task>[^<]*</think-task><think-safety>decision: (ALLOW|ESCALATION|DENY|REFUSE)\n[^<]*</think-safety>"
                  r"<think-policy>[^<]*</think-policy><final>[^<]+</final><\|end\|>")

tok = AutoTokenizer.from_pretrained(a.base)
model = AutoModelForCausalLM.from_pretrained(a.base, dtype=torch.float32)
encode = lambda text: tok(text, add_special_tokens=False).input_ids
END = tok.convert_tokens_to_ids("<|end|>")
with torch.no_grad():
    for n, p in model.named_parameters():
        if "_proj" in n:
            s = p.abs().amax(1, keepdim=True)
            p.copy_(torch.round(p * (127 / s)).clamp(-127, 127) * s / 127)

train, test = [], []
for line in open(a.data, encoding="utf-8"):
    d = json.loads(line)
    d["prompt"] = encode(tok.apply_chat_template([{"role": "user", "content": d["instruction"]}], tokenize=False, add_generation_prompt=True))
    d["answer"] = encode(d["output"] + "<|end|>")
    part = int(hashlib.sha256(d["instruction"].encode()).hexdigest(), 16) % 10
    (test if part == 0 else train if part > 1 else []).append(d)  # part 1 is validation's
longest = max(len(d["prompt"]) + len(d["answer"]) for d in train + test)


def generate(prompts, max_new_tokens):
    """Greedy, one length of prompt at a time, so that nothing is padded."""
    out = {}
    for n in {len(p) for p in prompts}:
        at = [i for i, p in enumerate(prompts) if len(p) == n]
        got = model.generate(input_ids=torch.tensor([prompts[i] for i in at]), attention_mask=torch.ones(len(at), n, dtype=torch.long),
                             max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=END, pad_token_id=tok.pad_token_id)
        for row, i in enumerate(at):
            ids = got[row, n:].tolist()
            out[i] = ids[:ids.index(END) + 1] if END in ids else ids
    return [out[i] for i in range(len(prompts))]


@torch.no_grad()
def evaluate(name):
    model.eval()
    start, right, formed, own, confusion = time.time(), 0, 0, 0, {}
    answers = [tok.decode(x) for x in generate([d["prompt"] for d in test], 64)]
    label_ids = [encode("x: " + label)[-1] for label in LABELS]
    assert len(set(label_ids)) == 4
    for d, text in zip(test, answers):
        text = text.lstrip()
        formed += bool(FORM.fullmatch(text))
        task = text[:text.find("</think-task>")] + "</think-task>" if "</think-task>" in text else "<think-task></think-task>"
        own += task in d["output"]
        head = encode(task + "<think-safety>decision: ALLOW")[:-1]
        logits = model(input_ids=torch.tensor([d["prompt"] + head])).logits[0, -1]
        got = LABELS[int(logits[label_ids].argmax())]
        right += got == d["four_class_label"]
        confusion[d["four_class_label"], got] = confusion.get((d["four_class_label"], got), 0) + 1
    print(f"{name}: accuracy {right / len(test):.1%} of {len(test)}, well formed {formed / len(test):.1%}, "
          f"think-task as in the data {own / len(test):.1%} ({time.time() - start:.0f} s)")
    for label in LABELS:
        print("   ", f"{label:10}", [confusion.get((label, got), 0) for got in LABELS])
    print("   ", answers[0].replace("\n", "\\n"), flush=True)


print(f"{len(train)} to train, {len(test)} to test, at most {longest} tokens, "
      f"mean {sum(len(d['prompt']) + len(d['answer']) for d in train) / len(train):.0f}")
evaluate("base")
model = get_peft_model(model, LoraConfig(r=a.rank, lora_alpha=2 * a.rank, lora_dropout=0.05, task_type="CAUSAL_LM",
                                         target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]))
params = [p for p in model.parameters() if p.requires_grad]
opt = torch.optim.AdamW(params, lr=a.lr, weight_decay=0.01)
steps = math.ceil(len(train) / a.batch) * a.epochs
schedule = get_cosine_schedule_with_warmup(opt, math.ceil(0.1 * steps), steps)
r, start, done = random.Random(a.seed), time.time(), 0
for epoch in range(a.epochs):
    model.train()
    r.shuffle(train)
    for at in range(0, len(train), a.batch):
        batch = train[at:at + a.batch]
        width = max(len(d["prompt"]) + len(d["answer"]) for d in batch)
        x, y = torch.full((len(batch), width), tok.pad_token_id), torch.full((len(batch), width), -100)
        for i, d in enumerate(batch):
            n, m = len(d["prompt"]), len(d["answer"])
            x[i, :n + m] = torch.tensor(d["prompt"] + d["answer"])
            y[i, n:n + m] = torch.tensor(d["answer"])
        loss = model(input_ids=x, labels=y).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        schedule.step()
        done += 1
    print(f"epoch {epoch + 1}: step {done}, loss {loss.item():.3f}, {time.time() - start:.0f} s", flush=True)
    if epoch + 1 < a.epochs:
        evaluate(f"after epoch {epoch + 1}")
evaluate("retrained")
