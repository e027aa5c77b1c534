#!/usr/bin/python3
"""Without compression, or with one process, the losses are those of single-process LibTorch."""

import json
import os
import subprocess

from cluster import SMALL, Job, check, run_tests

PLAIN = os.path.abspath("tools/reference/plain_libtorch")
STEPS = 50


def reference(job):
    """Losses of the independent single-process loop on the job as resolved."""
    env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    text = subprocess.run([PLAIN, "--job=" + os.path.join(job.run_directory, "job.yaml"), f"--steps={STEPS}"],
                          stdout=subprocess.PIPE, check=True, env=env, universal_newlines=True).stdout
    return [json.loads(line)["loss"] for line in text.splitlines()]


def compare(np, policy, *settings):
    job = Job(np, SMALL + [f"training.steps={STEPS}", f"compression.policy={policy}",
                           "training.global_batch=128", *settings])
    check(job.wait(240) == 0, job.stderr())
    ours = [step["loss"] for step in job.steps()]
    plain = reference(job)
    check(len(ours) == len(plain) == STEPS, f"{len(ours)} and {len(plain)} losses")
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, plain))
    print(f"       {np} ranks, {policy}: largest relative difference of {STEPS} losses {worst:.2e}")
    check(worst <= 1e-5, f"{worst}: {list(zip(ours, plain))}")
    job.close()


def four_ranks_without_compression():
    compare(4, "none")


def three_ranks_share_a_batch_unevenly():
    compare(3, "none")


def one_rank_with_any_policy():
    compare(1, "lgreco")


def settings_of_the_optimiser():
    # Not Adam's kinds: their division by small moments makes rounding grow to percents within these steps.
    compare(3, "none", "optimizer.nesterov=on", "optimizer.learning_rate=0.005", "optimizer.weight_decay=0.0005",
            "optimizer.clip_norm=1", "schedule.kind=one_cycle", "schedule.warmup_steps=0",
            "training.label_smoothing=0.1", "training.accumulation_steps=2")


run_tests([settings_of_the_optimiser, four_ranks_without_compression, three_ranks_share_a_batch_unevenly,
           one_rank_with_any_policy])
