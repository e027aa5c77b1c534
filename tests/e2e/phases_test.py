#!/usr/bin/python3
"""Jobs of several phases: a condition ends one, and kills and stops in each of them change nothing."""

import json
import os
import shutil
import signal
import tempfile

from cluster import SMALL, Job, check, model, run_tests

HANGS = 240  # seconds, no job here takes nearly as long
SPACE = tempfile.mkdtemp(prefix="sluice-phases-")
# "warm" ends at the first evaluation with an accuracy of 20 %, which is long before 200 steps.
PHASES = """
phases:
- name: warm
  steps: 200
  until: accuracy
  target: 0.2
  evaluate_every_steps: 20
  compression: {policy: none}
- name: tune
  kind: finetune
  steps: 60
  frozen: [conv]
  optimizer: {kind: adam, learning_rate: 0.001}
"""
SETS = SMALL + ["report.every_steps=1"]
_REFERENCE = {}


def job_file():
    path = os.path.join(SPACE, "phases.yaml")
    with open(path, "w") as file:
        file.write("name: phases\n" + PHASES)
    return path


def start(np=2, sets=(), flags=(), chaos=()):
    return Job(np, SETS + list(sets), job=job_file(), flags=flags, chaos=chaos)


def phases(summary):
    return [(one["phase"], one["first_step"], one["end_step"]) for one in summary["phases"]]


def losses(job):
    return {line["step"]: line["loss"] for line in job.recorded("metrics.jsonl")}


def reference():
    """A run without faults: its phases, losses, and the final model."""
    if not _REFERENCE:
        directory = os.path.join(SPACE, "reference")
        job = start(sets=[f"checkpoint.directory={directory}"])
        check(job.wait(HANGS) == 0, job.stderr())
        summary = job.summary()
        _REFERENCE.update(summary=summary, losses=losses(job), model=model(directory, summary["steps"]),
                          stderr=job.stderr(), events=job.events("phase", "evaluation"),
                          policies=job.recorded("policies.jsonl"))
        job.close()
    return _REFERENCE


def tensors(data):
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {name: data[8 + size + at["data_offsets"][0]:8 + size + at["data_offsets"][1]]
            for name, at in header.items() if name != "__metadata__"}


def change():
    """The step at which the second phase begins."""
    return reference()["summary"]["phases"][1]["first_step"]


def the_condition_ends_the_first_phase():
    summary = reference()["summary"]
    at = change()
    check(at % 20 == 0 and 0 < at < 200, summary["phases"])
    check(phases(summary) == [("warm", 0, at), ("tune", at, at + 60)], summary["phases"])
    check(summary["phases"][0]["test_accuracy"] >= 0.2, summary["phases"])
    check(summary["steps"] == at + 60 and summary["replicas_identical"], summary)
    check([one["phase"] for one in reference()["events"] if one["event"] == "phase"] == ["warm", "tune"],
          reference()["events"])
    check("phase tune from step" in reference()["stderr"], reference()["stderr"])


def each_phase_has_its_own_compression():
    at = change()
    for plan in reference()["policies"]:
        kinds = set(plan["layers"].values())
        if plan["effective_step"] <= at:
            check(kinds == {"raw"}, plan)
    check(any(plan["effective_step"] > at for plan in reference()["policies"]), reference()["policies"])


def what_is_frozen_stays():
    directory = os.path.join(SPACE, "frozen")
    at = change()
    job = start(sets=[f"checkpoint.directory={directory}", f"checkpoint.every_steps={at}", "checkpoint.keep_last=9"])
    check(job.wait(HANGS) == 0, job.stderr())
    job.close()
    before, after = tensors(model(directory, at)), tensors(model(directory, at + 60))
    for name in before:
        same = before[name] == after[name]
        check(same == name.startswith("conv"), f"{name} {'stayed' if same else 'changed'}")


def killed_at(step):
    job = start(np=3, flags=["--min-np", "1"], chaos=[f"fault: kill, at_step: {step}, rank: 1"])
    check(job.wait(HANGS) == 0, job.stderr())
    summary = job.summary()
    check(summary["generations"] >= 2, summary)
    check([one["phase"] for one in summary["phases"]] == ["warm", "tune"], summary["phases"])
    first, second = summary["phases"]
    check(first["end_step"] == second["first_step"] and second["end_step"] == second["first_step"] + 60,
          summary["phases"])
    check(sorted(losses(job)) == list(range(second["end_step"])), "steps were lost or came twice")
    check(summary["replicas_identical"] and summary["checksums_compared"] > 0, summary)
    job.close()


def a_kill_in_the_first_phase_is_survived():
    killed_at(change() // 2)


def a_kill_in_the_second_phase_is_survived():
    killed_at(change() + 30)


def a_kill_right_after_the_change_is_survived():
    killed_at(change())


def a_coordinator_killed_in_the_second_phase_finds_it_again():
    at = change()
    job = start(np=2, flags=["--min-np", "1"],
                chaos=["fault: delay, at_step: 5, rank: 0, milliseconds: 60, for_steps: 1000"])
    job.wait_for_step(at + 10)
    for pid, name in job.children().items():
        if name.startswith("coordinator"):
            os.kill(pid, signal.SIGKILL)
    check(job.wait(HANGS) == 0, job.stderr())
    tune = [one for one in job.summary()["phases"] if one["phase"] == "tune"]
    check(len(tune) == 1 and tune[0]["end_step"] == tune[0]["first_step"] + 60, job.summary()["phases"])
    job.close()


def resumed_in(where, stop_after):
    directory = os.path.join(SPACE, where)
    sets = [f"checkpoint.directory={directory}"]
    slow = ["fault: delay, at_step: 0, rank: 0, milliseconds: 40, for_steps: 1000"]
    job = start(sets=sets, chaos=slow)
    job.wait_for_step(stop_after)
    job.process.send_signal(signal.SIGTERM)
    check(job.wait(HANGS) == 0, f"{job.process.returncode}: {job.stderr()}")
    job.close()
    job = start(sets=sets, flags=["--resume", "auto"])
    check(job.wait(HANGS) == 0, job.stderr())
    end = reference()["summary"]["steps"]
    again = losses(job)
    check(max(again) == end - 1, f"ended after {max(again)}")
    check(all(reference()["losses"][step] == loss for step, loss in again.items()), "losses differ")
    check(model(directory, end) == reference()["model"], "another model than without the stop")
    job.close()


def resume_in_the_first_phase_has_the_same_bits():
    resumed_in("first", change() // 2)


def resume_in_the_second_phase_has_the_same_bits():
    resumed_in("second", change() + 20)


def a_job_with_other_phases_does_not_go_on_from_the_checkpoint():
    directory = os.path.join(SPACE, "second")
    job = start(sets=[f"checkpoint.directory={directory}", "phases=[{name: other, steps: 3}]"],
                flags=["--resume", "auto"])
    check(job.wait(HANGS) != 0, "it should have failed")
    check("is none of phase \"other\"" in job.stderr(), job.stderr())
    job.close()


if __name__ == "__main__":
    try:
        run_tests([
            the_condition_ends_the_first_phase,
            each_phase_has_its_own_compression,
            what_is_frozen_stays,
            a_kill_in_the_first_phase_is_survived,
            a_kill_in_the_second_phase_is_survived,
            a_kill_right_after_the_change_is_survived,
            a_coordinator_killed_in_the_second_phase_finds_it_again,
            resume_in_the_first_phase_has_the_same_bits,
            resume_in_the_second_phase_has_the_same_bits,
            a_job_with_other_phases_does_not_go_on_from_the_checkpoint,
        ])
    finally:
        shutil.rmtree(SPACE, ignore_errors=True)
