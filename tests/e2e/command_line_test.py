#!/usr/bin/python3
"""What a user sees before anything is trained: help, version, dry run, errors, exit codes."""

import json
import os
import subprocess
import tempfile

from cluster import BINARY, MAIN_JOB, check, run_tests

VECTORS = os.path.abspath("tests/policies/solver/testdata/lgreco_knapsack.json")


def call(*args, cwd=None):
    done = subprocess.run([BINARY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, universal_newlines=True, cwd=cwd, timeout=60)
    return done.returncode, done.stdout, done.stderr


def help_goes_to_stdout_with_examples():
    for args in (["--help"], ["run", "--help"], ["worker", "--help"], ["solve", "-h"]):
        code, out, err = call(*args)
        check(code == 0 and "Examples:" in out and not err, f"{args}: {code} {out} {err}")


def version_is_one_line():
    code, out, _ = call("--version")
    check(code == 0 and out.startswith("sluice ") and out.count("\n") == 1, out)


def nothing_at_all_is_a_usage_error():
    code, out, err = call()
    check(code == 2 and not out and "Usage:" in err, (code, out, err))


def an_unknown_subcommand_names_the_nearest():
    code, _, err = call("rnu")
    check(code == 2 and '"run"' in err, err)


def an_unknown_flag_names_the_nearest():
    code, _, err = call("run", "--jsn", MAIN_JOB)
    check(code == 2 and "json" in err, err)


def an_unknown_key_names_file_line_and_the_nearest():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bad.yaml")
        with open(path, "w") as file:
            file.write("model:\n  name: cnn\ncompresion:\n  policy: none\n")
        code, _, err = call("run", "-np", "2", path)
    check(code == 78 and "bad.yaml:3" in err and '"compression"' in err, (code, err))


def no_job_file_is_a_usage_error():
    code, _, err = call("run", "-np", "2")
    check(code == 2 and "job file" in err, (code, err))


def no_world_size_says_what_to_give():
    code, _, err = call("run", MAIN_JOB, "--set", "world.size=0")
    check(code == 78 and "-np" in err, (code, err))


def dry_run_starts_nothing_and_writes_nothing():
    with tempfile.TemporaryDirectory() as folder:
        code, out, err = call("run", "-np", "2", "--dry-run", MAIN_JOB, cwd=folder)
        check(code == 0, err)
        check("coordinator" in out and "--slot=1" in out and "policy: lgreco" in out, out)
        check(os.listdir(folder) == [], os.listdir(folder))


def solve_reproduces_the_known_optima():
    code, out, err = call("solve", VECTORS)
    check(code == 0, err)
    solved = {one["name"]: one for one in json.loads(out)}
    with open(VECTORS) as file:
        instances = json.load(file)["instances"]
    check(len(solved) == len(instances), solved)
    for instance in instances:
        expected, got = instance["expected"], solved[instance["name"]]
        check(got["feasible"] and got["size"] == expected["optimal_size"] and
              got["error"] == expected["least_error_at_optimal_size"], (instance["name"], got))
        for key in ("choice", "lower_bound", "seconds"):
            check(key in got, (key, got))


def solve_of_a_broken_file_says_where():
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write('{"name": "x", "layers": 3}')
        file.flush()
        code, out, err = call("solve", file.name)
    check(code == 78 and not out and file.name in err, (code, out, err))


run_tests([help_goes_to_stdout_with_examples, version_is_one_line, nothing_at_all_is_a_usage_error,
           an_unknown_subcommand_names_the_nearest, an_unknown_flag_names_the_nearest,
           an_unknown_key_names_file_line_and_the_nearest, no_job_file_is_a_usage_error,
           no_world_size_says_what_to_give, dry_run_starts_nothing_and_writes_nothing,
           solve_reproduces_the_known_optima, solve_of_a_broken_file_says_where])
