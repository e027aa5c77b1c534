#!/usr/bin/python3
"""The comparison's arithmetic, and one run of it with Sluice alone."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.abspath("tools/bench/allreduce_compare.py")
BENCH = os.path.abspath("tools/bench/allreduce_bench")

spec = importlib.util.spec_from_file_location("allreduce_compare", SCRIPT)
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)


def sweep(**times):
    """A round's rows: one size, 8000 bytes."""
    return [{"bytes": 8000, "time_us": times["median"], "min_us": times["least"]}]


class Compare(unittest.TestCase):
    def test_rounds_become_their_median_and_ratios_are_of_busbw(self):
        rows = compare.summarise("shm", 4, {
            "sluice": [sweep(median=20.0, least=9.0), sweep(median=10.0, least=8.0), sweep(median=40.0, least=30.0)],
            "gloo": [sweep(median=100.0, least=90.0)] * 3,
        })
        self.assertEqual(len(rows), 1)
        sluice = rows[0]["systems"]["sluice"]
        self.assertEqual((sluice["time_us"], sluice["best_round_us"], sluice["min_us"]), (20.0, 10.0, 8.0))
        self.assertAlmostEqual(sluice["busbw_gb_s"], 8000 / 20e-6 / 1e9 * 1.5)
        self.assertAlmostEqual(rows[0]["sluice_busbw_over"]["gloo"], 5.0)
        self.assertEqual((sluice["over"], rows[0]["systems"]["gloo"]["over"]), ("shm", "tcp"))

    def test_a_system_without_rounds_is_left_out(self):
        rows = compare.summarise("tcp", 2, {"sluice": [sweep(median=20.0, least=9.0)], "openmpi": []})
        self.assertEqual(list(rows[0]["systems"]), ["sluice"])
        self.assertEqual(rows[0]["sluice_busbw_over"], {})

    def test_sluice_alone_runs_and_writes_json(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "compare.json")
            done = subprocess.run([sys.executable, SCRIPT, "--bench", BENCH, "--systems", "sluice,sluice:ring", "--ranks", "2",
                                   "--transports", "shm", "-b", "64", "-e", "4K", "-f", "64", "-n", "2", "-w", "0",
                                   "--rounds", "2", "--json", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual([(row["transport"], row["ranks"], row["bytes"]) for row in report["rows"]],
                         [("shm", 2, 64), ("shm", 2, 4096)])
        for row in report["rows"]:
            self.assertEqual(len(row["systems"]["sluice"]["rounds_us"]), 2)
            self.assertIn("sluice:ring", row["sluice_busbw_over"])
        self.assertEqual((report["failed"], report["unavailable"]), ([], {}))

    def test_a_failing_system_is_named_and_is_exit_status_1(self):
        done = subprocess.run([sys.executable, SCRIPT, "--bench", "/bin/false", "--systems", "sluice", "--ranks", "2",
                               "--transports", "shm", "--rounds", "1"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("sluice over shm with 2 ranks: exit status 1", done.stderr)


if __name__ == "__main__":
    unittest.main()
