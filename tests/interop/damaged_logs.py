"""Damaged log directories: what is damaged is offline by name or refused, what was torn is cut and
told, and nothing on disk is repaired in silence."""

import collections
import hashlib
import os
import pathlib
import re
import shutil
import struct
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bad_files import Starts
from checks import equal, require

RECORDS = 400
RUINED = 40
OUTCOME_WAIT_S = 4
WAIT_S = 30


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


def ruin(dice, path):
    """One of the ways in which a file goes wrong; says which."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data) + 1)
    kind = dice.choice(("bit", "bit", "cut", "garbage", "zeros", "tail", "gone"))
    if kind == "bit" and data:
        data[at % len(data)] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "garbage":
        data[at:at + 64] = dice.randbytes(dice.randrange(1, 64))
    elif kind == "zeros":
        data[at:at + 512] = bytes(len(data[at:at + 512]))
    elif kind == "tail":
        data += dice.randbytes(dice.randrange(1, 600))
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(data)
    return f"{path.parent.name}/{path.name}: {kind} at {at}"


class Damage(Starts):
    """The checks; each works on a copy of the same directory."""

    def __init__(self, binary, folder, seed):
        super().__init__(binary, folder, seed)
        self.template = None

    def filled(self):
        """A broker with three topics, not started, whose last life ended by a kill: the recovery
        point lies in the middle of each log. Each is a copy of the first."""
        if self.template is None:
            self.template = self.fill().data
        broker = self.new()
        shutil.copytree(self.template, broker.data)
        return broker

    def fill(self):
        """Records, a stop in good order, as many records again, a kill."""
        broker = self.new()
        broker.start()
        create(broker, *"abc")
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
            named = [line for line in log.splitlines()
                     if f"{topic}-0" in line and "offline" in line]
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
        broker = self.filled()
        shutil.rmtree(broker.data / "b-0")
        (broker.data / "b-0").mkdir()
        self.offline(broker, "b", "before its recovery point")
        return "cut below the recovery point, segments gone, an empty folder"

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
        """A bit of a record that changes after a clean stop: nothing rewrites it, and a consumer
        that checks sums is not given it."""
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
        # Seen at the start or by the first read, as the indexes have it; a consumer under way only
        # waits for another leader.
        consumer = consumer_of(broker, "b")
        consumer.poll(1.0)
        require(broker.will_say("offline"), "not named:", broker.log()[-500:])
        consumer.close()
        error = read_error(broker, "b")
        equal(error, KafkaError.KAFKA_STORAGE_ERROR, "magic:")
        require(re.search(r"offline.*b-0.*at byte \d+", broker.log()), broker.log()[-500:])
        equal(read(broker, "a"), expected(2 * RECORDS), "another:")
        broker.kill()
        return f"checksum seen by the consumer ({KafkaError(error).name()} for the header)"

    def derived_files(self):
        """Indexes, snapshots and the epoch checkpoint are made again from the batches, and told;
        all records are there."""
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
                if how == "garbage":
                    require(broker.will_say("log=b-0"), pattern, "is not told:", broker.log())
                equal(read(broker, "b"), expected(2 * RECORDS), f"{pattern} {how}:")
                broker.kill()
        require(count >= 6, "only", count, "files")
        return f"{count} files of garbage or gone, each made again"

    def anywhere(self):
        """Any file ruined in any way, of a directory that was killed or stopped in good order: the
        broker starts or is refused, and never dies by a signal; what it serves is what was sent."""
        counts = collections.Counter()
        for number in range(RUINED):
            broker = self.filled()
            if number % 2:
                broker.start()
                broker.stop()
            files = [f for f in sorted(broker.data.rglob("*")) if f.is_file()]
            what = ruin(self.dice, self.dice.choice(files))
            try:
                self.look(broker, counts)
            except AssertionError as error:
                raise AssertionError(f"number {number}, {what}: {error}") from None
        told = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
        return f"{RUINED} files ruined, three topics each: {told}"

    def look(self, broker, counts):
        """One start over a ruined directory."""
        try:
            broker.start()
        except AssertionError:
            code = broker.process.poll()
            require(code is not None and code > 0, "exit code", code, broker.log()[-500:])
            counts["refused starts"] += 1
            return
        for topic in "abc":
            counts[outcome(broker, topic)] += 1
        require(broker.process.poll() is None, "it is gone:", broker.log()[-500:])
        broker.kill()

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
        # Without it and without what was known of it, no folder may be taken for a deleted topic's.
        for everything in (True, False):
            broker = self.filled()
            (broker.data / "recovery-point-offset-checkpoint").unlink()
            for path in (broker.data / "__cluster_metadata-0").iterdir():
                if everything or path.suffix in (".log", ".index", ".timeindex"):
                    path.unlink()
            if everything:
                (broker.data / "__cluster_metadata-0").rmdir()
            before = {name: state_of(broker.data / name) for name in ("a-0", "b-0", "c-0")}
            code, said = broker.end_of_start()
            require(code > 0 and "__cluster_metadata-0 is lost" in said, "lost:", code, said[-300:])
            for name, state in before.items():
                equal(state_of(broker.data / name), state, f"{name}:")
        return "a bit in the middle refused, garbage behind the end cut, loss refused"

    def forgotten_topic(self):
        """A topic whose creation was cut from the metadata log: its folder is set aside by name,
        with every byte, and a new topic of that name is empty."""
        broker = self.filled()
        broker.start()
        create(broker, "later")
        send(broker, "later", 0, RECORDS)
        broker.kill()
        before = state_of(broker.data / "later-0")
        path = first_log(broker.data / "__cluster_metadata-0")
        at = path.read_bytes().index(b"later")
        start = max(start for start in batches_of(path) if start <= at)
        os.truncate(path, start + 30)
        broker.start()
        require(broker.will_say("later-0"), "the folder is not named:", broker.log()[-500:])
        for topic in "abc":
            equal(read(broker, topic), expected(2 * RECORDS), f"{topic}:")
        create(broker, "later")
        equal(read(broker, "later"), [], "a new topic of that name:")
        broker.kill()
        broker.start()
        broker.kill()
        aside = list(broker.data.glob("later-0.*-stray"))
        equal(len(aside), 1, "folders set aside:")
        equal(state_of(aside[0]), before, "its files:")
        return aside[0].name

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


def outcome(broker, topic):
    """How a topic of a damaged directory reads: whole, shorter, refused by the consumer's check of
    sums, or offline; never anything else."""
    try:
        # Asked first: a consumer that reads waits for another leader and says nothing.
        consumer_of(broker, topic).get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        values = read(broker, topic, wait_s=OUTCOME_WAIT_S, **{"check.crcs": True})
    except NoEnd as error:
        named = [line for line in broker.log().splitlines()
                 if f"{topic}-0" in line and "offline" in line]
        require(named, error)
        return "offline when read"
    except KafkaException as error:
        code = error.args[0].code()
        if code in (KafkaError._BAD_MSG, KafkaError.INVALID_MSG):
            return "refused by checksum"
        require(code in (KafkaError.KAFKA_STORAGE_ERROR, KafkaError._UNKNOWN_PARTITION,
                         KafkaError.UNKNOWN_TOPIC_OR_PART), f"{topic}: {error}")
        return "offline"
    equal(values, expected(len(values)), f"{topic}:")
    require(len(values) >= RECORDS, f"{topic}: {len(values)} records are left in silence")
    return "whole" if len(values) == 2 * RECORDS else "cut"


def create(broker, *topics):
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(t, 1, 1) for t in topics]).values():
        future.result(WAIT_S)


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


class NoEnd(AssertionError):
    """A reader that hears nothing more."""


def read(broker, topic, wait_s=WAIT_S, **config):
    """All values up to the end of the log; an error is raised."""
    consumer, values = consumer_of(broker, topic, **config), []
    end = time.monotonic() + wait_s
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
    raise NoEnd(f"{topic}: no end of the log after {len(values)} records")


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
