#!/usr/bin/python3
"""One job that trains, prunes and then fine-tunes robustly: the pruned groups stay zero to its end, whatever dies."""

import json
import os
import shutil
import subprocess
import tempfile

from cluster import BINARY, SMALL, Job, check, model, run_tests

HANGS = 240  # seconds, no job here takes nearly as long
RANKS = 4
SPACE = tempfile.mkdtemp(prefix="sluice-combined-")
JOB = """
name: combined
model: {name: mlp, width: 32}
phases:
- name: dense
  steps: 20
- name: prune
  kind: otov3
  steps: 40
  otov3: {target_sparsity: 0.5, divisor: 4, warmup: 0.2, projection: 0.2}
- name: robust
  kind: tscnc
  steps: 30
  compression: {policy: uniform}
  tscnc:
    sparsity: 0.5
    prune_end: 0.5
    attack: {steps: 2, alpha: 0.0157}
    cnc: {lambda: 0.01}
"""
PRUNED, END = 60, 90
_WHOLE = {}


def start(directory, sets=(), flags=(), chaos=(), text=JOB):
    path = os.path.join(SPACE, "combined.yaml")
    with open(path, "w") as file:
        file.write(text)
    return Job(RANKS, SMALL + [f"checkpoint.directory={directory}", "checkpoint.keep_last=9", *sets], job=path,
               flags=flags, chaos=chaos)


def whole():
    """A run with a checkpoint every 15 steps, so in every phase."""
    if not _WHOLE:
        directory = os.path.join(SPACE, "whole")
        job = start(directory, sets=["checkpoint.every_steps=15"])
        check(job.wait(HANGS) == 0, job.stderr())
        _WHOLE.update(directory=directory, summary=job.summary())
        job.close()
    return _WHOLE


def layers(directory, step):
    """What `prune` keeps of the checkpoint's layers."""
    done = subprocess.run([BINARY, "prune", os.path.join(directory, f"step_{step:08}"), "--json",
                           "--out", os.path.join(SPACE, "smaller.pt")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=HANGS)
    check(done.returncode == 0, done.stderr)
    return {layer["name"]: layer["kept"] for layer in json.loads(done.stdout)["layers"]}


def what_one_phase_prunes_the_next_one_leaves_pruned():
    check(whole()["summary"]["replicas_identical"], whole()["summary"])
    check([phase["phase"] for phase in whole()["summary"]["phases"]] == ["dense", "prune", "robust"], whole()["summary"])
    pruned, end = (layers(whole()["directory"], step) for step in (PRUNED, END))
    check(abs(sum(pruned.values()) - 32) <= 4, pruned)
    check(end == pruned, f"{pruned} after pruning, {end} in the end")


def resumed_in_any_phase_it_ends_with_the_same_bits():
    for step in (15, 45, 75):
        directory = os.path.join(SPACE, f"resumed{step}")
        job = start(directory, flags=["--resume", os.path.join(whole()["directory"], f"step_{step:08}")])
        check(job.wait(HANGS) == 0, job.stderr())
        job.close()
        check(model(directory, END) == model(whole()["directory"], END), f"resumed at {step}: another model")


def a_worker_that_dies_in_any_phase_is_replaced():
    directory = os.path.join(SPACE, "killed")
    job = start(directory, flags=["--min-np", str(RANKS)],
                chaos=[f"fault: kill, at_step: {step}, rank: {rank}" for step, rank in ((10, 1), (40, 0), (75, 3))])
    check(job.wait(HANGS) == 0, job.stderr())
    check(job.summary()["replicas_identical"] and job.summary()["generations"] >= 4, job.summary())
    check([phase["phase"] for phase in job.summary()["phases"]] == ["dense", "prune", "robust"], job.summary())
    job.close()
    kept = layers(directory, END)
    check(abs(sum(kept.values()) - 32) <= 4, kept)


def a_mistake_in_a_later_phase_comes_out_before_the_first_step():
    for key, part in (("otov3.keep", ("divisor: 4", "divisor: 4, keep: [fc9]")),
                      ("tscnc.cnc.layers", ("lambda: 0.01", "lambda: 0.01, layers: [fc9]"))):
        job = start(os.path.join(SPACE, "wrong"), text=JOB.replace(*part))
        check(job.wait(HANGS) != 0 and key in job.stderr() and "fc9" in job.stderr(), job.stderr())
        check(job.steps() == [], job.stdout())
        job.close()


if __name__ == "__main__":
    try:
        run_tests([what_one_phase_prunes_the_next_one_leaves_pruned, resumed_in_any_phase_it_ends_with_the_same_bits,
                   a_worker_that_dies_in_any_phase_is_replaced,
                   a_mistake_in_a_later_phase_comes_out_before_the_first_step])
    finally:
        shutil.rmtree(SPACE, ignore_errors=True)
