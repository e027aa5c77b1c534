#!/usr/bin/python3
"""A job whose plans come from a shared object: one that works, and some that do not."""

import os
import signal
import time

from cluster import SMALL, Job, check, run_tests

EXAMPLE = os.path.abspath("examples/plugin/largest_layers.so")
MISBEHAVING = os.path.abspath("tests/policies/plugin/misbehaving.so")


def job(plugin, steps, sets=()):
    return Job(2, SMALL + [f"training.steps={steps}", "compression.policy=plugin", f"compression.plugin={plugin}",
                           *sets])


def bits(policy):
    """Bits by layer of the layers that a quantiser encodes."""
    return {name: codec.split("/")[0] for name, codec in policy["layers"].items() if codec.startswith("maxmin")}


def hosts(plugin):
    """Policy hosts of a plugin, by pid."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline") as file:
                if file.read().split("\0")[1:3] == ["policy-host", plugin]:
                    found.append(int(entry))
        except OSError:
            pass
    return found


def wait_until(condition, message, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < deadline, message)
        time.sleep(0.02)


def the_example_plans():
    one = job(EXAMPLE, 40)
    check(one.wait(240) == 0, one.stderr())
    policies = one.recorded("policies.jsonl")
    check(len(policies) == 2, f"{len(policies)} policies: uniform and the plugin's were expected")
    check(policies[0]["reason"].startswith("uniform"), policies[0])
    check(policies[1]["reason"].startswith("plugin largest_layers: 2 bits on the largest "), policies[1])
    check(len(set(bits(policies[0]).values())) == 1, policies[0])
    check(len(set(bits(policies[1]).values())) == 2, policies[1])
    last = one.steps()[-1]
    check(last["policy_version"] == 2, last)
    check(abs(last["wire_bytes"] / policies[1]["predicted_bytes"] - 1) < 0.02, last)
    check(one.summary()["replicas_identical"] is True, one.summary())
    check(hosts(EXAMPLE) == [], "the policy host is still there")
    one.close()


def training_outlives_a_plugin_that_crashes():
    one = job(MISBEHAVING, 80, ["compression.plugin_config=crash"])
    check(one.wait(240) == 0, one.stderr())
    check([p["version"] for p in one.recorded("policies.jsonl")] == [1], "a plan from nowhere")
    check("no plan for window 0, the one in force stays: plugin " + MISBEHAVING in one.stderr(), one.stderr())
    check("crashed in plan(): signal 6 (Aborted) (failure 1 of 3 in a row)" in one.stderr(), one.stderr())
    check("is not asked any more" in one.stderr(), one.stderr())
    check(one.summary()["replicas_identical"] is True, one.summary())
    check(one.steps()[-1]["step"] == 79, one.steps()[-1])
    one.close()


def training_outlives_a_plugin_that_hangs():
    one = job(MISBEHAVING, 45, ["compression.plugin_config=hang:1", "compression.plugin_timeout_seconds=1"])
    check(one.wait(240) == 0, one.stderr())
    check("did not answer within 1s in plan()" in one.stderr(), one.stderr())
    # The next window has a plan again.
    check(one.recorded("policies.jsonl")[-1]["reason"] == "plugin misbehaving: as told", one.stderr())
    one.close()


def a_plugin_that_cannot_be_used_ends_the_job_before_it_starts():
    for plugin, config, what in [
            ("/there/is/no/such/file.so", "", "cannot be loaded"),
            (os.path.abspath("examples/fashion_mnist.yaml"), "", "cannot be loaded"),
            (MISBEHAVING, "crash_in_create", "crashed in create(): signal 6"),
            ("", "", "compression.policy plugin needs compression.plugin")]:
        one = job(plugin, 40, [f"compression.plugin_config={config}"])
        check(one.wait(60) == 78, f"{plugin}: exit code {one.process.returncode}\n{one.stderr()}")
        check(what in one.stderr() and plugin in one.stderr(), one.stderr())
        check("joined" not in one.stderr() and one.steps() == [], one.stderr())
        one.close()


def a_hanging_host_ends_with_its_coordinator():
    one = job(MISBEHAVING, 40, ["compression.plugin_config=hang_in_create", "compression.plugin_timeout_seconds=600"])
    wait_until(lambda: hosts(MISBEHAVING), "no policy host was started: " + one.stderr())
    coordinator = [pid for pid, name in one.children().items() if name == "coordinator"]
    os.kill(coordinator[0], signal.SIGKILL)
    wait_until(lambda: not hosts(MISBEHAVING), "the policy host is still there", 10)
    check(one.wait(30) != 0, one.stderr())
    one.close()


run_tests([a_hanging_host_ends_with_its_coordinator, the_example_plans, training_outlives_a_plugin_that_crashes,
           training_outlives_a_plugin_that_hangs, a_plugin_that_cannot_be_used_ends_the_job_before_it_starts])
