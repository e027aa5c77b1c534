#!/usr/bin/python3
"""What people are told of the common failures (the table in docs/operations.md): the message, and the exit code.

Failures with tests of their own elsewhere are in the table with them.
"""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from cluster import BINARY, MAIN_JOB, SMALL, Job, check, run_tests

ENDLESS = SMALL + ["training.steps=100000", "report.every_steps=1"]
HERE = socket.gethostname()


def refused(flags, code, *words, sets=()):
    """`orchestrator run` with these flags ends with `code` before anything trains, and says all `words`."""
    argv = [BINARY, "run", *flags]
    for one in sets:
        argv += ["--set", one]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*argv, MAIN_JOB], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              universal_newlines=True, cwd=folder, timeout=90)
    check(done.returncode == code, f"{flags}: {done.returncode}, not {code}: {done.stderr}")
    for one in words:
        check(one in done.stderr, f"{flags}: no \"{one}\" in: {done.stderr}")


def hosts_that_cannot_be_reached_are_all_named():
    refused(["-H", "localhost:1,no-such-host.invalid:1,neither-this.invalid:1", "--start-timeout", "20"], 69,
            "SL1001 cannot reach 2 of 2 hosts", "no-such-host.invalid", "neither-this.invalid", "ssh")


def a_taken_port_is_named_with_its_owner():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        own_name = open("/proc/self/comm").read().strip()
        refused(["-np", "1", "--coordinator-port", str(port)], 69, f"SL1010 cannot listen on 127.0.0.1:{port}",
                f"pid {os.getpid()} ({own_name})", "--coordinator-port")


def too_few_slots_are_named_with_both_numbers():
    refused(["-np", "3", "-H", "localhost:1,127.0.0.2:1"], 69, "SL1020 3 workers asked, 2 slots", "localhost 1, 127.0.0.2 1")


def a_bad_host_list_is_shown_with_the_place():
    refused(["-H", "a01:4,a02:"], 2, 'SL1091 -H "a01:4,a02:"', "number missing", "(character 7)")


def an_interface_that_is_not_there_is_named_with_those_that_are():
    refused(["-np", "1", "--network-interface", "nosuch0"], 78, 'SL1011 network interface "nosuch0"', "lo 127.0.0.1")


def a_wrong_key_is_named_with_the_right_one():
    refused(["-np", "1"], 78, "trainning", "training", sets=["trainning.steps=3"])


def a_folder_that_cannot_be_written_is_named():
    refused(["-np", "1", "--run-directory", "/proc/no/such"], 74, "/proc/no", "--run-directory")


def a_bad_discovery_script_is_named():
    refused(["-np", "1", "--host-discovery-script", "/no/such/script"], 69, "SL1090", "/no/such/script", "is it there?")


def a_killed_rank_is_named_with_host_pid_signal_and_a_hint():
    job = Job(2, ENDLESS, chaos=["fault: kill, at_step: 10, rank: 1"])
    job.wait(120)
    check(job.process.returncode == 1, job.stderr())
    check(re.search(rf"SL2103 rank 1 \(host localhost, pid \d+\) was killed by signal 9 \(Killed\); if nobody did that, the "
                    r"kernel may have run out of memory", job.stderr()), job.stderr())
    check(f"rank 1 (host {HERE}" in job.summary()["cause"], job.summary())
    job.close()


def a_lost_message_ends_the_collective_with_who_is_waited_for():
    job = Job(2, ENDLESS + ["communication.timeout_seconds=3"], chaos=["fault: drop, at_step: 10, rank: 1, to: 0"])
    job.wait(120)
    check(job.process.returncode == 1, f"{job.process.returncode}: {job.stderr()}")
    cause = job.summary()["cause"]
    check(re.search("from rank [01]", cause) and "SL2202" in cause and "not over at the deadline" in cause, cause)
    job.close()


def waiting_for_workers_is_told_with_numbers_and_the_time_left():
    job = Job(2, ENDLESS, flags=["--min-np", "2", "--max-restarts", "0", "--elastic-timeout", "2"],
              chaos=["fault: kill, at_step: 10, rank: 1"])
    job.wait(120)
    check(job.process.returncode == 75, f"{job.process.returncode}: {job.stderr()}")
    check("SL1050 1 of at least 2 workers are left: waiting for 1 more, for 2s at most" in job.stderr(), job.stderr())
    job.close()


def a_start_that_is_not_complete_names_who_is_missing():
    # The launcher waits for nobody who is frozen before it has joined.
    job = Job(2, ENDLESS, flags=["--start-timeout", "40"])
    deadline = time.monotonic() + 60
    frozen = None
    while frozen is None and time.monotonic() < deadline:
        frozen = next((pid for pid, name in job.children().items() if name == "worker 1"), None)
    os.kill(frozen, signal.SIGSTOP)
    job.wait(120)
    check(job.process.returncode == 69, f"{job.process.returncode}: {job.stderr()}")
    check("processes joined within 40s; missing: rank 1" in job.summary()["cause"], job.summary())
    job.close()


run_tests([hosts_that_cannot_be_reached_are_all_named, a_taken_port_is_named_with_its_owner,
           too_few_slots_are_named_with_both_numbers, a_bad_host_list_is_shown_with_the_place,
           an_interface_that_is_not_there_is_named_with_those_that_are, a_wrong_key_is_named_with_the_right_one,
           a_folder_that_cannot_be_written_is_named, a_bad_discovery_script_is_named,
           a_killed_rank_is_named_with_host_pid_signal_and_a_hint,
           a_lost_message_ends_the_collective_with_who_is_waited_for,
           waiting_for_workers_is_told_with_numbers_and_the_time_left,
           a_start_that_is_not_complete_names_who_is_missing])
