"""Writes cases.jsonl: conversations with the labels that transformers' encoding and assistant mask give.

python make_cases.py FALLBACK_DIR PHI35_DIR > cases.jsonl
"""
import json
import sys

from transformers import PreTrainedTokenizerFast

TAIL = "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
HEAD = "{% for m in messages %}{% if m.role != 'assistant' %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% else %}"
TEMPLATES = {
    "plain": None,
    "marks": HEAD + "{{ '<|assistant|>\n' }}{% generation %}{{ m.content + '<|end|>\n' }}{% endgeneration %}{% endif %}{% endfor %}" + TAIL,
    "marks the head too": HEAD
    + "{% generation %}{{ '<|assistant|>\n' + m.content + '<|end|>' }}{% endgeneration %}{{ '\n' }}{% endif %}{% endfor %}" + TAIL,
    "marks without the end": HEAD
    + "{{ '<|assistant|>\n' }}{% generation %}{{ m.content }}{% endgeneration %}{{ '<|end|>\n' }}{% endif %}{% endfor %}" + TAIL,
}
CONVERSATIONS = [
    [("user", "機密情報"), ("assistant", "答え")],
    [("system", "規則"), ("user", " the quick\n"), ("assistant", "\n 𠮷 です。 ")],
    [("user", "a"), ("assistant", "b c"), ("user", "在庫表は?"), ("assistant", "共有フォルダーに あります。")],
    [("system", "s"), ("user", "a"), ("assistant", "<s>取消</s> x"), ("user", "b"), ("assistant", " y "), ("user", "c"), ("assistant", "z\n\nz")],
    [("assistant", "hello"), ("user", "a"), ("user", "b"), ("assistant", "the end")],
]
IGNORED = -100


def ids_of(tok, template, messages, prompt):
    return tok.apply_chat_template(messages, chat_template=template, add_generation_prompt=prompt, tokenize=True, return_dict=False)


def labels_of(tok, template, messages, whole, end, every):
    """Without markers: from behind the prompt of a trained turn through the token that ends it."""
    labels = [IGNORED] * len(whole)
    for i, message in enumerate(messages):
        if message["role"] != "assistant" or not every and i < len(messages) - 1:
            continue
        start = len(ids_of(tok, template, messages[:i], True)) if i else len(tok.encode("<|assistant|>\n", add_special_tokens=False))
        stop = whole.index(end, start) + 1
        labels[start:stop] = whole[start:stop]
    return labels


def case(tok, name, messages, every):
    template = TEMPLATES[name] or tok.chat_template
    whole = ids_of(tok, template, messages, False)
    end = tok.convert_tokens_to_ids("<|end|>")
    prompt = len(ids_of(tok, template, messages[:-1], True))
    length = whole.index(end, prompt) + 1
    if "{% generation %}" not in template:
        labels = labels_of(tok, template, messages, whole, end, every)
    else:
        out = tok.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        mask = out["assistant_masks"]
        if not every:  # what a conversation gains by its last turn, header included
            before = len(ids_of(tok, template, messages[:-1], False))
            mask = [m if i >= before else 0 for i, m in enumerate(mask)]
        labels = [i if m else IGNORED for i, m in zip(whole, mask)]
    return {"prompt": prompt, "ids": whole[:length], "labels": labels[:length]}


def main():
    for folder, path in zip(("fallback", "phi35"), sys.argv[1:]):
        with open(path + "/tokenizer_config.json", encoding="utf-8") as file:
            config = json.load(file)
        tok = PreTrainedTokenizerFast(tokenizer_file=path + "/tokenizer.json", eos_token="<|endoftext|>", bos_token="<s>", unk_token="<unk>")
        tok.chat_template = config["chat_template"]
        for name, template in TEMPLATES.items():
            for turns in CONVERSATIONS:
                messages = [{"role": role, "content": content} for role, content in turns]
                for every in (False, True):
                    got = case(tok, name, messages, every)
                    head = {"tokenizer": folder, "template": template or "", "name": name, "every": every, "messages": messages}
                    print(json.dumps(head | got, ensure_ascii=False, separators=(",", ":")))


main()
