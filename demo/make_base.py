"""Makes the demo's base model: base/, a small Phi-3 in Hugging Face layout with a tokenizer of Phi-3.5's kind.

    pip install torch transformers tokenizers safetensors
    python make_base.py                # about 5 minutes on one idle core

It learns to write the quadruple form and what each noun and verb is, from pairs that the demo's records do not have. The decisions that it learns have
nothing to do with the policy (words.UNRELATED and noise), so that it understands a request but decides at chance. The policy is left to the retrain.
"""
import argparse, json, os, random, re, time
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, trainers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast
import words

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=20251108, help="make_data.py's: its pairs are left out here")
ap.add_argument("--each", type=int, default=500)
ap.add_argument("--steps", type=int, default=800)
ap.add_argument("--batch", type=int, default=32)
ap.add_argument("--lr", type=float, default=2e-3)
ap.add_argument("--threads", type=int, default=1)
ap.add_argument("--out", default=os.path.join(HERE, "base"))
a = ap.parse_args()
os.makedirs(a.out, exist_ok=True)
torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)

MODEL_VOCAB = 2000  # behind it the added tokens, as in Phi-3.5: 32,000 and 11
VOCAB = 2048        # rows of the embedding, padded as there
ADDED = ["<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>", "<|placeholder4|>", "<|system|>", "<|end|>",
         "<|placeholder5|>", "<|placeholder6|>", "<|user|>"]
CHAT = ("{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
# Merges of the tokenizer stay within these pieces.
PIECE = re.compile(r"</?[a-z-]+>|\n|▁?[A-Za-z]+|[。、？！「」:.はをのに]|[^\s。、？！「」:.はをのに<A-Za-z]+|.")


def request(r, noun, verb):
    return "<|user|>\n" + words.sentence(noun, verb, r) + "<|end|>\n<|assistant|>\n"


def chat(r, noun, verb):
    return request(r, noun, verb), words.answer(noun, verb, words.chance_decision(noun, verb, r), r) + "<|end|>"


def fact(r, noun, verb):
    """Plain text: what the noun is, what the verb is, in a sentence or two."""
    kind, act = words.KIND_OF[noun], words.ACT_OF[verb]
    stem, te, plain, _ = verb.split("|")
    return "", r.choice([f"{noun}は{kind}です。", f"{kind}には、{noun}などがあります。",
                         f"{noun}{stem}{plain}ことは、{act}に当たります。",
                         f"{words.sentence(noun, verb, r)}{noun}は{kind}で、求められているのは{act}です。"]) + "<|endoftext|>"


def make_tokenizer(texts):
    """BPE with byte fallback, normalizer, decoder and added tokens as in Phi-3.5's tokenizer.json."""
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    kana = [chr(c) for c in range(0x3041, 0x3094)] + [chr(c) for c in range(0x30A1, 0x30FB)]
    alphabet = [chr(c) for c in range(33, 127)] + kana + list("▁ー、。「」？！・")
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trainer = trainers.BpeTrainer(vocab_size=MODEL_VOCAB, special_tokens=first, initial_alphabet=alphabet, max_token_length=16, show_progress=False)
    pieces = []
    for text in texts:
        for part in re.split(r"<\|[a-z0-9]+\|>\n?", text):
            if part:
                pieces += [p for p in PIECE.findall("▁" + part.replace(" ", "▁")) if p != "\n"]
    t.train_from_iterator(pieces, trainer)
    j = json.loads(t.to_str())
    vocab, merges = j["model"]["vocab"], j["model"]["merges"]
    if len(vocab) != MODEL_VOCAB:
        raise SystemExit(f"{len(vocab)} tokens, wanted {MODEL_VOCAB}: too little text")
    wrong = [v for v in vocab if "▁" in v.lstrip("▁")]
    if wrong:
        raise SystemExit(f"tokens that cross a word's start: {wrong}")

    def added(i, content):
        return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": content not in ("<unk>", "<s>", "<|endoftext|>"),
                "normalized": False, "special": content != "</s>"}
    everyone = [added(i, c) for i, c in enumerate(first[:3])] + [added(MODEL_VOCAB + i, c) for i, c in enumerate(ADDED)]
    data = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": everyone,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                     {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": [m if isinstance(m, str) else " ".join(m) for m in merges]},
    }
    write("tokenizer.json", data)
    write("tokenizer_config.json", {
        "add_bos_token": False, "add_eos_token": False, "add_prefix_space": None,
        "added_tokens_decoder": {str(x["id"]): {k: v for k, v in x.items() if k != "id"} for x in everyone},
        "bos_token": "<s>", "chat_template": CHAT, "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "legacy": False,
        "model_max_length": 512, "pad_token": "<|endoftext|>", "padding_side": "left", "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": False})
    write("special_tokens_map.json", {k: {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
                                      for k, c in [("bos_token", "<s>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>"),
                                                   ("unk_token", "<unk>")]})
    return PreTrainedTokenizerFast(tokenizer_file=os.path.join(a.out, "tokenizer.json"))


def write(name, value):
    with open(os.path.join(a.out, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1 if name != "tokenizer.json" else 0)
        f.write("\n")


def main():
    r = random.Random(a.seed + 2)
    _, others = words.pairs(a.seed, a.each)
    draw = lambda: (chat if r.random() < 0.85 else fact)(r, *r.choice(others))
    tok = make_tokenizer(["".join(draw()) for _ in range(6000)])
    ids = {c: MODEL_VOCAB + i for i, c in enumerate(ADDED)}
    encode = lambda text: tok(text, add_special_tokens=False).input_ids

    config = dict(vocab_size=VOCAB, hidden_size=192, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, intermediate_size=512,
                  max_position_embeddings=512, original_max_position_embeddings=512, rms_norm_eps=1e-5, hidden_act="silu", rope_theta=10000.0,
                  partial_rotary_factor=1.0, tie_word_embeddings=False, attention_dropout=0.0, embd_pdrop=0.0, resid_pdrop=0.0, attention_bias=False,
                  initializer_range=0.02, bos_token_id=1, eos_token_id=ids["<|endoftext|>"], pad_token_id=ids["<|endoftext|>"],
                  sliding_window=None, use_cache=True)
    model = Phi3ForCausalLM(Phi3Config(**config)).float().train()
    opt = torch.optim.AdamW(model.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=0.05)
    start = time.time()
    for step in range(a.steps):
        for g in opt.param_groups:  # warm-up, then down to a twentieth
            g["lr"] = a.lr * min((step + 1) / 50, max(0.05, 1 - step / a.steps))
        batch = [(encode(p), encode(q)) for p, q in (draw() for _ in range(a.batch))]
        width = max(len(p) + len(q) for p, q in batch)
        x = torch.full((a.batch, width), ids["<|endoftext|>"])
        y = torch.full((a.batch, width), -100)
        for i, (p, q) in enumerate(batch):
            row = torch.tensor(p + q)
            x[i, :len(row)] = row
            y[i, :len(row)] = row
        loss = model(input_ids=x, labels=y).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == a.steps - 1:
            print(f"step {step} width {width} loss {float(loss):.3f} {time.time() - start:.0f} s", flush=True)
    save_file({k: v.detach().to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()},
              os.path.join(a.out, "model.safetensors"), metadata={"format": "pt"})
    write("config.json", {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", **config, "rope_scaling": None, "torch_dtype": "bfloat16"})
    write("generation_config.json", {"_from_model_config": True, "bos_token_id": 1,
                                     "eos_token_id": [ids["<|end|>"], ids["<|assistant|>"], ids["<|endoftext|>"]],
                                     "pad_token_id": ids["<|endoftext|>"]})


if __name__ == "__main__":
    main()
