#!/usr/bin/python3
"""`orchestrator check` of this machine; of others: tests/cluster/check_test.sh."""

import json
import os
import subprocess
import tempfile

from cluster import BINARY, check, run_tests


def call(*args, cwd=None):
    done = subprocess.run([BINARY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, universal_newlines=True, cwd=cwd, timeout=60)
    return done.returncode, done.stdout, done.stderr


def help_goes_to_stdout_with_examples():
    code, out, err = call("check", "--help")
    check(code == 0 and "Examples:" in out and "--set key=value" in out and not err, (code, out, err))


def check_build_shows_three_lists_with_marks():
    for args in (["check", "--build"], ["--check-build"], ["-cb"]):
        code, out, err = call(*args)
        check(code == 0 and not err, (args, code, err))
        for words in ["Frameworks:\n    [X] LibTorch ", "Controllers:\n    [X] CAF 0.", "Tensor operations:\n    [X] UCX 1.",
                      "NCCL "]:
            check(words in out, f"{words}: {out}")
    code, out, _ = call("check", "--build", "--json")
    lists = json.loads(out)["lists"]
    check(code == 0 and [one["title"] for one in lists] == ["Frameworks", "Controllers", "Tensor operations"], out)


def check_of_this_machine_passes_and_leaves_nothing():
    with tempfile.TemporaryDirectory() as folder:
        code, out, err = call("check", cwd=folder)
        check(code == 0 and not err and "1 host, all passed" in out, (code, out, err))
        check(os.listdir(folder) == [], os.listdir(folder))
        code, out, err = call("check", "-H", "localhost:2,127.0.0.1", "--json", cwd=folder)
        report = json.loads(out)
        check(code == 0 and report["passed"] and "all 2 hosts" in err, (code, out, err))
        checks = [row["check"] for row in report["rows"]]
        for one in ["program", "libraries", "clock", "shared memory", "open files", "locked memory", "memory",
                    "processor", "GPU", "interfaces", "folder", "network"]:
            check(one in checks, (one, checks))
        check([host["slots"] for host in report["hosts"]] == [2, 1], report["hosts"])
        network = [row for row in report["rows"] if row["check"] == "network"]
        check(network[0]["where"] == ["localhost - 127.0.0.1"] and "MB/s" in network[0]["what"], network)


def check_says_what_fails_worst_first_and_what_to_do():
    code, out, _ = call("check", "--set", "checkpoint.directory=/proc/no/such")
    check(code == 74 and out.startswith("FAILED  folder"), (code, out))
    check("SL4002 cannot write in /proc" in out and "checkpoint.directory" in out.splitlines()[1], out)
    code, out, _ = call("check", "--network-interface", "nosuch0")
    check(code == 78 and out.startswith("FAILED  interfaces") and "nosuch0" in out, (code, out))
    code, out, _ = call("check", "-H", "no-such-host.invalid,localhost")
    check(code == 69 and out.startswith("FAILED  reachable") and "SL1001" in out and "Try: ssh" in out, (code, out))
    check("2 hosts, 1 check failed" in out and "ok      program" in out, out)


def check_of_few_open_files_fails():
    limited = subprocess.run(["/bin/sh", "-c", f"ulimit -n 128; exec {BINARY} check"], stdout=subprocess.PIPE,
                             universal_newlines=True, timeout=60)
    check(limited.returncode == 78 and "SL1042 limit 128, 264 needed" in limited.stdout, limited.stdout)


def check_with_wrong_words_is_a_usage_error():
    for args, words in [(["-H", "a:"], "(character 1)"), (["-H", "a", "--hostfile", "x"], "not both"), (["-np", "-1"], "-np -1"),
                        (["--set", "nope=1"], "nope"), (["--bild"], "build"), (["a.yaml", "b.yaml"], "one job file")]:
        code, out, err = call("check", *args)
        check(code == 2 and words in err and not out, (args, code, out, err))
    code, _, err = call("check", "--hostfile", "/no/such")
    check(code == 78 and "/no/such" in err, (code, err))
    code, _, err = call("check", "/no/such.yaml")
    check(code == 78 and "/no/such.yaml" in err, (code, err))


def check_host_is_not_for_people():
    done = subprocess.run([BINARY, "check-host"], input="hello\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=60)
    check(done.returncode == 2 and not done.stdout and "not by hand" in done.stderr, done)


run_tests([help_goes_to_stdout_with_examples,
           check_build_shows_three_lists_with_marks,
           check_of_this_machine_passes_and_leaves_nothing,
           check_says_what_fails_worst_first_and_what_to_do,
           check_of_few_open_files_fails,
           check_with_wrong_words_is_a_usage_error,
           check_host_is_not_for_people])
