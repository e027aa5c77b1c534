#!/usr/bin/python3
"""Tables in documents: what is rendered, and what is refused."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.abspath("tools/bench/render_tables.py")

DOCUMENT = "# Title\n<!-- bench:one -->\nold\n<!-- /bench -->\nbetween\n<!-- bench:two -->\n<!-- /bench -->\nend\n"

CODEC = {
    "context": {"num_cpus": 2, "date": "2026-01-02"},
    "benchmarks": [
        {"name": "encode/a", "run_name": "encode/a", "run_type": "iteration", "real_time": 9.0, "time_unit": "ms"},
        {"name": "encode/a_median", "run_name": "encode/a", "run_type": "aggregate", "aggregate_name": "median",
         "real_time": 12.5, "time_unit": "ms", "bytes_per_second": 5.12e9},
    ],
}
ALLREDUCE = {
    "benchmark": "allreduce_compare", "systems": ["sluice", "gloo", "openmpi"], "rounds": 3, "iterations": 20,
    "machine": {"cores": 2, "processor": "P", "load_before": 0.1, "load_after": 2.0}, "versions": {"ucx": "1.13.1"},
    "link_mb_s": {"netlab:1gbit": [118.0, 119.0, 120.0]}, "unavailable": {"openmpi": "mpirun is missing"}, "failed": [],
    "rows": [{"transport": "shm", "ranks": 2, "bytes": 65536, "sluice_busbw_over": {"gloo": 2.5},
              "systems": {"sluice": {"over": "shm", "time_us": 40.0, "busbw_gb_s": 1.6384},
                          "gloo": {"over": "tcp", "time_us": 100.0, "busbw_gb_s": 0.65536}}}],
}
TRAIN = [{"system": "sluice", "model": "mlp", "method": "lgreco", "rate": "1gbit", "ranks": 4, "batch": 32,
          "samples_s": 1234.5, "samples_s_min": 1200, "samples_s_max": 1300, "accuracy": 0.8976, "accuracy_spread": 0.001,
          "step_s": 0.0123, "exposed_s": 0.004, "bytes_per_step": 1130000}]


class RenderTables(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.document = self.file("README.md", DOCUMENT)

    def file(self, name, text):
        path = os.path.join(self.directory.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def render(self, *args):
        return subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False)

    def rendered(self, data):
        done = self.render(self.document, "one=" + self.file("data.json", json.dumps(data)))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.document, encoding="utf-8") as file:
            return file.read()

    def test_only_what_stands_between_the_markers_changes(self):
        text = self.rendered(TRAIN)
        self.assertTrue(text.startswith("# Title\n<!-- bench:one -->\n| model |"))
        self.assertTrue(text.endswith("\n<!-- /bench -->\nbetween\n<!-- bench:two -->\n<!-- /bench -->\nend\n"))
        self.assertNotIn("old", text)

    def test_codec_table_prefers_medians(self):
        text = self.rendered(CODEC)
        self.assertIn("| `encode/a` | 12.5 ms | 5.12 |", text)
        self.assertNotIn("9.00 ms", text)

    def test_allreduce_table_has_ratios_and_says_what_was_not_run(self):
        text = self.rendered(ALLREDUCE)
        self.assertIn("| shm | 2 | 64 KiB | 40.0 (1.64) | 100 (0.655) over tcp | 2.50x |", text)
        self.assertIn("openmpi was not run: mpirun is missing", text)
        self.assertIn("over netlab:1gbit: 119 MB/s", text)

    def test_train_table_has_ranges(self):
        self.assertIn("| mlp | 1gbit | 4 | 32 | sluice | lgreco | 1,234 (1,200 to 1,300) | 12.3 ms | 4.00 ms | 1.13 MB | "
                      "89.76 % ± 0.10 |", self.rendered(TRAIN))

    def test_rendering_twice_changes_nothing_and_check_agrees(self):
        data = self.file("data.json", json.dumps(TRAIN))
        self.assertEqual(self.render("--check", self.document, "one=" + data).returncode, 1)
        first = self.rendered(TRAIN)
        self.assertEqual(self.rendered(TRAIN), first)
        self.assertEqual(self.render("--check", self.document, "one=" + data).returncode, 0)

    def test_what_cannot_be_rendered_is_named_and_leaves_the_document(self):
        train = self.file("train.json", json.dumps(TRAIN))
        for args, message in [(["three=" + train], 'has 0 markers "<!-- bench:three -->"'),
                              (["one=" + self.file("x.json", "{}")], "x.json: neither"),
                              (["one=" + self.file("y.json", '[{"model": 1}]')], "y.json: KeyError"),
                              (["one=/no/such.json"], "/no/such.json"), (["nonsense"], "is not NAME=FILE")]:
            done = self.render(self.document, *args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(message, done.stderr)
        with open(self.document, encoding="utf-8") as file:
            self.assertEqual(file.read(), DOCUMENT)

    def test_a_marker_without_an_end_of_its_own_is_refused(self):
        self.file("README.md", "<!-- bench:one -->\n<!-- bench:two -->\n<!-- /bench -->\n")
        done = self.render(self.document, "one=" + self.file("data.json", json.dumps(TRAIN)))
        self.assertEqual(done.returncode, 2)
        self.assertIn("no \"<!-- /bench -->\" behind it", done.stderr)


if __name__ == "__main__":
    unittest.main()
