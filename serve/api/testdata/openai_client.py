"""Asks a server under test as users of openai-python do. Arguments: base URL, API key. Prints nothing if all is well."""
import sys

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
ANSWER = "火曜は可燃ごみの日です。"


def ask(query, client=client, **options):
    return client.chat.completions.create(model="so8t", messages=[{"role": "user", "content": query}], **options)


def refused(kind, code, query="q", **options):
    for stream in (False, True):
        try:
            ask(query, stream=stream, **options)
        except kind as e:
            assert e.code == code, e
            continue
        raise AssertionError(f"{code}: no error, stream={stream}")


whole = ask("q", max_completion_tokens=20, user="田中")
assert whole.choices[0].message.content == ANSWER and whole.choices[0].finish_reason == "stop", whole
assert whole.usage.completion_tokens == 5 and whole.so8t["safety_label"] == "ALLOW", whole

chunks = list(ask("q", stream=True, stream_options={"include_usage": True}))
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER, chunks
assert chunks[-1].usage.total_tokens == 12 and chunks[-2].so8t["internal_reasoning_hash"] == "hmac:abc", chunks

assert [m.id for m in client.models.list()] == ["so8t"] and client.models.retrieve("so8t").id == "so8t"

refused(openai.AuthenticationError, "invalid_api_key", client=openai.OpenAI(base_url=url, api_key="wrong", max_retries=0))
refused(openai.RateLimitError, "queue_full", "full")
refused(openai.BadRequestError, "context_length_exceeded", "long")
refused(openai.BadRequestError, "unsupported_parameter", logprobs=True)
refused(openai.BadRequestError, "unsupported_parameter", tools=[{"type": "function", "function": {"name": "f"}}])

try:
    for _ in ask("break", stream=True):
        pass
except openai.APIError as e:
    assert e.code == "internal_error", e
else:
    raise AssertionError("a stream that failed looks whole")
