#!/usr/bin/python3
"""What phase_bench.py would run, that it runs nothing twice, and how it counts."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.abspath("tools/bench"))
import phase_bench  # pylint: disable=wrong-import-position


def printed(*argv):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        phase_bench.main(list(argv))
    return out.getvalue()


def jobs(*argv):
    """By the line that names it."""
    lines = printed(*argv, "--dry-run").splitlines()
    return {name: json.loads(job) for name, job in zip(lines[::2], lines[1::2])}


class Jobs(unittest.TestCase):
    def test_pruning_has_the_steps_of_plain_training(self):
        both = jobs("prune", "--models", "cnn", "--seeds", "3", "--steps", "30", "--target", "0.7")
        dense, pruned = both["# cnn, dense, seed 3"], both["# cnn, pruned, seed 3"]
        self.assertEqual(dense["training"]["steps"], 30)
        self.assertEqual([phase["steps"] for phase in pruned["phases"]], [10, 20])
        self.assertEqual(pruned["phases"][1]["otov3"], {"target_sparsity": 0.7})
        for key in ("model", "optimizer", "schedule", "compression", "world"):
            self.assertEqual(dense[key], pruned[key])

    def test_settings_reach_the_phase_alone(self):
        both = jobs("prune", "--models", "cnn", "--seeds", "1", "--set", "cost_weight=0.5", "--set", 'score="hesso"')
        self.assertEqual(both["# cnn, pruned, seed 1"]["phases"][1]["otov3"],
                         {"target_sparsity": 0.5, "cost_weight": 0.5, "score": "hesso"})
        self.assertEqual(both["# cnn, dense, seed 1"], jobs("prune", "--models", "cnn", "--seeds", "1")["# cnn, dense, seed 1"])

    def test_a_phase_can_begin_with_the_first_step(self):
        both = jobs("prune", "--models", "cnn", "--seeds", "1", "--steps", "30", "--dense-steps", "0")
        self.assertEqual(both["# cnn, pruned, seed 1"]["phases"],
                         [{"name": "otov3", "kind": "otov3", "steps": 30, "otov3": {"target_sparsity": 0.5}}])

    def test_one_rank_has_the_batch_of_all(self):
        both = jobs("prune", "--models", "cnn", "--seeds", "1", "--ranks", "4", "--one-rank-steps", "30")
        several, one = both["# cnn, pruned, uncompressed, seed 1"], both["# cnn, pruned, uncompressed, one rank, seed 1"]
        self.assertEqual((several.pop("world"), one.pop("world")), ({"size": 4}, {"size": 1}))
        self.assertEqual([phase["steps"] for phase in one["phases"]], [10, 20])
        self.assertTrue(one["training"]["sync_batch_norm"])
        self.assertNotIn("sync_batch_norm", both["# cnn, pruned, seed 1"]["training"])
        self.assertEqual(several, one)

    def test_plain_pruning_differs_by_the_constraints_alone(self):
        both = jobs("robust", "--models", "cnn", "--seeds", "1", "--sparsities", "0.95", "--attack-steps", "3")
        ours, plain = both["# cnn, tscnc 0.95, seed 1"], both["# cnn, plain 0.95, seed 1"]
        self.assertEqual(ours["phases"][1]["tscnc"], {"sparsity": 0.95, "prune_end": 0.5, "attack": {"steps": 3}})
        self.assertEqual(plain["phases"][1]["tscnc"].pop("cnc"), {"lambda": 0})
        self.assertEqual(plain["phases"][1]["tscnc"].pop("tsc"), {"lambda": 0})
        self.assertEqual(ours, plain)


class Counting(unittest.TestCase):
    def test_a_run_that_is_there_is_not_run_again(self):
        argv = ["prune", "--models", "cnn", "--seeds", "1", "--steps", "30"]
        with tempfile.TemporaryDirectory() as folder:
            results = os.path.join(folder, "results.jsonl")
            args = phase_bench.parse(argv)
            with open(results, "w") as file:
                for method, job in phase_bench.pruning_runs(args, "cnn", 1):
                    line = {**phase_bench.key_of(args, "cnn", method, job), "accuracy": 0.5 if method == "dense" else 0.4,
                            "parameters": 25, "parameters_before": 100, "macs": 50, "macs_before": 100, "zero_rows": {}}
                    file.write(json.dumps(line) + "\n")
            # A program that would fail.
            table = printed(*argv, "--results", results, "--orchestrator", "/bin/false")
            self.assertIn("| cnn | 1 | 50.00 (+- 0.00) | 40.00 (+- 0.00) | 4.00 (+- 0.00) | 2.00 (+- 0.00) | - |", table)
            with self.assertRaises(SystemExit) as ended:
                printed(*argv, "--target", "0.6", "--results", results, "--orchestrator", "/bin/false")
            self.assertIn("cnn, pruned: /bin/false run", str(ended.exception))

    def test_agreement_is_of_what_either_pruned(self):
        lines = [{"model": "cnn", "method": phase_bench.UNCOMPRESSED, "zero_rows": {"a": [1, 2], "b": [0]}},
                 {"model": "cnn", "method": phase_bench.ONE_RANK, "zero_rows": {"a": [1, 3], "b": [0]}}]
        self.assertEqual(phase_bench.agreement(lines, "cnn"), "50.0 %")
        self.assertEqual(phase_bench.agreement(lines[:1], "cnn"), "-")

    def test_layers_without_a_whole_spectrum_do_not_count(self):
        report = {"layers": [{"complete": True, "kappa_nonzero": 1.0}, {"complete": False, "kappa_nonzero": 5.0},
                             {"complete": True, "kappa_nonzero": "inf"}]}
        self.assertEqual(phase_bench.mean_log_kappa(report), 0.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
