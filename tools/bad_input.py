#!/usr/bin/python3
"""Bad input against the real binary on loopback: frames that are mutated, truncated, oversized or
of another protocol, clients without manners, broken scenarios and settings, damaged directories.
One line per check; ends with "N passed, N failed".

usage: bad_input.py [--quick] [--seed N] [--frames N] VERDICT_BINARY [NAME]
       NAME: a regular expression that picks checks, as in frames, files, mutated
"""

import argparse
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "interop"))

from bad_clients import Limits   # noqa: E402, behind the path that they need
from bad_files import Files      # noqa: E402
from bad_frames import Frames    # noqa: E402
from broker_process import Broker   # noqa: E402
from checks import Suite         # noqa: E402
from damaged_logs import Damage  # noqa: E402

FRAMES = ("recorded mutated truncated other_versions wrong_lengths noise unknown_keys api_versions "
          "oversize memory_of_many deaf_clients bad_batches bombs huge_topics foreign "
          "slow_loris").split()
CLIENTS = "idle request_size connections descriptors halves".split()
FILES = ("scenarios settings unknown_setting identity meta_properties places").split()
DAMAGE = ("damage_in_the_middle lost_records torn_tail at_rest derived_files checkpoints "
          "metadata_log forgotten_topic topic_id anywhere").split()
QUICK = set("recorded mutated truncated other_versions wrong_lengths noise unknown_keys "
            "api_versions oversize bad_batches huge_topics foreign slow_loris idle request_size "
            "scenarios settings unknown_setting identity meta_properties places torn_tail "
            "metadata_log".split())
MUTATIONS, QUICK_MUTATIONS = 4000, 300   # of each of five kinds


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--frames", type=int)
    parser.add_argument("binary")
    parser.add_argument("name", nargs="?", default="")
    given = parser.parse_args()
    many = given.frames or (QUICK_MUTATIONS if given.quick else MUTATIONS)
    suite = Suite("bad input")
    suite.quick = QUICK
    print(f"seed {given.seed}, {many} frames of each kind")
    with tempfile.TemporaryDirectory() as folder:
        with Broker(given.binary, pathlib.Path(folder) / "frames") as broker:
            frames = Frames(broker, many, given.seed)
            clients = Limits(given.binary, folder)
            files = Files(given.binary, folder, given.seed)
            damage = Damage(given.binary, folder, given.seed)
            for owner, names in ((frames, FRAMES), (clients, CLIENTS), (files, FILES),
                                 (damage, DAMAGE)):
                for name in names:
                    suite.check(getattr(owner, name))
            return suite.run(given.quick, given.name)


if __name__ == "__main__":
    sys.exit(main())
