#!/usr/bin/python3
"""TorchScript models train like the zoo's, and what is exported is what was trained."""

import gzip
import importlib.util
import json
import os
import struct
import subprocess
import tempfile

import torch

from cluster import SMALL, Job, check, run_tests

MAKE = os.path.abspath("tools/models/make_torchscript.py")
DATA = "/usr/share/datasets/fashion-mnist/"
STEPS = 40
SETS = SMALL + ["compression.policy=lgreco", f"training.steps={STEPS}", "report.every_steps=1",
                "checkpoint.every_steps=20"]
SPACE = tempfile.mkdtemp(prefix="sluice-torchscript-")


def make(model):
    path = os.path.join(SPACE, model + ".pt")
    subprocess.run([MAKE, model, path], check=True)
    return path


def test_set():
    with gzip.open(DATA + "t10k-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8).view(-1, 1, 28, 28)
    with gzip.open(DATA + "t10k-labels-idx1-ubyte.gz") as file:
        labels = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8).long()
    return (images / 255 - 0.2860) / 0.3530, labels


def safetensors(path):
    with open(path, "rb") as file:
        content = file.read()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            raw = bytearray(content[8 + size + begin:8 + size + end])
            tensors[name] = torch.frombuffer(raw, dtype=torch.float32).view(entry["shape"])
    return tensors


def trains_and_exports(model):
    job = Job(2, SETS + [f"model.torchscript={make(model)}"])
    summary, exported, _ = exported_by(job)

    images, labels = test_set()
    with torch.no_grad():
        logits = torch.cat([exported(part) for part in images.split(500)])
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    correct = (logits.argmax(1) == labels).float().mean().item()
    print(f"       {model}: test loss {summary['test_loss']:.6f}, in Python {loss:.6f}; accuracy {correct:.4f}")
    check(abs(loss - summary["test_loss"]) <= 1e-5 * loss, f"{loss} and {summary['test_loss']}")
    check(abs(correct - summary["test_accuracy"]) < 2e-4, f"{correct} and {summary['test_accuracy']}")
    return job


def exported_by(job):
    """Summary, exported module and stored tensors of a job that has trained well."""
    check(job.wait(400) == 0, job.stderr())
    summary = job.summary()
    losses = [step["loss"] for step in job.steps()]
    check(len(losses) == STEPS and sum(losses[-5:]) < 0.9 * sum(losses[:5]), losses)
    check(summary["replicas_identical"] is True and summary["checksums_compared"] > 0, summary)
    check(summary["policy_changes"] > 0, summary)

    folder = os.path.join(job.run_directory, "checkpoints", f"step_{STEPS:08}")
    exported = torch.jit.load(os.path.join(folder, "model.pt"))
    check(not exported.training, "exported for training")
    stored = safetensors(os.path.join(folder, "model.safetensors"))
    ours = dict(exported.named_parameters())
    check(len(ours) > 5 and set(ours) <= set(stored), f"{sorted(ours)} and {sorted(stored)}")
    for name, parameter in ours.items():
        check(torch.equal(parameter, stored[name]), name)
    return summary, exported, stored


def resnet_trains_and_exports():
    trains_and_exports("resnet").close()


def transformer_trains_and_exports():
    trains_and_exports("transformer").close()


def cnn_trains_exports_and_resumes_with_the_same_dropout():
    job = trains_and_exports("cnn")
    half = os.path.join(job.run_directory, "checkpoints", "step_00000020")
    sets = SETS + [f"model.torchscript={os.path.join(SPACE, 'cnn.pt')}"]
    again = Job(2, sets, flags=["--resume", half])
    check(again.wait(400) == 0, again.stderr())
    ours = [step["loss"] for step in job.steps()][20:]
    theirs = [step["loss"] for step in again.steps()]
    check(len(theirs) == 20 and ours == theirs, f"{ours} and {theirs}")
    again.close()

    trained = os.path.join(job.run_directory, "checkpoints", f"step_{STEPS:08}", "model.pt")
    other = Job(2, SETS + [f"model.torchscript={trained}"], flags=["--resume", half])
    check(other.wait(400) != 0, "a checkpoint of another file was resumed from")
    check("written for model \"torchscript " in other.stderr(), other.stderr())
    other.close()
    job.close()


def tool():
    spec = importlib.util.spec_from_file_location("make_torchscript", MAKE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TwoArguments(torch.nn.Module):
    """The tool's model of two inputs, which takes them as two arguments."""

    def __init__(self):
        super().__init__()
        self.model = tool().make("two_inputs")

    def forward(self, images, vectors):
        return self.model((images, vectors))


def two_inputs_train_and_export(ranks, path, module, takes_a_tuple):
    job = Job(ranks, SETS + [f"model.torchscript={path}", "data.dataset=synthetic", "data.inputs=2", "data.channels=1",
                             "data.side=28", "data.samples=4000", "data.path="])
    summary, exported, stored = exported_by(job)
    # Neither input alone tells more than one class of four.
    check(summary["test_accuracy"] > 0.4, summary)
    # The weights in the model's own source: what the export computes is what was trained.
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(stored[name])
        inputs = (torch.randn(20, 1, 28, 28), torch.randn(20, 16))
        outputs = [one(inputs) if takes_a_tuple else one(*inputs) for one in (exported, module.eval())]
    difference = (outputs[0] - outputs[1]).abs().max().item()
    print(f"       {ranks} ranks: accuracy {summary['test_accuracy']:.3f}, largest difference {difference:.1e}")
    check(difference <= 1e-5, difference)
    job.close()


def two_inputs_in_a_tuple_train_and_export():
    two_inputs_train_and_export(2, make("two_inputs"), tool().make("two_inputs"), True)


def two_inputs_as_arguments_train_on_four_ranks_and_export():
    path = os.path.join(SPACE, "two_arguments.pt")
    module = TwoArguments()
    torch.jit.script(module).save(path)
    two_inputs_train_and_export(4, path, module, False)


def a_file_that_does_not_fit_ends_the_job_with_its_reason():
    job = Job(2, SETS + [f"model.torchscript={make('two_inputs')}"])
    check(job.wait(240) != 0, "it ran")
    check("forward takes a tuple of 2 inputs, the data set has 1" in job.stderr(), job.stderr())
    job.close()


run_tests([resnet_trains_and_exports, transformer_trains_and_exports,
           cnn_trains_exports_and_resumes_with_the_same_dropout,
           two_inputs_in_a_tuple_train_and_export, two_inputs_as_arguments_train_on_four_ranks_and_export,
           a_file_that_does_not_fit_ends_the_job_with_its_reason])
