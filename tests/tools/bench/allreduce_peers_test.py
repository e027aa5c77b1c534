#!/usr/bin/python3
"""One short comparison with gloo and Open MPI over shared memory, loopback and rate-limited hosts."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.abspath("tools/bench/allreduce_compare.py")
BENCH = os.path.abspath("tools/bench/allreduce_bench")


class Peers(unittest.TestCase):
    def test_every_system_runs_over_every_transport_with_right_sums(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "compare.json")
            done = subprocess.run([sys.executable, SCRIPT, "--bench", BENCH, "--ranks", "2", "--transports",
                                   "shm,tcp,netlab:1gbit", "-b", "64", "-e", "4K", "-f", "64", "-n", "2", "-w", "0",
                                   "--rounds", "1", "--json", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)  # wrong sums would be a failure
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual(report["unavailable"], {}, "setup.sh --peers")
        self.assertEqual(len(report["rows"]), 6)
        for row in report["rows"]:
            self.assertEqual(sorted(row["systems"]), ["gloo", "openmpi", "sluice"])


if __name__ == "__main__":
    unittest.main()
