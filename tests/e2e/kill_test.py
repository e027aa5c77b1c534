#!/usr/bin/python3
"""kill -9 of one process at a random step: every survivor ends, with the culprit's name.

Without arguments: each kind of process once. `--times N`: N random ones (then prints a table).
"""

import argparse
import os
import random
import signal
import socket
import time

from cluster import SMALL, Job, check, run_tests

LIMIT_SECONDS = 10
PARSER = argparse.ArgumentParser()
PARSER.add_argument("--times", type=int, default=0)
PARSER.add_argument("--seed", type=int, default=int(time.time()))
ARGS = PARSER.parse_args()
RANDOM = random.Random(ARGS.seed)
KINDS = ["worker 0", "worker 2", "coordinator", "profiler 0", "launcher"]
NAMES = {"worker": "rank"}


def kill_one(kind):
    """Returns (step, seconds until nothing is left, headline)."""
    job = Job(4, SMALL + ["training.steps=100000", "report.every_steps=1"])
    step = RANDOM.randrange(0, 60)
    job.wait_for_step(step)
    pids = {name: pid for pid, name in job.children().items()}
    pids["launcher"] = job.process.pid
    check(set(pids) == {"launcher", "coordinator", "profiler 0"} | {f"worker {i}" for i in range(4)},
          f"unexpected processes: {pids}")
    os.kill(pids[kind], signal.SIGKILL)
    # Generous on a shared machine; the figure is printed.
    seconds = job.wait_gone(3 * LIMIT_SECONDS)
    text = job.stderr()
    word, _, slot = kind.partition(" ")
    name = " ".join(filter(None, [NAMES.get(word, word), slot]))
    headline = f"{name} (host {socket.gethostname()}, pid {pids[kind]})"
    check(headline in text, f"seed {ARGS.seed}: \"{headline}\" is not named:\n{text}")
    check("still busy" not in text, f"a last resort was needed:\n{text}")
    code = job.process.returncode
    if kind != "launcher":
        check(code not in (0, None) and code > 0, f"exit code {code}:\n{text}")
        check("was killed by signal 9" in text, text)
    # Every surviving worker says it too, unless the one who passes its words on is dead.
    if kind != "launcher":
        for rank in range(4):
            if kind != f"worker {rank}":
                check(any(f"[rank {rank}]<stderr>" in line and f"pid {pids[kind]})" in line
                          for line in text.splitlines()), f"rank {rank} says nothing:\n{text}")
    job.close()
    return step, seconds, headline


def make_test(kind):
    def test():
        step, seconds, headline = kill_one(kind)
        print(f"       {headline} killed at step {step}: all gone after {seconds:.2f} s")
    test.__name__ = "killed_" + kind.replace(" ", "_")
    return test


if ARGS.times:
    worst = 0
    for number in range(ARGS.times):
        kind = RANDOM.choice(["worker 0", "worker 1", "worker 2", "worker 3", "coordinator", "profiler 0",
                              "launcher"])
        step, seconds, headline = kill_one(kind)
        worst = max(worst, seconds)
        print(f"{number + 1:3} {headline:50} step {step:3}  {seconds:6.2f} s", flush=True)
    print(f"seed {ARGS.seed}: {ARGS.times} kills, slowest end {worst:.2f} s (limit {LIMIT_SECONDS} s)")
    raise SystemExit(0 if worst <= LIMIT_SECONDS else 1)
run_tests([make_test(kind) for kind in KINDS])
