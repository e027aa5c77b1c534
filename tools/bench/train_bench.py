#!/usr/bin/python3
"""Training speed and accuracy of Sluice and of PyTorch DDP, on the same hosts, with the same work.

  tools/bench/train_bench.py --rate 100mbit --ranks 2 --model vgg11 --batch 16 --seeds 1,2,3 --json out.json
  tools/bench/train_bench.py --rate none --methods sluice:none,ddp:none        one host, no root needed
  tools/bench/train_bench.py --rate 1gbit --dry-run                            prints the commands, starts nothing

Each rank is a host of its own, limited to --rate in both directions (tools/netlab/netlab.sh; needs root), or with
--rate none a process of this host: Sluice over shared memory, DDP over loopback. Both train the same network (gpt on
bytes of text, the others on Fashion-MNIST) from their own random start with SGD, momentum 0.9, or AdamW, the same rate,
schedule and batches, one thread per rank. A seed runs all methods before the next one does, every second one in
reverse, so that a slow spell hits them alike.

samples/s is the wall clock's from the end of the untimed steps to the end of the last one. Bytes are what a rank's
interface sent, headers included, per timed step; without a rate, Sluice's are by its own account. lgreco is timed
from its first plan on. --target-loss gives the time to reach a training loss, mean of 10 steps; --eval the accuracy on
the test set after the last step, and for text the perplexity.

Build first: bazel build //orchestrator
"""

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys

import train_hosts
import train_methods
import train_runs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SMOOTHED_STEPS = 10


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", choices=["cnn", "resnet18", "vgg11", "gpt"])
    parser.add_argument("--rate", default="none", help="of each host, as tc takes it (1gbit, 100mbit), or none")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="per rank (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="timed (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=5, help="steps before them (default: %(default)s)")
    parser.add_argument("--seeds", default="1", help="as 1,2,3 (default: %(default)s)")
    parser.add_argument("--methods", default=train_methods.DEFAULT, help="(default: %(default)s)")
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"], help="(default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, help="(default: 0.05, adamw 0.001)")
    parser.add_argument("--schedule", default="cosine", choices=["constant", "cosine"])
    parser.add_argument("--schedule-warmup", type=int, default=0, help="steps in which the rate rises (default: %(default)s)")
    parser.add_argument("--compress-from", type=int, default=2, help="the first compressed step, of PowerSGD too "
                        "(default: %(default)s)")
    parser.add_argument("--window", type=int, default=10, help="steps of lgreco's windows (default: %(default)s)")
    parser.add_argument("--bucket-mb", type=float, default=4, help="of Sluice (default: %(default)s)")
    parser.add_argument("--ddp-bucket-mb", type=float, default=25, help="of DDP, its default")
    parser.add_argument("--data", help="(default: Fashion-MNIST of Debian; gpt: the manual pages of Perl)")
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--target-loss", type=float)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one run (default: %(default)s)")
    parser.add_argument("--json", help="file to write")
    parser.add_argument("--keep", action="store_true", help="the runs' files, for looking into them")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--orchestrator", default=os.path.join(ROOT, "bazel-bin/orchestrator/orchestrator"))
    parser.add_argument("--python", default="/usr/bin/python3", help="that has torch (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        args.methods = train_methods.parse_methods(args.methods)
        args.seeds = [int(seed) for seed in args.seeds.split(",")]
    except ValueError as error:
        parser.error(str(error))
    if args.ranks < 2:
        parser.error("--ranks: expected 2 or more")
    if min(args.steps, args.batch, args.window) < 1 or min(args.warmup, args.schedule_warmup, args.compress_from) < 0:
        parser.error("--steps, --batch and --window: expected 1 or more; --warmup, --schedule-warmup and --compress-from: "
                     "0 or more")
    if args.learning_rate is None:
        args.learning_rate = 0.001 if args.optimizer == "adamw" else 0.05
    args.data = args.data or train_methods.data_of(args.model)[1]
    args.settings = train_methods.Settings(
        model=args.model, ranks=args.ranks, batch=args.batch, steps=args.warmup + args.steps, warmup=args.warmup,
        optimizer=args.optimizer, learning_rate=args.learning_rate, schedule=args.schedule,
        schedule_warmup=args.schedule_warmup, compress_from=args.compress_from, window=args.window,
        bucket_mb=args.bucket_mb, ddp_bucket_mb=args.ddp_bucket_mb, data=args.data, eval=args.eval)
    for method in args.methods:
        first = train_methods.timed_from(method, args.settings)
        if first >= args.settings.steps:
            parser.error(f"{method} is timed from step {first} on, but there are {args.settings.steps} steps: "
                         "raise --steps, or lower --window")
    return args


def order(methods, seeds):
    """(seed, method) pairs in the order of running."""
    return [(seed, method) for index, seed in enumerate(seeds)
            for method in (methods if index % 2 == 0 else reversed(methods))]


def seconds_to_loss(result, target):
    """Until the mean of the last SMOOTHED_STEPS losses is at most `target`; None if it never is."""
    for end in range(SMOOTHED_STEPS, len(result.losses) + 1):
        if train_runs.mean(result.losses[end - SMOOTHED_STEPS:end]) <= target:
            return result.ends[end - 1]
    return None


def mean_or_none(values):
    values = list(values)
    return None if None in values else train_runs.mean(values)


def summarise(method, args, results):
    """One entry of the JSON list, over a method's runs."""
    speeds = [result.samples_s for result in results]
    accuracies = [result.accuracy for result in results]
    entry = {
        "system": method.system, "model": args.model, "method": method.name, "rate": args.rate, "ranks": args.ranks,
        "batch": args.batch, "seeds": len(results), "samples_s": train_runs.mean(speeds), "samples_s_min": min(speeds),
        "samples_s_max": max(speeds), "accuracy": mean_or_none(accuracies),
        "accuracy_spread": None if None in accuracies else max(accuracies) - min(accuracies),
        "perplexity": mean_or_none(None if result.test_loss is None or args.model not in train_methods.TEXT_MODELS
                                   else math.exp(result.test_loss) for result in results),
        "step_s": mean_or_none(result.step_s for result in results),
        "exposed_s": mean_or_none(result.exposed_s for result in results),
        "bytes_per_step": mean_or_none(result.bytes_per_step for result in results),
        "payload_bytes_per_step": mean_or_none(result.payload_bytes_per_step for result in results),
        "steps": args.settings.steps, "loss": mean_or_none(result.losses[-1] for result in results),
        "train_s": mean_or_none(result.ends[-1] for result in results),
    }
    if args.target_loss is not None:
        entry["target_loss"] = args.target_loss
        entry["seconds_to_loss"] = mean_or_none(seconds_to_loss(result, args.target_loss) for result in results)
    return entry


def table(entries):
    """Text for people, one line per method."""
    columns = [
        ("method", lambda e: f"{e['system']}:{e['method']}"),
        ("samples/s", lambda e: f"{e['samples_s']:.2f}"),
        ("min..max", lambda e: f"{e['samples_s_min']:.2f}..{e['samples_s_max']:.2f}"),
        ("s/step", lambda e: f"{e['step_s']:.3f}"),
        ("exposed s", lambda e: "-" if e["exposed_s"] is None else f"{e['exposed_s']:.3f}"),
        ("MB/step", lambda e: f"{e['bytes_per_step'] / 1e6:.3f}"),
        ("loss", lambda e: f"{e['loss']:.4f}"),
        ("accuracy", lambda e: "-" if e["accuracy"] is None else
         f"{100 * e['accuracy']:.2f} % +- {50 * e['accuracy_spread']:.2f}"),
    ]
    if any(entry["perplexity"] is not None for entry in entries):
        columns.append(("perplexity", lambda e: "-" if e["perplexity"] is None else f"{e['perplexity']:.3f}"))
    if any("seconds_to_loss" in entry for entry in entries):
        columns.append(("s to loss", lambda e: "-" if e["seconds_to_loss"] is None else f"{e['seconds_to_loss']:.1f}"))
    rows = [[title for title, _ in columns]] + [[text(entry) for _, text in columns] for entry in entries]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in rows)


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def environment(args, goodput):
    version = subprocess.run([args.orchestrator, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"host": platform.node(), "processor": processor(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "sluice": version.split()[-1], "goodput_mb_s": goodput}


def print_commands(args, hosts):
    """What would run, for the first seed."""
    limited = args.rate != "none"
    if limited:
        print(" ".join(hosts.up_command()))
    for method in args.methods:
        print(f"# {method}, seed {args.seeds[0]}, timed from step {train_methods.timed_from(method, args.settings)}")
        port = 29401 if limited else 0
        if method.system == "sluice":
            print(json.dumps(train_methods.sluice_job(method, args.settings, args.seeds[0], hosts.transports)))
            commands = train_runs.sluice_commands(args.orchestrator, hosts, args.settings, "DIR/job.json", "DIR", port,
                                                  train_methods.plans(method))
            if len(commands) > 1:
                print(args.orchestrator, "credentials", "DIR/credentials")
        else:
            commands = train_runs.ddp_commands(args.python, hosts, method, args.settings, args.seeds[0], port)
        for command in commands:
            print(command.shell())
    if limited:
        print(" ".join(hosts.down_command()))


def run(args, hosts):
    results, versions = {}, set()
    for seed, method in order(args.methods, args.seeds):
        if method.system == "sluice":
            result = train_runs.run_sluice(args.orchestrator, hosts, method, args.settings, seed, args.timeout, args.keep)
        else:
            result = train_runs.run_ddp(args.python, hosts, method, args.settings, seed, args.timeout, args.keep)
        if result.version:
            versions.add(result.version)
        results.setdefault(method, []).append(result)
        print(f"seed {seed} {method}: {result.samples_s:.2f} samples/s, loss {result.losses[-1]:.4f}",
              file=sys.stderr, flush=True)
    return [summarise(method, args, results[method]) for method in args.methods], sorted(versions)


def main(argv):
    args = parse(argv)
    hosts = train_hosts.ThisHost() if args.rate == "none" else train_hosts.LimitedHosts(args.ranks, args.rate)
    if args.dry_run:
        print_commands(args, hosts)
        return
    if not os.access(args.orchestrator, os.X_OK):
        raise SystemExit(f"train_bench: no {args.orchestrator}: bazel build //orchestrator, or give --orchestrator")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the hosts must go all the same
    with hosts:
        around = environment(args, hosts.measure_goodput())
        try:
            entries, versions = run(args, hosts)
        except RuntimeError as error:
            raise SystemExit(f"train_bench: {error}")
    around["peers"] = versions
    goodput = around["goodput_mb_s"]
    print(f"{args.model}, {args.ranks} ranks, batch {args.batch} each, rate {args.rate}"
          + (f" (measured {goodput:.2f} MB/s)" if goodput is not None else "")
          + f", {args.settings.steps} steps, the first {args.warmup} not timed, seeds {args.seeds}")
    print(f"{around['host']}: {around['cores']} cores, {around['processor']}, kernel {around['kernel']}; "
          f"sluice {around['sluice']}" + "".join(f", {version}" for version in versions))
    print(table(entries))
    if args.json:
        with open(args.json, "w") as file:
            json.dump([{**entry, "environment": around} for entry in entries], file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
