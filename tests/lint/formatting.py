"""Every C++ file is as clang-format leaves it (./dev fmt)."""

import concurrent.futures
import os
import re
import shutil
import subprocess

from common import Problem, Skipped

NAME = "format"
TOOL = "clang-format-19"
BATCH = 20  # files per process: enough to pay for its start, few enough to share the cores


def violations(root, names):
    output = subprocess.run([TOOL, "--dry-run", "--ferror-limit=1", *names], cwd=root,
                            stderr=subprocess.PIPE, text=True).stderr
    first = {}
    place = r"^(.+?):(\d+):\d+: \w+: code should be clang-formatted"
    for match in re.finditer(place, output, re.M):
        first.setdefault(match.group(1), int(match.group(2)))
    return [Problem(name, line, "not formatted (./dev fmt)") for name, line in first.items()]


def check(tree):
    if shutil.which(TOOL) is None:
        raise Skipped(f"{TOOL} is not installed (./dev setup)")
    names = tree.cpp()
    batches = [names[at:at + BATCH] for at in range(0, len(names), BATCH)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda batch: violations(tree.root, batch), batches)
        return [problem for problems in found for problem in problems]
