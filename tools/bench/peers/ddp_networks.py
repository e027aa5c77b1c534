"""The networks of Sluice's zoo that are compared, parameter for parameter, for PyTorch."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.down = nn.Identity()
        if stride != 1 or i != o:
            self.down = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)).add_(self.down(x)), inplace=True)


def cnn():
    layers, i = [], 1
    for o, pool in [(32, True), (64, True), (128, True), (192, False)]:
        layers += [nn.Conv2d(i, o, 3, padding=1)] + ([nn.MaxPool2d(2)] if pool else []) + [nn.ReLU(inplace=True)]
        i = o
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(192 * 9, 512), nn.ReLU(inplace=True), nn.Linear(512, 10))


def resnet18():
    layers, i = [nn.Conv2d(1, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)], 64
    for o, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        layers.append(BasicBlock(i, o, stride))
        i = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def vgg11():
    layers, i = [], 1
    for o in [64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512]:
        if o == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
            i = o
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 4096), nn.ReLU(inplace=True),
                         nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 10))


class DecoderLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ln2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        n, positions, width = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(n, positions, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q / math.sqrt(width // self.heads)) @ k.transpose(-2, -1) + mask
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, positions, width))
        return x + self.fc2(F.gelu(self.fc1(self.ln2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, width=288, depth=8, heads=6, vocabulary=256, positions=128):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(depth))
        self.ln = nn.LayerNorm(width)
        self.register_buffer("mask", torch.full((positions, positions), -math.inf).triu(1), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                onto_the_way_around = name.endswith(("out.weight", "fc2.weight"))
                nn.init.normal_(parameter, 0, 0.02 / (math.sqrt(2 * depth) if onto_the_way_around else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[:tokens.size(1)]
        for layer in self.layers:
            x = layer(x, self.mask)
        return F.linear(self.ln(x), self.tokens.weight)


MODELS = {"cnn": cnn, "resnet18": resnet18, "vgg11": vgg11, "gpt": Gpt}
