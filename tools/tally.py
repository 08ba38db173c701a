#!/usr/bin/python3
"""Adds up one run of ctest: GoogleTest's cases where a binary reports them, else one per entry.

usage: tally.py <results folder>   with ctest.xml and <entry>.json in it. The last line printed is
"N passed, N failed"; the lines before it name what failed. Exit status 1 when anything did.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree


def cases_of(report):
    """Returns (passed, failed names) of one GoogleTest report. Skipped cases are neither."""
    passed, failed = 0, []
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("failures"):
                failed.append(f"{suite['name']}.{case['name']}")
            elif case.get("status") == "RUN" and case.get("result") == "COMPLETED":
                passed += 1
    return passed, failed


def tally(folder):
    """Returns (passed, failed names) over every entry that ctest ran."""
    passed, failed = 0, []
    entries = list(xml.etree.ElementTree.parse(folder / "ctest.xml").getroot().iter("testcase"))
    if not entries:
        return 0, ["no test binary ran (none built, or no name matches)"]
    for entry in entries:
        name, good = entry.get("name"), entry.get("status") == "run"
        try:
            cases_passed, cases_failed = cases_of(json.loads((folder / f"{name}.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            # It has no cases, or it died before it could count them.
            if good:
                passed += 1
            else:
                failed.append(name)
            continue
        passed += cases_passed
        failed += [f"{name}: {case}" for case in cases_failed]
        if not good and not cases_failed:
            failed.append(f"{name} (every case passed, but the binary did not exit well)")
    return passed, failed


def main():
    passed, failed = tally(pathlib.Path(sys.argv[1]))
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
