#!/usr/bin/python3
"""Elastic jobs: workers and the profiler die, freeze and come back, and training goes on with the same replicas."""

import os
import signal
import time

from cluster import SMALL, Job, check, run_tests

STEPS = 150
FAULT_STEP = 40
SETS = SMALL + [f"training.steps={STEPS}", "report.every_steps=1"]
# From the fault on steps take long enough for a process to come back before the last one.
SLOWLY = "fault: delay, at_step: 45, rank: 0, milliseconds: 150, for_steps: 1000"
HANGS = 240  # seconds, no job here takes nearly as long
MARGIN = 0.1  # of accuracy; so short a training varies by some hundredths
_BASE = []


def fault_free_accuracy():
    if not _BASE:
        job = Job(3, SETS)
        check(job.wait(HANGS) == 0, job.stderr())
        _BASE.append(job.summary()["test_accuracy"])
        job.close()
    return _BASE[0]


def slots(event):
    return [one["slot"] for one in event["processes"] if one["role"] == "worker"]


def check_whole(job, steps=STEPS):
    """It ended by itself, every step is there once, and generations begin where completed steps end."""
    check(job.process.returncode == 0, f"code {job.process.returncode}:\n{job.stderr()}")
    check([line["step"] for line in job.recorded("metrics.jsonl")] == list(range(steps)),
          "steps were lost or came twice: " + str([line["step"] for line in job.recorded("metrics.jsonl")]))
    check([line["step"] for line in job.steps()] == list(range(steps)), "standard output differs")
    summary = job.summary()
    check(summary["replicas_identical"] and summary["checksums_compared"] > 0, summary)
    check(summary["steps"] == steps and summary["test_samples"] == 10000, summary)
    generations = job.events("generation")
    check([one["generation"] for one in generations] == list(range(1, summary["generations"] + 1)),
          generations)
    # What was reported by a generation that ended is never computed again.
    begins = [one["start_step"] for one in generations]
    check(begins == sorted(begins), generations)
    check(len(job.events("regroup")) >= len(generations) - 1, job.events("regroup"))
    check(job.children() == {}, f"left: {job.children()}")
    return generations


def check_accuracy(job):
    accuracy, base = job.summary()["test_accuracy"], fault_free_accuracy()
    check(accuracy > base - MARGIN, f"accuracy {accuracy}, without faults {base}")


def killed_and_back(slot):
    job = Job(3, SETS, flags=["--min-np", "1"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: {slot}", SLOWLY.replace("rank: 0", "rank: 2")])
    job.wait(HANGS)
    generations = check_whole(job)
    check(len(generations) == 3, generations)
    left = [one for one in (0, 1, 2) if one != slot]
    # It was killed as the step began, so nobody could complete it: it is the first one of the next generation.
    check(slots(generations[1]) == left and generations[1]["start_step"] == FAULT_STEP, generations)
    check(generations[1]["ranks_synced"] == [], generations)
    # Those that stayed keep their order; who comes back is last and receives the state.
    check(slots(generations[2]) == left + [slot] and generations[2]["ranks_synced"] == [2], generations)
    first, second = job.events("regroup")
    check([one["slot"] for one in first["lost"]] == [slot], first)
    check(f"rank {slot} (host" in first["reason"] and "is gone" in first["reason"], first)
    check(second["lost"] == [] and "join" in second["reason"], second)
    check(generations[0]["processes"][slot]["pid"] == first["lost"][0]["pid"], generations)
    check_accuracy(job)
    job.close()


def a_middle_worker_killed_is_back():
    killed_and_back(1)


def rank_0_killed_is_back_as_the_last():
    killed_and_back(0)


def two_killed_at_once_are_back():
    job = Job(4, SETS, flags=["--min-np", "2"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1",
                     f"fault: kill, at_step: {FAULT_STEP}, rank: 3", SLOWLY])
    job.wait(HANGS)
    generations = check_whole(job)
    lost = sorted(one["slot"] for event in job.events("regroup") for one in event["lost"])
    check(set(lost) <= {1, 3} and lost, job.events("regroup"))
    check(generations[-1]["world_size"] == 4, generations)
    check(slots(generations[-1])[:2] == [0, 2], generations)
    check(all(one["start_step"] >= FAULT_STEP for one in generations[1:]), generations)
    check_accuracy(job)
    job.close()


def without_restarts_the_job_goes_on_with_fewer():
    job = Job(3, SETS, flags=["--min-np", "1", "--max-restarts", "0"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1"])
    job.wait(HANGS)
    generations = check_whole(job)
    check([one["world_size"] for one in generations] == [3, 2], generations)
    check(generations[1]["start_step"] == FAULT_STEP, generations)
    check_accuracy(job)
    job.close()


def at_the_minimum_the_others_wait_for_the_restart():
    job = Job(2, SETS, flags=["--min-np", "2"], chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1"])
    job.wait(HANGS)
    generations = check_whole(job)
    check([one["world_size"] for one in generations] == [2, 2], generations)
    check(generations[1]["start_step"] == FAULT_STEP and generations[1]["ranks_synced"] == [1], generations)
    job.close()


def below_the_minimum_the_job_ends_with_75():
    job = Job(2, SETS, flags=["--min-np", "2", "--max-restarts", "0", "--elastic-timeout", "2"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1"])
    check(job.wait(HANGS) == 75, f"{job.process.returncode}:\n{job.stderr()}")
    check("1 of at least 2 workers are left" in job.summary()["cause"], job.summary())
    there = [line["step"] for line in job.recorded("metrics.jsonl")]  # the killed one's last reports may be missing
    check(there == list(range(len(there))) and FAULT_STEP - 5 < len(there) <= FAULT_STEP, there)
    job.close()


def a_frozen_worker_is_dropped_and_the_job_goes_on():
    job = Job(3, SETS, flags=["--min-np", "2"], chaos=[f"fault: stop, at_step: {FAULT_STEP}, rank: 1"])
    job.wait(HANGS)
    generations = check_whole(job)
    check([one["world_size"] for one in generations] == [3, 2], generations)
    check(generations[1]["start_step"] == FAULT_STEP, generations)
    check([one["slot"] for one in job.events("regroup")[0]["lost"]] == [1], job.events("regroup"))
    stalls = [one for one in job.events("stall") if one["id"] == "SL2102"]
    check(stalls and stalls[0]["rank"] == 1 and stalls[0]["kind"] == "silent", job.events("stall"))
    job.close()


def a_worker_that_is_asked_to_leaves_alone_and_nothing_is_lost():
    job = Job(3, SETS, flags=["--min-np", "1"])
    job.wait_for_step(20)
    os.kill([pid for pid, name in job.children().items() if name == "worker 0"][0], signal.SIGUSR2)
    job.wait(HANGS)
    generations = check_whole(job)
    check([one["world_size"] for one in generations] == [3, 2], generations)
    check(slots(generations[1]) == [1, 2] and generations[1]["ranks_synced"] == [], generations)
    first = job.events("regroup")[0]
    check(first["lost"] == [] and "rank 0 (host" in first["reason"] and "leaves" in first["reason"], first)
    check("starting it again" not in job.stderr(), job.stderr())
    job.close()


def the_profiler_killed_holds_nobody_up():
    job = Job(2, SETS + ["training.steps=200"], flags=["--min-np", "1", "--max-restarts", "0"])
    job.wait_for_step(20)
    os.kill([pid for pid, name in job.children().items() if name == "profiler 0"][0], signal.SIGKILL)
    job.wait(HANGS)
    generations = check_whole(job, 200)
    check(len(generations) == 1, generations)
    check("profiler 0 (host" in job.stderr() and "the plan in force stays" in job.stderr(), job.stderr())
    check("no decision on window" not in job.stderr(), "a step waited:\n" + job.stderr())
    job.close()


def the_profiler_comes_back_and_plans_again():
    job = Job(2, SETS, flags=["--min-np", "1"], chaos=[SLOWLY])
    job.wait_for_step(20)
    os.kill([pid for pid, name in job.children().items() if name == "profiler 0"][0], signal.SIGKILL)
    job.wait(HANGS)
    generations = check_whole(job)
    check([one["world_size"] for one in generations] == [2, 2], generations)
    windows = [one["last_step"] for one in job.recorded("stats.jsonl")]
    check(windows and windows[-1] > generations[1]["start_step"], windows)
    check("no decision on window" not in job.stderr(), "a step waited:\n" + job.stderr())
    job.close()


def the_reset_limit_ends_the_job():
    job = Job(4, SETS, flags=["--min-np", "1", "--max-restarts", "0", "--reset-limit", "1"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1",
                     f"fault: kill, at_step: {FAULT_STEP + 30}, rank: 2"])
    check(job.wait(HANGS) == 75, f"{job.process.returncode}:\n{job.stderr()}")
    cause = job.summary()["cause"]
    check("change 2 of membership, and the limit is 1 (--reset-limit)" in cause and "rank 2" in cause, cause)
    check([one["world_size"] for one in job.events("generation")] == [4, 3], job.events("generation"))
    job.close()


def a_worker_that_always_dies_at_one_step_ends_the_job():
    job = Job(2, SETS, flags=["--min-np", "2"],
              chaos=[f"fault: kill, at_step: {FAULT_STEP}, rank: 1, again: on"])
    check(job.wait(2 * HANGS) == 1, f"{job.process.returncode}:\n{job.stderr()}")
    cause = job.summary()["cause"]
    check(f"step {FAULT_STEP} cannot be passed" in cause and "rank 1 (host" in cause, cause)
    begins = [one["start_step"] for one in job.events("generation")]
    check(begins[0] == 0 and set(begins[1:]) == {FAULT_STEP}, begins)
    job.close()


run_tests([a_middle_worker_killed_is_back, rank_0_killed_is_back_as_the_last, two_killed_at_once_are_back,
           without_restarts_the_job_goes_on_with_fewer, at_the_minimum_the_others_wait_for_the_restart,
           below_the_minimum_the_job_ends_with_75, a_frozen_worker_is_dropped_and_the_job_goes_on,
           a_worker_that_is_asked_to_leaves_alone_and_nothing_is_lost,
           the_profiler_killed_holds_nobody_up, the_profiler_comes_back_and_plans_again,
           the_reset_limit_ends_the_job, a_worker_that_always_dies_at_one_step_ends_the_job])
