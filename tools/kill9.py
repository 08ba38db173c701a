#!/usr/bin/python3
"""kill -9 of the broker at random moments under three idempotent librdkafka producers with
flush.messages=1; then every acknowledged record must be there once, at its offset, in order.

usage: kill9.py [--folder FOLDER] VERDICT_BINARY KILLS [SEED]
       FOLDER is made and stays, with the broker's data; otherwise a temporary one is used. SEED
       picks the moments of the kills.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PRODUCERS = 3
PARTITIONS = 2
TOPIC = "kills"
PROPERTIES = """process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
log.flush.interval.messages=1
"""


class Broker:
    """The broker's process on one port and one folder."""

    def __init__(self, binary, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = folder / "server.properties"
        self.config.write_text(PROPERTIES.format(port=self.port, data=folder / "data"))
        self.log = open(folder / "broker.log", "ab")
        self.binary = binary
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "broker", "start", "--config", str(self.config)],
            stdout=self.log, stderr=self.log)
        for _ in range(400):
            if self.process.poll() is not None:
                raise SystemExit(f"the broker ended with {self.process.returncode} at its start")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.025)
        raise SystemExit("the broker does not listen")

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait()

    def end(self):
        """Leaves nothing behind, whatever happened."""
        if self.process.poll() is None:
            self.kill()
        self.log.close()


def new_producer(bootstrap):
    return Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                     "linger.ms": 2, "message.timeout.ms": 300000,
                     "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200})


def produce(index, producer, stop, acked, failures):
    """Sends numbered records until told to stop; `acked` gets (partition, offset, value)."""

    def delivered(error, message):
        if error is not None:
            failures.append(f"producer {index}: {error}")
            return
        acked.append((message.partition(), message.offset(), message.value()))

    number = 0
    while not stop.is_set():
        value = f"{index}:{number}".encode()
        try:
            producer.produce(TOPIC, value, partition=number % PARTITIONS, on_delivery=delivered)
            number += 1
        except BufferError:
            pass
        producer.poll(0.001)
    left = producer.flush(60)
    if left:
        failures.append(f"producer {index}: {left} records without outcome")


def read_all(bootstrap):
    """offset -> value for each partition, by a fresh consumer."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    logs = {}
    for partition in range(PARTITIONS):
        low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=30)
        consumer.assign([TopicPartition(TOPIC, partition, low)])
        log = logs.setdefault(partition, {})
        deadline = time.time() + 120
        while len(log) < high - low:
            if time.time() > deadline:
                raise SystemExit(f"partition {partition}: read {len(log)} of {high - low}")
            for message in consumer.consume(10000, 1.0):
                if message.error():
                    raise KafkaException(message.error())
                log[message.offset()] = message.value()
    consumer.close()
    return logs


def judge(logs, acked):
    """Sentences about what is wrong."""
    wrong = []
    for partition, offset, value in acked:
        if logs[partition].get(offset) != value:
            wrong.append(f"{value} was acknowledged at {partition}/{offset}, there is "
                         f"{logs[partition].get(offset)}")
    for partition, log in logs.items():
        for value, count in collections.Counter(log.values()).items():
            if count > 1:
                wrong.append(f"{value} is {count} times in partition {partition}")
        last = {}
        for offset in sorted(log):
            producer, number = map(int, log[offset].split(b":"))
            if number <= last.get(producer, -1):
                wrong.append(f"{log[offset]} stands behind number {last[producer]}")
            last[producer] = number
    return wrong


def check_the_judge():
    """The judge must go red where it should, before its word counts."""
    good = {0: {0: b"0:0", 1: b"1:0", 2: b"0:2"}, 1: {0: b"0:1"}}
    acked = [(p, offset, value) for p, log in good.items() for offset, value in log.items()]
    bad = {"a lost record": {**good, 1: {}},
           "another offset": {**good, 1: {1: b"0:1"}},
           "a duplicate": {**good, 1: {0: b"0:1", 1: b"0:1"}},
           "a reorder": {**good, 0: {0: b"0:2", 1: b"1:0", 2: b"0:0"}},
           "other bytes": {**good, 1: {0: b"0:7"}}}
    blind = [name for name, logs in bad.items() if not judge(logs, acked)]
    if judge(good, acked) or blind:
        raise SystemExit(f"the judge is wrong: {judge(good, acked)}, blind to {blind}")


def torture(broker, kills, dice):
    """Runs the producers under the kills; returns what was acknowledged, what went wrong and how
    many records were unanswered at the kills."""
    bootstrap = f"127.0.0.1:{broker.port}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        future.result()
    stop, acked, failures, unanswered = threading.Event(), [], [], []
    producers = [new_producer(bootstrap) for _ in range(PRODUCERS)]
    threads = [threading.Thread(target=produce, args=(i, producer, stop, acked, failures))
               for i, producer in enumerate(producers)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        time.sleep(dice.uniform(0.1, 0.8))
        unanswered.append(sum(len(producer) for producer in producers))
        broker.kill()
        broker.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    return acked, failures, unanswered


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("binary")
    parser.add_argument("kills", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=random.randrange(1 << 32))
    given = parser.parse_args()
    check_the_judge()
    with contextlib.ExitStack() as stack:
        folder = given.folder or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        broker = Broker(os.path.abspath(given.binary), folder)
        broker.start()
        stack.callback(broker.end)
        acked, wrong, unanswered = torture(broker, given.kills, random.Random(given.seed))
        logs = read_all(f"127.0.0.1:{broker.port}")
        wrong += judge(logs, acked)
        broker.kill(signal.SIGTERM)
    for sentence in wrong[:20]:
        print(sentence)
    if not acked or min(unanswered, default=0) == 0:
        print("no verdict: nothing was acknowledged, or a kill met no record under way")
        return 1
    print(f"{given.kills} kills, {len(acked)} records acknowledged, {sum(map(len, logs.values()))} "
          f"read back, {len(wrong)} anomalies; {min(unanswered)} or more under way at each kill; "
          f"seed {given.seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
