#!/usr/bin/python3
"""Writes the modules that torchscript_network_test is about to the folder given: make_odd_modules.py MAKE_TORCHSCRIPT DIR"""

import importlib.util
import os
import sys

import torch
from torch import nn

spec = importlib.util.spec_from_file_location("make_torchscript", sys.argv[1])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
directory = sys.argv[2]
IMAGES = torch.zeros(2, 1, 28, 28)


def save(module, name, trace=False):
    module = torch.jit.trace(module, (IMAGES,), check_trace=False) if trace else torch.jit.script(module)
    module.save(os.path.join(directory, name + ".pt"))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, images):
        return self.fc(images.flatten(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(784, 784, bias=False)
        self.second = nn.Linear(784, 784, bias=False)
        self.second.weight = self.first.weight
        self.fc = nn.Linear(784, 10)

    def forward(self, images):
        return self.fc(self.second(torch.relu(self.first(images.flatten(1)))))


class Overlapping(Base):
    def __init__(self):
        super().__init__()
        self.part = nn.Parameter(self.fc.weight.detach()[:5])


class Transposed(Base):
    """A parameter that is not contiguous."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 10).t())

    def forward(self, images):
        return self.fc(images.flatten(1)) @ self.weight


class Counting(Base):
    """State that changes, some of it by assignment; a mask that does not; a fixed parameter."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(10))
        self.register_buffer("mask", torch.ones(10, dtype=torch.bool))
        self.scale = nn.Parameter(torch.full((10,), 2.0), requires_grad=False)

    def forward(self, images):
        logits = self.fc(images.flatten(1)) * self.scale * self.mask
        if self.training:
            self.steps += 1
            self.mean = 0.5 * self.mean + 0.5 * logits.detach().mean(0)
        return logits


class AssignsNumber(Base):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, images):
        self.count += 1
        return self.fc(images.flatten(1))


class ChangesHalf(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1, dtype=torch.half))

    def forward(self, images):
        self.steps += 1
        return self.fc(images.flatten(1))


class Pair(Base):
    def forward(self, images):
        logits = self.fc(images.flatten(1))
        return logits, logits


class Detached(Base):
    def forward(self, images):
        return self.fc(images.flatten(1)).detach()


class NoParameters(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :10]


class TwoArguments(Base):
    def forward(self, images, vectors):
        return self.fc(images.flatten(1)) + vectors[:, :10]


class ListOfInputs(Base):
    def forward(self, inputs: list[torch.Tensor]):
        return self.fc(inputs[0].flatten(1)) + inputs[1][:, :10]


for model in tool.MODELS:
    save(tool.make(model), model)
save(tool.make("resnet"), "resnet_traced", trace=True)
save(tool.make("cnn").eval(), "cnn_traced_eval", trace=True)
for module in [Tied, Overlapping, Transposed, Counting, AssignsNumber, ChangesHalf, Pair, Detached, NoParameters,
               TwoArguments, ListOfInputs]:
    torch.manual_seed(1)
    save(module(), module.__name__)
save(Base().half(), "Half")
save(Base().requires_grad_(False), "Fixed")
save(nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), "SevenClasses")
save(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "SmallerImages")
torch.jit.freeze(torch.jit.script(tool.make("cnn").eval())).save(os.path.join(directory, "Frozen.pt"))
layer = nn.TransformerEncoderLayer(28, 4, batch_first=True).eval()
with torch.no_grad():
    encoder = nn.Sequential(nn.Flatten(1, 2), layer, nn.Flatten(), nn.Linear(784, 10)).eval()
    torch.jit.trace(encoder, (IMAGES,), check_trace=False).save(os.path.join(directory, "FusedAttention.pt"))
torch.save(Base().state_dict(), os.path.join(directory, "StateDict.pt"))
with open(os.path.join(directory, "cnn.pt"), "rb") as file:
    whole = file.read()
with open(os.path.join(directory, "Truncated.pt"), "wb") as file:
    file.write(whole[:len(whole) // 2])
