#!/usr/bin/python3
"""SIGINT and SIGTERM end everything in good order; a frozen worker and a start that fails are named."""

import os
import signal
import time

from cluster import SMALL, Job, check, run_tests

ENDLESS = SMALL + ["training.steps=100000", "report.every_steps=1"]


def stop_with(number, sets=()):
    job = Job(2, ENDLESS + list(sets))
    job.wait_for_step(3)
    os.kill(job.process.pid, number)
    job.wait_gone(60)
    return job


def in_good_order(number):
    job = stop_with(number)
    check(job.process.returncode == 0, f"{job.process.returncode}, not 0:\n{job.stderr()}")
    summary = job.summary()
    check(summary["failed"] is False and signal.Signals(number).name in summary["stopped_by"], summary)
    check(os.path.isfile(os.path.join(summary["checkpoint"], "manifest.pb.json")), summary)
    job.close()


def interrupt_writes_a_checkpoint_and_ends_with_0():
    in_good_order(signal.SIGINT)


def terminate_writes_a_checkpoint_and_ends_with_0():
    in_good_order(signal.SIGTERM)


def without_grace(number, code):
    job = stop_with(number, ["checkpoint.grace_seconds=0"])
    check(job.process.returncode == code, f"{job.process.returncode}, not {code}:\n{job.stderr()}")
    summary = job.summary()
    check(summary["failed"] is True and "stopped by" in summary["cause"], summary)
    check(not os.path.exists(os.path.join(job.run_directory, "checkpoints", "latest")), summary)
    job.close()


def without_grace_interrupt_ends_with_130():
    without_grace(signal.SIGINT, 130)


def without_grace_terminate_ends_with_143():
    without_grace(signal.SIGTERM, 143)


def a_second_interrupt_kills_at_once():
    job = Job(2, ENDLESS)
    job.wait_for_step(1)
    coordinator = [pid for pid, name in job.children().items() if name == "coordinator"][0]
    os.kill(coordinator, signal.SIGSTOP)  # cannot stop anybody any more
    os.kill(job.process.pid, signal.SIGINT)
    deadline = time.monotonic() + 60
    while "once more to kill" not in job.stderr():
        check(time.monotonic() < deadline, "the first signal is not answered:\n" + job.stderr())
        time.sleep(0.02)
    os.kill(job.process.pid, signal.SIGINT)
    job.wait_gone(30)
    check(job.process.returncode == 130, job.stderr())
    job.close()


def a_frozen_worker_is_named_and_nothing_stays():
    job = Job(3, ENDLESS)
    job.wait_for_step(3)
    frozen = [pid for pid, name in job.children().items() if name == "worker 1"][0]
    os.kill(frozen, signal.SIGSTOP)
    job.wait_gone(60)
    check("rank 1 (host" in job.stderr() and f"pid {frozen}) is gone" in job.stderr(), job.stderr())
    check(job.process.returncode not in (0, None), job.stderr())
    job.close()


def a_signal_to_one_worker_stops_all_at_the_same_step():
    job = Job(3, ENDLESS)
    job.wait_for_step(3)
    pid = [pid for pid, name in job.children().items() if name == "worker 1"][0]
    os.kill(pid, signal.SIGTERM)
    job.wait_gone(60)
    check(job.process.returncode == 0, f"{job.process.returncode}, not 0:\n{job.stderr()}")
    summary = job.summary()
    check(summary["failed"] is False and "stopped by SIGTERM to rank 1 (host" in summary["stopped_by"], summary)
    check(f"pid {pid})" in summary["stopped_by"], summary)
    check(os.path.isfile(os.path.join(summary["checkpoint"], "manifest.pb.json")), summary)
    check([line["step"] for line in job.steps()] == list(range(summary["steps"])), job.steps()[-1])
    job.close()


def a_signal_to_one_worker_without_grace_ends_with_143():
    job = Job(2, ENDLESS + ["checkpoint.grace_seconds=0"])
    job.wait_for_step(3)
    os.kill([pid for pid, name in job.children().items() if name == "worker 0"][0], signal.SIGTERM)
    job.wait_gone(60)
    check(job.process.returncode == 143, f"{job.process.returncode}, not 143:\n{job.stderr()}")
    check("stopped by SIGTERM to rank 0 (host" in job.summary()["cause"], job.summary())
    job.close()


def missing_data_is_named_and_ends_the_job():
    job = Job(2, SMALL + ["data.path=/no/such/folder"])
    job.wait_gone(60)
    check("/no/such/folder" in job.summary()["cause"] and "rank " in job.summary()["cause"],
          job.stderr())
    check(job.process.returncode == 78, f"{job.process.returncode}:\n{job.stderr()}")
    job.close()


def a_diverging_loss_is_named_with_rank_and_step():
    job = Job(2, SMALL + ["optimizer.learning_rate=1000", "schedule.warmup_steps=0"])
    job.wait_gone(120)
    check("training diverged" in job.summary()["cause"] and "rank " in job.summary()["cause"],
          job.stderr())
    check(job.process.returncode == 1, f"{job.process.returncode}:\n{job.stderr()}")
    job.close()


run_tests([interrupt_writes_a_checkpoint_and_ends_with_0, terminate_writes_a_checkpoint_and_ends_with_0,
           without_grace_interrupt_ends_with_130, without_grace_terminate_ends_with_143,
           a_second_interrupt_kills_at_once, a_signal_to_one_worker_stops_all_at_the_same_step,
           a_signal_to_one_worker_without_grace_ends_with_143,
           a_frozen_worker_is_named_and_nothing_stays, missing_data_is_named_and_ends_the_job,
           a_diverging_loss_is_named_with_rank_and_step])
