#!/usr/bin/python3
"""Jobs go on from checkpoints: bit by bit like one that was never stopped, and whenever they were killed.

`--times N`: so many kills of a whole job while it writes checkpoints (default 3).
"""

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import tempfile
import time

from cluster import SMALL, Job, check, run_tests

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--times", type=int, default=3)
PARSER.add_argument("--seed", type=int, default=int(time.time()))
ARGS = PARSER.parse_args()
RANDOM = random.Random(ARGS.seed)
STEPS = 60
SETS = SMALL + [f"training.steps={STEPS}", "report.every_steps=1"]
ENDLESS = SETS + ["training.steps=100000"]
HANGS = 240  # seconds, no job here takes nearly as long
EXACT = ["step", "loss", "wire_bytes", "predicted_bytes", "policy_version", "checksum_compared", "skipped"]
SPACE = tempfile.mkdtemp(prefix="sluice-resume-")  # checkpoints of all jobs
XXHASH = ctypes.CDLL("libxxhash.so.0")
XXHASH.XXH3_64bits.restype = ctypes.c_uint64
XXHASH.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_REFERENCE = {}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def folder(directory, step):
    return os.path.join(directory, f"step_{step:08}")


def checkpoints(directory):
    """Steps of those that claim to be complete."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(int(name[5:]) for name in names if name.startswith("step_") and not name.endswith(".tmp"))


def named_latest(directory):
    """The step that `latest` names; None without one."""
    try:
        with open(os.path.join(directory, "latest")) as file:
            return int(file.read().strip()[len("step_"):])
    except FileNotFoundError:
        return None


def why_not_whole(path):
    """Empty if every file is as the manifest says."""
    try:
        manifest = json.loads(read(os.path.join(path, "manifest.pb.json")))
    except (OSError, ValueError) as error:
        return f"{path}: {error}"
    if not manifest["files"]:
        return f"{path}: no files"
    for entry in manifest["files"]:
        name = os.path.join(path, entry["name"])
        if not os.path.exists(name):
            return f"{name} is missing"
        content = read(name)
        if len(content) != int(entry["bytes"]):
            return f"{name} has {len(content)} of {entry['bytes']} bytes"
        if XXHASH.XXH3_64bits(content, len(content)) != int(entry["xxh3"]):
            return f"{name} has another checksum"
    return ""


def model(directory, step=STEPS):
    return read(os.path.join(folder(directory, step), "model.safetensors"))


def exact(lines):
    return [{key: line[key] for key in EXACT} for line in lines]


def plans(job, after):
    keys = ["version", "effective_step", "layers", "predicted_bytes", "error", "budget", "reason"]
    return [{key: plan[key] for key in keys} for plan in job.recorded("policies.jsonl")
            if plan["effective_step"] > after]


def start(np, directory, sets=(), resume=None, chaos=()):
    flags = ["--resume", resume] if resume else []
    return Job(np, SETS + [f"checkpoint.directory={directory}", *sets], flags=flags, chaos=chaos)


def reference():
    """A run of 2 workers that was never stopped, with checkpoints of 20, 40 and 60 steps."""
    if not _REFERENCE:
        directory = os.path.join(SPACE, "reference")
        job = start(2, directory, ["checkpoint.every_steps=20"])
        check(job.wait(HANGS) == 0, job.stderr())
        check(checkpoints(directory) == [20, 40, 60], checkpoints(directory))
        check([event["steps"] for event in job.events("checkpoint")] == [20, 40, 60], job.events("checkpoint"))
        for step in (20, 40, 60):
            check(why_not_whole(folder(directory, step)) == "", why_not_whole(folder(directory, step)))
        _REFERENCE.update(directory=directory, job=job, steps=job.recorded("metrics.jsonl"))
    return _REFERENCE


def copy_of_reference(name, steps):
    directory = os.path.join(SPACE, name)
    os.mkdir(directory)
    for step in steps:
        shutil.copytree(folder(reference()["directory"], step), folder(directory, step))
    with open(os.path.join(directory, "latest"), "w") as file:
        file.write(f"step_{max(steps):08}\n")
    return directory


def check_as_never_stopped(job, directory, begin):
    """From step `begin` on the finished job has the reference's bits."""
    check(job.process.returncode == 0, f"code {job.process.returncode}:\n{job.stderr()}")
    got = exact(job.recorded("metrics.jsonl"))
    check(got == exact(reference()["steps"][begin:]), f"steps differ from {begin} on: {got[:2]} ...")
    check(model(directory) == model(reference()["directory"]), "the final parameters differ")
    for name in ("optimizer.safetensors", "reducer_0000.bin", "reducer_0001.bin"):
        ours, theirs = (read(os.path.join(folder(one, STEPS), name)) for one in (directory, reference()["directory"]))
        check(ours == theirs, f"{name} differs")
    check(plans(job, begin) == plans(reference()["job"], begin), "the plans differ")
    check(job.summary()["test_accuracy"] == reference()["job"].summary()["test_accuracy"], job.summary())


def resumed_by_path_it_has_the_same_bits():
    directory = os.path.join(SPACE, "by_path")
    job = start(2, directory, resume=folder(reference()["directory"], 20))
    job.wait(HANGS)
    check("20 steps completed" in job.stderr(), job.stderr())
    check_as_never_stopped(job, directory, 20)
    job.close()


def after_a_crash_auto_goes_on_from_the_newest():
    directory = os.path.join(SPACE, "crash")
    job = start(2, directory, ["checkpoint.every_steps=20"], resume="auto",
                chaos=["fault: kill, at_step: 50, rank: 1"])
    check(job.wait(HANGS) == 1, job.stderr())
    check("starting from the beginning" in job.stderr(), job.stderr())  # nothing was there
    got = exact(job.recorded("metrics.jsonl"))  # what the killed one had not sent yet is missing
    check(len(got) >= 45 and got == exact(reference()["steps"][:len(got)]), f"steps before the crash differ: {got[-1]}")
    job.close()
    there = checkpoints(directory)
    check(there in ([20], [20, 40]), there)  # the disk may have been slow
    job = start(2, directory, ["checkpoint.every_steps=20"], resume="auto")
    job.wait(HANGS)
    check_as_never_stopped(job, directory, there[-1])
    job.close()


def another_world_size_goes_on():
    directory = os.path.join(SPACE, "three")
    job = start(3, directory, resume=folder(reference()["directory"], 40))
    check(job.wait(HANGS) == 0, job.stderr())
    steps = job.recorded("metrics.jsonl")
    check([line["step"] for line in steps] == list(range(40, STEPS)), steps)
    # The same batch with the same parameters, in other slices.
    check(abs(steps[0]["loss"] - reference()["steps"][40]["loss"]) < 1e-3, steps[0])
    check(job.summary()["replicas_identical"], job.summary())
    check(abs(job.summary()["test_accuracy"] - reference()["job"].summary()["test_accuracy"]) < 0.1, job.summary())
    job.close()


def damage(path):
    content = bytearray(read(path))
    content[len(content) // 2] ^= 1
    with open(path, "wb") as file:
        file.write(content)


def a_damaged_checkpoint_falls_back_to_the_one_before():
    directory = copy_of_reference("damaged", [20, 40])
    damage(os.path.join(folder(directory, 40), "model.safetensors"))
    job = start(2, directory, resume="auto")
    job.wait(HANGS)
    (told,) = [line for line in job.stderr().splitlines() if "SL4001" in line]
    check("step_00000040/model.safetensors" in told and "going on from " + folder(directory, 20) + " instead" in told, told)
    check_as_never_stopped(job, directory, 20)
    job.close()


def a_damaged_checkpoint_that_was_named_ends_the_job_with_74():
    directory = copy_of_reference("named", [40])
    damage(os.path.join(folder(directory, 40), "optimizer.safetensors"))
    job = start(2, directory, resume=folder(directory, 40))
    check(job.wait(HANGS) == 74, f"{job.process.returncode}:\n{job.stderr()}")
    cause = job.summary()["cause"]
    check("SL4001" in cause and "optimizer.safetensors" in cause and "--resume auto" in cause, cause)
    job.close()


def killed_while_it_writes_it_goes_on_from_a_whole_one():
    directory = os.path.join(SPACE, "killed")
    sets = ["training.steps=100000", "checkpoint.every_steps=2"]
    newest = 0
    for _ in range(ARGS.times):
        job = start(2, directory, sets, resume="auto")
        job.wait_for_step(newest + RANDOM.randrange(4, 16), HANGS)
        time.sleep(RANDOM.random() * 0.2)
        job.kill()
        job.wait_gone(30)
        begin = job.recorded("metrics.jsonl")[0]["step"]
        check(begin == newest, f"seed {ARGS.seed}: went on from {begin}, {newest} is the newest")
        job.close()
        there = checkpoints(directory)
        broken = [why for why in (why_not_whole(folder(directory, step)) for step in there) if why]
        check(there and not broken, f"seed {ARGS.seed}: {broken or 'no checkpoint'}")
        check(there[-1] >= newest and len(there) <= 5, f"seed {ARGS.seed}: {there} after {newest}")
        # Killed between a checkpoint's commit and `latest`, the one before is what counts.
        counts = named_latest(directory) or there[-1]
        check(counts in there and counts >= max(newest, there[-1] - 2), f"seed {ARGS.seed}: latest is {counts} of {there}")
        newest = counts
    check(newest > 0, f"seed {ARGS.seed}: no checkpoint in {ARGS.times} runs")


def stopped_in_order(number):
    name = signal.Signals(number).name
    directory = os.path.join(SPACE, name)
    job = start(2, directory, chaos=["fault: delay, at_step: 10, rank: 0, milliseconds: 200, for_steps: 100"])
    job.wait_for_step(12)
    os.kill(job.process.pid, number)
    job.wait_gone(60)
    check(job.process.returncode == 0, f"{job.process.returncode}:\n{job.stderr()}")
    summary = job.summary()
    check(summary["failed"] is False and name in summary["stopped_by"], summary)
    (there,) = checkpoints(directory)
    check(12 < there < STEPS and summary["checkpoint"] == folder(directory, there), summary)
    # All ranks stopped at the same step, and it is the checkpoint's.
    check(exact(job.recorded("metrics.jsonl")) == exact(reference()["steps"][:there]), "steps before the stop differ")
    job.close()
    job = start(2, directory, resume="auto")
    job.wait(HANGS)
    check_as_never_stopped(job, directory, there)
    job.close()


def terminated_it_writes_a_checkpoint_and_resumes():
    stopped_in_order(signal.SIGTERM)


def interrupted_it_writes_a_checkpoint_and_resumes():
    stopped_in_order(signal.SIGINT)


def user_signal_1_writes_a_checkpoint_and_training_goes_on():
    directory = os.path.join(SPACE, "usr1")
    job = start(2, directory, ["training.steps=100000", "checkpoint.at_end=off"])
    job.wait_for_step(5)
    for count in (1, 2):
        os.kill(job.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while len(checkpoints(directory)) < count:
            check(time.monotonic() < deadline and job.process.poll() is None, "no checkpoint:\n" + job.stderr())
            time.sleep(0.02)
        job.wait_for_step(checkpoints(directory)[-1] + 5)
    check(job.process.poll() is None, job.stderr())
    job.kill()
    broken = [why for why in (why_not_whole(folder(directory, step)) for step in checkpoints(directory)) if why]
    check(not broken, broken)
    job.close()


def without_grace_a_signal_ends_the_job_at_once():
    directory = os.path.join(SPACE, "graceless")
    job = start(2, directory, ["training.steps=100000", "checkpoint.grace_seconds=0"])
    job.wait_for_step(5)
    os.kill(job.process.pid, signal.SIGTERM)
    job.wait_gone(60)
    check(job.process.returncode == 143, f"{job.process.returncode}:\n{job.stderr()}")
    check("SIGTERM" in job.summary()["cause"] and checkpoints(directory) == [], job.summary())
    job.close()


def a_folder_that_cannot_be_written_is_found_at_the_start():
    job = start(2, "/sys/sluice/checkpoints")  # not even by root
    check(job.wait(HANGS) == 74, f"{job.process.returncode}:\n{job.stderr()}")
    check("/sys/sluice" in job.summary()["cause"] and job.steps() == [], job.summary())
    job.close()


try:
    run_tests([resumed_by_path_it_has_the_same_bits, after_a_crash_auto_goes_on_from_the_newest,
               another_world_size_goes_on, a_damaged_checkpoint_falls_back_to_the_one_before,
               a_damaged_checkpoint_that_was_named_ends_the_job_with_74,
               killed_while_it_writes_it_goes_on_from_a_whole_one, terminated_it_writes_a_checkpoint_and_resumes,
               interrupted_it_writes_a_checkpoint_and_resumes,
               user_signal_1_writes_a_checkpoint_and_training_goes_on,
               without_grace_a_signal_ends_the_job_at_once, a_folder_that_cannot_be_written_is_found_at_the_start])
finally:
    shutil.rmtree(SPACE, ignore_errors=True)
