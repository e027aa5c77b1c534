#!/usr/bin/python3
"""Faults that --chaos injects are found and named: stopped, slow, killed, not finite, damaged. And metrics."""

import os
import re
import time
import urllib.request

from cluster import SMALL, Job, check, run_tests

ONE_BY_ONE = SMALL + ["report.every_steps=1"]


def run_with(np, sets, faults, timeout=240):
    plan = f"/tmp/sluice-chaos-{os.getpid()}.yaml"
    with open(plan, "w") as file:
        file.write("faults: [" + ", ".join(f"{{{fault}}}" for fault in faults) + "]\n")
    job = Job(np, ONE_BY_ONE + sets, flags=["--chaos", plan])
    code = job.wait(timeout)
    os.unlink(plan)
    return job, code


def findings(job):
    events = [line for line in job.json_lines() if line["event"] == "stall"]
    check(events == job.events("stall"), "events.jsonl differs from standard output")
    return events


def a_stopped_rank_is_named_and_resolved():
    job, code = run_with(3, ["training.steps=60"],
                         ["fault: stop, at_step: 30, rank: 1, for_seconds: 6"])
    check(code == 0, job.stderr())
    events = [event for event in findings(job) if event["id"] == "SL2102"]
    check([event["state"] for event in events] == ["found", "resolved"], events)
    check(events[0]["rank"] == 1 and events[0]["kind"] == "silent", events)
    check(events[0]["waiting_ranks"] == 2 and events[0]["layers"], events)
    check(events[0]["seconds"] < 5, events)
    check("SL2102 rank 1 (host" in job.stderr(), job.stderr())
    check(job.summary()["stalls"] == 1 and job.summary()["stalled_seconds"] > 3, job.summary())
    job.close()


def a_slow_rank_is_named():
    job, code = run_with(3, ["training.steps=80"],
                         ["fault: delay, at_step: 5, rank: 2, milliseconds: 250, for_steps: 70"])
    check(code == 0, job.stderr())
    slow = [event for event in findings(job) if event["id"] == "SL2101"]
    check(slow and all(event["rank"] == 2 for event in slow), findings(job))
    lags = {one["rank"]: one["lag_seconds_per_step"] for one in job.summary()["ranks"]}
    check(lags[2] > 0.1 and lags[2] > 5 * max(lags[0], lags[1]), lags)
    job.close()


def an_even_job_has_no_findings():
    job, code = run_with(2, ["training.steps=60"], [])
    check(code == 0, job.stderr())
    check([event for event in findings(job) if event["id"] == "SL2102"] == [], findings(job))
    job.close()


def a_gradient_that_is_not_finite_is_passed_over_by_all():
    job, code = run_with(3, ["training.steps=60", "training.on_nan=skip"],
                         ["fault: nan, at_step: 20, rank: 1, layer: fc1.weight",
                          "fault: nan, at_step: 40, rank: 0"])
    check(code == 0, job.stderr())
    check([step["step"] for step in job.steps() if step["skipped"]] == [20, 40], job.steps())
    check(job.summary()["skipped_steps"] == 2 and job.summary()["replicas_identical"], job.summary())
    check(re.search(r"SL3001 step 20: the gradient of rank 1 is not finite, first in \"\S+\", "
                    r"before compression. Step skipped \(1 of 10", job.stderr()), job.stderr())
    check(job.steps()[-1]["loss"] < job.steps()[0]["loss"], job.steps()[-1])
    job.close()


def a_gradient_that_is_not_finite_stops_the_job_by_name():
    job, code = run_with(3, ["training.steps=60"], ["fault: nan, at_step: 20, rank: 1"])
    check(code == 1, f"{code}: {job.stderr()}")
    cause = job.summary()["cause"]
    check(cause.startswith("rank 1 (host") and "SL3001 step 20: the gradient of rank 1" in cause, cause)
    job.close()


def a_killed_rank_is_named():
    job, code = run_with(2, ["training.steps=100000"], ["fault: kill, at_step: 20, rank: 1"])
    check(code == 1, f"{code}: {job.stderr()}")
    check("rank 1 (host" in job.summary()["cause"] and "was killed by signal 9" in job.stderr(),
          job.stderr())
    job.close()


def a_damaged_message_is_named():
    job, code = run_with(2, ["training.steps=100000"],
                         ["fault: corrupt, at_step: 20, rank: 1, to: 0"])
    check(code == 74, f"{code}: {job.stderr()}")
    check("from rank 1" in job.summary()["cause"], job.summary())
    job.close()


def a_dead_coordinator_ends_the_job():
    job, code = run_with(2, ["training.steps=100000"], ["fault: coordinator_kill, at_step: 20"])
    check(code not in (0, None), job.stderr())
    check("coordinator (host" in job.stderr(), job.stderr())
    job.close()


def a_bad_plan_is_refused_before_anything_starts():
    job, code = run_with(2, [], ["fault: kil, at_step: 1"])
    check(code == 78, f"{code}: {job.stderr()}")
    check("did you mean \"kill\"" in job.stderr(), job.stderr())
    job.close()


def metrics_of_a_live_job_can_be_scraped():
    job = Job(2, ONE_BY_ONE + ["training.steps=100000", "report.metrics_port=0"])
    job.wait_for_step(30)
    address = re.search(r"metrics at (http://127.0.0.1:\d+/metrics)", job.stderr()).group(1)
    time.sleep(1.5)  # a heartbeat
    text = urllib.request.urlopen(address, timeout=10).read().decode()
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    host = os.uname().nodename
    for rank in "01":
        labels = f"{{rank=\"{rank}\",host=\"{host}\"}}"
        check(values[f"sluice_step_total{labels}"] >= 30, text)
        check(values[f"sluice_sent_bytes_total{labels}"] > 0, text)
        check(values[f"sluice_heartbeat_age_seconds{labels}"] < 5, text)
        check(values[f"sluice_resident_memory_bytes{labels}"] > 1e7, text)
        check(f"sluice_arrival_lag_seconds{labels}" in values, text)
    check(values["sluice_world_size"] == 2 and values["sluice_generation"] == 1, text)
    check(values["sluice_step_duration_seconds_count"] >= 30, text)
    check(values["sluice_samples_total"] >= 30 * 32 and values["sluice_loss"] > 0, text)
    for name in {re.split(r"[{ ]", name)[0] for name in values}:
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        check(f"# HELP {name} " in text or f"# HELP {family} " in text, f"{name} has no help")
    job.kill()
    job.close()


run_tests([a_stopped_rank_is_named_and_resolved, a_slow_rank_is_named, an_even_job_has_no_findings,
           a_gradient_that_is_not_finite_is_passed_over_by_all,
           a_gradient_that_is_not_finite_stops_the_job_by_name, a_killed_rank_is_named,
           a_damaged_message_is_named, a_dead_coordinator_ends_the_job,
           a_bad_plan_is_refused_before_anything_starts, metrics_of_a_live_job_can_be_scraped])
