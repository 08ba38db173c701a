"""Kafka's frames by hand: requests that are right, and the parts to make wrong ones of."""

import pathlib
import random
import struct

EXCHANGES = pathlib.Path(__file__).parents[1] / "golden" / "data" / "wire_exchanges.txt"
API_PRODUCE, API_FETCH, API_METADATA, API_VERSIONS, API_CREATE = 0, 1, 3, 18, 19
UNSUPPORTED_VERSION = 35
CLIENT = b"bad-input"
CRC32C_POLYNOMIAL = 0x82F63B78
EDGES = (b"\x00", b"\x7f", b"\x80", b"\xff", b"\x00\x00", b"\xff\xff", b"\x7f\xff", b"\x80\x00",
         b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00",
         b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")


def recorded_requests(largest=1 << 16):
    """The requests that unmodified clients sent to Kafka, without the frame's length."""
    requests = []
    for line in EXCHANGES.read_text().splitlines():
        request = bytes.fromhex(line.split()[2])
        if len(request) <= largest:
            requests.append(request)
    return requests


def text16(value):
    return struct.pack(">h", len(value)) + value


def request(key, version, body=b"", correlation=7, flexible=False):
    """A request without its length."""
    head = struct.pack(">hhi", key, version, correlation) + text16(CLIENT)
    return head + (b"\x00" if flexible else b"") + body


def framed(payload):
    return struct.pack(">i", len(payload)) + payload


def metadata_request(correlation=7):
    """Metadata v1 of no topic."""
    return request(API_METADATA, 1, struct.pack(">i", 0), correlation)


def create_topic_request(name, partitions, configs=()):
    """CreateTopics v2 of one topic, by replication factor 1."""
    body = struct.pack(">i", 1) + text16(name) + struct.pack(">ihii", partitions, 1, 0,
                                                             len(configs))
    for key, value in configs:
        body += text16(key) + text16(value)
    return request(API_CREATE, 2, body + struct.pack(">i?", 10_000, False))


def produce_request(topic, records, correlation=7):
    """Produce v7, acks=all, of one partition."""
    body = struct.pack(">hhii", -1, -1, 10_000, 1) + text16(topic)
    body += struct.pack(">iii", 1, 0, len(records)) + records
    return request(API_PRODUCE, 7, body, correlation)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CRC32C_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C_TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    """A zigzag varint."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record_head(value_bytes):
    """A record up to its value, of `value_bytes`; one zero byte (no headers) ends it."""
    inside = b"\x00" + varint(0) + varint(0) + varint(-1) + varint(value_bytes)
    return varint(len(inside) + value_bytes + 1) + inside


def batch(packed, count=1, codec=0, crc=None, magic=2, last_delta=None, base_timestamp=1000):
    """A record batch v2 around records that are packed already."""
    behind_crc = struct.pack(">hiqqqhii", codec, count - 1 if last_delta is None else last_delta,
                             base_timestamp, base_timestamp, -1, -1, -1, count) + packed
    crc = crc32c(behind_crc) if crc is None else crc
    behind_length = struct.pack(">ibI", -1, magic, crc) + behind_crc
    return struct.pack(">qi", 0, len(behind_length)) + behind_length


def mutate(dice: random.Random, payload, others):
    """One of the ways in which bytes go wrong, up to three of them at once."""
    data = bytearray(payload)
    for _ in range(dice.choice((1, 1, 1, 1, 2, 3))):
        at = dice.randrange(len(data) + 1)
        kind = dice.choice((0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7))
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << dice.randrange(8)
        elif kind == 1:
            edge = dice.choice(EDGES)
            data[at:at + len(edge)] = edge
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data += dice.randbytes(dice.randrange(1, 64))
        elif kind == 4:
            del data[at:at + dice.randrange(1, 16)]
        elif kind == 5:
            data[at:at] = dice.randbytes(dice.randrange(1, 16))
        elif kind == 6:
            data[at:at] = data[at:at + dice.randrange(1, 64)]
        else:
            data[at:] = dice.choice(others)[at:]
    return bytes(data)


def with_version(dice: random.Random, payload):
    """The same body under another key or version."""
    data = bytearray(payload)
    if dice.randrange(2):
        data[0:2] = struct.pack(">h", dice.randrange(-1, 100))
    data[2:4] = struct.pack(">h", dice.choice((-1, *range(0, 20), 0x7FFF)))
    return bytes(data)
