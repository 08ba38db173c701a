"""Clients that take more than their share, against brokers with small limits of their own."""

import socket
import struct
import tempfile
import time

import wire_frames as wire
from bad_frames import alive, answers, exchange, read_all
from broker_process import Broker
from checks import equal, require


class Limits:
    """The checks; each starts a broker with the limit that it is about."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder

    def new(self, descriptors_max=None, **settings):
        named = {key.replace("_", "."): str(value) for key, value in settings.items()}
        return Broker(self.binary, tempfile.mkdtemp(dir=self.folder), named, descriptors_max)

    def idle(self):
        """Who says nothing, or half a request, is closed after connections.max.idle.ms."""
        with self.new(connections_max_idle_ms=1000) as broker:
            pid = broker.process.pid
            began = time.monotonic()
            held = [broker.connect() for _ in range(50)]
            for i, stream in enumerate(held):
                stream.sendall(wire.framed(wire.metadata_request())[:i % 12])
            for stream in held:
                equal(read_all(stream), b"", "an idle client got")
                stream.close()
            waited = time.monotonic() - began
            require(0.9 < waited < 8, f"closed after {waited:.1f} s")
            alive(broker, pid)
        return f"50 closed within {waited:.1f} s under connections.max.idle.ms=1000"

    def request_size(self):
        """A request of just the limit passes, a byte more does not."""
        with self.new(socket_request_max_bytes=5000) as broker:
            pid = broker.process.pid
            head = wire.request(wire.API_METADATA, 1, b"")
            names = 5000 - len(head) - 4
            topic = wire.text16(b"x" * 200)
            body = struct.pack(">i", names // len(topic)) + topic * (names // len(topic))
            (answer,) = answers(exchange(broker, wire.framed(head + body)))
            equal(answer[0], 7, "correlation id:")
            equal(exchange(broker, struct.pack(">i", 5001) + bytes(5001), half_close=False), b"",
                  "5001 bytes got")
            require(broker.will_say("socket.request.max.bytes is 5000"), broker.log()[-300:])
            alive(broker, pid)
        return f"{len(head + body)} bytes answered, 5001 refused, the setting named"

    def connections(self):
        """Over max.connections a client waits until another has gone."""
        with self.new(max_connections=20) as broker:
            held = [broker.connect() for _ in range(20)]
            for i, stream in enumerate(held):
                stream.sendall(wire.framed(wire.metadata_request(i)))
                equal(struct.unpack(">i", stream.recv(8)[4:])[0], i, "served:")
            late = broker.connect(1.0)
            late.sendall(wire.framed(wire.metadata_request(99)))
            try:
                require(False, "over the limit, and got", late.recv(8))
            except TimeoutError:
                pass
            held.pop().close()
            late.settimeout(5.0)
            equal(struct.unpack(">i", late.recv(8)[4:])[0], 99, "served at last:")
            for stream in (late, *held):
                stream.close()
        return "20 served, the 21st when one had gone"

    def descriptors(self):
        """No descriptor is left for one more client: the others are served, and so is everybody
        once some are free."""
        with self.new(descriptors_max=64) as broker:
            pid = broker.process.pid
            first = broker.connect()
            held = [broker.connect() for _ in range(100)]   # some wait in the kernel's queue
            for i in range(50):
                first.sendall(wire.framed(wire.metadata_request(i)))
                equal(struct.unpack_from(">i", receive_frame(first))[0], i, "the first client:")
            used = cpu_ticks(pid)
            time.sleep(1.0)
            used = cpu_ticks(pid) - used
            for stream in (first, *held):
                stream.close()
            latency = alive(broker, pid)
            require(used < 50, f"{used} ticks of CPU in a second of waiting")
        return f"100 clients at 64 descriptors; {used} % CPU meanwhile; then {latency:.0f} ms"

    def halves(self):
        """Connections that are reset at every point of a conversation."""
        with self.new() as broker:
            pid = broker.process.pid
            ask = wire.framed(wire.metadata_request()) * 3
            for at in range(0, len(ask) + 1):
                for half in (False, True):
                    stream = broker.connect()
                    stream.sendall(ask[:at])
                    if half and at >= len(ask) // 3:
                        require(stream.recv(1), "no answer")   # and leaves the rest of it
                    # No FIN but a reset.
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    stream.close()
            alive(broker, pid)
        return f"{2 * (len(ask) + 1)} connections reset"


def receive_frame(stream):
    """The next answer without its length."""
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        some = stream.recv(1 << 16)
        require(some, "the connection ended")
        data += some
    return data[4:]


def cpu_ticks(pid):
    """User and system time of a process, in hundredths of a second."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
