#!/usr/bin/python3
"""bucket_times.py on a run of two reports."""

import json
import os
import subprocess
import tempfile

TOOL = os.path.join(os.environ.get("TEST_SRCDIR", ""), os.environ.get("TEST_WORKSPACE", ""), "tools/bench/bucket_times.py")


def bucket(ready, started, received, exposed):
    return {"ready_seconds": ready, "started_seconds": started, "received_seconds": received, "reduced_seconds": received,
            "encode_seconds": 0.5, "decode_seconds": 0.25, "exposed_seconds": exposed}


def report(first_step, *buckets):
    return json.dumps({"event": "timings", "rank": 0, "first_step": first_step, "last_step": first_step + 9,
                       "buckets": list(buckets)})


def run(*arguments):
    return subprocess.run([TOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


with tempfile.TemporaryDirectory() as directory:
    missing = run(directory)
    assert missing.returncode == 1 and "timings.jsonl" in missing.stderr, missing

    with open(os.path.join(directory, "timings.jsonl"), "w") as file:
        print(report(0, bucket(9, 9, 99, 9), bucket(9, 9, 99, 9)), file=file)
        print(report(10, bucket(1, 1, 3, 0), bucket(2, 2, 6, 1)), file=file)
        print(report(20, bucket(3, 3, 5, 0), bucket(4, 7, 8, 3)), file=file)

    summary = json.loads(run(directory, "--from", "10", "--json").stdout)
    assert summary["reports"] == 2, summary
    assert [b["ready_seconds"] for b in summary["buckets"]] == [2, 3], summary
    # 1 to 6 in one report, 3 to 5 and 7 to 8 in the other.
    assert summary["in_flight_seconds"] == 4, summary
    assert summary["exposed_seconds"] == 2, summary

    lines = run(directory, "--from", "10").stdout.splitlines()
    assert lines[-1].split() == ["all", "4000.00", "2000.00"], lines

    late = run(directory, "--from", "21")
    assert late.returncode == 1 and "no report from step 21 on" in late.stderr, late
