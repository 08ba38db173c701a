#!/usr/bin/python3
"""Reads what Kafka's DumpLogSegments printed and fails at any line that it does not print of sound
files: what is not known to be good is a complaint.

usage: judge_dump.py KIND DUMP ERRORS FOLDER < list of the files that were dumped, one per line
       KIND: log, metadata, index, timeindex, snapshot; DUMP, ERRORS: its standard output and error;
       FOLDER: what the names are printed relative to
"""

import collections
import pathlib
import re
import sys

BATCH = re.compile(
    r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: -?\d+ lastSequence: -?\d+ "
    r"producerId: (-?\d+) producerEpoch: -?\d+ partitionLeaderEpoch: \d+ isTransactional: \w+ "
    r"isControl: \w+ deleteHorizonMs: OptionalLong.* position: \d+ \w+Time: \d+ size: \d+ "
    r"magic: 2 compresscodec: (\w+) crc: \d+ isvalid: (\w+)$")
RECORD = re.compile(r"\| offset: (\d+) \w+Time: -?\d+ keySize: -?\d+ ")
DECODED = re.compile(r'.* payload: \{"type":"[A-Z_]+_RECORD","version":\d+,"data":\{.*\}\}$')
CONTROL = re.compile(r".* headerKeys: \[\] (LeaderChange|KRaftVersion|SnapshotHeader): \{.*\}$")
LOGS = ("log", "metadata")
GOOD = {
    "log": [re.compile(r"Log starting offset: \d+$")],
    "metadata": [re.compile(r"Log starting offset: \d+$")],
    "index": [re.compile(r"offset: \d+ position: \d+$"), re.compile(r".*\.index is empty\.$")],
    "timeindex": [re.compile(r"timestamp: \d+ offset: \d+$")],
    "snapshot": [re.compile(r"producerId: \d+ producerEpoch: \d+ coordinatorEpoch: -?\d+ "
                            r"currentTxnFirstOffset: \S+ lastTimestamp: \d+ firstSequence: \d+ "
                            r"lastSequence: \d+ lastOffset: \d+ offsetDelta: \d+ "
                            r"timestamp: \d+$")],
}
SHOWN_MAX = 10


def first_offset(name):
    """The offset that a segment is named after; -1 of another name."""
    stem = pathlib.Path(name).stem
    return int(stem) if stem.isdigit() else -1


class Dump:
    """Walks the lines of one dump and keeps what is wrong and what was seen."""

    def __init__(self, kind):
        self.kind = kind
        self.file = "?"
        self.dumped = []
        self.complaints = []
        self.batches = collections.Counter()
        self.idempotent = self.records = self.entries = 0
        self.next_offset = None   # of the batch that its records are counted against
        self.batch_end = None

    def complain(self, text):
        self.complaints.append(f"{self.file}: {text}")

    def end_batch(self):
        if self.next_offset is not None and self.next_offset != self.batch_end:
            self.complain(f"records end at {self.next_offset}, the batch at {self.batch_end}")
        self.next_offset = None

    def batch(self, match):
        first, last, count = (int(match.group(i)) for i in (1, 2, 3))
        self.end_batch()
        if match.group(6) != "true":
            self.complain(f"the batch at {first} is not valid")
        if count != last - first + 1:
            self.complain(f"the batch {first}..{last} has {count} records")
        if self.batch_end is not None and first != self.batch_end:
            self.complain(f"after {self.batch_end} comes {first}")
        self.batches[match.group(5)] += 1
        self.idempotent += int(match.group(4)) >= 0
        self.next_offset, self.batch_end = first, last + 1

    def record(self, match):
        if self.next_offset is None or int(match.group(1)) != self.next_offset:
            self.complain(f"record {match.group(1)} stands where {self.next_offset} should")
        else:
            self.next_offset += 1
        self.records += 1

    def line(self, text):
        if text.startswith("Dumping "):
            self.end_batch()
            self.file, self.batch_end = text[len("Dumping "):], None
            self.dumped.append(self.file)
        elif self.kind in LOGS and (match := BATCH.match(text)):
            self.batch(match)
        elif self.kind in LOGS and (match := RECORD.match(text)):
            self.record(match)
            if self.kind == "metadata" and not (
                    DECODED.match(text) or CONTROL.match(text)):
                self.complain(f"not decoded: {text[:200]}")
        elif any(pattern.match(text) for pattern in GOOD[self.kind]):
            self.entries += 1
        elif text:
            self.complain(text[:200])

    def errors(self, text):
        """What stands on its standard error. Kafka 4.3.1 begins to count at offset -1 in each file,
        so that it tells of every segment that does not begin at 0; only that is let through."""
        name = "?"
        for line in text.split("\n"):
            if line.startswith("Non-consecutive offsets in "):
                name = line[len("Non-consecutive offsets in "):]
            elif line and line != f"  -1 is followed by {first_offset(name)}":
                self.complain(line)

    def figure(self):
        text = f"{len(self.dumped)} files"
        if self.kind in LOGS:
            codecs = ", ".join(f"{n} {codec}" for codec, n in sorted(self.batches.items()))
            return (f"{text}, {sum(self.batches.values())} batches ({codecs}; {self.idempotent} "
                    f"with a producer id), {self.records} records")
        return f"{text}, {self.entries} entries"


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in GOOD:
        print(__doc__, file=sys.stderr)
        return 2
    dump = Dump(sys.argv[1])
    text = pathlib.Path(sys.argv[2]).read_bytes().decode("utf-8", "replace")
    for line in text.split("\n"):
        dump.line(line.rstrip("\r"))
    dump.end_batch()
    dump.errors(pathlib.Path(sys.argv[3]).read_text("utf-8", "replace"))
    wanted = [line.strip() for line in sys.stdin if line.strip()]
    if sorted(dump.dumped) != sorted(wanted):
        missing = sorted(set(wanted) - set(dump.dumped))
        dump.complaints.append(f"not dumped: {', '.join(missing[:3]) or 'nothing asked'}")
    if not wanted or not (dump.records or dump.entries):
        dump.complaints.append("nothing was there to dump")
    for complaint in dump.complaints[:SHOWN_MAX]:
        print(complaint.replace(sys.argv[4] + "/", ""))
    print(dump.figure() if not dump.complaints else f"{len(dump.complaints)} complaints")
    return 1 if dump.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
