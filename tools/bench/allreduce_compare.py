#!/usr/bin/python3
"""All-reduce of floats by Sluice, gloo and Open MPI on one machine: the same sweep, in turns.

  bazel build //tools/bench:allreduce_bench
  tools/bench/allreduce_compare.py --ranks 2,4 --transports shm,tcp,netlab:1gbit --json allreduce.json

For every transport and number of ranks there are --rounds rounds; in each, every system does the whole sweep once, and
each round starts with another system. A figure is the median over the rounds of the median over the iterations of the
slowest rank's time. All check their results outside the timed part; a wrong value is an error.

Systems: sluice, sluice:ALGORITHM (direct, ring, halving-doubling, hierarchical), gloo, openmpi. gloo has no shared
memory transport and runs over loopback TCP where the others use shared memory. In netlab each rank is a host of its own.
What could not be run is named in the output. `setup.sh --peers` installs gloo and Open MPI; netlab needs root.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NETLAB = os.path.join(ROOT, "tools", "netlab", "netlab.sh")
GOODPUT = os.path.join(ROOT, "tools", "netlab", "goodput.py")
BENCH = os.path.join(ROOT, "bazel-bin", "tools", "bench", "allreduce_bench")
PYTHON = "/usr/bin/python3"  # the one that python3-torch belongs to


class Failed(Exception):
    """A system could not be run; the text says why."""


def parse_bytes(text):
    units = {"K": 10, "M": 20, "G": 30}
    shift = units.get(text[-1:].upper(), 0)
    return int(text[:-1] if shift else text) << shift


def words(text):
    return [word for word in text.split(",") if word]


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=lambda text: [int(n) for n in words(text)], default=[2, 4], metavar="N,...")
    parser.add_argument("--transports", type=words, default=["shm", "tcp"], help="of shm, tcp, netlab:RATE")
    parser.add_argument("--systems", type=words, default=["sluice", "gloo", "openmpi"])
    parser.add_argument("-b", "--min-bytes", type=parse_bytes, default=1 << 10)
    parser.add_argument("-e", "--max-bytes", type=parse_bytes, default=16 << 20)
    parser.add_argument("-f", "--factor", type=int, default=4)
    parser.add_argument("-n", "--iterations", type=int, default=20)
    parser.add_argument("-w", "--warmup", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bench", default=BENCH, help="the allreduce_bench to run (default: bazel-bin's)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one sweep of one system")
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args(argv)
    for transport in args.transports:
        if transport not in ("shm", "tcp") and not transport.startswith("netlab:"):
            parser.error(f"--transports: \"{transport}\" is not shm, tcp or netlab:RATE")
    for system in args.systems:
        if system.partition(":")[0] not in ("sluice", "gloo", "openmpi"):
            parser.error(f"--systems: \"{system}\" is not sluice, sluice:ALGORITHM, gloo or openmpi")
    if not os.access(args.bench, os.X_OK):
        parser.error(f"{args.bench} is missing: bazel build //tools/bench:allreduce_bench, or --bench")
    return args


def run(command, timeout):
    """The output of `command`; its whole process group ends with it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"not over after {timeout:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        raise Failed(f"exit status {process.returncode}: {err.strip()[-2000:]}")
    return out


def sweep_options(args, ranks):
    return ["--ranks", str(ranks), "--min-bytes", str(args.min_bytes), "--max-bytes", str(args.max_bytes), "--factor",
            str(args.factor), "--iterations", str(args.iterations), "--warmup", str(args.warmup)]


def run_sluice(args, algorithm, transport, ranks, prefix):
    with tempfile.TemporaryDirectory(prefix="allreduce-compare-") as directory:
        report = os.path.join(directory, "report.json")
        hosts = ["--netlab-prefix", prefix] if prefix else []
        run([args.bench, *sweep_options(args, ranks), "--transport", transport, *hosts, "--algorithm",
             algorithm or "auto", "--json", report], args.timeout)
        with open(report, encoding="utf-8") as file:
            result = json.load(file)
    rows = [dict(bytes=row["bytes"], **row["in_place"]) for row in result["rows"]]
    return result["versions"], rows


def run_peer(command, timeout):
    lines = [json.loads(line) for line in run(command, timeout).splitlines() if line.startswith("{")]
    return lines[0]["versions"], lines[1:]


def run_system(args, system, transport, ranks, prefix):
    """(versions, rows of one sweep)."""
    name, _, algorithm = system.partition(":")
    hosts = ["--netlab-prefix", prefix] if prefix else []
    if name == "sluice":
        versions, rows = run_sluice(args, algorithm, transport, ranks, prefix)
    elif name == "gloo":
        script = os.path.join(HERE, "peers", "gloo_allreduce.py")
        versions, rows = run_peer([PYTHON, script, *sweep_options(args, ranks), *hosts], args.timeout)
    else:
        script = os.path.join(HERE, "peers", "mpi_allreduce.py")
        where = hosts or ["--transport", transport]
        versions, rows = run_peer([PYTHON, script, *sweep_options(args, ranks), *where], args.timeout)
    wrong = [f"{row['wrong']} at {row['bytes']} bytes" for row in rows if row["wrong"]]
    if wrong:
        raise Failed("wrong values: " + ", ".join(wrong))
    return versions, rows


def missing(system):
    """Why `system` cannot be run at all, or None."""
    if system == "gloo" and subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode:
        return f"{PYTHON} has no torch; setup.sh --peers installs it"
    if system == "openmpi" and not (shutil.which("mpirun") and shutil.which("mpicc")):
        return "mpirun or mpicc is missing; setup.sh --peers installs them"
    return None


def busbw(size, ranks, microseconds):
    return size / microseconds / 1e3 * 2 * (ranks - 1) / ranks


def over(system, transport):
    return "tcp" if system == "gloo" and transport == "shm" else transport


def summarise(transport, ranks, sweeps):
    """One row per size, from {system: [rows of a round]}."""
    rows = []
    sizes = sorted({row["bytes"] for rounds in sweeps.values() for sweep in rounds for row in sweep})
    for size in sizes:
        systems = {}
        for system, rounds in sweeps.items():
            of_size = [row for sweep in rounds for row in sweep if row["bytes"] == size]
            if not of_size:
                continue
            medians = [row["time_us"] for row in of_size]
            time = statistics.median(medians)
            systems[system] = {
                "over": over(system, transport),
                "time_us": time,
                "busbw_gb_s": busbw(size, ranks, time),
                "best_round_us": min(medians),
                "best_round_busbw_gb_s": busbw(size, ranks, min(medians)),
                "min_us": min(row["min_us"] for row in of_size),
                "rounds_us": medians,
            }
        row = {"transport": transport, "ranks": ranks, "bytes": size, "systems": systems}
        if "sluice" in systems:
            row["sluice_busbw_over"] = {system: systems["sluice"]["busbw_gb_s"] / other["busbw_gb_s"]
                                        for system, other in systems.items() if system != "sluice"}
        rows.append(row)
    return rows


def measure(args, transport, ranks, prefix, report):
    sweeps = {system: [] for system in args.systems if system not in report["unavailable"]}
    order = list(sweeps)
    for number in range(args.rounds):
        shift = number % max(len(order), 1)
        for system in order[shift:] + order[:shift]:
            print(f"# {transport}, {ranks} ranks, round {number + 1} of {args.rounds}: {system}", file=sys.stderr,
                  flush=True)
            try:
                versions, rows = run_system(args, system, transport, ranks, prefix)
                report["versions"].update(versions)
                sweeps[system].append(rows)
            except Failed as error:
                report["failed"].append(f"{system} over {transport} with {ranks} ranks: {error}")
                print(f"allreduce_compare.py: {report['failed'][-1]}", file=sys.stderr, flush=True)
    return summarise(transport, ranks, sweeps)


def measure_on_hosts(args, transport, ranks, report):
    prefix = "ac" + uuid.uuid4().hex[:6]
    run([NETLAB, "up", prefix, str(ranks), transport.partition(":")[2]], 60)
    try:
        link = float(run([NETLAB, "goodput", prefix], 60))
        report["link_mb_s"].setdefault(transport, []).append(link)
        return measure(args, transport, ranks, prefix, report)
    finally:
        subprocess.run([NETLAB, "down", prefix], check=False)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")


def table(report):
    """Lines of text: a row per transport, ranks and size; a pair of columns per system; ratios."""
    systems = [s for s in report["systems"] if any(s in row["systems"] for row in report["rows"])]
    others = [s for s in systems if s != "sluice"]
    lines = ["".join([f"{'transport':>14} {'ranks':>5} {'bytes':>10}"] +
                     [f" | {s + ' us':>16} {'GB/s':>7}" for s in systems] +
                     [f" | {'sluice/' + s:>16}" for s in others if "sluice" in systems])]
    for row in report["rows"]:
        line = f"{row['transport']:>14} {row['ranks']:>5} {row['bytes']:>10}"
        for system in systems:
            one = row["systems"].get(system)
            line += f" | {one['time_us']:>16.1f} {one['busbw_gb_s']:>7.3f}" if one else f" | {'-':>16} {'-':>7}"
        for system in others if "sluice" in systems else []:
            ratio = row.get("sluice_busbw_over", {}).get(system)
            line += f" | {ratio:>16.2f}" if ratio else f" | {'-':>16}"
        lines.append(line)
    return lines


def main():
    args = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that hosts are removed
    report = {
        "benchmark": "allreduce_compare",
        "systems": args.systems,
        "rounds": args.rounds,
        "iterations": args.iterations,
        "warmup": args.warmup,
        "machine": {"host": platform.node(), "cores": len(os.sched_getaffinity(0)), "processor": processor(),
                    "kernel": platform.release(), "load_before": os.getloadavg()[0]},
        "versions": {},
        "command_line": ["allreduce_compare.py", *sys.argv[1:]],
        "link_mb_s": {},
        "unavailable": {system: why for system in args.systems if (why := missing(system))},
        "failed": [],
        "rows": [],
    }
    for system, why in report["unavailable"].items():
        print(f"allreduce_compare.py: {system} is not run: {why}", file=sys.stderr)
    for transport in args.transports:
        if transport == "tcp":
            report["link_mb_s"]["tcp"] = [float(run([GOODPUT], 60))]
        for ranks in args.ranks:
            if transport.startswith("netlab:"):
                report["rows"] += measure_on_hosts(args, transport, ranks, report)
            else:
                report["rows"] += measure(args, transport, ranks, "", report)
    report["machine"]["load_after"] = os.getloadavg()[0]

    print("\n".join(table(report)))
    for name, links in report["link_mb_s"].items():
        print(f"# one plain TCP stream over {name}: {statistics.median(links):.1f} MB/s")
    if args.json:
        with open(os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), args.json), "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    if report["failed"]:
        sys.exit("allreduce_compare.py: failed:\n" + "\n".join(report["failed"]))


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"allreduce_compare.py: {failure}")
