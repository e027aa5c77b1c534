#!/usr/bin/python3
"""What a run's communication cost, bucket by bucket: in flight, and exposed.

  tools/bench/bucket_times.py RUN_DIRECTORY [--from STEP] [--json]

Reads the run's timings.jsonl and averages over ranks and reports. Times in milliseconds since the step began:
ready: the bucket's last gradient was there; in flight: from its start to its last message; encode and decode: of the
comm thread; exposed: of its time in flight, while the step loop waited after backward. In the last line the time in which
any bucket was in flight, and all exposed time.
"""

import argparse
import json
import os
import sys

FIELDS = ["ready_seconds", "started_seconds", "received_seconds", "reduced_seconds", "encode_seconds",
          "decode_seconds", "exposed_seconds"]


def read(path, first_step):
    """The buckets of every report whose steps are all from `first_step` on."""
    with open(path) as file:
        reports = [json.loads(line) for line in file]
    return [report["buckets"] for report in reports if report["first_step"] >= first_step]


def in_flight(buckets):
    """Seconds in which at least one bucket is on its way."""
    total = end = 0.0
    for start, stop in sorted((b["started_seconds"], b["received_seconds"]) for b in buckets):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def summarise(reports):
    count = len(reports)
    buckets = [{field: sum(report[b][field] for report in reports) / count for field in FIELDS}
               for b in range(len(reports[0]))]
    return {"reports": count, "buckets": buckets,
            "in_flight_seconds": sum(map(in_flight, reports)) / count,
            "exposed_seconds": sum(bucket["exposed_seconds"] for bucket in buckets)}


def table(summary):
    lines = [f"{'bucket':>6} {'ready':>9} {'in flight':>9} {'encode':>9} {'decode':>9} {'exposed':>9}  ms"]
    for number, bucket in enumerate(summary["buckets"]):
        times = [bucket["ready_seconds"], bucket["received_seconds"] - bucket["started_seconds"],
                 bucket["encode_seconds"], bucket["decode_seconds"], bucket["exposed_seconds"]]
        lines.append(f"{number:>6} " + " ".join(f"{1e3 * seconds:9.2f}" for seconds in times))
    lines.append(f"{'all':>6} {'':9} {1e3 * summary['in_flight_seconds']:9.2f} {'':9} {'':9} "
                 f"{1e3 * summary['exposed_seconds']:9.2f}")
    return "\n".join(lines)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run directory")
    parser.add_argument("--from", dest="first_step", type=int, default=0, metavar="STEP",
                        help="leave out reports with earlier steps")
    parser.add_argument("--json", action="store_true", help="one object instead of a table, in seconds")
    args = parser.parse_args(argv)
    path = os.path.join(args.run, "timings.jsonl")
    try:
        reports = read(path, args.first_step)
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"bucket_times: {path}: {error}")
    if not reports:
        raise SystemExit(f"bucket_times: {path}: no report from step {args.first_step} on")
    summary = summarise(reports)
    print(json.dumps(summary) if args.json else table(summary))


if __name__ == "__main__":
    main(sys.argv[1:])
