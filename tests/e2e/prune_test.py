#!/usr/bin/python3
"""Structured pruning: what is chosen goes, a resumed job decides alike, and the smaller network is one that trains on."""

import json
import os
import shutil
import subprocess
import tempfile

from cluster import BINARY, SMALL, Job, check, model, run_tests

HANGS = 240  # seconds, no job here takes nearly as long
SPACE = tempfile.mkdtemp(prefix="sluice-prune-")
JOB = """
name: pruned
model: {name: mlp, width: 64}
phases:
- name: dense
  steps: 10
- name: prune
  kind: otov3
  steps: 30
  otov3: {target_sparsity: 0.5, divisor: 4, warmup: 0.2, projection: 0.2}
"""
# The same with operators in the place of channels; of six in each of two cells one must stay where they meet.
ERASING = JOB.replace("target_sparsity: 0.5, divisor: 4,", "mode: erase, target_sparsity: 0.5,")
MAKE = os.path.abspath("tools/models/make_torchscript.py")
# Loads a network with Debian's torch, and prints its parameters' shapes and its outputs for ones.
READ = """
import json, sys, torch
module = torch.jit.load(sys.argv[1])
print(json.dumps({"shapes": {name: list(value.shape) for name, value in module.named_parameters()},
                  "outputs": module(torch.ones(2, 1, 28, 28)).shape[1]}))
"""
_WHOLE = {}


def start(directory, sets=(), flags=(), text=JOB):
    path = os.path.join(SPACE, "pruned.yaml")
    with open(path, "w") as file:
        file.write(text)
    return Job(2, SMALL + [f"checkpoint.directory={directory}", "checkpoint.keep_last=9", *sets], job=path, flags=flags)


def whole():
    """A run with checkpoints at 10, 20, 30 and its end, 40."""
    if not _WHOLE:
        directory = os.path.join(SPACE, "whole")
        job = start(directory, sets=["checkpoint.every_steps=10"])
        check(job.wait(HANGS) == 0, job.stderr())
        _WHOLE.update(directory=directory, summary=job.summary(), stderr=job.stderr())
        job.close()
    return _WHOLE


def prune(checkpoint, out):
    done = subprocess.run([BINARY, "prune", checkpoint, "--out", out, "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=HANGS)
    check(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


def half_of_the_units_go_and_the_smaller_network_is_left():
    check(whole()["summary"]["replicas_identical"], whole()["summary"])
    out = os.path.join(SPACE, "smaller.pt")
    report = prune(whole()["directory"], out)
    units, kept = (sum(layer[key] for layer in report["layers"]) for key in ("units", "kept"))
    check(units == 128 and abs(kept - 64) <= 4, report)
    check(all(layer["kept"] % 4 == 0 for layer in report["layers"]), report)
    check(report["difference"] < 1e-5 and report["parameters"] < 0.7 * report["parameters_before"], report)
    check(report["macs"] < 0.7 * report["macs_before"], report)
    read = subprocess.run(["/usr/bin/python3", "-c", READ, out], stdout=subprocess.PIPE, check=True, timeout=HANGS)
    read = json.loads(read.stdout)
    first, second = (layer["kept"] for layer in report["layers"])
    check(read["shapes"]["fc1.weight"] == [first, 784] and read["shapes"]["fc2.weight"] == [second, first], read)
    check(read["outputs"] == 10, read)


def before_pruning_nothing_is_left_out():
    report = prune(os.path.join(whole()["directory"], "step_00000010"), os.path.join(SPACE, "all.pt"))
    check(report["parameters"] == report["parameters_before"], report)


def the_smaller_network_trains_on_with_smaller_gradients():
    out = os.path.join(SPACE, "again.pt")
    report = prune(whole()["directory"], out)
    job = Job(2, SMALL + [f"model.torchscript={out}", "training.steps=5", "compression.policy=none"])
    check(job.wait(HANGS) == 0, job.stderr())
    sent = job.steps()[-1]["wire_bytes"]
    job.close()
    check(abs(sent / (4 * report["parameters"]) - 1) < 0.05, f"{sent} bytes, {report['parameters']} parameters")


def resumed_while_pruning_it_decides_alike():
    for step in (20, 30):
        directory = os.path.join(SPACE, f"resumed{step}")
        job = start(directory, flags=["--resume", os.path.join(whole()["directory"], f"step_{step:08}")])
        check(job.wait(HANGS) == 0, job.stderr())
        job.close()
        check(model(directory, 40) == model(whole()["directory"], 40), f"resumed at {step}: another model")


def a_worker_killed_while_pruning_comes_back_to_the_same_decisions():
    directory = os.path.join(SPACE, "killed")
    path = os.path.join(SPACE, "pruned.yaml")
    job = Job(2, SMALL + [f"checkpoint.directory={directory}", "report.every_steps=1"], job=path, flags=["--min-np", "2"],
              chaos=["fault: kill, at_step: 25, rank: 1"])
    check(job.wait(HANGS) == 0, job.stderr())
    check(job.summary()["replicas_identical"] and job.summary()["generations"] > 1, job.summary())
    job.close()
    report = prune(directory, os.path.join(SPACE, "killed.pt"))
    check(abs(sum(layer["kept"] for layer in report["layers"]) - 64) <= 4, report)


def erased_operators_are_left_out_of_a_network_that_trains_on():
    script, out, directory = (os.path.join(SPACE, name) for name in ("cells.pt", "fewer.pt", "erased"))
    subprocess.run([MAKE, "cells", script], check=True)
    job = start(directory, sets=[f"model.torchscript={script}"], text=ERASING)
    check(job.wait(HANGS) == 0, job.stderr())
    accuracy = job.summary()["test_accuracy"]
    check(job.summary()["replicas_identical"], job.summary())
    check("is to erase 6 of 12 operators" in job.stderr(), job.stderr())
    job.close()

    report = prune(directory, out)
    names = [operator["name"] for operator in report["erased"]]
    check(len(names) == 6 and all(name.startswith(("near.", "far.")) for name in names), report)
    gone = sum(operator["parameters"] for operator in report["erased"])
    check(0 < gone <= report["parameters_before"] - report["parameters"], report)
    check(report["macs"] < report["macs_before"] and report["difference"] < 1e-5, report)
    read = subprocess.run(["/usr/bin/python3", "-c", READ, out], stdout=subprocess.PIPE, check=True, timeout=HANGS)
    shapes = json.loads(read.stdout)["shapes"]
    check(not any(shape.startswith(tuple(name + "." for name in names)) for shape in shapes), (names, shapes))

    job = Job(2, SMALL + [f"model.torchscript={out}", "training.steps=20", "compression.policy=none"])
    check(job.wait(HANGS) == 0, job.stderr())
    sent = job.steps()[-1]["wire_bytes"]
    print(f"       without {', '.join(names)}: {report['parameters']} of {report['parameters_before']} parameters, "
          f"accuracy {accuracy:.3f}, after 20 steps more {job.summary()['test_accuracy']:.3f}")
    job.close()
    check(abs(sent / (4 * report["parameters"]) - 1) < 0.1, f"{sent} bytes, {report['parameters']} parameters")


def what_is_asked_wrongly_is_told():
    done = subprocess.run([BINARY, "prune", whole()["directory"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=HANGS)
    check(done.returncode == 2 and "needs --out FILE" in done.stderr, done.stderr)


if __name__ == "__main__":
    try:
        run_tests([
            half_of_the_units_go_and_the_smaller_network_is_left,
            before_pruning_nothing_is_left_out,
            the_smaller_network_trains_on_with_smaller_gradients,
            resumed_while_pruning_it_decides_alike,
            a_worker_killed_while_pruning_comes_back_to_the_same_decisions,
            erased_operators_are_left_out_of_a_network_that_trains_on,
            what_is_asked_wrongly_is_told,
        ])
    finally:
        shutil.rmtree(SPACE, ignore_errors=True)
