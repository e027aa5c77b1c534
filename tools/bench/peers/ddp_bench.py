#!/usr/bin/python3
"""One rank of PyTorch DDP on gloo, as a peer to measure Sluice against (Debian's python3-torch 1.13).

Start it with RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and GLOO_SOCKET_IFNAME set; train_bench.py does. Trains on
Fashion-MNIST, gpt on bytes of text, with the networks, the optimiser, the schedule and the batches of a Sluice job:
every epoch is a new permutation, of which rank r takes its slice of each global batch. Rank 0 prints JSON lines:

  {"event": "timed_start"}   after the untimed steps, when all ranks are there
  {"event": "timed_end"}     after the last step, likewise
  {"event": "result", ...}   samples/s and seconds per step between the two, the mean loss over ranks of every
                             step, its end in seconds since the first began, and with --eval the test accuracy and loss

PowerSGD runs on one bucket: with several, torch 1.13 on gloo chains its collectives in the order in which they
end, which differs between ranks, and aborts ('op.preamble.length <= op.nbytes').
"""

import argparse
import json
import math
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

from ddp_data import fashion_mnist, passages
from ddp_networks import MODELS


def learning_rate_factor(schedule, warmup, step, total):
    """As docs/training.md defines it."""
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "cosine":
        return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    return 1.0


def add_hook(model, hook, compress_from):
    kind, _, rank = hook.partition(":")
    if kind == "fp16":
        model.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif kind == "powersgd":
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=int(rank), start_powerSGD_iter=compress_from)
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    elif kind != "none":
        raise SystemExit("unknown hook " + hook)


def evaluate(network, inputs, targets):
    network.eval()
    hits, loss = 0, 0.0
    with torch.no_grad():
        for x, y in zip(inputs.split(100), targets.split(100)):
            logits = network(x).flatten(0, -2)
            hits += (logits.argmax(1) == y.flatten()).sum().item()
            loss += F.cross_entropy(logits, y.flatten(), reduction="sum").item()
    return {"accuracy": hits / targets.numel(), "test_loss": loss / targets.numel()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", choices=sorted(MODELS))
    parser.add_argument("--hook", default="none", help="none, fp16 or powersgd:RANK")
    parser.add_argument("--batch", type=int, default=32, help="per rank")
    parser.add_argument("--steps", type=int, default=20, help="in all")
    parser.add_argument("--warmup", type=int, default=5, help="of the steps, how many are not timed")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"])
    parser.add_argument("--momentum", type=float, default=0.9, help="of sgd")
    parser.add_argument("--weight-decay", type=float, default=0)
    parser.add_argument("--schedule", default="cosine", choices=["constant", "cosine"])
    parser.add_argument("--schedule-warmup", type=int, default=0)
    parser.add_argument("--compress-from", type=int, default=2, help="PowerSGD's first step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bucket-mb", type=float, default=25)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--eval", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()

    def say(**event):
        if rank == 0:
            print(json.dumps(event), flush=True)

    bucket_mb = args.bucket_mb
    if args.hook.startswith("powersgd"):
        bucket_mb = 4096
        dist._DEFAULT_FIRST_BUCKET_BYTES = bucket_mb << 20  # else the first bucket is one of 1 MiB
    model = nn.parallel.DistributedDataParallel(MODELS[args.model](), bucket_cap_mb=bucket_mb,
                                                gradient_as_bucket_view=True)
    add_hook(model, args.hook, args.compress_from)
    if args.optimizer == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=args.momentum,
                                    weight_decay=args.weight_decay)
    load = passages if args.model == "gpt" else fashion_mnist
    inputs, targets = load(args.data, "train")
    shuffler = torch.Generator().manual_seed(args.seed)  # alike on all ranks
    global_batch = args.batch * world
    per_epoch = len(inputs) // global_batch
    losses, ends, start = [], [], 0.0
    begin = time.perf_counter()
    for step in range(args.steps):
        if step == args.warmup:
            dist.barrier()
            say(event="timed_start")
            start = time.perf_counter()
        if step % per_epoch == 0:
            order = torch.randperm(len(inputs), generator=shuffler)
        first = step % per_epoch * global_batch + rank * args.batch
        rows = order[first:first + args.batch]
        factor = learning_rate_factor(args.schedule, args.schedule_warmup, step, args.steps)
        optimizer.param_groups[0]["lr"] = args.learning_rate * factor
        loss = F.cross_entropy(model(inputs[rows]).flatten(0, -2), targets[rows].flatten())
        optimizer.zero_grad()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter() - begin)
    dist.barrier()
    wall = time.perf_counter() - start
    say(event="timed_end")

    mean_losses = torch.tensor(losses, dtype=torch.float64)
    dist.all_reduce(mean_losses)
    timed = args.steps - args.warmup
    result = {
        "event": "result", "step_s": wall / timed, "samples_s": global_batch * timed / wall,
        "losses": (mean_losses / world).tolist(), "ends": ends, "torch": torch.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if args.eval and rank == 0:
        result.update(evaluate(model.module, *load(args.data, "test")))
    dist.barrier()
    say(**result)


main()
