"""What the machine has: GPU, driver, memory, versions, and where Python's environment and CUDA's folder hold cuBLASLt and cuDNN.

Prints one line of JSON. Nothing is imported that is not Python's own: importing torch takes seconds.
"""
import glob
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig


def gpu():
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit", "--format=csv,noheader"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=15)
        return (out.stdout or out.stderr).strip().split("\n")[0]
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def libraries(name):
    folders = [sysconfig.get_path("purelib") + "/nvidia/*/lib", "/usr/local/cuda/lib64"]
    folders += [os.environ[v] + lib for v in ("CUDA_HOME", "CUDA_PATH") if v in os.environ for lib in ("/lib64", "/lib")]
    return sorted(path for folder in folders for path in glob.glob(f"{folder}/{name}.so.[0-9]*"))


print(json.dumps({
    "gpu": gpu(),
    "cpus": len(os.sched_getaffinity(0)),
    "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    "shm_free_gib": round(shutil.disk_usage("/dev/shm").free / 2**30),
    "python": sys.version.split()[0],
    "packages": {p: version(p) for p in ("torch", "transformers", "peft", "bitsandbytes")},
    "libraries": {name: libraries(name) for name in ("libcublasLt", "libcudnn")},
    "programs": {p: shutil.which(p) for p in ("ncu", "nsys", "compute-sanitizer", "cuobjdump")},
}))
