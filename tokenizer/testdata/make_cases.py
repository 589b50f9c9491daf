"""Writes two small tokenizers and what Hugging Face's tokenizers answers for them.

    pip install tokenizers
    python make_cases.py          # fallback/ and unk/ beside this file

fallback: the kind that Phi-3.5 ships (byte fallback, merges as strings), with a chat template.
unk: no byte fallback, unknown characters fused; merges as pairs; added tokens with every flag.
"""
import json, os, random
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
TEXT = ["decision: ALLOW", "decision: DENY", "decision: REFUSE", "decision: ESCALATION", "the quick brown fox jumps over the lazy dog",
        "return the value of the thing",
        "機密情報を含むため、お答えできません。", "機密情報の公開を審査する担当者に確認してください。", "個人の住所と電話番号を公開することはできません。", "安全な依頼です。そのまま答えます。",
        "<think-task>課題を整理します。</think-task><think-safety>decision: ALLOW\n安全です。</think-safety><think-policy>方針に従います。</think-policy><final>答えます。</final>"]
BYTES = ["<0x%02X>" % i for i in range(256)]
CHAT = ("{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
        "{% else %}{{ raise_exception('unknown role ' + message['role']) }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")


def train(reserved, size):
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.train_from_iterator([line for line in TEXT for _ in range(3)],
                            trainers.BpeTrainer(vocab_size=size, special_tokens=reserved, show_progress=False, max_token_length=12))
    data = json.loads(tok.to_str())
    # merges may cross words here; drop what no sentencepiece vocabulary has: "x▁"
    bad = lambda t: any(a != "▁" and b == "▁" for a, b in zip(t, t[1:]))
    data["model"]["merges"] = [m for m in data["model"]["merges"] if not bad("".join(m))]
    # like the converted sentencepiece models: every way to make an entry is a merge, at that entry's rank
    order = ["".join(m) for m in data["model"]["merges"]]
    vocab = reserved + [t for t in data["model"]["vocab"] if len(t) == 1] + order
    ids = {t: i for i, t in enumerate(dict.fromkeys(vocab))}
    data["model"]["vocab"] = ids
    data["model"]["merges"] = [[t[:i], t[i:]] for t in order for i in range(1, len(t)) if t[:i] in ids and t[i:] in ids]
    return data


def flags(content, i, **kw):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **kw}


def fallback():
    data = train(["<unk>", "<s>", "</s>"] + BYTES, 520)
    n = len(data["model"]["vocab"])
    data["model"].update(byte_fallback=True, fuse_unk=True, merges=[" ".join(m) for m in data["model"]["merges"]])
    data["added_tokens"] = [flags("<unk>", 0), flags("<s>", 1), flags("</s>", 2, rstrip=True, special=False), flags("<|endoftext|>", n)]
    data["added_tokens"] += [flags(t, n + 1 + i, rstrip=True) for i, t in enumerate(["<|assistant|>", "<|system|>", "<|end|>", "<|user|>"])]
    return data


def unk():
    data = train(["<unk>"], 200)
    n = len(data["model"]["vocab"])
    data["model"].update(byte_fallback=False, fuse_unk=True)
    data["added_tokens"] = [flags("<unk>", 0)] + [flags(t, n + i, **kw) for i, (t, kw) in enumerate([
        ("[L]", dict(lstrip=True)), ("[R]", dict(rstrip=True)), ("[LR]", dict(lstrip=True, rstrip=True)), ("word", dict(single_word=True, special=False)),
        ("norm", dict(normalized=True, special=False)), ("a norm", dict(normalized=True)), ("[L]x", dict()),
        ("\n\n", dict(special=False)), ("単語", dict(single_word=True))])]
    return data


POOL = ["機密情報公開審査個人住所電話番号安全依頼です。ますのをにお答", "decisonALWEYRFUTthequickbrown", " \n\t　", "𠮷🍣é髙ﾃ", "▁ ", "<>|/x_1"]
WORDS = ["<|end|>", "<|user|>", "</s>", "<s>", "<unk>", "[L]", "[R]", "[LR]", "[L]x", "word", "norm", "a norm", "単語",
         "\n\n", "  ", "the ", "decision: ALLOW", "ません。", "<0x41>", "機密情報", " ", "\n"]


# What \\w is, beside single_word tokens.
EDGES = [f(c)
         for c in ["_", "é", "\u0301", "\u0903", "\u2167", "\u24d0", "\u200c", "\u200d", "\u203f", "٣",
                   "½", "²", "・", "ー", "々", "·", "-", "\u00ad", "𠮷", "🍣", "\u3000", "a", "0"]
         for f in (lambda c: c + "word", lambda c: "word" + c, lambda c: "word " + c)]


def text(r):
    out = []
    for _ in range(r.randint(0, 9)):
        out.append(r.choice(WORDS) if r.random() < 0.5 else "".join(r.choice(r.choice(POOL)) for _ in range(r.randint(1, 9))))
    return "".join(out)


for name, data in (("fallback", fallback()), ("unk", unk())):
    folder = os.path.join(here, name)
    os.makedirs(folder, exist_ok=True)
    json.dump(data, open(os.path.join(folder, "tokenizer.json"), "w"), ensure_ascii=False, separators=(",", ":"))
    config = {"unk_token": "<unk>", "added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in data["added_tokens"]}}
    if name == "fallback":
        config.update(bos_token={"content": "<s>"}, eos_token="<|endoftext|>", chat_template=CHAT)
    json.dump(config, open(os.path.join(folder, "tokenizer_config.json"), "w"), ensure_ascii=False, indent=1)
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    r = random.Random(7)
    n = tok.get_vocab_size()
    with open(os.path.join(folder, "cases.jsonl"), "w") as f:
        for i in range(400):
            t = EDGES[i // 3] if i % 3 == 0 and i // 3 < len(EDGES) else text(r)
            ids = tok.encode(t, add_special_tokens=False).ids
            if i % 3 == 2:
                t, ids = "", [r.randrange(n) if r.random() < 0.4 else r.randrange(1, min(n, 259)) for _ in range(r.randint(1, 16))]
            f.write(json.dumps({"text": t, "ids": ids, "decode_only": i % 3 == 2, "decoded": tok.decode(ids, skip_special_tokens=False),
                                "decoded_skip_special": tok.decode(ids, skip_special_tokens=True)}, ensure_ascii=False) + "\n")
