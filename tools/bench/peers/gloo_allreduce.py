#!/usr/bin/python3
"""All-reduce of floats by PyTorch's gloo, measured as allreduce_bench measures Sluice's.

  gloo_allreduce.py [--ranks N] [--min-bytes B] [--max-bytes B] [--factor F] [--iterations N] [--warmup N]
                    [--check 0|1] [--netlab-prefix P]

Starts one process per rank: over loopback, or on the hosts that `netlab.sh up P ...` has made. For each size: check the
sum of other values, zeros, warm-up, then iterations of barrier and timed in-place all-reduce, check again. Prints one
JSON line per size: {"bytes", "time_us": median of the slowest rank's times, "min_us", "max_us", "wrong"}, after a first
line with the versions. gloo has no shared memory transport: ranks on one host talk over TCP too.

Needs Debian's python3-torch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--min-bytes", type=int, default=1 << 10)
    parser.add_argument("--max-bytes", type=int, default=16 << 20)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--check", type=int, default=1)
    parser.add_argument("--netlab-prefix", default="")
    parser.add_argument("--rank", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def run_rank(args):
    os.environ["GLOO_SOCKET_IFNAME"] = "net0" if args.netlab_prefix else "lo"
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + args.store, rank=args.rank, world_size=args.ranks)
    if args.rank == 0:
        print(json.dumps({"system": "gloo", "versions": {"torch": torch.__version__}}), flush=True)

    def check(count, salt):
        """Small whole numbers: every order of adding them gives the same, exact sum."""
        pattern = (torch.arange(count) + salt) % 61
        data = (pattern + args.rank).float()
        dist.all_reduce(data)
        return int((data != args.ranks * pattern + args.ranks * (args.ranks - 1) // 2).sum())

    size, salt = args.min_bytes, 0
    while size <= args.max_bytes:
        count = size // 4
        wrong = check(count, salt + 1) if args.check else 0
        data = torch.zeros(count)
        for _ in range(args.warmup):
            dist.all_reduce(data)
        times = []
        for _ in range(args.iterations):
            dist.barrier()
            begin = time.perf_counter()
            dist.all_reduce(data)
            times.append((time.perf_counter() - begin) * 1e6)
        wrong += check(count, salt + 2) if args.check else 0
        salt += 2
        slowest = torch.tensor(times, dtype=torch.float64)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        all_wrong = torch.tensor([wrong])
        dist.all_reduce(all_wrong)
        if args.rank == 0:
            slowest = slowest.tolist()
            print(json.dumps({"bytes": count * 4, "time_us": statistics.median(slowest), "min_us": min(slowest),
                              "max_us": max(slowest), "wrong": int(all_wrong) if args.check else None}), flush=True)
        size *= args.factor
    dist.barrier()


def launch(args, argv):
    with tempfile.TemporaryDirectory(prefix="gloo-allreduce-") as directory:
        ranks = []
        try:
            for rank in range(args.ranks):
                host = ["ip", "netns", "exec", f"{args.netlab_prefix}-h{rank}"] if args.netlab_prefix else []
                ranks.append(subprocess.Popen(host + [sys.executable, os.path.abspath(__file__), *argv, "--rank",
                                                      str(rank), "--store", os.path.join(directory, "store")]))
            while any(rank.poll() is None for rank in ranks):
                if any(rank.poll() for rank in ranks):
                    break  # one has failed: the others would wait for it
                time.sleep(0.02)
        finally:
            for rank in ranks:
                if rank.poll() is None:
                    rank.kill()
                rank.wait()
        failed = [f"rank {i}: exit status {rank.returncode}" for i, rank in enumerate(ranks) if rank.returncode]
        if failed:
            sys.exit("gloo_allreduce.py: " + ", ".join(failed))


def main():
    args = parse(sys.argv[1:])
    if args.rank >= 0:
        run_rank(args)
    else:
        launch(args, sys.argv[1:])


if __name__ == "__main__":
    main()
