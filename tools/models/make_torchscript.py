#!/usr/bin/python3
"""Writes a TorchScript file to train with `model: {torchscript: FILE}`: what a user's own script would do.

  tools/models/make_torchscript.py resnet model.pt

Needs Debian's python3-torch. Networks for images of 1 x 28 x 28 in 10 classes:
  cnn          two convolutions, dropout, two linear layers
  resnet       three stages of a residual block each, with batch norm
  transformer  an encoder that reads an image as 28 tokens of 28 values
  two_inputs   takes a tuple of an image and a vector of 16 values
  cells        two cells of operators that meet in sums and a concatenation, as architecture search draws them from
"""

import argparse

import torch
from torch import nn
from torch.nn import functional


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dropout = nn.Dropout(0.1)
        self.fc1 = nn.Linear(32 * 7 * 7, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images):
        x = functional.max_pool2d(functional.relu(self.conv1(images)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(self.dropout(x.flatten(1)))))


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.around = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.around(x))


class Resnet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(Block(16, 16, 2), Block(16, 32, 2), Block(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, images):
        return self.fc(self.blocks(functional.relu(self.stem(images))).mean([2, 3]))


class EncoderLayer(nn.Module):
    # nn.MultiheadAttention cannot be scripted in PyTorch 1.13.
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, width: int = 64, depth: int = 2, heads: int = 4):
        super().__init__()
        self.embedding = nn.Linear(28, width)
        self.positions = nn.Parameter(0.02 * torch.randn(28, width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        x = self.embedding(images.squeeze(1)) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Linear(28 * 28, 32)
        self.vector = nn.Linear(16, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor]):
        images, vectors = inputs
        return self.head(functional.relu(self.image(images.flatten(1)) + self.vector(vectors)))


def operator(before, after, kernel, dilation=1, separable=False):
    padding = dilation * (kernel - 1) // 2
    if separable:
        layers = [nn.Conv2d(before, before, kernel, padding=padding, dilation=dilation, groups=before, bias=False),
                  nn.Conv2d(before, after, 1, bias=False)]
    else:
        layers = [nn.Conv2d(before, after, kernel, padding=padding, dilation=dilation, bias=False)]
    return nn.Sequential(nn.ReLU(), *layers, nn.BatchNorm2d(after))


class Cell(nn.Module):
    def __init__(self, before, width):
        super().__init__()
        self.around = operator(before, width, 1)
        self.conv3 = operator(width, width, 3)
        self.conv5 = operator(width, width, 5)
        self.separable3 = operator(width, width, 3, separable=True)
        self.dilated3 = operator(width, width, 3, dilation=2)
        self.conv1 = operator(width, width, 1)
        self.straight = operator(width, width, 1)

    def forward(self, x):
        x = self.around(x)
        first = self.conv3(x) + self.conv5(x)
        second = self.separable3(x) + self.dilated3(first) + first
        third = self.conv1(second) + functional.max_pool2d(x, 3, 1, 1)
        return torch.cat([first, second, third, self.straight(x)], 1)


class Cells(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width))
        self.near = Cell(width, width)
        self.far = Cell(4 * width, 2 * width)
        self.fc = nn.Linear(8 * width, 10)

    def forward(self, images):
        x = functional.max_pool2d(self.near(self.stem(images)), 2)
        return self.fc(functional.relu(self.far(x)).mean([2, 3]))


MODELS = {"cnn": Cnn, "resnet": Resnet, "transformer": Transformer, "two_inputs": TwoInputs, "cells": Cells}


def make(name, seed=1):
    torch.manual_seed(seed)
    return MODELS[name]()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=1, help="of the weights")
    parser.add_argument("--trace", action="store_true", help="trace instead of script: batch norm and dropout keep "
                        "the mode in which they are traced")
    arguments = parser.parse_args()
    module = make(arguments.model, arguments.seed)
    example = torch.zeros(2, 1, 28, 28)
    if arguments.model == "two_inputs":
        example = (example, torch.zeros(2, 16))
    if arguments.trace:
        module = torch.jit.trace(module, (example,), check_trace=False)
    else:
        module = torch.jit.script(module)
    module.save(arguments.file)


if __name__ == "__main__":
    main()
