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
    for args in (["--help"], ["run", "--help"], ["worker", "--help"], ["solve", "-h"], ["plan", "--help"]):
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


def a_window(number):
    """Statistics of one matrix, and of a bias that is always raw; 2 ranks."""
    options = [("raw", 0, 16384), ("maxmin2/512", 4, 1088), ("maxmin4/512", 0.25, 2112), ("maxmin8/512", 1e-4, 4160)]
    return {"window": number, "last_step": 100 * number + 99, "fixed_wire_bytes": 48, "world_size": 2, "layers": [
        {"name": "fc.weight", "elements": 4096, "eligible": True, "squared_norm": 100, "bucket": 0, "shape": [64, 64],
         "options": [{"codec": c, "squared_error": e, "wire_bytes": b} for c, e, b in options]},
        {"name": "fc.bias", "elements": 64, "eligible": False, "squared_norm": 1, "bucket": 0, "shape": [64],
         "options": [{"codec": "raw", "squared_error": 0, "wire_bytes": 256}]}]}


def plan(*args, text=None):
    """`plan --stats` of two windows, or of `text`."""
    if text is None:
        text = "".join(json.dumps(a_window(number)) + "\n" for number in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stats.jsonl")
        with open(path, "w") as file:
            file.write(text)
        return call("plan", "--stats", path, *args)


def plan_prints_a_table_with_totals():
    code, out, err = plan()
    check(code == 0 and not err, (code, err))
    for words in ["window 1 (to step 199), 2 ranks, policy lgreco", "maxmin4/512", "0.5 of a budget of 0.5 (100.0 %)",
                  "raw 16.7 kB", "uniform maxmin4/512 2.4 kB", "exposed time  not known"]:
        check(words in out, f"{words}: {out}")


def plan_explains():
    code, out, err = plan("--explain")
    check(code == 0 and "cheaper: maxmin2/512 saves 1024 B, adds 1.5 of error, but the budget has 0 left" in out, out)
    check("finer: maxmin8/512" in out and "ineligible: one dimension" in out, out)


def plan_as_json_is_a_line_of_policies():
    code, out, err = plan("--json", "--window", "0", "--explain")
    check(code == 0 and out.count("\n") == 1, (code, out, err))
    answer = json.loads(out)
    check(answer["layers"] == {"fc.weight": "maxmin4/512", "fc.bias": "raw"}, answer)
    check(answer["version"] == 1 and answer["effective_step"] == 0 and answer["window"] == 0, answer)
    check(answer["predicted_bytes"] == 2112 + 256 + 48 and answer["raw_bytes"] == 16384 + 256 + 48, answer)
    check([one["name"] for one in answer["details"]] == ["fc.weight", "fc.bias"], answer)
    check("finer" in answer["details"][0]["why"], answer)


def plan_under_another_policy_budget_and_world():
    code, out, _ = plan("--json", "--policy", "none")
    check(code == 0 and json.loads(out)["layers"]["fc.weight"] == "raw", out)
    code, out, _ = plan("--json", "--set", "compression.alpha=4")
    check(code == 0 and json.loads(out)["layers"]["fc.weight"] == "maxmin2/512", out)
    code, out, _ = plan("--json", "--world", "64")
    answer = json.loads(out)
    check(code == 0 and answer["world_size"] == 64, out)
    check(abs(answer["predicted_bytes"] - ((2112 + 256) * 1.96875 + 48 * 63)) < 1e-6, answer)


def plan_predicts_times_of_a_network():
    code, out, err = plan("--json", "--policy", "uniform", "--network", "8mbit,1ms", "--backward", "40ms")
    answer = json.loads(out)
    check(code == 0, err)
    # One bucket, ready at the end: 2416 bytes at 1 MB/s and two latencies.
    check(abs(answer["predicted_exposed_seconds"] - (0.002416 + 0.002)) < 1e-9, answer)
    check(abs(answer["predicted_raw_exposed_seconds"] - (0.016688 + 0.002)) < 1e-9, answer)
    code, out, err = plan("--network", "8mbit,1ms")
    check(code == 78 and "backward" in err, (code, out, err))


def plan_with_wrong_words_is_a_usage_error():
    for args, words in [(["--policy", "lgrecko"], 'did you mean "lgreco"'), (["--network", "fast"], "1gbit,0.2ms"),
                        (["--window", "first"], "or last"), (["--window", "7"], "has windows 0 to 1"),
                        (["--world", "1"], "2 or more"), (["--backward", "0"], "40ms"), (["--bakward", "1s"], "backward"),
                        (["more"], "no other words")]:
        code, out, err = plan(*args)
        check(code == 2 and words in err and not out, (args, code, out, err))
    code, _, err = call("plan")
    check(code == 2 and "--stats" in err, (code, err))


def plan_of_bad_statistics_says_where():
    code, out, err = call("plan", "--stats", "/no/such/stats.jsonl")
    check(code == 74 and "/no/such/stats.jsonl" in err and not out, (code, err))
    code, out, err = plan(text="")
    check(code == 78 and "has no windows" in err, (code, err))
    code, out, err = plan(text="{}\n")
    check(code == 78 and "stats.jsonl:1: window is missing" in err, (code, err))
    code, out, err = plan(text=json.dumps(a_window(0)) + '\n{"window":1,')
    check(code == 0 and "stats.jsonl:2: the last line is cut off" in err and "window 0" in out, (code, out, err))


run_tests([help_goes_to_stdout_with_examples, version_is_one_line, nothing_at_all_is_a_usage_error,
           an_unknown_subcommand_names_the_nearest, an_unknown_flag_names_the_nearest,
           an_unknown_key_names_file_line_and_the_nearest, no_job_file_is_a_usage_error,
           no_world_size_says_what_to_give, dry_run_starts_nothing_and_writes_nothing,
           solve_reproduces_the_known_optima, solve_of_a_broken_file_says_where,
           plan_prints_a_table_with_totals, plan_explains, plan_as_json_is_a_line_of_policies,
           plan_under_another_policy_budget_and_world, plan_predicts_times_of_a_network,
           plan_with_wrong_words_is_a_usage_error, plan_of_bad_statistics_says_where])
