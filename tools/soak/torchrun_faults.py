#!/usr/bin/python3
"""The soak's kills and freezes under torchrun, elastic on one node with gloo: what a fault costs there.

    tools/soak/torchrun_faults.py --np 4 --times 10                     kills, torchrun as it comes
    tools/soak/torchrun_faults.py --monitor-interval 0.1                torchrun that looks ten times a second
    tools/soak/torchrun_faults.py --kind freeze --times 1 --wait 60     SIGSTOP

The workers train a small network with DistributedDataParallel, restart from rank 0's last checkpoint (every
--save-every steps, to /dev/shm) and note each step's end. Noticed: from the fault until torchrun ends another worker.
Back: from the fault until all ranks have ended a step again. Needs Debian's python3-torch.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PYTHON = "/usr/bin/python3"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--np", type=int, default=4)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--kind", choices=["kill", "freeze"], default="kill")
    parser.add_argument("--wait", type=float, default=120, help="seconds after which a fault counts as unnoticed")
    parser.add_argument("--monitor-interval", type=float, help="of torchrun (its default: 5 s)")
    parser.add_argument("--save-every", type=int, default=10, help="steps between checkpoints (default: %(default)s)")
    parser.add_argument("--step-milliseconds", type=float, default=100, help="a step takes this long, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", metavar="DIR", help=argparse.SUPPRESS)
    return parser.parse_args()


def work(args):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    checkpoint = os.path.join(args.worker, "checkpoint.pt")
    step = 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint)
        step = saved["step"]
        network.load_state_dict(saved["network"])
    model = torch.nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with open(os.path.join(args.worker, f"rank_{dist.get_rank()}"), "a") as notes:
        while True:
            begin = time.time()
            optimizer.zero_grad()
            model(torch.randn(32, 784)).square().mean().backward()
            optimizer.step()
            step += 1
            if step % args.save_every == 0 and dist.get_rank() == 0:
                torch.save({"step": step, "network": network.state_dict()}, checkpoint + ".new")
                os.rename(checkpoint + ".new", checkpoint)
            time.sleep(max(0, args.step_milliseconds / 1e3 - (time.time() - begin)))
            notes.write(f"{time.time()} {step} {os.getpid()}\n")
            notes.flush()


class Notes:
    """What the ranks have noted."""

    def __init__(self, directory, ranks):
        self.paths = [os.path.join(directory, f"rank_{rank}") for rank in range(ranks)]

    def of(self, path):
        """(time, step, pid) of each step that has ended."""
        if not os.path.exists(path):
            return []
        with open(path) as file:
            lines = [line.split() for line in file.read().splitlines(True) if line.endswith("\n")]
        return [(float(when), int(step), int(pid)) for when, step, pid in lines]

    def last(self):
        """By rank, None where there is none yet."""
        return [(self.of(path) or [None])[-1] for path in self.paths]

    def first_since(self, when, without):
        """By rank, of processes that are not `without`; None: not yet."""
        return [next((note for note in self.of(path) if note[0] > when and note[2] not in without), None)
                for path in self.paths]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(seconds, condition):
    """What `condition` gave, None if it gave nothing within `seconds`."""
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    return None


def strike(args, notes, rng):
    """One fault; None: nobody noticed."""
    before = notes.last()
    pids = [note[2] for note in before]
    victim = rng.choice(pids)
    begin = time.time()
    os.kill(victim, signal.SIGKILL if args.kind == "kill" else signal.SIGSTOP)
    others = [pid for pid in pids if pid != victim]
    noticed = wait_for(args.wait, lambda: not all(alive(pid) for pid in others) and time.time())
    if noticed is None:
        os.kill(victim, signal.SIGCONT)
        return None
    firsts = wait_for(args.wait, lambda: all(notes.first_since(begin, pids)) and notes.first_since(begin, pids))
    if firsts is None:
        raise SystemExit(f"not back after {args.wait} s")
    return {"noticed_seconds": noticed - begin, "back_seconds": max(note[0] for note in firsts) - begin,
            "steps_lost": max(note[1] for note in before) + 1 - min(note[1] for note in firsts)}


def main(args):
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="torchrun-", dir="/dev/shm") as directory:
        # torch 1.13's own defaults of -r and -t are no value of their type under Python 3.11.
        argv = [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nnodes", "1", "--nproc_per_node", str(args.np),
                "--max_restarts", "100000", "-r", "1", "-t", "1", "--log_dir", os.path.join(directory, "logs")]
        if args.monitor_interval is not None:
            argv += ["--monitor_interval", str(args.monitor_interval)]
        argv += [os.path.abspath(__file__), "--worker", directory, "--save-every", str(args.save_every),
                 "--step-milliseconds", str(args.step_milliseconds)]
        with open(os.path.join(directory, "log"), "w") as log:
            agent = subprocess.Popen(argv, stdout=log, stderr=log)
        notes = Notes(directory, args.np)
        faults = []
        try:
            if not wait_for(args.wait, lambda: all(notes.last())):
                with open(log.name) as file:
                    raise SystemExit("the workers do not start:\n" + file.read()[-2000:])
            for _ in range(args.times):
                time.sleep(rng.uniform(2, 5))
                fault = strike(args, notes, rng)
                print(f"{args.kind}: {fault or 'unnoticed'}", file=sys.stderr, flush=True)
                faults.append(fault)
        finally:
            agent.terminate()
            agent.wait()
    seen = [fault for fault in faults if fault]
    result = {"kind": args.kind, "times": len(faults), "unnoticed": len(faults) - len(seen), "wait": args.wait,
              "faults": seen}
    if args.json:
        print(json.dumps(result))
        return
    print("| fault | times | noticed after, s | all back after, s | steps lost |\n| --- | ---: | ---: | ---: | ---: |")
    columns = []
    for key, digits in (("noticed_seconds", 2), ("back_seconds", 2), ("steps_lost", 0)):
        values = [fault[key] for fault in seen]
        columns.append(f"{statistics.median(values):.{digits}f} ({max(values):.{digits}f})" if values
                       else f"not within {args.wait:.0f}")
    print(f"| torchrun, {args.kind} | {len(faults)} | " + " | ".join(columns) + " |")


if __name__ == "__main__":
    ARGS = parse()
    work(ARGS) if ARGS.worker else main(ARGS)
