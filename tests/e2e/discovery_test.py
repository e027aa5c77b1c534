#!/usr/bin/python3
"""Hosts come, go and fail while an elastic job runs. "Hosts" here are names of this machine."""

import os
import signal
import time

from cluster import SMALL, Job, Script, check, run_tests

SETS = SMALL + ["report.every_steps=1"]
HANGS = 240  # seconds, no job here takes nearly as long
# Steps take long enough for a process to start within a few of them.
SLOWLY = "fault: delay, at_step: {}, rank: {}, milliseconds: 150, for_steps: 100000"


def wait_for(job, what, condition):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition():
            return
        check(job.process.poll() is None, f"ended before {what}:\n{job.stderr()}")
        time.sleep(0.05)
    raise AssertionError(f"no {what} in 120 s:\n{job.stderr()}")


def worlds(job):
    return [one["world_size"] for one in job.events("generation")]


def slots(generation):
    return [one["slot"] for one in generation["processes"] if one["role"] == "worker"]


def check_whole(job, steps):
    check(job.process.returncode == 0, f"code {job.process.returncode}:\n{job.stderr()}")
    there = [line["step"] for line in job.recorded("metrics.jsonl")]
    check(there == list(range(steps)), f"steps were lost or came twice: {there}")
    check(job.summary()["replicas_identical"], job.summary())
    check(job.children() == {}, f"left: {job.children()}")


def hosts_come_and_go_while_training_goes_on():
    steps = 400
    script = Script(["localhost:2"])
    job = Job(2, SETS + [f"training.steps={steps}"], chaos=[SLOWLY.format(5, 0)],
              flags=["--min-np", "1", "--host-discovery-script", script.path,
                     "--output-filename", os.path.join(script.folder.name, "out")])
    job.wait_for_step(5)
    # A script that fails, or prints nonsense, changes nothing, and is told.
    script.answer([], before="echo 'kubectl: forbidden' >&2\nexit 3\n")
    wait_for(job, "word of the failure", lambda: "SL1090" in job.stderr())
    check('exited with 3: "kubectl: forbidden". The last list stays: localhost 2' in job.stderr(), job.stderr())
    script.answer(["localhost:2", "node:"])
    wait_for(job, "word of the line", lambda: "SL1091" in job.stderr())
    check('line 2 of its output: "node:": number missing' in job.stderr(), job.stderr())
    check(worlds(job) == [2], worlds(job))
    # A host comes.
    script.answer(["localhost:2", "127.0.0.2:1"])
    wait_for(job, "third worker", lambda: worlds(job)[-1] == 3)
    check("host 127.0.0.2 is new, with 1 slots" in job.stderr(), job.stderr())
    check(slots(job.events("generation")[-1]) == [0, 1, 2], job.events("generation"))
    # The first one goes, and with it rank 0, who leaves in good order.
    script.answer(["127.0.0.2:1"])
    wait_for(job, "end of the others", lambda: worlds(job)[-1] == 1)
    last = job.events("generation")[-1]
    check(slots(last) == [2] and last["ranks_synced"] == [], last)
    # An empty list would leave nobody.
    script.answer([])
    wait_for(job, "word of it", lambda: "none of the hosts that have workers (127.0.0.2)" in job.stderr())
    job.wait(HANGS)
    check_whole(job, steps)
    check(all(one["lost"] == [] for one in job.events("regroup")), job.events("regroup"))
    check(any("leave" in one["reason"] for one in job.events("regroup")), job.events("regroup"))
    check("in time" not in job.stderr(), "a worker was killed:\n" + job.stderr())
    # Each process's output is where its generation is.
    out = os.path.join(script.folder.name, "out")
    check(os.path.exists(f"{out}/gen.1/rank.0/stderr"), os.listdir(out))
    check(os.path.exists(f"{out}/gen.2/rank.2/stderr"), os.listdir(out))
    job.close()


def no_more_workers_than_max_np():
    script = Script(["localhost:2"])
    job = Job(2, SETS + ["training.steps=120"], chaos=[SLOWLY.format(5, 0)],
              flags=["--min-np", "1", "--max-np", "3", "--host-discovery-script", script.path])
    job.wait_for_step(5)
    script.answer(["localhost:2", "127.0.0.2:4"])
    job.wait(HANGS)
    check_whole(job, 120)
    check(worlds(job) == [2, 3], worlds(job))
    job.close()


def a_first_run_that_fails_ends_the_job_with_69():
    script = Script([])
    script.answer([], before="echo 'no such pool' >&2\nexit 4\n")
    job = Job(2, SETS, flags=["--host-discovery-script", script.path])
    check(job.wait(60) == 69, f"{job.process.returncode}: {job.stderr()}")
    for words in ["SL1090", 'exited with 4: "no such pool"', "It is its first run"]:
        check(words in job.stderr(), job.stderr())
    job.close()


def too_few_hosts_end_the_job_with_69():
    script = Script(["localhost:1"])
    job = Job(2, SETS, flags=["--host-discovery-script", script.path, "--start-timeout", "2"])
    check(job.wait(60) == 69, f"{job.process.returncode}: {job.stderr()}")
    check("SL1020 2 workers are needed" in job.stderr() and "1 slots: localhost 1" in job.stderr(), job.stderr())
    job.close()


def below_the_minimum_without_the_host_the_job_ends_with_75():
    job = Job(2, SETS + ["training.steps=150"],
              flags=["-H", "localhost:1,127.0.0.2:1", "--min-np", "2", "--elastic-timeout", "3"],
              chaos=["fault: kill, at_step: 40, rank: 1, again: on"])
    check(job.wait(HANGS) == 75, f"{job.process.returncode}:\n{job.stderr()}")
    check("host 127.0.0.2 is left out for the rest of the job: 3 failures" in job.stderr(), job.stderr())
    check("1 of at least 2 workers are left" in job.summary()["cause"], job.summary())
    job.close()


def a_host_that_is_left_out_gets_its_worker_back_after_the_cooldown():
    job = Job(2, SETS + ["training.steps=100000"], chaos=[SLOWLY.format(5, 0)],
              flags=["-H", "localhost:1,127.0.0.2:1", "--min-np", "1", "--blacklist-cooldown-range", "3", "60"])
    job.wait_for_step(5)
    for kills in range(3):
        wait_for(job, "both workers", lambda: worlds(job) == [2] + kills * [1, 2])
        os.kill(next(pid for pid, name in job.children().items() if name == "worker 1"), signal.SIGKILL)
    wait_for(job, "word of it", lambda: "host 127.0.0.2 is left out for 3s" in job.stderr())
    wait_for(job, "return of the worker", lambda: worlds(job) == [2] + 3 * [1, 2])
    check("rank 1 waits for a place" in job.stderr() and "127.0.0.2 1 (left out" in job.stderr(), job.stderr())
    job.process.terminate()
    check(job.wait(HANGS) == 0, f"{job.process.returncode}:\n{job.stderr()}")
    job.close()


run_tests([hosts_come_and_go_while_training_goes_on, no_more_workers_than_max_np,
           a_first_run_that_fails_ends_the_job_with_69, too_few_hosts_end_the_job_with_69,
           below_the_minimum_without_the_host_the_job_ends_with_75,
           a_host_that_is_left_out_gets_its_worker_back_after_the_cooldown])
