"""Broken files: scenarios, settings, log directories. Each is refused with its place and a remedy, or
taken offline by name; nothing on disk is repaired in silence."""

import hashlib
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

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
RECORDS = 400
WAIT_S = 30


def run(binary, *arguments):
    """Exit code and what was said."""
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, errors="replace",
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def state_of(folder):
    """Name, size and hash of every file in a folder."""
    return {path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted(pathlib.Path(folder).iterdir())}


def flip(path, at):
    """Changes one bit of a byte, in place."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def first_log(folder):
    return sorted(pathlib.Path(folder).glob("*.log"))[0]


def batches_of(path):
    """Where the batches of a .log begin, and its end."""
    data, at, starts = path.read_bytes(), 0, []
    while at + 12 <= len(data):
        starts.append(at)
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    return starts + [len(data)]


class Files:
    """The checks; each makes what it needs in a folder of its own."""

    def __init__(self, binary, folder, seed):
        self.binary = os.path.abspath(binary)
        self.folder = pathlib.Path(folder)
        self.dice = random.Random(seed)
        self.template = None

    def new(self, **settings):
        return Broker(self.binary, tempfile.mkdtemp(dir=self.folder), settings)

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
        """Every broken server.properties: exit code 2 and file:line:column: what, with the remedy."""
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

    # --- damage -----------------------------------------------------------------------------------

    def filled(self):
        """A broker with three topics, not started, whose last life ended by a kill: the recovery point
        lies in the middle of each log. Each is a copy of the first."""
        if self.template is None:
            self.template = self.fill().data
        broker = self.new()
        shutil.copytree(self.template, broker.data)
        return broker

    def fill(self):
        """Records, a stop in good order, as many records again, a kill."""
        broker = self.new()
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.address})
        for future in admin.create_topics([NewTopic(t, 1, 1) for t in "abc"]).values():
            future.result(WAIT_S)
        for topic in "abc":
            send(broker, topic, 0, RECORDS)
        broker.stop()
        broker.start()
        for topic in "abc":
            send(broker, topic, RECORDS, RECORDS)
        broker.kill()
        return broker

    def offline(self, broker, topic, *words):
        """The partition is offline by name, the others serve, its files are as they were; twice."""
        folder = broker.data / f"{topic}-0"
        before = state_of(folder)
        for _ in range(2):
            broker.start()
            require(broker.will_say("listening"), "it does not listen")
            log = broker.log()
            named = [line for line in log.splitlines() if f"{topic}-0" in line and "offline" in line]
            require(named, f"{topic}-0 is not named as offline:", log[-500:])
            for word in words:
                require(word in named[0], f"no '{word}' in", named[0])
            for other in set("abc") - {topic}:
                equal(read(broker, other), expected(2 * RECORDS), f"{other}:")
            equal(produce_error(broker, topic), KafkaError.KAFKA_STORAGE_ERROR, "produce:")
            equal(read_error(broker, topic), KafkaError.KAFKA_STORAGE_ERROR, "list offsets:")
            broker.kill()
            equal(state_of(folder), before, "files:")
        return named[0]

    def damage_in_the_middle(self):
        """One bit in each part of a batch below the recovery point."""
        told = ""
        for part, at in (("base offset", 3), ("length", 10), ("magic", 16), ("crc", 18),
                         ("body", 70)):
            broker = self.filled()
            path = first_log(broker.data / "b-0")
            starts = batches_of(path)
            require(len(starts) > 4, "only", len(starts) - 1, "batches")
            flip(path, starts[1] + at)
            told = self.offline(broker, "b", path.name, "at byte")
            require(part, told)
        return "a bit in base offset, length, magic, crc, body: " + told[told.index("why="):]

    def lost_records(self):
        """A log that ends before its recovery point, and one whose folder is empty or gone."""
        broker = self.filled()
        path = first_log(broker.data / "b-0")
        os.truncate(path, batches_of(path)[1])
        self.offline(broker, "b", "before its recovery point")
        broker = self.filled()
        for path in (broker.data / "b-0").glob("0*"):
            path.unlink()
        self.offline(broker, "b", "before its recovery point")
        return "cut below the recovery point, segments gone"

    def torn_tail(self):
        """Half a batch above the recovery point is cut, and the log says what and where."""
        broker = self.filled()
        path = first_log(broker.data / "b-0")
        starts = batches_of(path)
        os.truncate(path, starts[-2] + (starts[-1] - starts[-2]) // 2)
        broker.start()
        line = cut_line(broker, "b-0")
        require(path.name in line and f"at byte {starts[-2]}" in line, "no place in", line)
        left = read(broker, "b")
        equal(left, expected(len(left)), "what is left:")
        require(RECORDS <= len(left) < 2 * RECORDS, len(left), "records are left")
        send(broker, "b", 0, 1)
        equal(len(read(broker, "b")), len(left) + 1, "goes on:")
        broker.kill()
        broker = self.filled()
        path = first_log(broker.data / "c-0")
        with open(path, "ab") as file:
            file.write(self.dice.randbytes(5000))
        broker.start()
        cut_line(broker, "c-0")
        equal(read(broker, "c"), expected(2 * RECORDS), "behind garbage:")
        broker.kill()
        return line[line.index("what="):]

    def at_rest(self):
        """A bit of a record that changes after a clean stop: nothing rewrites it, and a consumer that
        checks sums is not given it."""
        broker = self.filled()
        broker.start()
        broker.stop()
        path = first_log(broker.data / "b-0")
        starts = batches_of(path)
        flip(path, starts[2] + 75)
        before = state_of(broker.data / "b-0")[path.name]
        broker.start()
        error = read_error(broker, "b", **{"check.crcs": True})
        require(error in (KafkaError._BAD_MSG, KafkaError.KAFKA_STORAGE_ERROR,
                          KafkaError.INVALID_MSG), "error", error)
        equal(read(broker, "a"), expected(2 * RECORDS), "another:")
        broker.stop()
        equal(state_of(broker.data / "b-0")[path.name], before, "the .log:")
        flip(path, starts[2] + 75)
        flip(path, starts[2] + 16)   # the magic: the broker itself cannot follow it
        broker.start()
        error = read_error(broker, "b")
        equal(error, KafkaError.KAFKA_STORAGE_ERROR, "magic:")
        require(broker.will_say("offline"), "not named:", broker.log()[-500:])
        require(re.search(r"offline.*b-0.*at byte \d+", broker.log()), broker.log()[-500:])
        equal(read(broker, "a"), expected(2 * RECORDS), "another:")
        broker.kill()
        return f"checksum seen by the consumer ({KafkaError(error).name()} for the header)"

    def derived_files(self):
        """Indexes, snapshots and the epoch checkpoint are made again from the batches; all records
        are there."""
        count = 0
        for pattern in ("*.index", "*.timeindex", "*.snapshot", "leader-epoch-checkpoint"):
            for how in ("garbage", "gone"):
                broker = self.filled()
                broker.start()
                broker.stop()
                for path in (broker.data / "b-0").glob(pattern):
                    count += 1
                    if how == "gone":
                        path.unlink()
                    else:
                        path.write_bytes(self.dice.randbytes(path.stat().st_size + 3))
                broker.start()
                equal(read(broker, "b"), expected(2 * RECORDS), f"{pattern} {how}:")
                broker.kill()
        require(count >= 6, "only", count, "files")
        return f"{count} files"

    def checkpoints(self):
        """A broken checkpoint of the directory: the start is refused and names it. Without it, the
        records are judged anew and are there."""
        names = [f"{name}-checkpoint" for name in ("recovery-point-offset", "replication-offset",
                                                   "log-start-offset")]
        for name in names:
            broker = self.filled()
            broker.start()
            broker.stop()
            path = broker.data / name
            path.write_bytes(b"\x00garbage\n\xff")
            self.refused(broker, name)
            path.unlink()
            broker.start()
            equal(read(broker, "b"), expected(2 * RECORDS), f"{name}:")
            broker.stop()
            (broker.data / ".kafka_cleanshutdown").write_bytes(b"\x00garbage\n\xff")
            broker.start()
            equal(read(broker, "b"), expected(2 * RECORDS), f"{name}:")
            broker.kill()
        return ", ".join(names)

    def metadata_log(self):
        """Damage in the metadata log: the broker does not start, and says where; a torn tail is cut
        and told."""
        broker = self.filled()
        path = first_log(broker.data / "__cluster_metadata-0")
        starts = batches_of(path)
        whole = path.read_bytes()
        flip(path, starts[1] + 70)
        self.refused(broker, "__cluster_metadata-0", path.name, f"at byte {starts[1]}")
        path.write_bytes(whole + self.dice.randbytes(300))
        broker.start()
        cut_line(broker, "metadata")
        for topic in "abc":
            equal(read(broker, topic), expected(2 * RECORDS), f"{topic}:")
        broker.kill()
        return "a bit in the middle refused, garbage behind the end cut"

    def topic_id(self):
        """The folder of another incarnation of a topic stays offline."""
        broker = self.filled()
        path = broker.data / "b-0" / "partition.metadata"
        text = path.read_text()
        other = (broker.data / "c-0" / "partition.metadata").read_text()
        require(text != other, "two topics with one id")
        path.write_text(other)
        self.offline(broker, "b", "partition.metadata", "topic id")
        path.write_bytes(b"\xff\xff")
        self.offline(broker, "b", "partition.metadata")
        return "another id, garbage"


def state_of_tree(folder):
    """As state_of, of all files below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


def cut_line(broker, name):
    """The line that tells of a cut."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        for line in broker.log().splitlines():
            if name in line and "cut" in line:
                return line
        time.sleep(0.05)
    raise AssertionError(f"no line tells of a cut of {name}: {broker.log()[-500:]}")


def expected(count):
    return [b"%d" % i for i in range(count)]


def send(broker, topic, first, count):
    """Numbered records, about twenty batches of them."""
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5})
    failures = []
    for i in range(first, first + count):
        producer.produce(topic, b"%d" % i, partition=0,
                         on_delivery=lambda error, _: error and failures.append(error))
        if i % 20 == 19:
            equal(producer.flush(WAIT_S), 0)
    equal((producer.flush(WAIT_S), failures), (0, []), f"sent to {topic}:")


def consumer_of(broker, topic, **config):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "none",
                         "enable.auto.commit": False, "auto.offset.reset": "error",
                         "enable.partition.eof": True, **config})
    consumer.assign([TopicPartition(topic, 0, 0)])
    return consumer


def read(broker, topic, **config):
    """All values up to the end of the log; an error is raised."""
    consumer, values = consumer_of(broker, topic, **config), []
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
            consumer.close()
            return values
        if message.error():
            raise KafkaException(message.error())
        values.append(message.value())
    raise AssertionError(f"{topic}: no end of the log after {len(values)} records")


def read_error(broker, topic, **config):
    """The code with which reading ends."""
    try:
        if not config:
            consumer = consumer_of(broker, topic)
            consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
        return f"none, {len(read(broker, topic, **config))} records"
    except KafkaException as error:
        return error.args[0].code()


def produce_error(broker, topic):
    """The code with which a Produce ends."""
    codes = []
    producer = Producer({"bootstrap.servers": broker.address, "retries": 0,
                         "message.timeout.ms": 3000})
    producer.produce(topic, b"never", partition=0,
                     on_delivery=lambda error, _: codes.append(error and error.code()))
    producer.flush(WAIT_S)
    return codes[0] if codes else "no outcome"
