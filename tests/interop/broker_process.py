"""One broker of the real binary on loopback, for suites that misuse it."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

PROPERTIES = """process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
"""
START_WAIT_S = 20
LOG_WAIT_S = 5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """The process, its folder and what it said. A context manager: it ends with the block."""

    def __init__(self, binary, folder, settings=None, descriptors_max=None):
        self.binary = os.path.abspath(binary)
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = dict(settings or {})
        self.descriptors_max = descriptors_max
        self.process = None
        self.said = self.folder / "broker.log"
        self.config = self.folder / "server.properties"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def spawn(self):
        """Starts the process without waiting for it."""
        lines = PROPERTIES.format(port=self.port, data=self.data)
        given = {**dict(line.split("=", 1) for line in lines.splitlines()), **self.settings}
        self.config.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
        limit = self.descriptors_max

        def lower():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                [self.binary, "broker", "start", "--config", str(self.config)], stdout=said,
                stderr=said, preexec_fn=lower)

    def start(self):
        self.spawn()
        end = time.monotonic() + START_WAIT_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the broker ended with {self.process.returncode}: "
                                     f"{self.log()[-300:]}")
            with contextlib.suppress(OSError), self.connect(1):
                return
            time.sleep(0.02)
        raise AssertionError("the broker does not listen")

    def end_of_start(self):
        """For a start that must be refused: the exit code and what was said."""
        self.spawn()
        try:
            return self.process.wait(START_WAIT_S), self.log()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it was not refused: {self.log()[-300:]}") from None

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(START_WAIT_S)

    def stop(self):
        self.kill(signal.SIGTERM)

    def connect(self, timeout_s=10.0):
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def log(self):
        return self.said.read_text(errors="replace")

    def will_say(self, word):
        """Whether the log has the word, or has it soon: another thread writes it."""
        end = time.monotonic() + LOG_WAIT_S
        while word not in self.log():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def memory_kib(self, what):
        """A line of /proc: VmRSS now, VmHWM at most since the last call of forget_peak."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {what} of {self.process.pid}")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
