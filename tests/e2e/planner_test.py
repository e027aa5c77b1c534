#!/usr/bin/python3
"""Policies that plan by measured times and over every codec family, with real processes."""

from cluster import SMALL, Job, check, run_tests

FAMILIES = "compression.candidate_families=[quantizer, cast, clipped, sign, ternary, topk, lowrank, drop]"


def run(np, *sets, flags=()):
    one = Job(np, SMALL + ["training.steps=60", *sets], flags=flags)
    check(one.wait(240) == 0, one.stderr())
    check(one.summary()["replicas_identical"] is True, one.summary())
    return one


def a_plan_by_time_rests_on_measured_times():
    # Without hysteresis: with it, uniform's plan stays wherever it is about as fast as the new one.
    one = run(2, "compression.policy=lgreco_time", "compression.hysteresis=0", FAMILIES)
    windows = one.recorded("stats.jsonl")
    check(len(windows) >= 2, f"{len(windows)} windows")
    buckets = len(one.recorded("timings.jsonl")[0]["buckets"])
    for window in windows:
        times = window["times"]
        check(len(times["ready_seconds"]) == buckets, window["times"])
        check(0 < max(times["ready_seconds"]) == times["backward_seconds"], times)
        check(times["bytes_per_second"] > 0, times)
        check(all(option["codec_seconds"] > 0 for layer in window["layers"] for option in layer["options"]
                  if option["codec"] != "drop"), window)
    timed = [policy for policy in one.recorded("policies.jsonl") if "predicted_exposed_seconds" in policy]
    check(timed, "no plan by time")
    for policy in timed:
        check(policy["predicted_exposed_seconds"] <= policy["predicted_raw_exposed_seconds"], policy)
        check(policy["error"] <= policy["budget"] * (1 + 1e-9), policy)
        check(policy["reason"].startswith("lgreco_time: "), policy)
    one.close()


def mixed_families_send_fewer_bytes_than_quantisers_alone():
    """Of the first window, which is the same in both runs."""
    quantisers, mixed = run(2, "compression.policy=lgreco"), run(2, "compression.policy=lgreco", FAMILIES)
    plans = [one.recorded("policies.jsonl")[1] for one in (quantisers, mixed)]
    check(plans[1]["predicted_bytes"] < 0.8 * plans[0]["predicted_bytes"], [plan["reason"] for plan in plans])
    families = {codec.rstrip("0123456789/%.qfpx") for codec in plans[1]["layers"].values()}
    check(len(families) >= 2, f"one family alone: {plans[1]['layers']}")
    losses = [one.steps()[-1]["loss"] for one in (quantisers, mixed)]
    check(losses[1] < losses[0] + 0.1 and losses[1] < mixed.steps()[0]["loss"], losses)
    for one in (quantisers, mixed):
        one.close()


def several_profilers_plan_what_one_does():
    """Of the first window, which is the same in all runs."""
    plans = []
    for profilers in (1, 3):
        one = run(2, "compression.policy=lgreco", flags=["--profilers", str(profilers)])
        plans.append(one.recorded("policies.jsonl")[1])
        started = [process for process in one.events("generation")[0]["processes"] if process["role"] == "profiler"]
        check(len(started) == profilers, started)
        one.close()
    check(plans[0]["layers"] == plans[1]["layers"] and plans[0]["error"] == plans[1]["error"], plans)


run_tests([a_plan_by_time_rests_on_measured_times, mixed_families_send_fewer_bytes_than_quantisers_alone,
           several_profilers_plan_what_one_does])
