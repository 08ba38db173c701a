#!/usr/bin/python3
"""Breaks the broker on purpose, one change at a time, and says what notices: the trials, or the
unit tests. A change that nothing notices is a gap in the checks.

usage: ./dev mutants [--seeds N] [NAME ...]      NAME: part of a change's name; all by default
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from changes import CHANGES

TESTS = "record log meta replica server rpc client property golden".split()
SEEDS = 3000
NAME_COLUMN = 58


def build(copy, *targets):
    """Of a copy of the sources; the end of the compiler's output when it fails."""
    command = ["./dev", "build", "release", *targets]
    environment = dict(os.environ, CCACHE_BASEDIR=str(copy))
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True,
                          check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


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
    file = copy / change.file
    source = file.read_text(encoding="utf-8")
    if source.count(change.anchor) != 1:
        return f"OUT OF DATE: its place is there {source.count(change.anchor)} times"
    file.write_text(source.replace(change.anchor, change.text), encoding="utf-8")
    try:
        if trouble := build(copy, "--", "verdict"):
            return "DOES NOT BUILD: " + trouble
        if seen := trials_notice(copy, seeds):
            return "trials: " + seen
        if trouble := build(copy):
            return "DOES NOT BUILD: " + trouble
        seen = tests_notice(copy)
        return "tests: " + ", ".join(f"{name}_test" for name in seen) if seen else ""
    finally:
        file.write_text(source, encoding="utf-8")


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
        copy = pathlib.Path(folder) / "verdict"
        shutil.copytree(".", copy, ignore=shutil.ignore_patterns("build", ".git", "runs"))
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
