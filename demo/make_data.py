"""Writes the demo's records: data/four_class_demo.jsonl.

    python3 make_data.py

Python's standard library only; the same seed gives the same bytes. Every record is a pair of noun and verb that no other record has, so whatever
part a split puts it in, its sentence and its pair are nowhere else: a test record is answered from what its noun and its verb mean.
"""
import argparse, collections, json, os, random
import words

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=20251108)
ap.add_argument("--each", type=int, default=500, help="records of each label")
ap.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "four_class_demo.jsonl"))
a = ap.parse_args()

taken, _ = words.pairs(a.seed, a.each)
r = random.Random(a.seed + 1)
seen, by_label, by_kind, by_act = set(), collections.Counter(), collections.Counter(), collections.Counter()
with open(a.out, "w", encoding="utf-8") as f:
    for noun, verb in taken:
        label, text = words.decision(noun, verb), words.sentence(noun, verb, r)
        if text in seen:
            raise SystemExit(f"sentence twice: {text}")
        seen.add(text)
        by_label[label] += 1
        by_kind[words.KIND_OF[noun], label] += 1
        by_act[words.ACT_OF[verb], label] += 1
        f.write(json.dumps({"instruction": text, "input": "", "output": words.answer(noun, verb, label, r), "four_class_label": label,
                            "domain_label": words.DOMAIN_OF[noun], "safety_label": words.SAFETY[label], "thinking_format": "quadruple", "license": "CC0-1.0"},
                           ensure_ascii=False) + "\n")


def best(counts):
    """Share of records that the best guess from one word's kind alone gets right."""
    return sum(max(v for (k, _), v in counts.items() if k == kind) for kind in {k for k, _ in counts}) / len(seen)


print(f"{len(seen)} records, {dict(by_label)}; guessed from the noun's kind alone {best(by_kind):.0%}, from the verb's alone {best(by_act):.0%}")
