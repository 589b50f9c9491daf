"""What the stages of first.sh or second.sh left, as one file and as lines for people.

    python3 summary.py OUT --stage NAME      prints what that stage showed, and writes OUT/summary.json as far as it goes
    python3 summary.py OUT --seconds 270     prints everything, at the end; the exit status is 1 if a stage failed or was cut off

summary.json has stages (name, status, seconds), tests (passed, failed and skipped by name) and, each with its stage's name, every figure
that a log holds: machine, memory, steps, peers, decode, attention, profile (by operation), kernels, parity, sanitizers.
"""
import argparse
import json
import os
import pathlib
import re
import sys

import kernels

FIGURES = ("machine", "memory", "steps", "peers", "decode", "attention", "profile", "kernels", "parity", "sanitizers")
# What a line of JSON is, by a key that only its kind has.
KINDS = [("libraries", "machine"), ("load_seconds", "steps"), ("first_seconds", "decode"), ("bytes_per_second", "memory"), ("attention", "attention"),
         ("batch", "peers")]
TEST = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)")
CHECKED = re.compile(r"^========= (ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards?)")
PROFILE = re.compile(r"^(\w+) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+)%$")


def read_stages(out):
    """The stages in their order: a line as each begins, and one as it ends."""
    stages = {}
    for line in (out / "stages.jsonl").read_text().splitlines():
        entry = json.loads(line)
        stages.setdefault(entry["stage"], {}).update(entry)
    for name, s in stages.items():
        s["status"] = status(s, out / f"{name}.log")
    return list(stages.values())


def status(s, log):
    code = s.get("code")
    if s["limit"] < 5:
        return "left out: no time was left"
    if code is None:
        return "has not ended"
    if code in (124, 137):
        return f"cut off after {s['seconds']} s"
    if code in (126, 127):
        return "left out: " + last_line(log)
    return "ok" if code == 0 else f"failed ({code}): {last_line(log)}"


def last_line(log):
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1][:200] if lines else ""


def read_log(stage, log, summary):
    """Puts what a log holds into the summary."""
    text = log.read_text(errors="replace")
    for line in text.splitlines():
        if line.startswith("{"):
            read_json(stage, line, summary)
        elif m := TEST.match(line):
            summary["tests"][{"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}[m[1]]].append(f"{stage}: {m[2]}")
        elif m := CHECKED.match(line):
            summary["sanitizers"].append({"stage": stage, "found": int(m[2])})
        elif "apart (step" in line:
            summary["parity"].append({"stage": stage, "text": line.split(": ", 1)[-1].strip()})
    summary["kernels"] += [{"stage": stage, **k} for k in kernels.durations(text)]


def read_json(stage, line, summary):
    try:
        entry = json.loads(line)
    except ValueError:  # a process that was cut off within a line
        return
    for key, kind in KINDS:
        if key in entry:
            summary[kind].append({"stage": stage, **entry})
            return


def leaves(names):
    """The tests that have no subtests."""
    parents = {name.rsplit("/", n)[0] for name in names for n in range(1, name.count("/") + 1)}
    return [name for name in names if name not in parents]


def summarize(out):
    summary = {kind: [] for kind in FIGURES}
    summary["stages"], summary["tests"] = read_stages(out), {"passed": [], "failed": [], "skipped": []}
    for s in summary["stages"]:
        log, profile = out / f"{s['stage']}.log", out / f"{s['stage']}.txt"
        if log.exists():
            read_log(s["stage"], log, summary)
        if profile.exists():
            rows = filter(None, map(PROFILE.match, profile.read_text().splitlines()))
            summary["profile"] += [{"stage": s["stage"], "operation": m[1], "calls": int(m[2]), "ms": float(m[3])} for m in rows]
    summary["tests"] = {verdict: leaves(names) for verdict, names in summary["tests"].items()}
    return summary



def describe(kind, e):
    """A figure as a line."""
    if kind == "machine":
        found = {**e["packages"], **{name: " ".join(paths) for name, paths in e["libraries"].items()}, **e["programs"]}
        return "%s; %d CPUs, %d GiB, /dev/shm %d\n    " % (e["gpu"], e["cpus"], e["memory_gib"], e["shm_free_gib"]) + "\n    ".join(
            f"{name}: {what or 'none'}" for name, what in found.items())
    if kind == "memory":
        return "memory: %.0f GB/s, reading alone %.0f" % (e["bytes_per_second"] / 1e9, e["bytes_read_per_second"] / 1e9)
    if kind == "steps":
        times = e["step_seconds"]
        return "%d tokens a step: %.0f tokens/s, steps of %.3f to %.3f s, the first %.1f; loss %.4f to %.4f; at most %.1f GiB" % (
            e["step_tokens"][0], e["tokens_per_second"], min(times), max(times[1:] or times), times[0], e["loss_first"], e["loss_last"],
            e["peak_device_bytes"] / 2**30)
    if kind == "peers":
        return "PEFT, batch %s: %s" % (e["batch"], e.get("error") or "%.0f tokens/s, at most %.1f GiB" % (e["tokens_per_second"], e["peak_bytes"] / 2**30))
    if kind == "decode":
        return "decoding %d at once: %.0f tokens/s, the weights read at %.0f GB/s" % (
            e["batch"], e["tokens_per_second"], e["tokens_per_second"] / e["batch"] * e["weight_bytes"] / 1e9)
    if kind == "attention":
        size = "PyTorch's attention, %s, %d x %d tokens: " % (e["attention"], e["samples"], e["tokens"])
        return size + (e.get("error") or "forward %.2f ms, %.0f TFLOP/s; backward %.2f ms, %.0f TFLOP/s" % (
            e["forward_ms"], e["forward_tflops"], e["backward_ms"], e["backward_tflops"]))
    if kind == "profile":
        return "%-24s %6d calls %10.2f ms" % (e["operation"], e["calls"], e["ms"])
    if kind == "kernels":
        return "%-72s %6d calls %10.3f ms" % (e["kernel"], e["calls"], e["ms"])
    if kind == "sanitizers":
        return "%s found %d" % (e["stage"], e["found"])
    return e["text"]


def show(summary, stage, tables):
    """Prints what a stage showed; of a table its first lines, at the end alone."""
    s = next(s for s in summary["stages"] if s["stage"] == stage)
    passed, failed, skipped = ([t for t in summary["tests"][v] if t.startswith(stage + ": ")] for v in ("passed", "failed", "skipped"))
    tests = f"; {len(passed)} tests passed, {len(failed)} failed, {len(skipped)} skipped" if passed or failed or skipped else ""
    print(f"{stage}: {s['status']}, {s.get('seconds', '–')} s{tests}")
    for test in failed[:20]:
        print("  failed: " + test.split(": ", 1)[1])
    for kind in FIGURES:
        for entry in [e for e in summary[kind] if e["stage"] == stage][:24 if tables or kind not in ("profile", "kernels") else 0]:
            print("  " + describe(kind, entry))
    sys.stdout.flush()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--stage")
    ap.add_argument("--seconds", type=float)
    a = ap.parse_args()
    summary = summarize(a.out)
    summary["seconds"] = a.seconds
    whole = a.out / f"summary.json.{os.getpid()}"
    whole.write_text(json.dumps(summary, indent=1) + "\n")
    whole.replace(a.out / "summary.json")
    if a.stage:
        show(summary, a.stage, tables=False)
        return 0
    print("\n== in all ==")
    for s in summary["stages"]:
        show(summary, s["stage"], tables=True)
    return 0 if all(s["status"] == "ok" for s in summary["stages"]) else 1


if __name__ == "__main__":
    sys.exit(main())
