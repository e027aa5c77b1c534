#!/usr/bin/python3
"""What the phases make of a network: pruning beside training without it, and a robust phase beside plain pruning.

  tools/bench/phase_bench.py prune --models resnet18,vgg11 --seeds 1,2,3 --steps 938 --results pruned.jsonl
  tools/bench/phase_bench.py robust --models cnn,vgg11 --sparsities 0.9,0.95,0.99 --results robust.jsonl
  tools/bench/phase_bench.py prune --models cnn --dry-run            prints the jobs, starts nothing

prune: all steps dense, or --dense-steps of them dense and the rest otov3; `orchestrator prune` makes the smaller network. With
--one-rank-steps a pruned job of so many steps runs on all ranks and on one, without compression and with batch norm's statistics
of the whole batch: are the same channels zero? What both compute is the same up to rounding, which grows with the steps.
robust: --dense-steps of the steps dense, then tscnc with both constraints, or with neither (magnitude pruning and the same
adversarial training); `orchestrator attack` counts what is right under attack.

Every run is a line of --results as soon as it is over; one that is there already is not run again, so that a comparison
of many hours can be stopped at any time and gone on with. Fashion-MNIST. Build first: bazel build //orchestrator
"""

import argparse
import json
import math
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prune", "robust"])
    parser.add_argument("--models", default="cnn", help="of the zoo, as cnn,vgg11 (default: %(default)s)")
    parser.add_argument("--seeds", default="1,2,3", help="(default: %(default)s)")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--batch", type=int, default=128, help="of all ranks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=938, help="of a job (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--dense-steps", type=float, default=1 / 3, metavar="SHARE",
                        help="of the steps, before the phase begins; 0: it begins with the first one (default: a third)")
    parser.add_argument("--target", type=float, default=0.5, help="prune: share of groups that go (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="a key of the phase as in a job file, e.g. cost_weight=0.5; may be given again")
    parser.add_argument("--one-rank-steps", type=int, default=0, metavar="N",
                        help="prune: compare with one rank, in a job of N steps; 0: do not (default: %(default)s)")
    parser.add_argument("--sparsities", default="0.9,0.95,0.99", help="robust (default: %(default)s)")
    parser.add_argument("--attack-steps", type=int, default=7, help="robust: of training (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=1000, help="robust: test images attacked (default: %(default)s)")
    parser.add_argument("--results", default="phase_bench.jsonl", help="(default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=14400, help="seconds for one run (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--orchestrator", default=os.path.join(ROOT, "bazel-bin/orchestrator/orchestrator"))
    args = parser.parse_args(argv)
    args.models = args.models.split(",")
    try:
        args.seeds = [int(seed) for seed in args.seeds.split(",")]
        args.sparsities = [float(sparsity) for sparsity in args.sparsities.split(",")]
        args.settings = {key: json.loads(value) for key, value in (item.split("=", 1) for item in args.settings)}
    except ValueError as error:
        parser.error(str(error))
    if not 0 <= args.dense_steps < 1:
        parser.error("--dense-steps: expected a share from 0 up to below 1")
    if args.steps < 3 or args.ranks < 1 or args.one_rank_steps in (1, 2):
        parser.error("--steps, --one-rank-steps: expected 3 or more; --ranks: 1 or more")
    return args


UNCOMPRESSED, ONE_RANK = "pruned, uncompressed", "pruned, uncompressed, one rank"


def job(args, model, seed, phases, ranks=None, policy="lgreco", sync=False):
    """A job file's content. `phases`: empty for plain training. `ranks`: of --ranks, if not given. `sync`: batch norm."""
    warmup = min(50, (sum(phase["steps"] for phase in phases) or args.steps) // 10)
    return {
        "name": "phase_bench",
        "model": {"name": model},
        "training": {"global_batch": args.batch, "seed": seed, **({} if phases else {"steps": args.steps}),
                     **({"sync_batch_norm": True} if sync else {})},
        "optimizer": {"kind": "sgd", "learning_rate": args.learning_rate, "momentum": 0.9},
        "schedule": {"kind": "cosine", "warmup_steps": warmup},
        "compression": {"policy": policy, "warmup_steps": warmup, "window_steps": 50},
        "world": {"size": ranks or args.ranks},
        "checkpoint": {"at_end": "on"},
        **({"phases": phases} if phases else {}),
    }


def then(args, kind, settings, steps=None):
    """--dense-steps of the steps dense, the rest of that kind; the rate starts anew without a warm-up. `steps`: of --steps."""
    steps = steps or args.steps
    dense = int(steps * args.dense_steps)
    settings = {**settings, **args.settings}
    if dense == 0:
        return [{"name": kind, "kind": kind, "steps": steps, kind: settings}]
    return [{"name": "dense", "steps": dense},
            {"name": kind, "kind": kind, "steps": steps - dense, "schedule": {"warmup_steps": 0}, kind: settings}]


def pruning_runs(args, model, seed):
    """(method, job) pairs."""
    settings = {"target_sparsity": args.target}
    runs = [("dense", job(args, model, seed, [])), ("pruned", job(args, model, seed, then(args, "otov3", settings)))]
    if args.one_rank_steps:
        phases = then(args, "otov3", settings, args.one_rank_steps)
        runs += [(UNCOMPRESSED, job(args, model, seed, phases, policy="none", sync=True)),
                 (ONE_RANK, job(args, model, seed, phases, ranks=1, policy="none", sync=True))]
    return runs


def robust_runs(args, model, seed):
    runs = []
    for sparsity in args.sparsities:
        common = {"sparsity": sparsity, "prune_end": 0.5, "attack": {"steps": args.attack_steps}}
        neither = {"cnc": {"lambda": 0}, "tsc": {"lambda": 0}}
        for method, settings in (("tscnc", common), ("plain", {**common, **neither})):
            runs.append((f"{method} {sparsity:g}", job(args, model, seed, then(args, "tscnc", settings))))
    return runs


def last_object(text):
    return json.loads(text.strip().splitlines()[-1])


def call(argv, timeout):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def zero_rows(checkpoint):
    """By name, which rows of a weight are all zero: the channels that pruning took."""
    with open(os.path.join(checkpoint, "model.safetensors"), "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        body = file.read()
    rows = {}
    for name, value in header.items():
        if name == "__metadata__" or value["dtype"] != "F32" or len(value["shape"]) < 2:
            continue
        begin, end = value["data_offsets"]
        size = (end - begin) // value["shape"][0]
        empty = [row for row in range(value["shape"][0])
                 if body[begin + row * size:begin + (row + 1) * size].translate(None, b"\0\x80") == b""]
        if empty:
            rows[name] = empty
    return rows


def run(args, method, content):
    """A line of --results, without its key."""
    folder = tempfile.mkdtemp(prefix="phase-bench-")
    try:
        path, out = os.path.join(folder, "job.json"), os.path.join(folder, "run")
        with open(path, "w") as file:
            json.dump(content, file)
        summary = last_object(call([args.orchestrator, "run", "--json", "--run-directory", out, path], args.timeout))
        line = {"accuracy": summary["test_accuracy"], "replicas_identical": summary["replicas_identical"],
                "bytes_per_step": summary["wire_bytes_per_step"], "seconds": summary["wall_seconds"]}
        if method.startswith("pruned"):
            report = last_object(call([args.orchestrator, "prune", out, "--out", os.path.join(folder, "smaller.pt"),
                                       "--json"], args.timeout))
            line.update({key: report[key] for key in ("parameters", "parameters_before", "macs", "macs_before",
                                                      "difference")})
            line["zero_rows"] = zero_rows(summary["checkpoint"])
        if args.what == "robust":
            report = last_object(call([args.orchestrator, "attack", out, "--samples", str(args.samples), "--json"],
                                      args.timeout))
            line["report"] = report
        return line
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def key_of(args, model, method, content):
    """What makes a run another one."""
    return {"what": args.what, "model": model, "method": method, "job": content}


def known(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def spread(values, scale=1.0, digits=2):
    if not values:
        return "-"
    half = (max(values) - min(values)) / 2
    return f"{scale * statistics.mean(values):.{digits}f} (+- {scale * half:.{digits}f})"


def agreement(lines, model):
    """Of the channels that several ranks or one rank pruned, the share that both did, least over seeds; "-": not run."""
    rows = {method: [line["zero_rows"] for line in lines if (line["model"], line["method"]) == (model, method)]
            for method in (UNCOMPRESSED, ONE_RANK)}
    shares = []
    for pair in zip(*rows.values()):
        several, one = ({(name, row) for name, empty in rows_of.items() for row in empty} for rows_of in pair)
        shares.append(len(several & one) / max(1, len(several | one)))
    return f"{100 * min(shares):.1f} %" if shares else "-"


def pruning_table(lines):
    rows = ["| network | seeds | dense, % | pruned, % | parameters, times fewer | MACs, times fewer | pruned by one rank too |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for model in sorted({line["model"] for line in lines}):
        dense = [line for line in lines if line["model"] == model and line["method"] == "dense"]
        pruned = [line for line in lines if line["model"] == model and line["method"] == "pruned"]
        rows.append(f"| {model} | {len(pruned)} | {spread([line['accuracy'] for line in dense], 100)} | "
                    f"{spread([line['accuracy'] for line in pruned], 100)} | "
                    f"{spread([line['parameters_before'] / line['parameters'] for line in pruned])} | "
                    f"{spread([line['macs_before'] / line['macs'] for line in pruned])} | {agreement(lines, model)} |")
    return "\n".join(rows)


def mean_log_kappa(report):
    """Of the layers that are measured whole and have full rank; its natural logarithm."""
    kappas = [layer["kappa_nonzero"] for layer in report["layers"] if layer["complete"]]
    return statistics.mean(math.log(kappa) for kappa in kappas if isinstance(kappa, (int, float)))


def robust_table(lines):
    rows = ["| network | method | seeds | clean, % | PGD-20, % | mean ln kappa |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for model, method in sorted({(line["model"], line["method"]) for line in lines}):
        mine = [line["report"] for line in lines if (line["model"], line["method"]) == (model, method)]
        share = [{key: report["right"][key] / report["samples"] for key in ("clean", "pgd20")} for report in mine]
        rows.append(f"| {model} | {method} | {len(mine)} | {spread([one['clean'] for one in share], 100)} | "
                    f"{spread([one['pgd20'] for one in share], 100)} | {spread([mean_log_kappa(one) for one in mine])} |")
    return "\n".join(rows)


def main(argv):
    args = parse(argv)
    runs_of = pruning_runs if args.what == "prune" else robust_runs
    wanted = [key_of(args, model, method, content) for seed in args.seeds for model in args.models
              for method, content in runs_of(args, model, seed)]
    if args.dry_run:
        for one in wanted:
            print(f"# {one['model']}, {one['method']}, seed {one['job']['training']['seed']}\n{json.dumps(one['job'])}")
        return
    if not os.access(args.orchestrator, os.X_OK):
        raise SystemExit(f"phase_bench: {args.orchestrator} is not there: bazel build //orchestrator")
    lines = []
    for one in wanted:
        found = [line for line in known(args.results) if all(line.get(name) == value for name, value in one.items())]
        if not found:
            try:
                found = [{**one, **run(args, one["method"], one["job"])}]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                raise SystemExit(f"phase_bench: {one['model']}, {one['method']}: {error}") from error
            with open(args.results, "a") as file:
                file.write(json.dumps(found[0]) + "\n")
            print(f"{one['model']}, {one['method']}, seed {one['job']['training']['seed']}: accuracy "
                  f"{100 * found[0]['accuracy']:.2f} % in {found[0]['seconds']:.0f} s", file=sys.stderr, flush=True)
        lines.append(found[0])
    print(pruning_table(lines) if args.what == "prune" else robust_table(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
