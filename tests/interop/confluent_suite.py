#!/usr/bin/python3
"""python3-confluent-kafka, unmodified, against a broker.

usage: confluent_suite.py BOOTSTRAP [--quick] [NAME]
"""

import functools
import sys
import threading
import time
import uuid

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from checks import Suite, equal, require, run_against

suite = Suite("confluent")
BOOTSTRAP = sys.argv[1] if len(sys.argv) > 1 else ""
RUN = uuid.uuid4().hex[:8]   # so that a second run meets no topic of the first
RECORDS = 3000
WAIT_S = 30


@functools.cache   # one for all: its futures end with it
def admin():
    return AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(name, partitions=1, **config):
    """A new topic; returns its name."""
    topic = f"{RUN}-{name}"
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    admin().create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(WAIT_S)
    return topic


def settings(given):
    return {key.replace("_", "."): value for key, value in given.items()}


def send(topic, values, partition=0, **config):
    """Sends the values in order and waits; returns the acknowledged offsets, in order of acks."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **settings(config)})
    offsets, errors = [], []

    def delivered(error, message):
        if error is None:
            offsets.append(message.offset())
        else:
            errors.append(error)

    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=delivered)
        producer.poll(0)
    equal(producer.flush(WAIT_S), 0, "records without an outcome:")
    if errors:
        raise KafkaException(errors[0])
    return offsets


def reader(topic, partition=0, offset=0, **config):
    """A consumer that is assigned one partition."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"{RUN}-none",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         **settings(config)})
    consumer.assign([TopicPartition(topic, partition, offset)])
    return consumer


def take(consumer, count, wait_s=WAIT_S):
    """Up to `count` messages; an error that the consumer reports is raised."""
    messages, end = [], time.monotonic() + wait_s
    while len(messages) < count and time.monotonic() < end:
        for message in consumer.consume(count - len(messages), 0.2):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
    return messages


def read(topic, count, partition=0, offset=0, **config):
    consumer = reader(topic, partition, offset, **config)
    messages = take(consumer, count)
    consumer.close()
    return messages


def error_code(call):
    """The code of the KafkaException that the call must raise."""
    try:
        call()
    except KafkaException as error:
        return error.args[0].code()
    raise AssertionError("no error came")


def in_order(name, **config):
    """Sends numbered records and reads them back at the offsets that were acknowledged."""
    topic = create(name)
    values = [b"%s-%d" % (name.encode(), i) for i in range(RECORDS)]
    equal(send(topic, values, **config), list(range(RECORDS)), "acknowledged offsets:")
    messages = read(topic, RECORDS)
    equal([m.value() for m in messages], values, "values:")
    equal([m.offset() for m in messages], list(range(RECORDS)), "offsets:")
    return f"{RECORDS} records at offsets 0..{RECORDS - 1}"


# --- admin ----------------------------------------------------------------------------------------

@suite.also_quick
def metadata():
    listed = admin().list_topics(timeout=WAIT_S)
    equal(len(listed.brokers), 1, "brokers:")
    require(listed.cluster_id, "no cluster id")
    require(listed.controller_id in listed.brokers, "the controller is no broker")
    return f"1 broker, controller {listed.controller_id}, cluster {listed.cluster_id}"


@suite.also_quick
def create_describe_delete():
    topic = create("created", 3)
    found = admin().list_topics(topic, WAIT_S).topics[topic]
    equal(sorted(found.partitions), [0, 1, 2], "partitions:")
    for partition in found.partitions.values():
        equal(partition.replicas, [partition.leader], "replicas:")
        equal(partition.isrs, [partition.leader], "in-sync replicas:")
    send(topic, [b"old"])
    admin().delete_topics([topic], operation_timeout=WAIT_S)[topic].result(WAIT_S)
    require(topic not in admin().list_topics(timeout=WAIT_S).topics, "the topic is still listed")
    again = create("created", 1)
    equal([m.value() for m in take(reader(again), 1, 1.0)], [], "records of the deleted topic:")
    return "3 partitions, deleted, created again and empty"


@suite.also_quick
def create_refusals():
    topic = create("refusals")
    new = admin().create_topics
    equal(error_code(lambda: new([NewTopic(topic, 1, 1)])[topic].result(WAIT_S)),
          KafkaError.TOPIC_ALREADY_EXISTS)
    equal(error_code(lambda: new([NewTopic("a/b", 1, 1)])["a/b"].result(WAIT_S)),
          KafkaError.TOPIC_EXCEPTION)
    equal(error_code(lambda: new([NewTopic("many", 1, 9)])["many"].result(WAIT_S)),
          KafkaError.INVALID_REPLICATION_FACTOR)
    wrong = NewTopic("wrong", 1, 1, config={"retention.ms": "soon"})
    equal(error_code(lambda: new([wrong])["wrong"].result(WAIT_S)), KafkaError.INVALID_CONFIG)
    only = NewTopic("only-asked", 1, 1)
    new([only], validate_only=True)["only-asked"].result(WAIT_S)
    require("only-asked" not in admin().list_topics(timeout=WAIT_S).topics, "it was created")
    equal(error_code(lambda: admin().delete_topics([f"{RUN}-never"])[f"{RUN}-never"]
                     .result(WAIT_S)), KafkaError.UNKNOWN_TOPIC_OR_PART)
    return "exists, name, replication factor, config, validate-only, unknown"


@suite.also_quick
def describe_configs():
    topic = create("configs", retention_ms=123456, cleanup_policy="compact")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    found = admin().describe_configs([resource])[resource].result(WAIT_S)
    equal(found["retention.ms"].value, "123456", "retention.ms:")
    equal(found["cleanup.policy"].value, "compact", "cleanup.policy:")
    require(not found["retention.ms"].is_default, "a given value is called a default")
    require(found["segment.bytes"].is_default, "a default is called given")
    broker = str(list(admin().list_topics(timeout=WAIT_S).brokers)[0])
    resource = ConfigResource(ConfigResource.Type.BROKER, broker)
    of_broker = admin().describe_configs([resource])[resource].result(WAIT_S)
    equal(of_broker["log.retention.hours"].value, "168", "log.retention.hours:")
    return f"{len(found)} of the topic, {len(of_broker)} of the broker"


@suite.also_quick
def automatic_creation():
    topic = f"{RUN}-automatic"
    send(topic, [b"first"], partition=-1)
    equal([m.value() for m in read(topic, 1)], [b"first"])
    return "the first record creates the topic"


# --- producers ------------------------------------------------------------------------------------

@suite.also_quick
def plain_order():
    return in_order("plain", linger_ms=5)


@suite.also_quick
def idempotent_order():
    return in_order("idempotent", enable_idempotence=True, linger_ms=5)


@suite.check
def leader_acks_order():
    return in_order("acks1", acks=1, linger_ms=5)


@suite.check
def no_acks():
    topic = create("acks0")
    values = [b"%d" % i for i in range(RECORDS)]
    send(topic, values, acks=0, max_in_flight=1)
    equal([m.value() for m in read(topic, RECORDS)], values)
    return f"{RECORDS} records"


@suite.also_quick
def codec_gzip():
    return in_order("gzip", compression_type="gzip", linger_ms=20)


@suite.also_quick
def codec_snappy():
    return in_order("snappy", compression_type="snappy", linger_ms=20)


@suite.also_quick
def codec_zstd():
    return in_order("zstd", compression_type="zstd", linger_ms=20, enable_idempotence=True)


@suite.check
def topic_compresses():
    """The topic's codec differs from the producer's: the broker packs again."""
    topic = create("repacked", compression_type="zstd")
    values = [b"value %d of many that look alike" % i for i in range(RECORDS)]
    equal(send(topic, values, compression_type="gzip", linger_ms=20), list(range(RECORDS)))
    equal([m.value() for m in read(topic, RECORDS)], values)
    return f"{RECORDS} records sent as gzip, kept as zstd"


@suite.also_quick
def keys_headers_nulls():
    topic = create("headers")
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
    producer.produce(topic, None, key=b"", headers=headers, partition=0)
    producer.produce(topic, b"", key=None, partition=0)
    equal(producer.flush(WAIT_S), 0)
    first, second = read(topic, 2)
    equal((first.key(), first.value(), first.headers()), (b"", None, headers))
    equal((second.key(), second.value(), second.headers()), (None, b"", None))
    return "null and empty stay apart, a header's key may repeat"


@suite.also_quick
def timestamps():
    topic = create("created-time")
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for i in range(10):
        producer.produce(topic, b"x", partition=0, timestamp=1_000_000 + i * 1000)
    equal(producer.flush(WAIT_S), 0)
    equal([m.timestamp()[1] for m in read(topic, 10)], [1_000_000 + i * 1000 for i in range(10)])
    consumer = reader(topic)
    at = consumer.offsets_for_times([TopicPartition(topic, 0, 1_004_500)], WAIT_S)[0].offset
    late = consumer.offsets_for_times([TopicPartition(topic, 0, 99_000_000)], WAIT_S)[0].offset
    equal((at, late in (-1, OFFSET_END)), (5, True), "offsets for times:")
    consumer.close()
    stamped = create("append-time", message_timestamp_type="LogAppendTime")
    producer.produce(stamped, b"x", partition=0, timestamp=1000)
    equal(producer.flush(WAIT_S), 0)
    kind, stamp = read(stamped, 1)[0].timestamp()
    equal(kind, 2, "kind of the timestamp:")
    require(abs(stamp / 1000 - time.time()) < 60, "stamped", stamp)
    return "given, looked up, stamped by the broker"


@suite.also_quick
def too_large():
    topic = create("limited", max_message_bytes=2000)
    values = [b"x" * 50000]
    equal(error_code(lambda: send(topic, values)), KafkaError.MSG_SIZE_TOO_LARGE)
    equal(send(topic, [b"small"]), [0])
    large = b"y" * 900_000
    whole = create("large")
    equal(send(whole, [large]), [0])
    equal(read(whole, 1)[0].value(), large)
    return "50 kB refused over max.message.bytes=2000; 900 kB pass by default"


@suite.check
def unknown_partition():
    topic = create("unknown")
    code = error_code(lambda: send(topic, [b"x"], partition=7, message_timeout_ms=3000))
    require(code in (KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART), code)
    return KafkaError(code).name()


@suite.check
def eight_producers():
    topic = create("eight", 4)
    failures = []

    def fill(number):
        try:
            send(topic, [b"%d-%d" % (number, i) for i in range(500)], partition=number % 4,
                 enable_idempotence=True)
        except Exception as error:  # told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=fill, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])
    values = [m.value() for partition in range(4) for m in read(topic, 1000, partition)]
    equal(sorted(values), sorted(b"%d-%d" % (n, i) for n in range(8) for i in range(500)))
    for number in range(8):
        mine = [v for v in values if v.startswith(b"%d-" % number)]
        equal(mine, [b"%d-%d" % (number, i) for i in range(500)], f"producer {number}:")
    return "8 idempotent producers, 4 partitions, 4000 records once and in order"


# --- consumers ------------------------------------------------------------------------------------

@suite.also_quick
def watermarks_and_seek():
    topic = create("seek", 2)
    send(topic, [b"%d" % i for i in range(100)])
    consumer = reader(topic)
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), WAIT_S), (0, 100))
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 1), WAIT_S), (0, 0))
    equal(len(take(consumer, 10)), 10)
    consumer.pause([TopicPartition(topic, 0)])
    equal(take(consumer, 1, 1.0), [], "while paused:")
    consumer.resume([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0, 90))
    equal([m.offset() for m in take(consumer, 10)], list(range(90, 100)))
    consumer.close()
    return "(0, 100), 90..99 after a seek"


@suite.check
def out_of_range():
    topic = create("range")
    send(topic, [b"%d" % i for i in range(10)])
    equal(read(topic, 1, offset=1000)[0].offset(), 0, "reset to the earliest:")
    consumer = reader(topic, offset=1000, auto_offset_reset="error")
    equal(error_code(lambda: take(consumer, 1)), KafkaError._AUTO_OFFSET_RESET)
    consumer.close()
    return "reset to 0, or reported"


@suite.also_quick
def long_poll():
    """A consumer at the end of the log hears of a new record at once, not when its wait is over."""
    topic = create("poll")
    consumer = reader(topic, fetch_wait_max_ms=10_000)
    take(consumer, 1, 1.0)
    began = time.monotonic()
    send(topic, [b"news"])
    equal([m.value() for m in take(consumer, 1)], [b"news"])
    waited = time.monotonic() - began
    consumer.close()
    require(waited < 5, f"it took {waited:.1f} s")
    return f"{waited * 1000:.0f} ms under fetch.wait.max.ms=10000"


@suite.check
def small_fetches():
    topic = create("small")
    values = [b"%d" % i for i in range(200)]
    send(topic, values, linger_ms=0)
    found = read(topic, 200, fetch_message_max_bytes=256, fetch_wait_max_ms=10)
    equal([m.value() for m in found], values)
    return "200 records in fetches of 256 bytes"


if __name__ == "__main__":
    sys.exit(run_against(BOOTSTRAP, suite, __doc__))
