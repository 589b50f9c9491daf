"""The time of a run's kernels by name, from the CSV that Nsight Compute prints:

    ncu --metrics gpu__time_duration.sum --csv --page raw PROGRAM | python3 kernels.py
"""
import collections
import csv
import re
import sys

COLUMN = "gpu__time_duration.sum"
MILLISECONDS = {"ns": 1e-6, "nsecond": 1e-6, "us": 1e-3, "usecond": 1e-3, "ms": 1, "msecond": 1, "s": 1e3, "second": 1e3}


def durations(text):
    """A list of kernels, calls and ms, the longest first. A row of units follows the row of names."""
    total, calls, head, unit = collections.Counter(), collections.Counter(), None, 1e-6
    for row in csv.reader(line for line in text.splitlines() if line.startswith('"')):
        if "Kernel Name" in row:
            head = row
        if not head or len(row) != len(head) or row is head:
            continue
        cells = dict(zip(head, row))
        value = cells.get(COLUMN, "")
        if value in MILLISECONDS:
            unit = MILLISECONDS[value]
        elif re.fullmatch(r"[\d.,]+", value):
            name = short(cells["Kernel Name"])
            total[name] += float(value.replace(",", "")) * unit
            calls[name] += 1
    return [{"kernel": name, "calls": calls[name], "ms": ms} for name, ms in total.most_common()]


def short(name):
    """A kernel's name without its namespaces, type and parameters."""
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|so8t::(?:cuda::)?|^void ", "", name)
    return re.sub(r"\(.*", "", name)[:72]


if __name__ == "__main__":
    for k in durations(sys.stdin.read()):
        print("%-72s %6d %12.3f ms" % (k["kernel"], k["calls"], k["ms"]))
