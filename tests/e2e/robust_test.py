#!/usr/bin/python3
"""A robust and compact phase: what is pruned stays zero, a resumed job has the same bits, and its model can be attacked."""

import json
import os
import shutil
import struct
import subprocess
import tempfile

from cluster import BINARY, SMALL, Job, check, model, run_tests

HANGS = 240  # seconds, no job here takes nearly as long
SPACE = tempfile.mkdtemp(prefix="sluice-robust-")
JOB = """
name: robust
model: {name: mlp, width: 32}
phases:
- name: warm
  steps: 10
- name: robust
  kind: tscnc
  steps: 30
  optimizer: {weight_decay: 0.001}
  tscnc:
    sparsity: 0.75
    prune_end: 0.5
    attack: {steps: 2, alpha: 0.0157}
"""
_WHOLE = {}


def start(directory, sets=(), flags=()):
    path = os.path.join(SPACE, "robust.yaml")
    with open(path, "w") as file:
        file.write(JOB)
    return Job(2, SMALL + [f"checkpoint.directory={directory}", "checkpoint.keep_last=9", *sets], job=path, flags=flags)


def weights(data):
    size = int.from_bytes(data[:8], "little")
    found = {}
    for name, at in json.loads(data[8:8 + size]).items():
        if name.endswith("weight"):
            begin, end = (8 + size + offset for offset in at["data_offsets"])
            found[name] = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
    return found


def whole():
    """A run with checkpoints at 20, 30 and its end, 40."""
    if not _WHOLE:
        directory = os.path.join(SPACE, "whole")
        job = start(directory, sets=["checkpoint.every_steps=10"])
        check(job.wait(HANGS) == 0, job.stderr())
        _WHOLE.update(directory=directory, summary=job.summary(), stderr=job.stderr())
        job.close()
    return _WHOLE


def what_is_pruned_stays_zero():
    check(whole()["summary"]["replicas_identical"], whole()["summary"])
    check("75.00 % of the weights of 3 layers are zero, mean log kappa" in whole()["stderr"], whole()["stderr"])
    half, end = (weights(model(whole()["directory"], step)) for step in (30, 40))
    for name, values in end.items():
        zeros = [i for i, value in enumerate(values) if value == 0]
        check(abs(len(zeros) / len(values) - 0.75) < 0.01, f"{name}: {len(zeros)} of {len(values)}")
        check(zeros == [i for i, value in enumerate(half[name]) if value == 0], f"{name}: other weights are zero")


def resumed_while_pruning_it_has_the_same_bits():
    directory = os.path.join(SPACE, "resumed")
    job = start(directory, flags=["--resume", os.path.join(whole()["directory"], "step_00000020")])
    check(job.wait(HANGS) == 0, job.stderr())
    job.close()
    check(model(directory, 40) == model(whole()["directory"], 40), "another model than without the stop")


def attack(*flags):
    done = subprocess.run([BINARY, "attack", whole()["directory"], "--samples", "40", "--restarts", "1", *flags],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=HANGS)
    check(done.returncode == 0, done.stderr)
    return done.stdout


def its_model_can_be_attacked():
    report = json.loads(attack("--json"))
    right = report["right"]
    check(report["samples"] == 40 and report["checkpoint"].endswith("step_00000040"), report)
    check(right["worst_case"] <= min(right["fgsm"], right["pgd20"], right["pgd50"]) <= right["clean"] <= 40, report)
    check([layer["layer"] for layer in report["layers"]] == ["fc1.weight", "fc2.weight", "fc3.weight"], report)
    check(all(abs(layer["sparsity"] - 0.75) < 0.01 for layer in report["layers"]), report)
    unharmed = json.loads(attack("--json", "--eps", "0"))["right"]
    check(set(unharmed.values()) == {right["clean"]}, unharmed)
    table = attack()
    check("worst_case" in table and "fc2.weight" in table and "mean log kappa" in table, table)


if __name__ == "__main__":
    try:
        run_tests([
            what_is_pruned_stays_zero,
            resumed_while_pruning_it_has_the_same_bits,
            its_model_can_be_attacked,
        ])
    finally:
        shutil.rmtree(SPACE, ignore_errors=True)
