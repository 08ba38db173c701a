"""Checks of a suite: each is a function that returns its figure or raises, and prints one line.

    ok       confluent idempotent_order  3000 records at offsets 0..2999
    FAILED   confluent headers           AssertionError: ...
"""

import re
import sys
import time
import traceback

NAME_COLUMN = 46


class Suite:
    """Collects checks in the order in which they are written and runs them."""

    def __init__(self, name):
        self.name = name
        self.checks = []
        self.quick = set()

    def check(self, function):
        """Decorator: the function is a check; its name is what the line says."""
        self.checks.append(function)
        return function

    def also_quick(self, function):
        """Decorator: a check that the short form runs too."""
        self.quick.add(function.__name__)
        return self.check(function)

    def run(self, quick=False, pattern=""):
        """Prints a line per check and the tally; returns the exit code."""
        passed = failed = 0
        for function in self.checks:
            if quick and function.__name__ not in self.quick:
                continue
            if not re.search(pattern, function.__name__):
                continue
            began = time.monotonic()
            try:
                figure, word = function() or "", "ok"
                passed += 1
            except Exception as error:  # whatever goes wrong is this check's failure
                figure, word = describe(error), "FAILED"
                failed += 1
            seconds = time.monotonic() - began
            line(word, f"{self.name} {function.__name__}", f"{figure} ({seconds:.1f} s)")
        print(f"{passed} passed, {failed} failed")
        return 1 if failed or not passed else 0


def run_against(bootstrap, suite, usage):
    """The main part of a suite: BOOTSTRAP [--quick] [NAME]; returns the exit code."""
    names = [word for word in sys.argv[2:] if word != "--quick"]
    if not bootstrap or bootstrap.startswith("-"):
        print(usage, file=sys.stderr)
        return 2
    return suite.run("--quick" in sys.argv, names[0] if names else "")


def line(word, name, figure):
    """One line of a suite's output."""
    print(f"{word:<8} {name:<{NAME_COLUMN}} {figure}", flush=True)


def describe(error):
    """The error in one line, with the place in the suite where it came up."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "interop" in f.filename
              or "tools" in f.filename]
    place = f"line {frames[-1].lineno}: " if frames else ""
    text = str(error).replace("\n", " ")
    return f"{place}{type(error).__name__}: {text}"[:300]


def require(condition, *what):
    """Fails the check with what was found."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what))


def equal(found, wanted, what=""):
    """Fails the check unless both are the same."""
    if found != wanted:
        raise AssertionError(f"{what} wanted {str(wanted)[:120]}, found {str(found)[:120]}".strip())
