#!/usr/bin/python3
"""The acceptance list: one line per sentence, with the figure that was measured just now.

usage: ./dev accept [--record FILE] [section ...]
"""

import argparse
import pathlib
import platform
import subprocess
import sys
import time

from report import Report
import trials
import whole

SECTIONS = {
    "bytes": whole.kafka_bytes,
    "trials": trials.trials,
    "exhibits": trials.exhibits,
    "change": trials.after_a_change,
    "determinism": whole.determinism,
    "clients": whole.clients,
    "bad-input": whole.bad_input,
    "speed": whole.speed,
    "main": whole.main_job,
    "clean": whole.clean_machine,
}


def describe_machine():
    commit = subprocess.run(["git", "-c", "safe.directory=*", "log", "-1", "--format=%h %s"],
                            capture_output=True, text=True, check=False).stdout.strip()
    model = next((line.split(":", 1)[1].strip()
                  for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")
    cores = len([1 for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("processor")])
    return [f"commit   {commit}",
            f"machine  {cores} cores, {model}, Linux {platform.release()}",
            f"date     {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--record", help="write the lines to this file as well")
    parser.add_argument("section", nargs="*")
    arguments = parser.parse_args()
    for name in arguments.section:
        if name not in SECTIONS:
            parser.error(f"no section '{name}'; there are {' '.join(SECTIONS)}")
    report = Report(arguments.record)
    for line in describe_machine():
        report.say(line)
    for name in arguments.section or SECTIONS:
        began = time.monotonic()
        report.begin(name)
        SECTIONS[name](report)
        report.say(f"         {name}: {time.monotonic() - began:.0f} s")
    report.say(f"{report.green} green, {report.red} red, {report.missed} speed goals missed")
    return 1 if report.red else 0


if __name__ == "__main__":
    sys.exit(main())
