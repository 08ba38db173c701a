#!/usr/bin/python3
"""kill -9 of the broker at random moments under three idempotent librdkafka producers with
flush.messages=1; then every acknowledged record must be there once, at its offset, in order.

usage: kill9.py VERDICT_BINARY KILLS [SEED]
"""

import collections
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


def produce(index, bootstrap, stop, acked, failures):
    """Sends numbered records until told to stop; acked[(partition, offset)] = value."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                         "linger.ms": 2, "message.timeout.ms": 300000,
                         "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200})

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


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    binary, kills = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    dice = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else None)
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(binary, pathlib.Path(folder))
        broker.start()
        bootstrap = f"127.0.0.1:{broker.port}"
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
            future.result()
        stop, acked, failures = threading.Event(), [], []
        threads = [threading.Thread(target=produce, args=(i, bootstrap, stop, acked, failures))
                   for i in range(PRODUCERS)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            time.sleep(dice.uniform(0.1, 0.8))
            broker.kill()
            broker.start()
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        wrong = failures + judge(read_all(bootstrap), acked)
        broker.kill(signal.SIGTERM)
    for sentence in wrong[:20]:
        print(sentence)
    print(f"{kills} kills, {len(acked)} records acknowledged, {len(wrong)} anomalies")
    if not acked:
        print("nothing was acknowledged: no verdict")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
