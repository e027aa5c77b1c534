#!/usr/bin/python3
"""The all-reduce benchmark with real processes over shared memory: its results, its JSON, its failures."""

import json
import os
import subprocess
import tempfile
import unittest

BENCH = os.path.abspath("tools/bench/allreduce_bench")


def bench(*args):
    return subprocess.run([BENCH, *args], capture_output=True, text=True, check=False)


class AllReduceBench(unittest.TestCase):
    def sweep(self, ranks, *args):
        """The JSON of a checked sweep of three small sizes."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "report.json")
            done = bench("--ranks", str(ranks), "-b", "4", "-e", "64K", "-f", "128", "-n", "3", "-w", "1", "--check", "1",
                         "--json", path, *args)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("# Out of bounds values : 0 OK", done.stdout)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual([row["bytes"] for row in report["rows"]], [4, 512, 65536])
        for row in report["rows"]:
            self.assertEqual(row["in_place"]["wrong"], 0)
            self.assertGreater(row["in_place"]["time_us"], 0)
        return report

    def test_two_ranks_have_right_sums(self):
        report = self.sweep(2)
        self.assertEqual((report["ranks"], report["transport"], report["algorithm"]), (2, "shm", "auto"))

    def test_three_ranks_have_right_sums_with_every_algorithm(self):
        for algorithm in ("direct", "ring", "halving-doubling", "hierarchical"):
            with self.subTest(algorithm):
                self.assertEqual(self.sweep(3, "--algorithm", algorithm)["algorithm"], algorithm)

    def test_loopback_and_out_of_place_have_right_sums(self):
        report = self.sweep(2, "--transport", "tcp", "--out-of-place", "1")
        self.assertEqual([row["out_of_place"]["wrong"] for row in report["rows"]], [0, 0, 0])

    def test_a_bad_command_line_is_exit_status_2_and_named(self):
        done = bench("--algorithm", "fastest")
        self.assertEqual(done.returncode, 2)
        self.assertIn("fastest", done.stderr)
        self.assertEqual(bench("--no-such").returncode, 2)

    def test_help_has_examples(self):
        done = bench("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("allreduce_bench --ranks 4", done.stdout)

    def test_ranks_that_cannot_start_end_the_benchmark_with_their_reasons(self):
        environment = dict(os.environ, UCX_TLS="no_such_transport")
        done = subprocess.run([BENCH, "--ranks", "2", "-e", "1K"], env=environment, capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("rank 0: exit status 1", done.stderr)
        self.assertIn("no_such_transport", done.stderr)


if __name__ == "__main__":
    unittest.main()
