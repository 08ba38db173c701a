"""Broken scenarios and settings, and log directories that a broker must not take: each is refused
with its place and what to do."""

import hashlib
import os
import pathlib
import random
import re
import subprocess
import tempfile

from broker_process import Broker
from checks import equal, require

SCENARIO = """name: "broken"
cluster {
  brokers: 1
  topics { name: "orders" partitions: 2 }
}
workload { producers: 2 records: 300 value_bytes_min: 20 value_bytes_max: 40 }
faults { kinds: "crash" min: 1 max: 2 }
phases { safety_s: 40 liveness_s: 60 }
"""
# What is replaced, by what, the place that must be named, and what the remedy must say.
SCENARIOS = [
    ("brokers: 1", "brokes: 1", "3:9", "brokes"),   # the place where the name is over
    ("brokers: 1", "brokers: 3", "3:3", "write brokers: 1"),
    ("brokers: 1", "brokers: one", "3:12", "integer"),
    ("brokers: 1", 'brokers: "1"', "3:12", "integer"),
    ("  brokers: 1\n", "", "2:1", "say how many brokers: brokers: 1"),
    ("}\nworkload", "\nworkload", "6:1", "workload"),
    ("partitions: 2", "partitions: 0", "4:19", "write partitions: 2"),
    ("partitions: 2", "partitions: -2", "4:39", "integer"),
    ("producers: 2", "producers: 1", "6:12", "write producers: 2 or more"),
    ("records: 300", "records: 0", "6:", "say how many records"),
    ("value_bytes_max: 40", "value_bytes_max: 4", "6:", "below value_bytes_min"),
    ('"crash"', '"crush"', "7:", "unknown fault 'crush'; there are "),
    ("min: 1", "min: 9", "7:1", "min is above max"),
    ("safety_s: 40 ", "", "8:1", "phases { safety_s: 40 liveness_s: 60 }"),
    ('name: "broken"', 'name: "broken', "1:", "String"),
    (SCENARIO, "", "1:1", 'write name: "..." first'),
    (SCENARIO, "\x00\xff\x16\x03", "1:", "verdict.proto"),
]
# A line of server.properties, the column that must be named, and what the remedy must say.
SETTINGS = [
    ("num.partitions", 1, "write num.partitions=value"),
    ("num.partitions=many", 16, "whole number from 1"),
    ("num.partitions=0", 16, "from 1"),
    ("num.partitions=99999999999", 16, "to 2147483647"),
    ("  message.max.bytes = -5", 23, "from 0"),
    ("auto.create.topics.enable=yes", 27, "neither true nor false"),
    ("compression.type=rar", 18, "is not one of uncompressed, zstd, lz4, snappy, gzip, producer"),
    ("log.cleaner.min.cleanable.ratio=half", 33, "from 0 to 1"),
    ("listeners=localhost:9092", 11, "NAME://host:port"),
    ("listeners=PLAINTEXT://localhost:port", 11, "PLAINTEXT://localhost:9092"),
    ("listeners=SSL://localhost:9093", 11, "use PLAINTEXT"),
    ("listeners=MINE://localhost:9093", 11, "listener.security.protocol.map"),
    ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", 22, "name the host"),
    ("advertised.listeners=OTHER://host:9092", 22, "add it to listeners"),
    ("process.roles=controller", 15, "broker,controller"),
    ("log.dirs=/tmp/a,/tmp/b", 10, "name one"),
    ("broker.rack=\\u12", 13, "four hexadecimal digits"),
    ("=value", 1, "write name=value"),
]


def run(binary, *arguments):
    """Exit code and what was said."""
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, errors="replace",
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def state_of_tree(folder):
    """The hash of every file below a folder, by name."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


class Starts:
    """Brokers in folders of their own, and what it means that a start is refused."""

    def __init__(self, binary, folder, seed):
        self.binary = os.path.abspath(binary)
        self.folder = pathlib.Path(folder)
        self.dice = random.Random(seed)

    def new(self, **settings):
        return Broker(self.binary, tempfile.mkdtemp(dir=self.folder), settings)

    def refused(self, broker, *words):
        """The start must fail, say all words, and change no file."""
        before = state_of_tree(broker.data)
        code, said = broker.end_of_start()
        require(code not in (0, None) and code > 0, "exit code", code)
        for word in words:
            require(word in said, f"no '{word}' in", said[-400:])
        after = state_of_tree(broker.data)
        names = sorted(before.keys() | after.keys())
        equal([n for n in names if before.get(n) != after.get(n)], [], "changed files:")


class Files(Starts):
    """The checks; each makes what it needs in a folder of its own."""

    # --- scenarios and settings -------------------------------------------------------------------

    def scenarios(self):
        """Every broken scenario: exit code 2 and file:line:column: what, with the remedy."""
        file = self.folder / "broken.txtpb"
        for old, new, place, remedy in SCENARIOS:
            require(old in SCENARIO, "the case has no effect:", old)
            file.write_text(SCENARIO.replace(old, new, 1), encoding="latin-1")
            code, said = run(self.binary, "run", str(file), "--seeds", "1..1")
            what = f"{new[:30]!r}:"
            equal(code, 2, f"{what} {said[-200:]} exit code")
            require(f"{file}:{place}" in said, what, "no place", place, "in", said[-300:])
            require(re.search(r"\.txtpb:\d+:\d+: ", said), what, "no file:line:column in", said)
            require(remedy in said, what, f"no '{remedy}' in", said[-300:])
        for _ in range(20):   # a sign that has no business there, anywhere but in a string
            text = SCENARIO
            at = self.dice.choice([i for i, c in enumerate(text) if c in "{}:\n"])
            file.write_text(text[:at] + " @ " + text[at:])
            code, said = run(self.binary, "run", str(file), "--seeds", "1..1")
            place = f"{text[:at].count(chr(10)) + 1}:{at - text.rfind(chr(10), 0, at) + 1}: "
            equal((code, f"{file}:{place}" in said), (2, True), f"@ at {place} {said[-200:]}")
        code, said = run(self.binary, "run", str(self.folder / "none.txtpb"), "--seeds", "1..1")
        equal((code, "none.txtpb" in said), (2, True), "a missing file:")
        code, said = run(self.binary, "run", "nosuch", "--seeds", "1..1")
        equal((code, "there are " in said), (2, True), "an unknown name:")
        return f"{len(SCENARIOS) + 22} refused with exit code 2, place and remedy"

    def settings(self):
        """Every broken server.properties: exit code 2, file:line:column and the remedy."""
        file = self.folder / "broken.properties"
        data = self.folder / "never"
        for text, column, remedy in SETTINGS:
            good = {"node.id": "1", "log.dirs": str(data), "listeners": "PLAINTEXT://127.0.0.1:0"}
            key = re.split("[ =]", text.strip())[0]
            good.pop(key, None)
            lines = ["# a comment", *(f"{k}={v}" for k, v in good.items()), "", text]
            file.write_text("\n".join(lines) + "\n")
            code, said = run(self.binary, "broker", "start", "--config", str(file))
            equal(code, 2, f"{text}: {said[-200:]} exit code")
            place = f"{file}:{len(lines)}:{column}: "
            require(place in said, f"{text}: no '{place}' in", said[-300:])
            require(remedy in said, f"{text}: no '{remedy}' in", said[-300:])
        require(not data.exists(), "a directory was made")
        code, said = run(self.binary, "broker", "start", "--config", str(self.folder / "none"))
        equal((code, "none" in said), (2, True), "a missing file:")
        code, said = run(self.binary, "broker", "start", "-o", "num.partitions=x")
        equal((code, "-o num.partitions=x" in said), (2, True), f"an override: {said[-200:]}")
        return f"{len(SETTINGS) + 2} refused with exit code 2, place and remedy"

    def unknown_setting(self):
        """An unknown name warns, with its place and the nearest name, and the broker starts."""
        with self.new(**{"num.partition": "3"}) as broker:
            require(broker.will_say("listening"), "it does not listen")
            log = broker.log()
            require(f"{broker.config}:6:1" in log, "no place in", log[:300])
            require("num.partitions" in log, "no nearest name in", log[:300])
        return "warned with its place and num.partitions named"

    # --- log directories --------------------------------------------------------------------------

    def identity(self):
        """A directory of another node or cluster is refused, and both ids are named."""
        with self.new() as broker:
            broker.stop()
            broker.settings["node.id"] = "2"
            self.refused(broker, "meta.properties", "node.id is 1 but 2 is configured")
            broker.settings = {"cluster.id": "another-cluster-id-xxx"}
            meta = (broker.data / "meta.properties").read_text()
            mine = re.search("cluster.id=(.*)", meta).group(1)
            self.refused(broker, "meta.properties", f"cluster.id is {mine} but another-cluster-id")
            broker.settings = {"cluster.id": mine}
            broker.start()
            broker.stop()
        return "node.id, cluster.id; its own ids start it again"

    def meta_properties(self):
        """A broken meta.properties is refused by name."""
        cases = {"garbage": b"\x00\xff\x10", "empty": b"", "version": b"version=7\n",
                 "node": b"version=1\nnode.id=one\ncluster.id=c\n"}
        with self.new() as broker:
            broker.stop()
            for text in cases.values():
                (broker.data / "meta.properties").write_bytes(text)
                self.refused(broker, "meta.properties: ")
            os.remove(broker.data / "meta.properties")
            self.refused(broker, "meta.properties")
        return f"{', '.join(cases)}, missing over data"

    def places(self):
        """A directory that is in use, a file where it should be, a port that is taken."""
        with self.new() as broker:
            other = self.new(**{"log.dirs": str(broker.data)})
            other.data = broker.data
            code, said = other.end_of_start()
            require(code > 0 and str(broker.data) in said, "in use:", code, said[-300:])
            third = self.new()
            third.port = broker.port
            code, said = third.end_of_start()
            require(code > 0 and str(broker.port) in said, "port:", code, said[-300:])
            fourth = self.new()
            fourth.data.write_text("a file")
            code, said = fourth.end_of_start()
            require(code > 0 and str(fourth.data) in said, "file:", code, said[-300:])
            require(broker.process.poll() is None, "the first broker is gone")
        return "directory in use, port in use, a file instead of a directory"
