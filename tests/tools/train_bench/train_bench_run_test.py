#!/usr/bin/python3
"""train_bench.py trains with Sluice on this host, and reports what the jobs measured."""

import json
import os
import subprocess
import sys
import tempfile
import unittest


def bench(directory, *argv):
    path = os.path.join(directory, "out.json")
    done = subprocess.run([sys.executable, "tools/bench/train_bench.py", "--orchestrator",
                           os.path.abspath("orchestrator/orchestrator"), "--rate", "none", "--model", "cnn", "--batch",
                           "4", "--steps", "4", "--warmup", "2", "--timeout", "120", "--json", path, *argv],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    entries = []
    if done.returncode == 0:
        with open(path) as file:
            entries = json.load(file)
    return done, entries


class Run(unittest.TestCase):
    def test_four_bits_send_an_eighth_of_raw(self):
        with tempfile.TemporaryDirectory() as directory:
            done, entries = bench(directory, "--methods", "sluice:none,sluice:maxmin4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([entry["method"] for entry in entries], ["none", "maxmin4"])
        raw, quantised = entries
        self.assertAlmostEqual(raw["bytes_per_step"] / (4 * 1204426), 1, places=2)  # of two ranks each sends all
        self.assertLess(quantised["bytes_per_step"], raw["bytes_per_step"] / 7)
        for entry in entries:
            self.assertGreater(entry["samples_s"], 0)
            self.assertAlmostEqual(entry["samples_s"] * entry["step_s"], 8)  # samples of a step
            self.assertEqual(entry["steps"], 6)
        self.assertIn("sluice:maxmin4", done.stdout)

    def test_a_job_that_fails_is_shown_with_its_error(self):
        with tempfile.TemporaryDirectory() as directory:
            done, _ = bench(directory, "--methods", "sluice:none", "--data", directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("sluice:none: 0 of 6 steps", done.stderr)
        self.assertIn(directory, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
