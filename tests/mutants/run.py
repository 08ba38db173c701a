#!/usr/bin/python3
"""Breaks the broker on purpose, one change at a time, and says what notices: the trials, or the
unit tests. A change that nothing notices is a gap in the checks.

usage: ./dev mutants [--seeds N] [NAME ...]      NAME: part of a change's name; all by default
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

from changed_copy import build, copy_sources, put
from changes import CHANGES

TESTS = "record log meta replica server rpc client property golden".split()
SEEDS = 3000
NAME_COLUMN = 58


def trials_notice(copy, seeds):
    """Which seed of the catalogue fails first, and how; nothing when none does."""
    done = subprocess.run(["build/release/verdict", "run", "all", "--seeds", f"1..{seeds}",
                           "-j", str(os.cpu_count()), "--stop-at-first", "--out", "build/runs"],
                          cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    seed = re.search(r"^(?:FAIL|NONE) seed (\d+)\s+(\S+)", done.stdout, re.MULTILINE)
    anomaly = re.search(r"^  (?!or:|replay:)([a-z-]+): ", done.stdout, re.MULTILINE)
    where = f"seed {seed.group(1)}, {seed.group(2)}" if seed else "?"
    return f"{where}: {anomaly.group(1) if anomaly else f'exit code {done.returncode}'}"


def tests_notice(copy):
    """Which test binaries fail."""
    return [name for name in TESTS
            if subprocess.run([f"build/release/tests/{name}_test"], cwd=copy, check=False,
                              capture_output=True).returncode]


def judge(copy, change, seeds):
    """Who notices the change; an empty text when nobody does."""
    try:
        source = put(copy, change.file, change.anchor, change.text)
    except ValueError as why:
        return f"OUT OF DATE: {why}"
    try:
        if trouble := build(copy, "release", "--", "verdict"):
            return "DOES NOT BUILD: " + trouble
        if seen := trials_notice(copy, seeds):
            return "trials: " + seen
        if trouble := build(copy, "release"):
            return "DOES NOT BUILD: " + trouble
        seen = tests_notice(copy)
        return "tests: " + ", ".join(f"{name}_test" for name in seen) if seen else ""
    finally:
        (copy / change.file).write_text(source, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    wanted = [change for change in CHANGES
              if not arguments.names or any(name in change.name for name in arguments.names)]
    if not wanted:
        parser.error(f"no change is called like {' or '.join(arguments.names)}")
    count = {"trials": 0, "tests": 0, "red": 0}
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_sources(folder)
        for change in wanted:
            told = judge(copy, change, arguments.seeds)
            who = told.split(":")[0]
            count[who if who in count else "red"] += 1
            word = "ok" if who in count else "UNSEEN" if not told else "RED"
            print(f"{word:<8} {change.name:<{NAME_COLUMN}} {told}", flush=True)
    print(f"{count['trials']} noticed by trials, {count['tests']} by tests only, "
          f"{count['red']} by none")
    return 1 if count["red"] else 0


if __name__ == "__main__":
    sys.exit(main())
