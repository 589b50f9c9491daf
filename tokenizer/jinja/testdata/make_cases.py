"""What transformers' own Jinja renders: templates of constructs.txt and models.jsonl → cases/*.jsonl.gz.

    pip install transformers jinja2
    python make_cases.py

expressions.txt holds an expression a line; constructs.txt a template a paragraph, between lines of ====. "#refused" before it marks what the engine refuses
where Jinja2 does not.
"""
import datetime, gzip, json, os, re, sys
import jinja2
from transformers.utils import chat_template_utils as utils

HERE = os.path.dirname(os.path.abspath(__file__))


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 15, 4, 5, 123456)


utils.datetime = Clock

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Wetter & <Klima> \"heute\" 天気", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "市"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city"]}}}, {"type": "function", "function": {"name": "noop", "parameters": {"type": "object", "properties": {}}}}]
TOOL_TURNS = [dict(role="system", content="Be brief."), dict(role="user", content="Weather in 東京?"),
              dict(role="assistant", content="", tool_calls=[dict(id="abcdef123", type="function", function=dict(name="get_weather", arguments={
                  "city": "東京", "days": 2, "exact": True, "ratio": 0.5, "none": None}))]),
              dict(role="tool", name="get_weather", tool_call_id="abcdef123", content="{\"temp\": 31.5}"),
              dict(role="assistant", content="<think>\nhot\n</think>\n\n31.5 °C."), dict(role="user", content="Danke!")]
X = {"n": 7, "f": 2.5, "s": "Hello, Wörld ß", "l": [3, 1, 2], "e": [], "d": {"b": 1, "a": {"c": [1, 2.0, None, True]}, "items": "own"},
     "users": [{"name": "bob", "age": 3, "city": {"zip": "x1"}}, {"name": "Ann", "age": 20, "city": {"zip": "a2"}}, {"name": "ann", "age": 3}],
     "none": None, "yes": True, "no": False, "u": "  \u3000あ\u00a0い\x1c ", "multi": "a\nb\r\n\nc\x0bd", "html": "<b class='x'>&amp; \"q\"</b>", "big": 2**53}

SIMPLE = [[dict(role="user", content="Hi there ")], [dict(role="system", content="S"), dict(role="user", content="一"), dict(role="assistant", content=" A\n"), dict(role="user", content="二 {{ x }}")],
          [dict(role="user", content="a"), dict(role="assistant", content="<think>t</think>b"), dict(role="user", content="c"), dict(role="assistant", content="d")],
          [dict(role="assistant", content="odd")], [dict(role="system", content=""), dict(role="user", content=[dict(type="text", text="part"), dict(type="image")])]]


def render(template, variables):
    compiled = utils._compile_jinja_template(template)
    spans = []
    blocks = []
    with compiled.environment.activate_tracker(blocks, spans):
        for block in compiled.generate(**variables):
            blocks.append(block)
    text = "".join(blocks)
    text.encode()
    return text, spans


def case(name, template, messages, generate, variables, refused=False):
    c = dict(name=name, template=template, messages=messages, add_generation_prompt=generate, variables=variables)
    given = dict(bos_token="<s>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", unk_token="<unk>", messages=messages, add_generation_prompt=generate)
    try:
        c["expected"], c["generated"] = render(template, {**given, **variables})
    except Exception as e:
        c["error"] = True
        if "-v" in sys.argv:
            print(name, repr(template)[:100], type(e).__name__, str(e)[:100])
    if re.search(" at 0x[0-9a-f]{6}", c.get("expected", "")):
        refused = True
        c["expected"] = ""
    if refused:
        assert "error" not in c, template
        c["refused"] = True
    return {k: v for k, v in c.items() if v != {}}


def write(name, cases):
    with open(os.path.join(HERE, "cases", name + ".jsonl.gz"), "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        for c in cases:
            z.write((json.dumps(c, ensure_ascii=False) + "\n").encode())
    print(name, len(cases), sum("error" in c for c in cases), "errors")


def main():
    cases = []
    for i, block in enumerate(open(os.path.join(HERE, "constructs.txt"), newline="").read().split("\n====\n")):
        refused = block.startswith("#refused\n")
        cases.append(case(f"construct {i}", block.removeprefix("#refused\n"), SIMPLE[1], True, X, refused))
    for line in open(os.path.join(HERE, "expressions.txt")).read().splitlines():
        refused = line.startswith("#refused ")
        line = line.removeprefix("#refused ")
        cases.append(case(line, "{{ " + line + " }}", SIMPLE[1], True, X, refused))
    write("constructs", cases)
    cases = []
    for line in open(os.path.join(HERE, "models.jsonl")):
        m = json.loads(line)
        for turns in SIMPLE:
            for generate in (False, True):
                cases.append(case(m["name"], m["template"], turns, generate, {}))
        for variables in ({"tools": TOOLS}, {"tools": None}, {"tools": TOOLS, "documents": [{"title": "T", "text": "D"}], "enable_thinking": False, "date_string": "1 Jan 2025"}):
            cases.append(case(m["name"], m["template"], TOOL_TURNS, True, variables))
            cases.append(case(m["name"], m["template"], TOOL_TURNS[:2], True, variables))
            cases.append(case(m["name"], m["template"], TOOL_TURNS[:4], False, variables))
    write("models", cases)


if __name__ == "__main__":
    main()
