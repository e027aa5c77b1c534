#!/usr/bin/python3
"""A run's plans, played again: the same plans at the same steps, and the same bits."""

import json
import os
import subprocess

from cluster import BINARY, SMALL, Job, check, run_tests

SETS = SMALL + ["training.steps=60", "compression.rounding=stochastic"]
RUN = None


def original():
    """One run with lgreco serves all tests."""
    global RUN
    if RUN is None:
        RUN = Job(3, SETS)
        check(RUN.wait(240) == 0, RUN.stderr())
    return RUN


def play(plan_file, np=3, sets=()):
    job = Job(np, SETS + ["compression.policy=recorded", f"compression.plan_file={plan_file}", *sets])
    return job, job.wait(240)


def bits(job):
    return [(step["loss"], step["policy_version"], step["wire_bytes"]) for step in job.steps()]


def a_played_run_has_the_same_plans_at_the_same_steps_and_the_same_bits():
    first = original()
    job, code = play(os.path.join(first.run_directory, "policies.jsonl"))
    check(code == 0, job.stderr())
    check(bits(first) == bits(job), f"{bits(first)}\n{bits(job)}")
    check(bits(job)[-1][1] >= 2, f"only one plan was in force: {bits(job)[-1]}")
    check(job.summary()["replicas_identical"] is True, job.summary())
    for key in ["train_loss", "test_loss", "test_accuracy"]:
        check(first.summary()[key] == job.summary()[key], f"{key}: {first.summary()}, {job.summary()}")
    plans = [[(p["effective_step"], p["layers"]) for p in one.recorded("policies.jsonl")] for one in (first, job)]
    check(plans[0] == plans[1], plans)
    for step in job.steps():
        check(abs(step["wire_bytes"] / step["predicted_bytes"] - 1) < 0.02, step)
    check(os.path.getsize(os.path.join(job.run_directory, "stats.jsonl")) == 0, "something was profiled")
    job.close()


def a_plan_that_was_made_offline_is_in_force_from_the_warm_up_on():
    plan_file = os.path.join(original().directory, "plan.json")
    with open(plan_file, "w") as file:
        subprocess.run([BINARY, "plan", "--stats", os.path.join(original().run_directory, "stats.jsonl"),
                        "--set", "compression.alpha=2", "--json"], stdout=file, check=True)
    with open(plan_file) as file:
        expected = json.load(file)
    job, code = play(plan_file, sets=["training.steps=20"])
    check(code == 0, job.stderr())
    plans = job.recorded("policies.jsonl")
    check(len(plans) == 1 and plans[0]["layers"] == expected["layers"] and plans[0]["effective_step"] == 10, plans)
    check(job.steps()[-1]["policy_version"] == 1, job.steps()[-1])
    check(abs(plans[0]["predicted_bytes"] - expected["predicted_bytes"]) < 1, (plans, expected))
    job.close()


def the_offline_plan_of_a_window_is_the_runs():
    run = original()
    windows, published = run.recorded("stats.jsonl"), run.recorded("policies.jsonl")
    out = subprocess.run([BINARY, "plan", "--stats", os.path.join(run.run_directory, "stats.jsonl"),
                          "--window", "0", "--json"], stdout=subprocess.PIPE, check=True).stdout
    plan = json.loads(out)
    check(windows[0]["window"] == 0 and published[1]["effective_step"] == 17, published[1])
    for key in ["layers", "predicted_bytes", "error", "budget", "reason"]:
        check(plan[key] == published[1][key], f"{key}: {plan[key]} and {published[1][key]}")


def a_recording_of_another_model_ends_the_job_at_its_start():
    plan_file = os.path.join(original().directory, "other.jsonl")
    with open(plan_file, "w") as file:
        file.write('{"version":1,"effective_step":0,"layers":{"other.weight":"raw"}}\n')
    job, code = play(plan_file)
    check(code == 78 and "1 layers, the model has" in job.stderr(), (code, job.stderr()))
    job.close()


run_tests([a_played_run_has_the_same_plans_at_the_same_steps_and_the_same_bits,
           a_plan_that_was_made_offline_is_in_force_from_the_warm_up_on,
           the_offline_plan_of_a_window_is_the_runs,
           a_recording_of_another_model_ends_the_job_at_its_start])
