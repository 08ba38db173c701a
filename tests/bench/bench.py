#!/usr/bin/python3
"""Measures the figures of docs/performance.md and prints each beside its goal.

usage: bench.py --build FOLDER [quick] [--json FILE] [--only WORD]

Everything is CPU time, so that other work on the machine disturbs as little as it can. The broker
and the floor under it run in turns, on one core, with the loader on another. Each figure is the
median of several runs, with their range.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TRIALS_PER_SECOND_MIN = 20  # fewer than that is no way to work
ALLOCATIONS_MAX = 0.01  # per message: a crash and a boot now and then allocate
FIRST_SEED = 1
WARM_BYTES = 2 << 30
START_LIMIT_S = 20


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured."""
    runs: int
    min_time_s: float  # of one run of a micro-benchmark
    trials: int  # of one run
    megabytes: int  # of one produce run
    requests: int  # of one run with small requests
    starts: int


WHOLE = Plan(runs=5, min_time_s=0.5, trials=100, megabytes=500, requests=60_000, starts=9)
QUICK = Plan(runs=3, min_time_s=0.2, trials=40, megabytes=150, requests=20_000, starts=5)


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str
    what: str
    unit: str
    values: tuple
    goal: float | None = None
    at_least: bool = False

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def met(self):
        if self.goal is None:
            return None
        return self.median >= self.goal if self.at_least else self.median <= self.goal

    def cells(self):
        goal = "" if self.goal is None else f"{'>=' if self.at_least else '<='} {self.goal:g}"
        verdict = {None: "", True: "ok", False: "MISSED"}[self.met]
        spread = f"{number(min(self.values))} .. {number(max(self.values))}"
        return (f"{self.what}, {self.unit}", number(self.median), spread, goal, verdict)

    def to_json(self):
        return {"key": self.key, "what": self.what, "unit": self.unit, "median": self.median,
                "min": min(self.values), "max": max(self.values), "runs": len(self.values),
                "goal": self.goal, "at_least": self.at_least, "met": self.met}


def number(value):
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"


class Bench:
    def __init__(self, build, plan):
        self.build = pathlib.Path(build).resolve()
        self.plan = plan
        cores = sorted(os.sched_getaffinity(0))
        self.served_core, self.load_core = cores[0], cores[-1]
        self.figures = []
        self.failures = []

    def add(self, *args, **kwargs):
        figure = Figure(*args, **kwargs)
        self.figures.append(figure)
        print("  " + "  ".join(cell for cell in figure.cells() if cell), file=sys.stderr)

    def tool(self, name):
        return str(self.build / "bench" / name)

    def run(self, core, command):
        """The standard output of a command on one core."""
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        return done.stdout

    # ---- the world ------------------------------------------------------------------------------

    def micro(self, program, pattern):
        """Runs of Google Benchmark in turns: benchmark name -> list of its runs."""
        text = self.run(self.load_core, [
            self.tool(program), f"--benchmark_filter={pattern}", "--benchmark_format=json",
            f"--benchmark_repetitions={self.plan.runs}",
            f"--benchmark_min_time={self.plan.min_time_s}",
            "--benchmark_enable_random_interleaving=true"])
        runs = {}
        for run in json.loads(text)["benchmarks"]:
            if run["run_type"] == "iteration":
                runs.setdefault(run["run_name"], []).append(run)
        return runs

    def kernel(self):
        runs = self.micro("sim_bench", "timer_and_fiber/16|delivered_messages")
        events = tuple(run["events/s"] / 1e6 for run in runs["timer_and_fiber/16/1"])
        self.add("timer_fiber", "empty timer-and-fiber events", "M/s/core", events, 15, True)
        plain = statistics.median(run["events/s"] for run in runs["timer_and_fiber/16/0"])
        self.add("hash_alone", "trace hash where there are only events", "% of CPU time",
                 tuple((plain / run["events/s"] - 1) * 100 for run in runs["timer_and_fiber/16/1"]))
        messages = runs["delivered_messages"]
        self.add("messages", "64-byte messages: timers, crashes, hash", "M/s/core",
                 tuple(run["messages/s"] / 1e6 for run in messages), 8, True)
        self.add("allocations", "allocations per message", "count",
                 tuple(run["allocations/message"] for run in messages), ALLOCATIONS_MAX)

    def world(self):
        runs = self.micro("world_bench", ".")
        idle = runs["idle_broker"]
        self.add("idle", "one idle broker", "simulated s/s",
                 tuple(run["simulated_s/s"] for run in idle), 10_000, True)
        self.add("idle_events", "one idle broker", "events/simulated s",
                 tuple(run["events/simulated_s"] for run in idle))
        self.add("hash", "trace hash of a loaded world", "% of CPU time",
                 tuple(run["hash_percent"] for run in runs["trace_hash"]), 5)

    def sweep(self, scenario, first):
        """(what `verdict run` says, CPU seconds of the whole sweep) for one run of trials."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(
                [self.build / "verdict", "run", scenario, "--format", "json", "--out", out,
                 "--seeds", f"{first}..{first + self.plan.trials - 1}", "-j", "1"],
                stdout=subprocess.PIPE, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = json.loads(done.stdout)["all"]
        if report["passed"] == 0:
            raise RuntimeError(f"no trial of {scenario} passed")
        return report, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def trials(self):
        loaded, mixed = [], []
        for i in range(self.plan.runs):
            first = FIRST_SEED + i * self.plan.trials
            loaded.append(self.sweep("steady_load", first))
            mixed.append(self.sweep("all", first))
        self.add("trial_events", "loaded one-broker trial, all checkers", "M events/s/core",
                 tuple(r["events"] / cpu / 1e6 for r, cpu in loaded), 1.5, True)
        self.add("trial_acked", "loaded one-broker trial, all checkers", "us CPU/acked record",
                 tuple(cpu * 1e6 / r["acked"] for r, cpu in loaded))
        self.add("catalogue_events", "trials of the catalogue", "M events/s/core",
                 tuple(r["events"] / cpu / 1e6 for r, cpu in mixed))
        self.add("trials", "trials of 60 simulated s, forked", "per s and core",
                 tuple(r["simulated_ns"] / 60e9 / cpu for r, cpu in mixed), 100, True)
        self.add("touched", "memory touched by a trial", "MB",
                 tuple(r["touched_bytes"] / r["trials"] / 1e6 for r, cpu in mixed), 8)
        self.add("trials_as_are", "trials of the catalogue as they are, forked", "per s and core",
                 tuple(r["trials"] / cpu for r, cpu in mixed))

    # ---- the broker on real sockets -------------------------------------------------------------

    def load(self, port, pid, **options):
        words = [f"{key}={value}" for key, value in options.items()]
        text = self.run(self.load_core,
                        [self.tool("produce_load"), f"port={port}", f"pid={pid}"] + words)
        return json.loads(text)

    def floor_run(self, folder, partitions, options):
        """One run against a fresh floor endpoint."""
        floor = subprocess.Popen(
            [self.tool("floor_endpoint"), folder, str(partitions)], stdout=subprocess.PIPE,
            text=True, preexec_fn=lambda: os.sched_setaffinity(0, {self.served_core}))
        with ended(floor):
            port = int(floor.stdout.readline())
            return self.load(port, floor.pid, partitions=partitions, **options)

    def broker_command(self, folder, port):
        folder.mkdir(exist_ok=True)
        properties = folder / "server.properties"
        properties.write_text(
            "process.roles=broker,controller\nnode.id=1\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={folder}/data\n"
            # Pages of deleted files are as soon free for the floor as its own are for the broker.
            "log.segment.delete.delay.ms=10\n")
        return [str(self.build / "verdict"), "broker", "start", "--config", str(properties)]

    @contextlib.contextmanager
    def broker(self, folder):
        """A broker on the served core: (port, process)."""
        port = free_port()
        with open(folder / "broker.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.broker_command(folder / "broker", port), stdout=log, stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {self.served_core}))
        with ended(process):
            wait_for_port(port, process)
            yield port, process
            if process.poll() is not None:
                raise RuntimeError(f"the broker ended, see {folder}/broker.log")

    def produce(self, folder):
        """Broker and floor in turns over all shapes of load."""
        megabytes = self.plan.megabytes * 1_000_000
        shapes = {}
        for name, batch, connections, in_flight, requests in (
                ("128k", 128 << 10, 4, 4, megabytes // (128 << 10)),
                ("16k", 16 << 10, 4, 4, megabytes // 2 // (16 << 10)),
                ("16x1", 1 << 10, 16, 1, self.plan.requests),
                ("16x8", 1 << 10, 16, 8, self.plan.requests)):
            shapes[name] = {"batch": batch, "record": 100, "connections": connections,
                            "in_flight": in_flight, "requests": requests, "warm": requests // 8}
        runs = {name: [] for name in shapes}
        partitions = 4
        with self.broker(folder) as (port, process):
            # The first files land on pages that the machine has to find first: not told.
            self.floor_run(folder, partitions, shapes["128k"])
            self.load(port, process.pid, topic="first", create=1, delete=1, partitions=partitions,
                      **shapes["128k"])
            for i in range(self.plan.runs):
                for name, shape in shapes.items():
                    low = self.floor_run(folder, partitions, shape)
                    high = self.load(port, process.pid, topic=f"{name}-{i}", create=1, delete=1,
                                     partitions=partitions, **shape)
                    runs[name].append((high, low))
                    time.sleep(0.3)  # the files of the topic go
        for name, words in (("128k", "128 KiB"), ("16k", "16 KiB")):
            cost = [(high["cpu_ms_per_mb"], low["cpu_ms_per_mb"]) for high, low in runs[name]]
            # Of each the run with the least: cold pages and neighbours only add.
            least = min(high for high, low in cost) / min(low for high, low in cost)
            self.add(f"produce_{name}", f"broker/floor, least of each, produce {words} batches",
                     "CPU ratio", (least,), 1.5)
            self.add(f"produce_{name}_broker", f"broker, produce {words} batches", "ms CPU/MB",
                     tuple(high for high, low in cost))
            self.add(f"produce_{name}_floor", f"floor, produce {words} batches", "ms CPU/MB",
                     tuple(low for high, low in cost))
        for name, words, goal in (("16x1", "16 connections, 1 in flight", 10),
                                  ("16x8", "16 connections, 8 in flight", None)):
            cost = [(high["cpu_us_per_request"], low["cpu_us_per_request"])
                    for high, low in runs[name]]
            self.add(f"request_{name}", f"broker, 1 KiB requests, {words}", "us CPU/request",
                     tuple(high for high, low in cost), goal)
            self.add(f"request_{name}_floor", f"floor, 1 KiB requests, {words}", "us CPU/request",
                     tuple(low for high, low in cost))

    def start(self, folder):
        kept, fresh = [], []
        for i in range(self.plan.starts):
            place = folder / f"start-{i}"
            port = free_port()
            command = [self.tool("first_answer"), str(port)] + self.broker_command(place, port)
            with open(folder / "start.log", "a", encoding="utf-8") as log:
                for values in (fresh, kept):
                    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True,
                                          check=True)
                    values.append(float(done.stdout))
        self.add("first_answer", "start to first Metadata answer", "ms", tuple(kept), 20)
        self.add("first_answer_formats", "the same, formatting its directory first", "ms",
                 tuple(fresh), 20)

    def memory(self, folder):
        values = []
        for i in range(3):
            place = folder / f"memory-{i}"
            place.mkdir()
            with self.broker(place) as (port, process):
                time.sleep(1)
                text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text("utf-8")
                kilobytes = next(int(line.split()[1]) for line in text.splitlines()
                                 if line.startswith("Rss:"))
                values.append(kilobytes / 1024)
        self.add("resident", "resident memory, idle", "MiB", tuple(values), 20)

    # ---- the whole ------------------------------------------------------------------------------

    def measure(self, only):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self.build) as name:
            folder = pathlib.Path(name)
            parts = {"kernel": self.kernel, "world": self.world, "trials": self.trials,
                     "start": lambda: self.start(folder), "memory": lambda: self.memory(folder),
                     "produce": lambda: (touch_memory(), self.produce(folder))}
            for part, work in parts.items():
                if only not in (None, part):
                    continue
                print(f"{part} ...", file=sys.stderr)
                try:
                    work()
                except (OSError, ValueError, KeyError, RuntimeError,
                        subprocess.CalledProcessError) as error:
                    self.failures.append(f"{part}: {type(error).__name__}: {error}")
                    for log in folder.rglob("*.log"):
                        if log.parent == folder:
                            print(log.read_text("utf-8")[-2000:], file=sys.stderr)

    def table(self):
        rows = [("figure", "median", "range", "goal", "")] + [f.cells() for f in self.figures]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        for row in rows:
            print(f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
                  f"{row[3]:>{widths[3]}}  {row[4]}".rstrip())

    def status(self):
        for figure in self.figures:
            if figure.key == "trials" and figure.median < TRIALS_PER_SECOND_MIN:
                self.failures.append(
                    f"fewer than {TRIALS_PER_SECOND_MIN} trials per second and core")
        return 1 if self.failures else 0


@contextlib.contextmanager
def ended(process):
    """Asks the process to end when the block does, and waits until it has."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=START_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for_port(port, process):
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError("the broker did not start")


def touch_memory():
    """So that files are written to pages that the machine has had in its hands before."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min(WARM_BYTES, free // 4)
    touched = bytearray(size)
    for at in range(0, size, 4096):
        touched[at] = 1


def main():
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("quick", nargs="?", choices=["quick"])
    parser.add_argument("--build", default="build/release", help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="the same for machines")
    parser.add_argument("--only", choices=["kernel", "world", "trials", "start", "memory",
                                           "produce"], help="one part")
    arguments = parser.parse_args()
    bench = Bench(arguments.build, QUICK if arguments.quick else WHOLE)
    load_before = os.getloadavg()[0]
    bench.measure(arguments.only)
    status = bench.status()
    bench.table()
    print(f"median of {bench.plan.runs} runs and range; CPU time but for starts; load average "
          f"{load_before:.1f} before, {os.getloadavg()[0]:.1f} after")
    missed = [figure.what for figure in bench.figures if figure.met is False]
    if missed:
        print(f"{len(missed)} missed; docs/performance.md has the profiles that say why")
    for failure in bench.failures:
        print(f"FAILED: {failure}")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({
            "schema": "verdict.bench/1", "exit_code": status, "failures": bench.failures,
            "load_average": load_before, "cores": os.cpu_count(),
            "figures": [figure.to_json() for figure in bench.figures]}, indent=2) + "\n", "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
