"""Acceptance of the trials: no failures, every probe, every exhibit, replays."""

import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "mutants"))
import changed_copy  # noqa: E402

RELEASE = pathlib.Path("build/release/verdict")
EXHIBITS = pathlib.Path("build/exhibits/verdict")
JOBS = str(os.cpu_count())
TRIALS = 10_000
EXHIBIT_SEEDS = 2_000
STARTS = 5              # starting seeds of each exhibit
REPLAYS = 100
CHANGED_TRACES = 20
CRASH_SCENARIOS = ("process_crash", "power_loss_synced", "power_loss_default")


def starting_seeds(count):
    """Seed 1 and fresh ones: nobody has run those before."""
    return [1] + [random.SystemRandom().randrange(1 << 62) for _ in range(count - 1)]


def build(*trees):
    subprocess.run(["./dev", "build", *trees], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def sweep(binary, first, count, *options, out):
    command = [binary, "run", "all", "--seeds", f"{first}..{first + count - 1}", "-j", JOBS,
               "--format", "json", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def percent(part, whole):
    return 100.0 * part / whole if whole else 0.0


def trials(report):
    build("release")
    with tempfile.TemporaryDirectory() as out:
        for first in starting_seeds(3):
            one_sweep(report, first, sweep(RELEASE, first, TRIALS, out=out))


def one_sweep(report, first, told):
    everything = told["all"]
    where = f"seeds {first}.."
    report.line(everything["passed"] == TRIALS,
                f"trials: {TRIALS} seeds, 0 failures",
                f"{where} {everything['passed']} passed, {everything['failed']} failed, "
                f"{everything['no_verdict']} without verdict")
    acks = percent(everything["trials_with_200_acks"], everything["trials"])
    report.line(acks >= 95, "trials: >= 200 acked records in 95 % of seeds", f"{acks:.1f} %")
    effect = percent(everything["trials_with_effect"], everything["trials_with_faults"])
    report.line(effect >= 90, "trials: an effective fault in 90 % of those with faults",
                f"{effect:.1f} %")
    for name in CRASH_SCENARIOS:
        totals = told["scenarios"][name]
        kills = percent(totals["trials_with_two_kills"], totals["trials"])
        report.line(kills >= 50, f"trials: two kills that happen in half of {name}",
                    f"{kills:.1f} % of {totals['trials']}")
    shards = percent(everything["trials_with_shards"], everything["trials"])
    report.line(shards >= 33.3, "trials: a third of seeds with two or three shards",
                f"{shards:.1f} %")
    unreached = sorted(name for name, count in told["probes"].items() if count == 0)
    report.line(not unreached, "trials: every declared probe reached",
                f"{len(told['probes']) - len(unreached)} of {len(told['probes'])} "
                + " ".join(unreached))
    for name, t in sorted(told["scenarios"].items()):
        cpu_s = t["cpu_ns"] / 1e9
        report.line(t["trials"] > 0 and t["acked"] > 0, f"trials: summary of {name}",
                    f"{t['trials'] / cpu_s:.0f} trials/s, "
                    f"{t['events'] / cpu_s / 1e6:.2f} M events/s,"
                    f" {cpu_s * 1e6 / max(1, t['acked']):.0f} us/acked, {t['acked']} acks,"
                    f" {t['effective']} effective faults")


def exhibit_names():
    listed = subprocess.run([EXHIBITS, "list", "exhibits", "--format", "json"],
                            capture_output=True, text=True, check=True)
    return [entry["name"] for entry in json.loads(listed.stdout)]


def find(binary, exhibit, first, count, out):
    """Runs until the first failure; its text, or None when nothing failed."""
    done = subprocess.run([binary, "run", "all", "--seeds", f"{first}..{first + count - 1}", "-j",
                           JOBS, "--stop-at-first", "--exhibit", exhibit, "--out", out],
                          capture_output=True, text=True, check=False)
    return done.stdout if done.returncode in (1, 3) else None


def replay_command(text):
    return re.search(r"verdict replay (\S+\.trace)", text).group(1)


def what_replay_told(text):
    """Anomalies and hash: what has to be the same each time."""
    return [line for line in text.splitlines() if line.startswith(("  ", "hash "))]


def exhibits(report):
    build("exhibits")
    for exhibit in exhibit_names():
        with tempfile.TemporaryDirectory() as out:
            one_exhibit(report, exhibit, out)


def one_exhibit(report, exhibit, out):
    found, text = [], None
    for first in starting_seeds(STARTS):
        told = find(EXHIBITS, exhibit, first, EXHIBIT_SEEDS, out)
        if told:
            text = told
            seed = int(re.search(r"^FAIL seed (\d+)", told, re.MULTILINE).group(1))
            found.append(seed - first + 1)
    report.line(len(found) == STARTS,
                f"exhibit {exhibit}: within {EXHIBIT_SEEDS} seeds of any start",
                f"{len(found)} of {STARTS} starts, after {' '.join(map(str, found))} seeds")
    if text:
        replay_often(report, exhibit, pathlib.Path(replay_command(text)).absolute())


def replay_often(report, exhibit, trace):
    same, first = 0, None
    binary = EXHIBITS.absolute()
    with tempfile.TemporaryDirectory() as elsewhere:
        for _ in range(REPLAYS):
            done = subprocess.run([binary, "replay", trace], cwd=elsewhere, capture_output=True,
                                  text=True, check=False)
            told = (done.returncode, what_replay_told(done.stdout))
            first = first or told
            same += told == first and "reproduced: the same events" in done.stdout
    report.line(same == REPLAYS,
                f"exhibit {exhibit}: the printed replay, {REPLAYS} times elsewhere",
                f"{same} of {REPLAYS}, exit code {first[0]}, {first[1][-1]}")


# An unrelated change: one more log event and one more fiber in every broker.
CHANGED_FILE = "broker/server/shard.cc"
CHANGED_ANCHOR = "CHECK(table_.at(id()) == nullptr);\n"
CHANGED_TEXT = """  node.observer.log(runtime::Severity::info, "bystander_was_here", {});
  nursery_.spawn("bystander", [this] { (void)node_.clock.sleep(runtime::milliseconds(1)); });
"""


# The bug of the trace fixed, as far as a replay can see.
FIXED_FILE = "cli/replay_command.cc"
FIXED_ANCHOR = "  options.exhibit = trace->exhibit();\n"


def after_a_change(report):
    build("exhibits")
    with tempfile.TemporaryDirectory() as work:
        traces = record_failures(work)
        copy = changed_copy.copy_sources(work)
        changed = build_changed(copy, CHANGED_FILE, CHANGED_ANCHOR, CHANGED_ANCHOR + CHANGED_TEXT)
        same, diverged = replay_all(changed, traces)
        report.line(len(traces) == CHANGED_TRACES and same >= 18,
                    "change: after one more log event and fiber the same anomaly",
                    f"{same} of {len(traces)} traces")
        report.line(same + diverged == len(traces),
                    "change: the others exit 6 and name the first choice that diverged",
                    f"{diverged} of {len(traces) - same}")
        fixed = build_changed(copy, FIXED_FILE, FIXED_ANCHOR, "")
        same, diverged = replay_all(fixed, traces)
        report.line(diverged == len(traces),
                    "change: with the bug fixed all exit 6 and name a choice that diverged",
                    f"{diverged} of {len(traces)}, {same} still fail")


def replay_all(binary, traces):
    """How many end in the recorded anomaly, and how many say which choice was another."""
    same = diverged = 0
    for trace in traces:
        done = subprocess.run([binary, "replay", trace], capture_output=True, text=True,
                              check=False)
        if done.returncode in (1, 3):
            same += 1
        elif done.returncode == 6 and "first choice that diverged:" in done.stdout:
            diverged += 1
    return same, diverged


def record_failures(work):
    """Twenty traces, of all exhibits in turn."""
    traces, first = [], random.SystemRandom().randrange(1 << 62)
    names = exhibit_names()
    while len(traces) < CHANGED_TRACES:
        exhibit = names[len(traces) % len(names)]
        told = find(EXHIBITS, exhibit, first, EXHIBIT_SEEDS, f"{work}/{len(traces)}")
        if not told:
            return traces
        traces.append(replay_command(told))
        first += 10 * EXHIBIT_SEEDS
    return traces


def build_changed(copy, *change):
    """The binary of the copy with one more change: file, anchor and the text in its place."""
    changed_copy.put(copy, *change)
    if trouble := changed_copy.build(copy, "exhibits", "--", "verdict"):
        raise SystemExit(f"accept: the changed copy does not build: {trouble}")
    return copy / "build/exhibits/verdict"
