#!/usr/bin/python3
"""A small job with real processes: what the machine-readable output and the run directory promise."""

import os

from cluster import SMALL, Job, check, run_tests

JOB = None


def job():
    """One run serves all tests that only read what it left."""
    global JOB
    if JOB is None:
        JOB = Job(4, SMALL + ["training.steps=100", "data.prefetch_batches=1"])
        check(JOB.wait(240) == 0, JOB.stderr())
    return JOB


def summary_has_every_promised_field():
    summary = job().summary()
    for key in ["test_accuracy", "steps", "world_size", "samples_per_second", "step_seconds",
                "exposed_seconds_per_step", "wire_bytes_per_step", "predicted_bytes_per_step",
                "raw_bytes_per_step", "policy_changes", "replicas_identical"]:
        check(key in summary, f"{key} is missing: {summary}")
    check(summary["steps"] == 100 and summary["world_size"] == 4, summary)
    check(summary["test_samples"] == 10000, summary)


def one_json_object_per_step_in_order():
    check([step["step"] for step in job().steps()] == list(range(100)), "steps are not 0 to 99")


def learns_something():
    steps = job().steps()
    check(steps[-1]["loss"] < 0.75 * steps[0]["loss"], f"{steps[0]} to {steps[-1]}")
    check(job().summary()["test_accuracy"] > 0.5, job().summary())


def replicas_are_identical_and_compared():
    check(job().summary()["replicas_identical"] is True, job().summary())
    check(job().summary()["checksums_compared"] == 10, job().summary())


def measured_bytes_agree_with_the_prediction():
    for step in job().steps():
        ratio = step["wire_bytes"] / step["predicted_bytes"]
        check(abs(ratio - 1) < 0.02, f"measured / predicted = {ratio}: {step}")


def compression_shrinks_the_wire():
    last = job().steps()[-1]
    check(last["wire_bytes"] < 0.3 * job().summary()["raw_bytes_per_step"], last)


def a_plan_is_never_larger_than_the_uniform_one():
    policies = job().recorded("policies.jsonl")
    check(len(policies) >= 3, f"only {len(policies)} policies")
    for policy in policies:
        check(policy["predicted_bytes"] <= policy["uniform_bytes"] * (1 + 1e-9), policy)
    for policy in policies[1:]:
        check(policy["error"] <= policy["budget"] * (1 + 1e-9), policy)


def every_policy_takes_effect_at_its_step():
    first_use = {}
    for step in job().steps():
        first_use.setdefault(step["policy_version"], step["step"])
    for policy in job().recorded("policies.jsonl"):
        used = first_use.get(policy["version"])
        check(used is None or used == policy["effective_step"], f"{policy} used at {used}")
    check(len(first_use) >= 3, f"policies in use: {first_use}")


def run_directory_is_complete():
    directory = job().run_directory
    for name in ["job.yaml", "metrics.jsonl", "timings.jsonl", "policies.jsonl", "stats.jsonl", "summary.json"]:
        check(os.path.getsize(os.path.join(directory, name)) > 0, name)
    check(len(job().recorded("metrics.jsonl")) == 100, "metrics.jsonl")
    checkpoint = job().summary()["checkpoint"]
    check(os.path.isfile(os.path.join(checkpoint, "manifest.pb.json")), checkpoint)


def the_same_job_gives_the_same_bits():
    sets = SMALL + ["training.steps=45", "compression.rounding=stochastic"]
    runs = [Job(4, sets), Job(4, sets)]  # side by side: their timing differs
    for one in runs:
        check(one.wait(240) == 0, one.stderr())
    first, second = ([(s["loss"], s["policy_version"], s["wire_bytes"]) for s in one.steps()]
                     for one in runs)
    check(first == second, "losses, policies or bytes differ between two runs")
    check(first[-1][1] >= 2, f"no window was decided: {first[-1]}")
    for one in runs:
        one.close()


def sparse_and_low_rank_tensors_travel_as_predicted():
    for codec, smaller in [("topk", 20), ("lowrank", 20)]:
        one = Job(3, SMALL + ["training.steps=41", "compression.policy=uniform",
                              f"compression.uniform_codec={codec}"])
        check(one.wait(240) == 0, one.stderr())
        steps = one.steps()
        check(one.summary()["replicas_identical"] is True, one.summary())
        check(steps[-1]["loss"] < steps[0]["loss"], f"{codec}: {steps[0]} to {steps[-1]}")
        last = steps[-4:]
        sent, predicted = (sum(s[key] for s in last) for key in ["wire_bytes", "predicted_bytes"])
        # Headers of second exchanges are not predicted.
        check(abs(sent / predicted - 1) < 0.05, f"{codec}: sent {sent}, predicted {predicted}")
        check(smaller * sent < 4 * one.summary()["raw_bytes_per_step"], f"{codec}: {sent} bytes in 4 steps")
        one.close()


def every_bucket_is_timed():
    reports = job().recorded("timings.jsonl")
    check({report["rank"] for report in reports} == {0, 1, 2, 3}, "a rank without timings")
    for report in reports:
        check(len(report["buckets"]) > 1, report)
        for bucket in report["buckets"]:
            check(0 < bucket["ready_seconds"] <= bucket["started_seconds"] <= bucket["received_seconds"]
                  <= bucket["reduced_seconds"], bucket)
            check(0 <= bucket["exposed_seconds"] <= bucket["reduced_seconds"], bucket)


run_tests([sparse_and_low_rank_tensors_travel_as_predicted, every_bucket_is_timed, summary_has_every_promised_field, one_json_object_per_step_in_order, learns_something,
           replicas_are_identical_and_compared, measured_bytes_agree_with_the_prediction,
           compression_shrinks_the_wire, a_plan_is_never_larger_than_the_uniform_one,
           every_policy_takes_effect_at_its_step, run_directory_is_complete,
           the_same_job_gives_the_same_bits])
