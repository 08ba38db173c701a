"""What comes to a broker's port and is no request, or a wrong one. The broker answers as Kafka does
or closes the connection; it stays, serves others, and keeps within its memory."""

import gzip
import io
import random
import socket
import ssl
import struct
import time
import zlib

import wire_frames as wire
from checks import equal, require

ANSWER_WAIT_S = 20
CLOSE_WAIT_S = 5
# What the broker may hold of requests (256 MiB), and room for its own work.
IN_FLIGHT_KIB = 256 << 10
ROOM_KIB = 96 << 10
# CORRUPT_MESSAGE, INVALID_REQUEST, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD, or the end.
REFUSALS = (2, 42, 76, 87, None)
DEAF_ROUNDS = 1000   # of a thousand requests each; the connection is full long before


def read_all(stream):
    """Everything until the peer's end; a reset is an end too. Raises when no end comes."""
    got = b""
    try:
        while True:
            some = stream.recv(1 << 16)
            if not some:
                return got
            got += some
    except (ConnectionResetError, BrokenPipeError):
        return got
    except TimeoutError:
        raise AssertionError(f"neither an answer nor a closed connection in time; {len(got)} "
                             "bytes came") from None


def exchange(broker, data, half_close=True):
    """Sends bytes on a connection of their own; returns what came before its end."""
    with broker.connect(ANSWER_WAIT_S) as stream:
        try:
            stream.sendall(data)
            if half_close:
                stream.shutdown(socket.SHUT_WR)
        except OSError:
            pass   # it was closed under our hands
        return read_all(stream)


def answers(data):
    """Cuts what came into frames; (correlation id, rest) of each."""
    found = []
    while data:
        require(len(data) >= 8, "half an answer:", data.hex())
        (size,) = struct.unpack_from(">i", data)
        require(4 <= size <= len(data) - 4, "an answer of", size, "bytes, there are", len(data))
        found.append((struct.unpack_from(">i", data, 4)[0], data[8:4 + size]))
        data = data[4 + size:]
    return found


def alive(broker, pid):
    """The same process serves a new client, at once."""
    require(broker.process.poll() is None, "the broker is gone:", broker.log()[-300:])
    equal(broker.process.pid, pid, "process:")
    began = time.monotonic()
    (answer,) = answers(exchange(broker, wire.framed(wire.metadata_request(4711))))
    equal(answer[0], 4711, "correlation id:")
    return (time.monotonic() - began) * 1000


class Frames:
    """The checks, against one broker; `many` is how many mutations there are."""

    def __init__(self, broker, many, seed):
        self.broker = broker
        self.pid = broker.process.pid
        self.many = many
        self.seed = seed
        self.requests = wire.recorded_requests()
        self.idle_kib = broker.memory_kib("VmRSS")

    def storm(self, name, make):
        """Sends `many` payloads, each on its own connection, and counts what came."""
        dice = random.Random(f"{self.seed} {name}")
        answered = closed = 0
        self.broker.forget_peak()
        for i in range(self.many):
            data, correlation = make(dice, dice.choice(self.requests))
            try:
                found = answers(exchange(self.broker, data))
            except AssertionError as error:
                raise AssertionError(f"number {i} of seed {self.seed}: {error}; sent "
                                     f"{data[:200].hex()}") from None
            if not found:
                closed += 1
                continue
            answered += 1
            if correlation is not None:
                equal(found[0][0], correlation, f"number {i}, correlation id:")
        alive(self.broker, self.pid)
        return f"{self.many} sent: {answered} answered, {closed} closed; {self.peak()}"

    def peak(self, allowed_kib=ROOM_KIB):
        """The most memory since forget_peak, held against what is allowed over the idle broker."""
        peak = self.broker.memory_kib("VmHWM")
        require(peak <= self.idle_kib + allowed_kib, f"{peak >> 10} MiB at most, idle it had",
                self.idle_kib >> 10)
        return f"at most {peak >> 10} MiB resident (limit {(self.idle_kib + allowed_kib) >> 10})"

    def recorded(self):
        """Each recorded request as it was: those of APIs that are built get an answer."""
        answered = []
        for payload in self.requests:
            found = answers(exchange(self.broker, wire.framed(payload)))
            if found:
                equal(found[0][0], struct.unpack_from(">i", payload, 4)[0], "correlation id:")
                answered.append(payload)
        alive(self.broker, self.pid)
        everything = len(self.requests)
        require(len(answered) > everything / 2, "only", len(answered), "answered")
        self.requests = answered   # what is mutated from here on reaches a handler
        return f"{everything} recorded requests, {len(answered)} answered, the others closed"

    def mutated(self):
        def make(dice, payload):
            changed = wire.mutate(dice, payload, self.requests)
            same = len(changed) >= 8 and changed[:8] == payload[:8]
            return wire.framed(changed), struct.unpack_from(">i", payload, 4)[0] if same else None
        return self.storm("mutated", make)

    def truncated(self):
        """A frame that ends early: its length says more, or it is right and the body is cut."""
        def make(dice, payload):
            cut = payload[:dice.randrange(len(payload))]
            if dice.randrange(2):
                return wire.framed(payload)[:4 + len(cut)], None
            return wire.framed(cut), None
        return self.storm("truncated", make)

    def other_versions(self):
        def make(dice, payload):
            return wire.framed(wire.with_version(dice, payload)), None
        return self.storm("versions", make)

    def wrong_lengths(self):
        """Frames whose length is off by a little or by a lot, with more bytes behind."""
        def make(dice, payload):
            off = dice.choice((-1, 1, -4, 4, -len(payload), dice.randrange(-100, 100), 1 << 20))
            return struct.pack(">i", max(len(payload) + off, -1)) + payload + payload, None
        return self.storm("lengths", make)

    def noise(self):
        def make(dice, _):
            return dice.randbytes(dice.randrange(1, 3000)), None
        return self.storm("noise", make)

    def unknown_keys(self):
        """Unknown keys, and known ones that are not served, end the connection, without an answer;
        what was asked before them is answered first."""
        refused = 0
        keys = [-1, -32768, 32767, 1000, *range(93, 130), 4, 5, 6, 7, 8, 11, 14, 26, 52, 60, 68, 75]
        for key in keys:
            data = wire.framed(wire.metadata_request(1)) + wire.framed(wire.request(key, 0))
            found = answers(exchange(self.broker, data + wire.framed(wire.metadata_request(2)),
                                     half_close=False))
            equal([correlation for correlation, _ in found], [1], f"key {key}: answers")
            refused += 1
        alive(self.broker, self.pid)
        return f"{refused} keys closed the connection behind the answer before"

    def api_versions(self):
        """An unknown version is answered as version 0 with error 35 and the range to use."""
        for version in (-1, 5, 6, 99, 32767):
            payload = wire.request(wire.API_VERSIONS, version, b"\x00\x00", correlation=35)
            (answer,) = answers(exchange(self.broker, wire.framed(payload)))
            equal(answer[0], 35, "correlation id:")
            error, count = struct.unpack_from(">hi", answer[1])
            equal((error, count), (wire.UNSUPPORTED_VERSION, 1), f"version {version}: answer")
            equal(struct.unpack_from(">hhh", answer[1], 6), (wire.API_VERSIONS, 0, 4), "range:")
        (answer,) = answers(exchange(self.broker, wire.framed(
            wire.request(wire.API_VERSIONS, 0))))
        error, count = struct.unpack_from(">hi", answer[1])
        equal(error, 0, "version 0:")
        # Each advertised range: one above and one below end the connection.
        tried = 0
        for i in range(count):
            key, least, most = struct.unpack_from(">hhh", answer[1], 6 + 6 * i)
            for version in (least - 1, most + 1):
                if key == wire.API_VERSIONS or (key == wire.API_PRODUCE and version < 3):
                    continue
                payload = wire.framed(wire.request(key, version, b"\x00" * 40))
                equal(exchange(self.broker, payload, half_close=False), b"",
                      f"key {key} version {version}:")
                tried += 1
        alive(self.broker, self.pid)
        return f"error 35 in version 0 for 5 versions; {tried} versions outside of {count} ranges"

    def oversize(self):
        """A length is believed only as far as bytes come."""
        self.broker.forget_peak()
        for size in (-1, -2**31, 104857601, 2**31 - 1):
            equal(exchange(self.broker, struct.pack(">i", size) + b"x" * 100, half_close=False),
                  b"", f"length {size}:")
        require(self.broker.will_say("socket.request.max.bytes"), "no line in the log names it")
        held = []
        for _ in range(200):   # 200 times 100 MB are announced
            stream = self.broker.connect()
            stream.sendall(struct.pack(">i", 104857600) + b"x" * 1000)
            held.append(stream)
        latency = alive(self.broker, self.pid)
        for stream in held:
            stream.close()
        return f"4 lengths refused, 200 announcements of 100 MB: {self.peak(64 << 10)}, " \
               f"others answered in {latency:.0f} ms"

    def memory_of_many(self):
        """Forty connections send 16 MiB each of a frame and no more: more than may be in flight."""
        self.broker.forget_peak()
        held, sent = [], 0
        chunk = b"x" * (1 << 20)
        for _ in range(40):
            stream = self.broker.connect(0.2)
            held.append(stream)
            try:
                stream.sendall(struct.pack(">i", 104857600))
                for _ in range(16):
                    stream.sendall(chunk)
                    sent += len(chunk)
            except OSError:
                pass   # the broker reads no more
        peak = self.peak(IN_FLIGHT_KIB + ROOM_KIB)
        for stream in held:
            stream.close()
        time.sleep(0.2)
        latency = alive(self.broker, self.pid)
        return f"{sent >> 20} MiB taken of 640; {peak}; then answered in {latency:.0f} ms"

    def deaf_clients(self):
        """Clients that ask and never read."""
        self.broker.forget_peak()
        held, asked = [], 0
        ask = wire.framed(wire.request(wire.API_VERSIONS, 0)) * 1000
        for _ in range(20):
            stream = self.broker.connect(0.2)
            held.append(stream)
            try:
                for _ in range(DEAF_ROUNDS):
                    stream.sendall(ask)
                    asked += 1000
            except OSError:
                pass
        latency = alive(self.broker, self.pid)
        peak = self.peak()
        for stream in held:
            stream.close()
        return f"{asked} requests went in of {20000 * DEAF_ROUNDS}; {peak}; " \
               f"others answered in {latency:.0f} ms"

    def create(self, name, partitions=1, configs=()):
        """The error code of a CreateTopics, or None when the connection was closed."""
        found = answers(exchange(self.broker, wire.framed(
            wire.create_topic_request(name, partitions, configs))))
        if not found:
            return None
        at = 4 + 4 + 2 + len(name)   # throttle time, count, name
        return struct.unpack_from(">h", found[0][1], at)[0]

    def produce(self, topic, records):
        """The error code of a Produce, or None when the connection was closed."""
        found = answers(exchange(self.broker, wire.framed(wire.produce_request(topic, records))))
        if not found:
            return None
        at = 4 + 2 + len(topic) + 4 + 4   # count, name, count, partition
        return struct.unpack_from(">h", found[0][1], at)[0]

    def bad_batches(self):
        """Wrong batches in right requests get Kafka's errors, and nothing of them is kept."""
        equal(self.create(b"batches"), 0, "create:")
        record = wire.record_head(5) + b"value\x00"
        good = wire.batch(record)
        cases = {
            "checksum": wire.batch(record, crc=1),
            "magic 3": wire.batch(record, magic=3),
            "codec 7": wire.batch(record, codec=7),
            "no gzip": wire.batch(record, codec=1),
            "no zstd": wire.batch(record, codec=4),
            "count": wire.batch(record, count=3),
            "negative count": wire.batch(record, count=-1),
            "last offset": wire.batch(record, last_delta=9),
            "cut record": wire.batch(record[:-3]),
            "bytes behind": wire.batch(record + b"more"),
            "two batches": good + good,
            "half a batch": good[:-7],
            "length": good[:8] + b"\x7f\xff\xff\xff" + good[12:],
            "no batch": b"",
            "noise": b"\xa5" * 200,
        }
        found = {}
        for name, records in cases.items():
            found[name] = self.produce(b"batches", records)
        for name, code in found.items():
            require(code in REFUSALS, f"{name}: error {code}")
        equal(self.produce(b"batches", good), 0, "the good one:")
        alive(self.broker, self.pid)
        told = ", ".join(f"{name} {code}" for name, code in found.items())
        return f"{len(cases)} refused ({told}), a good one taken"

    def bombs(self):
        """Batches that unpack to far more than they are, and topics that unpack to pack again."""
        equal(self.create(b"bombs"), 0, "create:")
        equal(self.create(b"repacked-bombs", 1, [(b"compression.type", b"zstd")]), 0, "create:")
        self.broker.forget_peak()
        told = []
        for value_bytes in (60 << 20, 600 << 20):
            packed = io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as out:
                out.write(wire.record_head(value_bytes))
                for _ in range(value_bytes >> 20):
                    out.write(bytes(1 << 20))
                out.write(b"\x00")
            records = wire.batch(packed.getvalue(), codec=1)
            for topic in (b"bombs", b"repacked-bombs"):
                code = self.produce(topic, records)
                told.append(f"{value_bytes >> 20} MiB {topic.decode()} {code}")
        latency = alive(self.broker, self.pid)
        return f"{', '.join(told)}; {self.peak(IN_FLIGHT_KIB)}, others answered in {latency:.0f} ms"

    def huge_topics(self):
        """More partitions than a broker can have."""
        self.broker.forget_peak()
        told = []
        for partitions in (2**31 - 1, 1_000_000, 0, -2):
            code = self.create(b"huge-%d" % (partitions & 0xFFFF), partitions)
            require(code != 0, partitions, "partitions were created")
            told.append(f"{partitions}: {code}")
        alive(self.broker, self.pid)
        return f"{'; '.join(told)}; {self.peak()}"

    def foreign(self):
        """Other protocols are closed at once; TLS and HTTP are named in the log."""
        context = ssl.create_default_context()
        outgoing = ssl.MemoryBIO()
        tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="broker.test")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        require(hello[:2] == b"\x16\x03", "no TLS hello")
        foreign = {
            "TLS": hello,
            "HTTP GET": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
            "HTTP POST": b"POST /topics HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
            "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
            "SMTP": b"EHLO broker\r\n",
            "Redis": b"*1\r\n$4\r\nPING\r\n",
            "PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n",
            "PostgreSQL": struct.pack(">ii", 8, 80877103),
            "zeros": bytes(512),
            "zlib": zlib.compress(bytes(5000)),
        }
        for name, data in foreign.items():
            began = time.monotonic()
            got = exchange(self.broker, data, half_close=name in ("PostgreSQL", "zlib"))
            require(b"" == got, f"{name} got {got[:40]}")
            require(time.monotonic() - began < CLOSE_WAIT_S, f"{name}: the close came late")
        for word in ("TLS hello", "HTTP"):
            require(self.broker.will_say(word), "the log does not name", word)
        alive(self.broker, self.pid)
        return f"{len(foreign)} protocols closed ({', '.join(foreign)}), TLS and HTTP named"

    def slow_loris(self):
        """Two hundred clients send a byte at a time and never end a request; a real one beside."""
        self.broker.forget_peak()
        payload = wire.framed(wire.metadata_request())
        held = [self.broker.connect() for _ in range(200)]
        worst = 0.0
        for byte in payload[:-1][:12]:
            for stream in held:
                stream.sendall(bytes([byte]))
            worst = max(worst, alive(self.broker, self.pid))
        for stream in held:
            stream.close()
        require(worst < 1000, f"a real client waited {worst:.0f} ms")
        return f"200 clients; a real one waited {worst:.0f} ms at most; {self.peak()}"
