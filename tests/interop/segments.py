#!/usr/bin/python3
"""Fills a topic of several small segments with each codec, plain and idempotent, for the dump.
lz4 goes through kafka-python, because librdkafka 2.0.2 sends it unpacked to a broker without group
coordinators.

usage: segments.py BOOTSTRAP SEGMENT_BYTES
"""

import random
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BYTES_WANTED = 12 << 20   # of each topic, before packing
WAIT_S = 60


def values(codec):
    """Texts of random digits that are there twice, the same in every run: every codec packs even
    one alone, for clients send unpacked what would not shrink."""
    dice, size = random.Random(codec), 0
    while size < BYTES_WANTED:
        digits = dice.randrange(100, 1000)
        text = f"{dice.getrandbits(4 * digits):0{digits}x}".encode() * 2
        size += len(text)
        yield text


def through_librdkafka(bootstrap, topic, codec):
    """One half by a plain producer, the other by an idempotent one."""
    failures, sent = [], 0
    for idempotent in (False, True):
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec,
                             "linger.ms": 5, "batch.size": 32768,
                             "enable.idempotence": idempotent})
        for i, value in enumerate(values(codec)):
            if i % 2 == idempotent:
                producer.produce(topic, value, key=b"%d" % i, partition=0,
                                 on_delivery=lambda error, _: error and failures.append(error))
                sent += 1
                if sent % 500 == 0:
                    producer.flush(WAIT_S)   # room in its queue
        if producer.flush(WAIT_S) or failures:
            raise SystemExit(f"{topic}: {failures[:1] or 'records without an outcome'}")
    return sent


def through_kafka_python(bootstrap, topic, codec):
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec, linger_ms=5,
                             acks="all", max_block_ms=WAIT_S * 1000)
    sent = [producer.send(topic, value, partition=0) for value in values(codec)]
    producer.close()
    for future in sent:
        future.get(WAIT_S)
    return len(sent)


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    bootstrap = sys.argv[1]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(f"segments-{codec}", 1, 1, config={"segment.bytes": sys.argv[2]})
              for codec in CODECS]
    for future in admin.create_topics(topics).values():
        future.result(WAIT_S)
    total = 0
    for codec in CODECS:
        through = through_kafka_python if codec == "lz4" else through_librdkafka
        total += through(bootstrap, f"segments-{codec}", codec)
    print(f"{total} records in {len(CODECS)} topics")
    return 0


if __name__ == "__main__":
    sys.exit(main())
