#!/usr/bin/python3
"""What train_bench.py would run, and how it counts. Nothing is started."""

import contextlib
import io
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.abspath("tools/bench"))
import train_bench  # pylint: disable=wrong-import-position
import train_methods  # pylint: disable=wrong-import-position
from train_runs import Result  # pylint: disable=wrong-import-position


def dry_run(*argv):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        train_bench.main(["--dry-run", *argv])
    return out.getvalue().splitlines()


def usage_error(*argv):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            train_bench.main(["--dry-run", *argv])
        except SystemExit as end:
            return end.code, err.getvalue()
    return 0, ""


def job_of(method, *argv):
    lines = dry_run("--rate", "none", "--methods", method, *argv)
    return json.loads(next(line for line in lines if line.startswith("{")))


class DryRun(unittest.TestCase):
    def test_limited_hosts_come_first_and_go_last(self):
        lines = dry_run("--rate", "100mbit", "--ranks", "3", "--methods", "sluice:none")
        self.assertRegex(lines[0], r"netlab.sh up tb\d+ 3 100mbit$")
        self.assertRegex(lines[-1], r"netlab.sh down tb\d+$")

    def test_every_worker_runs_on_its_own_host_over_tcp(self):
        lines = dry_run("--rate", "1gbit", "--ranks", "3", "--methods", "sluice:none")
        workers = [line for line in lines if " worker " in line]
        self.assertEqual(len(workers), 3)
        for rank, line in enumerate(workers):
            self.assertRegex(line, rf"netlab.sh exec tb\d+ {rank} ")
            self.assertIn(f"--slot {rank}", line)
            self.assertIn("--coordinator 10.77.0.1:", line)
            self.assertIn("UCX_TLS=tcp", line)
            self.assertIn("UCX_NET_DEVICES=net0", line)

    def test_coordinator_listens_where_other_hosts_reach_it(self):
        lines = dry_run("--rate", "1gbit", "--methods", "sluice:none")
        coordinator, = [line for line in lines if " coordinator " in line]
        self.assertRegex(coordinator, r"netlab.sh exec tb\d+ 0 .*--bind 10.77.0.1 --port 29401")

    def test_only_lgreco_has_a_profiler(self):
        for method, profilers in (("sluice:lgreco", 1), ("sluice:maxmin4", 0)):
            lines = dry_run("--rate", "1gbit", "--methods", method)
            self.assertEqual(sum(" profiler " in line for line in lines), profilers, method)

    def test_ddp_ranks_meet_on_host_zero(self):
        lines = [line for line in dry_run("--rate", "1gbit", "--methods", "ddp:powersgd2") if "ddp_bench.py" in line]
        self.assertEqual(len(lines), 2)
        for rank, line in enumerate(lines):
            self.assertIn(f"RANK={rank} WORLD_SIZE=2", line)
            self.assertIn("MASTER_ADDR=10.77.0.1", line)
            self.assertIn("GLOO_SOCKET_IFNAME=net0", line)
            self.assertIn("--hook powersgd:2", line)

    def test_without_a_rate_nothing_is_limited(self):
        lines = dry_run("--rate", "none", "--methods", "sluice:none,ddp:none")
        self.assertFalse(any("netlab" in line for line in lines))
        self.assertTrue(any(" run -np 2 " in line for line in lines))
        self.assertTrue(any("GLOO_SOCKET_IFNAME=lo" in line for line in lines))

    def test_every_process_has_one_thread(self):
        lines = dry_run("--rate", "1gbit", "--methods", "sluice:lgreco,ddp:none")
        started = [line for line in lines if "netlab.sh exec" in line]
        self.assertEqual(len(started), 1 + 2 + 1 + 2)
        for line in started:
            self.assertIn("OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1", line)


class Jobs(unittest.TestCase):
    def test_both_systems_get_the_same_work(self):
        flags = ["--model", "vgg11", "--ranks", "3", "--batch", "4", "--steps", "8", "--warmup", "3", "--seeds", "7",
                 "--schedule", "constant", "--learning-rate", "0.1"]
        job = job_of("sluice:none", *flags)
        self.assertEqual(job["model"]["name"], "vgg11")
        self.assertEqual(job["training"]["global_batch"], 12)
        self.assertEqual(job["training"]["steps"], 11)
        self.assertEqual(job["training"]["seed"], 7)
        self.assertEqual(job["optimizer"]["learning_rate"], 0.1)
        self.assertEqual(job["schedule"]["kind"], "constant")
        line = next(line for line in dry_run("--methods", "ddp:none", *flags) if "ddp_bench.py" in line)
        self.assertIn("--model vgg11 --hook none --batch 4 --steps 11 --warmup 3 --optimizer sgd --learning-rate 0.1 "
                      "--schedule constant --seed 7", line)

    def test_text_is_trained_on_by_both_with_the_same_optimizer(self):
        flags = ["--model", "gpt", "--optimizer", "adamw"]
        job = job_of("sluice:none", *flags)
        self.assertEqual(job["data"]["dataset"], "bytes")
        self.assertEqual(job["optimizer"], {"kind": "adamw", "learning_rate": 0.001, "weight_decay": 0})
        line = next(line for line in dry_run("--methods", "ddp:none", *flags) if "ddp_bench.py" in line)
        self.assertIn("--optimizer adamw --learning-rate 0.001 ", line)
        self.assertIn(f"--data {job['data']['path']}", line)

    def test_methods_are_plans_of_the_job_file(self):
        for method, expected in {
                "sluice:none": {"policy": "none"},
                "sluice:maxmin3": {"policy": "uniform", "uniform_codec": "quantizer", "uniform_bits": 3},
                "sluice:topk0.5": {"policy": "uniform", "uniform_codec": "topk", "uniform_density": 0.005},
                "sluice:lowrank2": {"policy": "uniform", "uniform_codec": "lowrank", "uniform_rank": 2},
                "sluice:lgreco": {"policy": "lgreco"},
                "sluice:lgreco8": {"policy": "lgreco", "uniform_bits": 8}}.items():
            compression = job_of(method)["compression"]
            self.assertEqual({**compression, **expected}, compression, method)

    def test_lgreco_is_timed_from_its_first_plan(self):
        lines = dry_run("--methods", "sluice:none,sluice:lgreco", "--warmup", "5", "--window", "10", "--steps", "20")
        self.assertIn("# sluice:none, seed 1, timed from step 5", lines)
        self.assertIn("# sluice:lgreco, seed 1, timed from step 13", lines)

    def test_what_compresses_later_is_timed_later(self):
        lines = dry_run("--methods", "sluice:none,sluice:maxmin4,sluice:lgreco8,ddp:powersgd4", "--compress-from", "12",
                        "--window", "10", "--steps", "30")
        self.assertIn("# sluice:none, seed 1, timed from step 5", lines)
        self.assertIn("# sluice:maxmin4, seed 1, timed from step 12", lines)
        self.assertIn("# sluice:lgreco8, seed 1, timed from step 23", lines)
        self.assertIn("# ddp:powersgd4, seed 1, timed from step 12", lines)

    def test_both_raise_the_rate_alike(self):
        flags = ["--schedule-warmup", "7", "--compress-from", "9"]
        job = job_of("sluice:maxmin4", *flags)
        self.assertEqual((job["schedule"]["warmup_steps"], job["compression"]["warmup_steps"]), (7, 9))
        line = next(line for line in dry_run("--methods", "ddp:powersgd4", *flags) if "ddp_bench.py" in line)
        self.assertIn("--schedule-warmup 7 --compress-from 9", line)

    def test_too_few_steps_for_a_plan_are_refused(self):
        code, message = usage_error("--methods", "sluice:lgreco", "--steps", "5", "--window", "50")
        self.assertEqual(code, 2)
        self.assertIn("sluice:lgreco is timed from step 53 on, but there are 10 steps", message)

    def test_unknown_methods_are_told_what_there_is(self):
        code, message = usage_error("--methods", "ddp:none,ddp:lgreco")
        self.assertEqual(code, 2)
        self.assertIn("unknown method 'ddp:lgreco'", message)
        self.assertIn("sluice:lowrankN", message)
        self.assertIn("ddp:powersgdN", message)


def result(samples_s, accuracy=None, losses=(1.0,)):
    return Result(step_s=2 / samples_s, samples_s=samples_s, bytes_per_step=100, losses=list(losses),
                  ends=[float(i + 1) for i in range(len(losses))], accuracy=accuracy)


class Counting(unittest.TestCase):
    def test_seeds_alternate_the_order_of_methods(self):
        methods = train_methods.parse_methods("sluice:none,ddp:none")
        self.assertEqual([(seed, str(method)) for seed, method in train_bench.order(methods, [1, 2])],
                         [(1, "sluice:none"), (1, "ddp:none"), (2, "ddp:none"), (2, "sluice:none")])

    def test_summary_has_mean_extremes_and_spread(self):
        args = train_bench.parse(["--methods", "ddp:none", "--rate", "1gbit"])
        entry = train_bench.summarise(args.methods[0], args, [result(10, 0.9), result(14, 0.88)])
        self.assertEqual((entry["samples_s"], entry["samples_s_min"], entry["samples_s_max"]), (12, 10, 14))
        self.assertAlmostEqual(entry["accuracy"], 0.89)
        self.assertAlmostEqual(entry["accuracy_spread"], 0.02)
        self.assertEqual((entry["system"], entry["method"], entry["rate"]), ("ddp", "none", "1gbit"))
        self.assertIsNone(entry["exposed_s"])

    def test_without_evaluation_there_is_no_accuracy(self):
        args = train_bench.parse(["--methods", "ddp:none"])
        entry = train_bench.summarise(args.methods[0], args, [result(10)])
        self.assertIsNone(entry["accuracy"])
        self.assertIsNone(entry["accuracy_spread"])
        self.assertIn("ddp:none", train_bench.table([entry]))

    def test_target_loss_is_reached_by_the_mean_of_ten_steps(self):
        losses = [2.0] * 10 + [0.0] * 5 + [2.0]
        self.assertEqual(train_bench.seconds_to_loss(result(1, losses=losses), 1.0), 15.0)
        self.assertIsNone(train_bench.seconds_to_loss(result(1, losses=losses), 0.9))


if __name__ == "__main__":
    unittest.main(verbosity=2)
