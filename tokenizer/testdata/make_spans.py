"""What transformers' return_assistant_tokens_mask is, for tokenizers of this repository → spans.jsonl.

    pip install transformers
    python make_spans.py FOLDER NAME ... > spans.jsonl

A case: {model, template, messages, text, spans, ids, mask}; the spans count bytes of the text.
"""
import json, sys
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

MARKED = ("{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|end|>\n' }}"
          "{% endgeneration %}{% else %}{{ m['content'] + '<|end|>\n' }}{% endif %}{% endfor %}")
TEMPLATES = [
    MARKED,
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>' }}{% generation %}\n{{ m.content }}{% endgeneration %}{{ '<|end|>' }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}{{ eos_token }}",
    "{%- for m in messages %}\n{{- '<|' ~ m.role ~ '|> ' }}\n{%- if m.role == 'assistant' %}{%- generation %}  {{ m.content }} {% endgeneration %}"
    "{%- else %}{{ m.content }}{% endif %}\n{%- endfor %}",
    "{% macro turn(m) %}{{ m.role }}: {% generation %}{{ m.content }}{% endgeneration %}\n{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "{% for m in messages %}a{% generation %}{% generation %}{{ m.content }}{% endgeneration %}b{% endgeneration %}{% endfor %}",
    "{% for m in messages %}{{ m.content }}{% generation %}{% endgeneration %}{% endfor %}",
    "{% for m in messages %}{{ m.content }}{% endfor %}",
]
CHATS = [
    [dict(role="user", content="こんにちは"), dict(role="assistant", content="はい、元気です。")],
    [dict(role="system", content="S 規則"), dict(role="user", content="one  two"), dict(role="assistant", content="A\n\n b "),
     dict(role="user", content="又?"), dict(role="assistant", content="𠮷野家 😀 done")],
    [dict(role="user", content=""), dict(role="assistant", content="")],
    [dict(role="user", content="x"), dict(role="assistant", content="\n  lead</s> mid <|end|> \n tail <unk>鬱")],
]


def main():
    for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
        tok = PreTrainedTokenizerFast(tokenizer_file=folder + "/tokenizer.json")
        if "<|endoftext|>" in tok.get_vocab():
            tok.eos_token = "<|endoftext|>"
        for template in TEMPLATES:
            for chat in CHATS:
                out = tok.apply_chat_template(chat, chat_template=template, return_dict=True, return_assistant_tokens_mask=True)
                texts, spans = render_jinja_template([chat], chat_template=template, return_assistant_tokens_mask=True, **tok.special_tokens_map)
                text = texts[0]
                size = lambda n: len(text[:n].encode())
                case = dict(model=name, template=template, messages=chat, text=text, spans=[[size(a), size(b)] for a, b in spans[0]])
                print(json.dumps(dict(case, ids=out["input_ids"], mask=out["assistant_masks"]), ensure_ascii=False))


main()
