#!/usr/bin/python3
"""Runs the lints: all of them, those named, or all --except some.

usage: run.py [--except] [lint ...]   one line per lint, every violation as file:line: message
       run.py --red-tests             the tests which show that each lint goes red where it should

Ends with "N passed, N failed"; exit status 1 when a lint failed.
"""

import pathlib
import sys
import time
import unittest

import common
import formatting
import layers
import symbols
import tidy
import try_lint

LINTS = (layers, tidy, try_lint, formatting, symbols)
HERE = pathlib.Path(__file__).resolve().parent


def run_one(lint, tree):
    """Runs a lint and prints what it finds. Returns whether it passed."""
    began = time.monotonic()
    try:
        problems = sorted(set(lint.check(tree)))
    except common.Skipped as why:
        print(f"{lint.NAME:<10} skipped: {why}")
        return True
    errors = [problem for problem in problems if not problem.warning]
    for problem in problems:
        print(problem)
    verdict = f"{len(errors)} violations" if errors else "ok"
    warnings = len(problems) - len(errors)
    extra = f", {warnings} warnings" if warnings else ""
    print(f"{lint.NAME:<10} {verdict}{extra} ({time.monotonic() - began:.1f} s)")
    return not errors


def red_tests():
    suite = unittest.defaultTestLoader.discover(str(HERE), pattern="*_test.py")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


def main(arguments):
    if arguments == ["--red-tests"]:
        return red_tests()
    by_name = {lint.NAME: lint for lint in LINTS}
    names = [argument for argument in arguments if argument != "--except"]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        print(f"no lint {unknown[0]} (there are: {' '.join(by_name)})", file=sys.stderr)
        return 2
    chosen = [name for name in by_name if not names or (name in names) != ("--except" in arguments)]
    tree = common.Tree(HERE.parents[1])
    results = [run_one(by_name[name], tree) for name in chosen]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
