#!/usr/bin/python3
"""Trains under random faults, and checks that nothing is lost: an elastic job whose workers and profiler are killed
and frozen, one fault after the other, until it is through by itself.

    bazel run //tools/soak -- --minutes 10

The same job runs without faults first, or with --beside meanwhile, on this host: its accuracy is what the other one's
is compared with. Faults: kill (one worker), kill two (workers, at once), freeze (SIGSTOP until it is dropped, then
SIGCONT), pause (SIGSTOP for 2 s at the most: nobody may be dropped), profiler (killed), coordinator (killed), leave (the
discovery script takes away a host, or a slot, and gives it back: a worker leaves and one joins), network (a host is
cut off for 5.5 to 8 s). Ends with 1 if a check fails. Hosts need root: tools/soak/hosts.sh makes three in network namespaces,

    bazel run //tools/soak:hosts -- --minutes 3 --kinds network,kill
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.abspath("tests/e2e"))
from cluster import SMALL, Job, Script, check  # noqa: E402

KINDS = {"kill": 4, "kill two": 2, "freeze": 1, "pause": 2, "profiler": 1, "coordinator": 1, "leave": 1, "network": 2}  # by weight
# Time that a fault may take until it is noticed, and until everybody is back, before it counts as a hang.
HANGS = 180
DELAYED = 25  # steps in a row
# Steps just before a new coordinator of which the old one may have written no report.
UNREPORTED = 20


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="length of each of both runs, about")
    parser.add_argument("--steps", type=int, default=0, help="length in steps, instead")
    parser.add_argument("--np", type=int, default=4)
    parser.add_argument("--faults", type=int, default=0, help="at most; 0 = as many as there is time for")
    parser.add_argument("--kinds", default="", help="comma list of: " + ", ".join(KINDS) + " (all, network only with hosts)")
    parser.add_argument("--hosts", default="", help="as -H of orchestrator run takes them; each but the first is a "
                        "namespace c-hI with the address 10.77.0.(I+1)")
    parser.add_argument("--ssh-key", default="", help="for them, port 2222")
    parser.add_argument("--gap", type=float, default=5, help="seconds between faults, at most")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--margin", type=float, default=0.05, help="of accuracy")
    parser.add_argument("--step-milliseconds", type=int, default=0, help="slows steps down to this, at least")
    parser.add_argument("--beside", action="store_true", help="runs the job without faults at the same time")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


ARGS = parse()
RANDOM = random.Random(ARGS.seed)


def say(text):
    print(text, file=sys.stderr, flush=True)


def settings(steps):
    return SMALL + [f"training.steps={steps}", "report.every_steps=1", "checkpoint.at_end=off"]


def delay(steps):
    """Of all, whoever is there; in many pieces, since a worker that was started again meets only those that begin later."""
    if ARGS.step_milliseconds <= 0:
        return []
    return [f"fault: delay, at_step: {begin}, rank: {slot}, milliseconds: {ARGS.step_milliseconds}, for_steps: {DELAYED}"
            for begin in range(0, steps, DELAYED) for slot in range(ARGS.np)]


def hosts():
    """What the discovery script says as long as all are there."""
    return ARGS.hosts.split(",") if ARGS.hosts else [f"localhost:{ARGS.np}"]


def fewer_hosts():
    if not ARGS.hosts:
        return [f"localhost:{ARGS.np - 1}"]
    gone = RANDOM.randrange(1, len(hosts()))
    return hosts()[:gone] + hosts()[gone + 1:]


def ssh():
    return ["-p", "2222", "-i", ARGS.ssh_key] if ARGS.hosts else []


def without_faults(steps, chaos):
    flags = ["-H", ARGS.hosts, *ssh()] if ARGS.hosts and not ARGS.beside else []
    job = Job(ARGS.np, settings(steps), chaos=chaos, flags=flags)
    check(job.wait(36000) == 0, job.stderr())
    summary = job.summary()
    job.close()
    return summary


class Beside:
    """A call in a thread of its own; an error comes out with the result."""

    def __init__(self, call, *arguments):
        self.outcome = None
        self.thread = threading.Thread(target=self.run, args=(call, arguments), daemon=True)
        self.thread.start()

    def run(self, call, arguments):
        try:
            self.outcome = (call(*arguments), None)
        except AssertionError as error:
            self.outcome = (None, error)

    def result(self):
        self.thread.join()
        value, error = self.outcome
        if error is not None:
            raise error
        return value


class Events:
    """Follows the events.jsonl of a running job."""

    def __init__(self, job):
        self.job = job

    def all(self):
        path = os.path.join(self.job.run_directory, "events.jsonl")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [json.loads(line) for line in file.read().splitlines(True) if line.endswith("\n")]

    def after(self, when, kind, accept=lambda event: True):
        """The first of that kind since `when` that is accepted, or None."""
        found = (one for one in self.all() if one["event"] == kind and one["time"] >= when and accept(one))
        return next(found, None)

    def await_after(self, when, kind, accept=lambda event: True):
        """As above, waiting for it. None: the job ended before. """
        deadline = time.monotonic() + HANGS
        while time.monotonic() < deadline:
            over = self.job.process.poll() is not None
            event = self.after(when, kind, accept)
            if event is not None or over:
                return event
            time.sleep(0.02)
        raise AssertionError(f"no {kind} in {HANGS} s:\n{self.job.stderr()[-3000:]}")

    def generation(self):
        return next((one for one in reversed(self.all()) if one["event"] == "generation"), None)


def is_whole(event):
    """All workers and the profiler take part."""
    roles = [one["role"] for one in event["processes"]]
    return roles.count("worker") == ARGS.np and "profiler" in roles


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def cut_off(namespace, seconds):
    subprocess.run(["ip", "-n", namespace, "link", "set", "net0", "down"], check=True)
    time.sleep(seconds)
    subprocess.run(["ip", "-n", namespace, "link", "set", "net0", "up"], check=True)


def strike(job, events, script):
    """One fault, until everybody is back. None: the job was over before it showed."""
    generation = events.generation()
    workers = [one for one in generation["processes"] if one["role"] == "worker"]
    kind = RANDOM.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    fewer = fewer_hosts()
    victims = RANDOM.sample(workers, min(2, ARGS.np - 1) if kind == "kill two" else 1)
    if kind == "profiler":
        victims = [one for one in generation["processes"] if one["role"] == "profiler"]
    if kind == "coordinator":
        victims = [{"role": name, "slot": 0, "pid": pid} for pid, name in job.children().items() if name == "coordinator"]
    if kind == "network":
        victims = [{"role": "host", "slot": RANDOM.randrange(1, ARGS.hosts.count(",") + 1), "pid": 0}]
    if kind == "leave":
        victims = [{"role": "host", "slot": ", ".join(set(hosts()) - set(fewer)), "pid": 0}]
    pids = [one["pid"] for one in victims]
    # The events' own clock; what is told of slots and steps is for people.
    begin = time.time()
    fault = {"kind": kind, "slots": [one["slot"] for one in victims], "time": begin}
    say(f"{kind}: " + ", ".join(f"{one['role']} {one['slot']} (pid {one['pid']})" for one in victims))
    if kind == "network":
        cut_off(f"c-h{victims[0]['slot']}", RANDOM.uniform(5.5, 8))
    elif kind == "leave":
        script.answer(fewer)
    else:
        send(pids, signal.SIGSTOP if kind in ("freeze", "pause") else signal.SIGKILL)
    if kind == "pause":
        time.sleep(RANDOM.uniform(0.2, 2))
        send(pids, signal.SIGCONT)
        lost = events.after(begin, "regroup", lambda one: any(p["pid"] in pids for p in one["lost"]))
        check(lost is None, f"dropped after a pause: {lost}")
        return fault
    if kind == "profiler":  # the generation goes on without it
        back = events.await_after(begin, "generation", is_whole)
        if back is None:
            return None
        return dict(fault, back_seconds=back["time"] - begin)
    if kind == "coordinator":  # nobody is there to tell of the end
        again = events.await_after(begin, "generation")
        back = events.await_after(begin, "generation", is_whole) if again is not None else None
        if back is None:
            return None
        return dict(fault, recovery_seconds=again["time"] - begin, back_seconds=back["time"] - begin,
                    start_step=again["start_step"])
    lost = events.await_after(begin, "regroup")
    again = events.await_after(begin, "generation") if lost is not None else None
    if kind == "freeze":
        send(pids, signal.SIGCONT)
    if kind == "leave":
        script.answer(hosts())
    back = events.await_after(begin, "generation", is_whole) if again is not None else None
    if back is None:
        return None
    return dict(fault, detection_seconds=lost["time"] - begin, recovery_seconds=again["time"] - lost["time"],
                back_seconds=back["time"] - begin)


def with_faults(steps, chaos):
    # A host where many processes are killed is no bad host: it is soon used again.
    script = Script(hosts())
    job = Job(ARGS.np, settings(steps), chaos=chaos,
              flags=["--host-discovery-script", script.path, "--min-np", "1", "--max-np", str(ARGS.np),
                     "--max-restarts", "100000", "--blacklist-cooldown-range", "1", "1", *ssh()])
    begin = time.monotonic()
    events = Events(job)
    faults = []
    job.wait_for_step(5, HANGS)
    while job.process.poll() is None and (ARGS.faults == 0 or len(faults) < ARGS.faults):
        time.sleep(RANDOM.uniform(0.2, ARGS.gap))
        # The last tenth is left for everybody to be back, and for the plans.
        if job.process.poll() is not None or job.steps()[-1]["step"] > 0.9 * steps:
            break
        fault = strike(job, events, script)
        if fault is not None:
            faults.append(fault)
    code = job.wait(36000)
    check(code == 0, f"the job ended with {code}:\n{job.stderr()[-5000:]}")
    check(job.children() == {}, f"left: {job.children()}")
    summary = job.summary()
    there = [line["step"] for line in job.recorded("metrics.jsonl")]
    check(there == sorted(set(there)) and there[-1] == steps - 1, "steps came twice, or not in order")
    resumed = [one["start_step"] for one in faults if "start_step" in one]
    unreported = sorted(set(range(steps)) - set(there))
    lost = [step for step in unreported if not any(begin - UNREPORTED <= step < begin for begin in resumed)]
    check(not lost, f"steps {lost} are not there, and no coordinator that died had them")
    summary["unreported"] = len(unreported)
    summary["wall_seconds"] = time.monotonic() - begin  # a coordinator that took over counts from there on
    check(summary["replicas_identical"], summary)
    begins = [one["start_step"] for one in events.all() if one["event"] == "generation"]
    check(begins == sorted(begins), f"generations began at {begins}")
    job.close()
    return summary, faults


def spread(faults, key):
    values = [one[key] for one in faults if key in one]
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


def table(faults):
    lines = ["| fault | times | noticed after, s | next generation after that, s | everybody back after, s |",
             "| --- | ---: | ---: | ---: | ---: |"]
    for kind in KINDS:
        mine = [one for one in faults if one["kind"] == kind]
        if mine:
            lines.append(f"| {kind} | {len(mine)} | {spread(mine, 'detection_seconds')} | "
                         f"{spread(mine, 'recovery_seconds')} | {spread(mine, 'back_seconds')} |")
    return "\n".join(lines)


def main():
    say(f"seed {ARGS.seed}")
    steps = ARGS.steps
    if steps == 0:
        seconds = without_faults(60, delay(60))["step_seconds"]
        steps = max(60, int(60 * ARGS.minutes / seconds))
        say(f"{1e3 * seconds:.0f} ms per step: {steps} steps")
    chaos = delay(steps)
    reference = Beside(without_faults, steps, chaos)
    if not ARGS.beside:
        reference.thread.join()
    summary, faults = with_faults(steps, chaos)
    base = reference.result()
    say(f"without faults: accuracy {base['test_accuracy']:.4f} in {base['wall_seconds']:.0f} s")
    check(faults, "the job was over before the first fault")
    check(summary["test_accuracy"] > base["test_accuracy"] - ARGS.margin,
          f"accuracy {summary['test_accuracy']}, without faults {base['test_accuracy']}")
    result = {"seed": ARGS.seed, "np": ARGS.np, "steps": steps, "faults": faults,
              "generations": summary["generations"], "test_accuracy": summary["test_accuracy"],
              "fault_free_accuracy": base["test_accuracy"], "wall_seconds": summary["wall_seconds"],
              "fault_free_wall_seconds": base["wall_seconds"], "unreported": summary["unreported"]}
    if ARGS.json:
        print(json.dumps(result))
        return
    print(table(faults))
    print(f"\nMedian (worst). {len(faults)} faults, {summary['generations']} generations, seed {ARGS.seed}; {ARGS.np} workers, "
          f"{steps} steps in {summary['wall_seconds']:.0f} s, without faults {base['wall_seconds']:.0f} s; accuracy "
          f"{100 * summary['test_accuracy']:.2f} %, without faults {100 * base['test_accuracy']:.2f} %; every step once, replicas "
          f"identical; {summary['unreported']} steps without a report, each just before a new coordinator.")


WANTED = ARGS.kinds.split(",") if ARGS.kinds else [kind for kind in KINDS if ARGS.hosts or kind != "network"]
WEIGHTS = {kind: KINDS[kind] for kind in WANTED if kind in KINDS}
if len(WEIGHTS) != len(WANTED):
    raise SystemExit(f"--kinds {ARGS.kinds}: expected some of {', '.join(KINDS)}")
if "network" in WEIGHTS and "," not in ARGS.hosts:
    raise SystemExit("network needs several hosts: tools/soak/hosts.sh")
try:
    main()
except AssertionError as error:
    raise SystemExit(f"FAILED (seed {ARGS.seed}): {error}")
