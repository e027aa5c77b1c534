"""The data sets that Sluice and its peers are compared on, cut as Sluice cuts them."""

import gzip
import os
import struct

import numpy as np
import torch


def read_idx(path):
    with gzip.open(path) as file:
        raw = file.read()
    dimensions = raw[3]
    shape = struct.unpack(">" + "I" * dimensions, raw[4:4 + 4 * dimensions])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def fashion_mnist(folder, split):
    split = {"train": "train", "test": "t10k"}[split]
    pixels = torch.from_numpy(read_idx(os.path.join(folder, split + "-images-idx3-ubyte.gz")).copy())
    labels = torch.from_numpy(read_idx(os.path.join(folder, split + "-labels-idx1-ubyte.gz")).copy())
    return pixels.float().div_(255).sub_(0.2860).div_(0.3530).unsqueeze(1), labels.long()


def passages(path, split, context=128, test_share=0.05):
    """Bytes of all files below `path` in the order of their paths, in passages of `context` and the one that follows;
    the last `test_share` of them are the test set. Inputs and targets."""
    names = sorted(os.path.join(folder, name) for folder, _, files in os.walk(path) for name in files)
    parts = []
    for name in names or [path]:
        with open(name, "rb") as file:
            parts.append(file.read())
    text = np.frombuffer(b"".join(parts), np.uint8)
    train = len(text) - int(len(text) * test_share)
    text = text[:train] if split == "train" else text[train:]
    rows = torch.from_numpy(text[:len(text) // (context + 1) * (context + 1)].astype(np.int64)).view(-1, context + 1)
    return rows[:, :-1], rows[:, 1:]
