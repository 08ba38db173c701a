#!/usr/bin/python3
"""python3-kafka (a client in pure Python, unmodified) against a broker. Unlike librdkafka 2.0.2 it
packs lz4 for a broker without group coordinators.

usage: kafka_python_suite.py BOOTSTRAP [--quick] [NAME]
"""

import sys
import uuid

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from checks import Suite, equal, require, run_against

suite = Suite("kafka-python")
BOOTSTRAP = sys.argv[1] if len(sys.argv) > 1 else ""
RUN = uuid.uuid4().hex[:8]
RECORDS = 3000
WAIT_S = 30


def create(name, partitions=1, configs=None):
    topic = f"{RUN}-{name}"
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    admin.close()
    return topic


def round_trip(codec):
    """Sends numbered records with a codec and reads them back from their partition."""
    topic = f"kafka-python-{codec or 'none'}"   # the script looks at its batches on disk
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, linger_ms=1000,
                             acks="all")
    values = [b"%s value %d of %s" % (RUN.encode(), i, topic.encode()) for i in range(RECORDS)]
    sent = [producer.send(topic, value, key=b"k%d" % i, headers=[("n", b"%d" % i)])
            for i, value in enumerate(values)]
    producer.flush(WAIT_S)
    first = sent[0].get(WAIT_S).offset
    equal([s.get(WAIT_S).offset for s in sent], list(range(first, first + RECORDS)), "offsets:")
    producer.close()
    where = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, consumer_timeout_ms=10_000)
    consumer.assign([where])
    consumer.seek(where, first)
    found = []
    for record in consumer:
        found.append((record.offset, record.value, record.key, record.headers))
        if len(found) == RECORDS:
            break
    equal(consumer.end_offsets([where])[where], first + RECORDS, "end offset:")
    consumer.close()
    equal(found, [(first + i, value, b"k%d" % i, [("n", b"%d" % i)])
                  for i, value in enumerate(values)])
    return f"{RECORDS} records"


@suite.also_quick
def admin():
    topic = create("admin", 3, {"retention.ms": "123456"})
    client = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        client.create_topics([NewTopic(topic, 1, 1)])
        raise AssertionError("the topic was created twice")
    except TopicAlreadyExistsError:
        pass
    (described,) = client.describe_topics([topic])
    equal(sorted(p["partition"] for p in described["partitions"]), [0, 1, 2])
    (answer,) = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    values = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    equal(values["retention.ms"], "123456")
    client.delete_topics([topic])
    require(topic not in client.list_topics(), "the topic is still listed")
    client.close()
    return f"created, described with {len(values)} settings, deleted"


@suite.check
def plain():
    return round_trip(None)


@suite.check
def gzip():
    return round_trip("gzip")


@suite.check
def snappy():
    return round_trip("snappy")


@suite.also_quick
def lz4():
    return round_trip("lz4")


@suite.check
def offsets_by_time():
    topic = create("times")
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(10):
        producer.send(topic, b"x", partition=0, timestamp_ms=1_000_000 + i * 1000)
    producer.flush(WAIT_S)
    producer.close()
    where = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    found = consumer.offsets_for_times({where: 1_004_500})[where]
    equal((found.offset, found.timestamp), (5, 1_005_000))
    equal(consumer.offsets_for_times({where: 99_000_000})[where], None)
    equal(consumer.beginning_offsets([where])[where], 0)
    equal(consumer.end_offsets([where])[where], 10)
    consumer.close()
    return "offset 5 at 1005000"


if __name__ == "__main__":
    sys.exit(run_against(BOOTSTRAP, suite, __doc__))
