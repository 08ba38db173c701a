"""Acceptance of the parts that have a script of their own: its lines become lines of the list."""

import json
import os
import pathlib
import re
import subprocess
import tempfile

RELEASE = pathlib.Path("build/release")
CLEAN_TEST_SECONDS = 30 * 60


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stderr + done.stdout


def tail(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "printed nothing"


def forward(report, prefix, status, text):
    """Every line "ok name figure" or "FAILED name figure" of a script, and how it ended."""
    count = 0
    for line in text.splitlines():
        found = re.match(r"(ok|FAILED|WRONG|SKIPPED)\s+(\S.*)", line)
        if not found:
            continue
        count += 1
        name, _, figure = found.group(2).removeprefix(prefix + " ").partition("  ")
        report.line(found.group(1) == "ok", f"{prefix}: {name}", figure.strip())
    report.line(status == 0 and count > 0, f"{prefix}: as a whole",
                f"{count} lines, exit code {status}, {tail(text)}")


def kafka_bytes(report):
    subprocess.run(["./dev", "build", "release"], check=True, capture_output=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        status, _ = run(RELEASE / "tests/golden_test", f"--gtest_output=json:{out.name}")
        told = json.loads(pathlib.Path(out.name).read_text(encoding="utf-8"))
    for suite in told["testsuites"]:
        for case in suite["testsuite"]:
            known = {"name", "file", "line", "status", "result", "timestamp", "time", "classname",
                     "failures"}
            figure = ", ".join(f"{value} {key}" for key, value in case.items()
                               if key not in known)
            report.line("failures" not in case and case["result"] == "COMPLETED",
                        f"bytes: {case['name'].replace('_', ' ')}", figure)
    report.line(status == 0 and told["tests"] > 0, "bytes: as a whole",
                f"{told['tests']} tests, {told['failures']} failures")


def determinism(report):
    forward(report, "determinism", *run("./dev", "determinism"))


def clients(report):
    subprocess.run(["./dev", "build", "release"], check=True, capture_output=True)
    forward(report, "clients", *run("./dev", "interop", "--java", "kcat", "confluent",
                                    "kafka-python", "java", "kill9", "dump"))


def bad_input(report):
    subprocess.run(["./dev", "build", "release"], check=True, capture_output=True)
    forward(report, "bad input", *run("./dev", "interop", "bad-input"))


def speed(report):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        status, text = run("./dev", "bench", "--json", out.name)
        report.line(status == 0, "speed: everything measured, >= 20 trials/s and core",
                    f"exit code {status}")
        if status != 0:
            report.say(text)
            return
        for figure in json.loads(pathlib.Path(out.name).read_text(encoding="utf-8"))["figures"]:
            shown = (f"{figure['median']:,.4g} {figure['unit']} "
                     f"({figure['min']:,.4g} .. {figure['max']:,.4g}, {figure['runs']} runs)")
            if figure["goal"] is None:
                report.say(f"{'':<8} {'speed: ' + figure['what']:<62} {shown}")
                continue
            relation = ">=" if figure["at_least"] else "<="
            report.goal(figure["met"], f"speed: {figure['what']}",
                        f"{shown}, goal {relation} {figure['goal']:,g}")


DEMO_CODECS = "none gzip snappy zstd".split()


def main_job(report):
    status, text = run("./dev", "demo")
    report.line(status == 0, "main: ./dev demo", f"exit code {status}, {tail(text)}")
    for sentence, pattern in (
            ("main: 1,000 trials with a summary", r"^1000 passed, 0 failed$"),
            ("main: an exhibit is found and told", r"^FAIL seed .*$"),
            ("main: its printed command replays it", r"^reproduced: the same events$"),
            *((f"main: {codec}, byte for byte", rf"^{codec}: \d+ lines came back.*$")
              for codec in DEMO_CODECS),
            *((f"main: {codec}, every batch on disk",
               rf"^{codec}: \d+ batches.* every one {codec}$") for codec in DEMO_CODECS)):
        found = re.search(pattern, text, re.MULTILINE)
        report.line(bool(found), sentence, found.group(0) if found else "not seen")


def clean_machine(report):
    log = pathlib.Path("build/logs/clean-machine.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "VERDICT_JOBS"}
    with log.open("w", encoding="utf-8") as file:
        subprocess.run(["bash", "tools/clean_machine.sh", "test", "demo"], stdout=file,
                       stderr=subprocess.STDOUT, env=environment, check=False)
    text = log.read_text(encoding="utf-8", errors="replace")
    for command in ("test", "demo"):
        found = re.search(rf"^{command}: exit code (\d+), (\d+) s$", text, re.MULTILINE)
        report.line(bool(found) and found.group(1) == "0",
                    f"clean machine: ./dev {command} on a bare Debian 12",
                    found.group(0) if found else "did not come to its end")
        if command == "test" and found:
            report.line(int(found.group(2)) <= CLEAN_TEST_SECONDS,
                        "clean machine: ./dev test in <= 30 minutes", f"{found.group(2)} s")
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.MULTILINE)
    most = max(((int(passed), int(failed)) for passed, failed in counts), default=(0, 1))
    report.line(most[1] == 0, "clean machine: what ran", f"{most[0]} passed, {most[1]} failed")
