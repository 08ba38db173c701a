#!/usr/bin/python3
"""Checks that every record batch in a partition's folder has the codec asked for.

usage: batch_codecs.py FOLDER none|gzip|snappy|lz4|zstd
"""

import pathlib
import struct
import sys

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
HEADER_BYTES = 61


def batches(data):
    """Yields (attributes, record count) of each batch of a .log file."""
    at = 0
    while at + HEADER_BYTES <= len(data):
        (length,) = struct.unpack_from(">i", data, at + 8)
        magic = data[at + 16]
        (attributes,) = struct.unpack_from(">h", data, at + 21)
        (count,) = struct.unpack_from(">i", data, at + 57)
        if length < HEADER_BYTES - 12 or magic != 2:
            raise ValueError(f"no batch at byte {at}")
        yield attributes, count
        at += 12 + length
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the last batch")


def main():
    if len(sys.argv) != 3 or sys.argv[2] not in CODECS:
        print(__doc__, file=sys.stderr)
        return 2
    folder, wanted = pathlib.Path(sys.argv[1]), CODECS.index(sys.argv[2])
    seen = records = 0
    for segment in sorted(folder.glob("*.log")):
        for attributes, count in batches(segment.read_bytes()):
            if attributes & 7 != wanted:
                print(f"{segment}: a batch with codec {CODECS[attributes & 7]}", file=sys.stderr)
                return 1
            seen += 1
            records += count
    if seen == 0:
        print(f"{folder}: no batch", file=sys.stderr)
        return 1
    print(f"{sys.argv[2]}: {seen} batches with {records} records on disk, every one {sys.argv[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
