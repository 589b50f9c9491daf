"""Whether a rehearsal showed what first.sh and second.sh must show.

    python3 rehearsed.py WORK     WORK/first, second and hangs hold what they left, WORK/traced every line of shell that ran

Prints each fault; the exit status is 1 if there is one.
"""
import json
import pathlib
import re
import sys

work = pathlib.Path(sys.argv[1])
scripts = pathlib.Path(__file__).parent
faults = []


def need(holds, what):
    if not holds:
        faults.append(what)


def summary(name):
    s = json.loads((work / name / "summary.json").read_text())
    s["status"] = {stage["stage"]: stage["status"] for stage in s["stages"]}
    return s


def stages_of(script):
    """The names of the stages that a script calls."""
    return re.findall(r"^(?:[A-Z0-9_]+=\S+ )*(?:stage|go_tests|train|measure) ([a-z]\w*) \d", (scripts / script).read_text(), re.M)


def check_stages(name, s, others=()):
    """Every stage ran and was well, but those of PyTorch where Python has none."""
    for stage in ["kit", "machine", *stages_of(name + ".sh"), *others]:
        status = s["status"].get(stage, "not run")
        without_torch = stage in ("peer", "attention") and "No module named" in status
        need(status == "ok" or without_torch, f"{name}: {stage}: {status}")
    need(not s["tests"]["failed"], f"{name}: failed: {s['tests']['failed']}")


def check_first(s):
    check_stages("first", s, ["base"])
    for stage, least in (("smoke", 8), ("operations_bfloat16", 10), ("oracle", 8), ("attention_own", 1), ("operations_float32", 10),
                         ("operations_unaligned", 20)):
        n = sum(test.startswith(stage + ": ") for test in s["tests"]["passed"])
        need(n >= least, f"first: {stage}: {n} tests passed, at least {least} were to")
    need(s["machine"] and "Double" in s["machine"][0]["gpu"], "first: no GPU is named")
    need(s["memory"] and s["memory"][0]["bytes_per_second"] > 0, "first: no speed of the memory")
    need([(e["stage"], e["step_tokens"][0]) for e in s["steps"]] == [("step_1", 32), ("step_4", 128), ("profile", 128)], f"first: steps: {s['steps']}")
    need([(e["batch"], e["overlap"]) for e in s["decode"]] == [(1, False), (64, False), (16, False), (1, True), (64, True)], f"first: decoding: {s['decode']}")
    need(len({(e["batch"], e["answers"]) for e in s["decode"]}) == 3, f"first: overlapping kernels answer otherwise: {s['decode']}")
    operations = {e["operation"] for e in s["profile"] if e["calls"] > 0}
    need({"linear_forward", "attention_backward", "adamw"} <= operations, f"first: profile: {operations}")


def check_second(s):
    check_stages("second", s, ["memcheck", "racecheck"])
    asked = [(e["stage"], e["attention"], e["keep_expanded"]) for e in s["steps"]]
    need(asked == [("step_4_own", "own", True), ("step_4_cudnn", "cudnn", True), ("step_1_kept", "own", True),
                   ("step_1_expanded", "own", False), ("kernels", "own", True)], f"second: steps: {asked}")
    kernels = [(k["kernel"], k["calls"], round(k["ms"], 6)) for k in s["kernels"]]
    need(kernels == [("forward_tiles<96>", 2, 2.0), ("nvjet_tst_128x256_64x4_2x1_v_bz_TNT", 1, 0.5)], f"second: kernels: {s['kernels']}")
    need(len(s["parity"]) == 1 and "step" in s["parity"][0]["text"], f"second: parity: {s['parity']}")
    need([(e["stage"], e["found"]) for e in s["sanitizers"]] == [("memcheck", 0), ("racecheck", 0)], f"second: sanitizers: {s['sanitizers']}")
    if s["status"].get("peer") == "ok":
        need([p["batch"] for p in s["peers"]] == [1, 2, 4], f"second: peers: {s['peers']}")
        need({e["attention"] for e in s["attention"]} == {"flash", "cudnn"}, f"second: PyTorch's attention: {s['attention']}")


def check_hangs(s):
    """What goes wrong stops no other stage, and is told."""
    for stage, told in (("deaf", "cut off after"), ("failing", "failed (3): why it failed"), ("absent", "left out: "), ("passing", "ok")):
        need(s["status"].get(stage, "not run").startswith(told), f"hangs: {stage}: {s['status'].get(stage)}")
    need(s["peers"] and s["peers"][0]["error"] == "out of memory", "hangs: what the last stage printed is not in the summary")


def check_time(name):
    took, most = map(int, (work / name / "took").read_text().split())
    need(took <= most, f"{name} took {took} s of {most}")
    return took


def commands(text):
    """The numbers of lines that each hold, or continue, a command."""
    groups, continued = [], False
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if continued:
            groups[-1].append(number)
        elif bare and not bare.startswith("#") and not re.fullmatch(r"[}]|fi|done|else|then|do|esac|;;|[\w]+\(\) \{( #.*)?", bare):
            groups.append([number])
        continued = bare.endswith("\\")
    return groups


def check_lines():
    ran = set(re.findall(r"^\++([\w.]+):(\d+):", (work / "traced").read_text(errors="replace"), re.M))
    for script in ("stages.sh", "first.sh", "second.sh"):
        text = (scripts / script).read_text()
        for group in commands(text):
            # A function of one line runs, or not, under the number of that line too: it must be called by its name.
            if not any((script, str(n)) in ran for n in group):
                faults.append(f"{script}:{group[0]} never ran: {text.splitlines()[group[0] - 1].strip()}")


check_first(summary("first"))
check_second(summary("second"))
check_hangs(summary("hangs"))
check_lines()
print(f"rehearsed: first.sh in {check_time('first')} s, second.sh in {check_time('second')} s, what hangs in {check_time('hangs')} s")
for fault in faults:
    print("fault: " + fault)
sys.exit(bool(faults))
