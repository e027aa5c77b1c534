#!/usr/bin/python3
"""Training programs that link the library, as `orchestrator run ... -- PROGRAM` starts them."""

import json
import os
import re
import signal
import struct
import subprocess
import tempfile
import time

from cluster import BINARY, Job, check, run_tests

PROGRAM = os.path.abspath("tests/e2e/library_program")
PLAIN = os.path.abspath("examples/library/plain_loop")
ELASTIC = os.path.abspath("examples/library/elastic_loop")
HANGS = 120  # seconds, no job here takes nearly as long


def program_job(np, command, sets=(), flags=()):
    """The job of a program; its output is in stdout() and stderr(), with the launcher's."""
    return Job(np, sets, flags=flags, program=command)


def run(np, mode, sets=(), flags=(), words=()):
    job = program_job(np, [PROGRAM, "--mode=" + mode, *words], sets, flags)
    job.wait(HANGS)
    return job


def tensors(path):
    """Bytes of each tensor of a safetensors file."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        body = file.read()
    return {name: body[slice(*value["data_offsets"])] for name, value in header.items()
            if name != "__metadata__"}


def the_plain_loop_runs_on_two_ranks():
    job = program_job(2, [PLAIN], ["training.checksum_every_steps=10", "compression.policy=none"])
    check(job.wait(HANGS) == 0, job.stderr())
    summary = job.summary()
    check(summary["steps"] == 320 and summary["replicas_identical"] and summary["checksums_compared"] == 32,
          summary)
    losses = [step["loss"] for step in job.steps()]
    check(len(losses) == 320 and sum(losses[-32:]) / 32 < 0.75 * losses[0], losses[::40])
    job.close()


def it_computes_the_bits_of_the_built_in_trainer():
    sets = ["training.global_batch=32", "training.steps=12", "compression.policy=none",
            "schedule.kind=constant", "schedule.warmup_steps=0", "training.checksum_every_steps=4"]
    built_in = Job(2, sets + ["checkpoint.at_end=on"])
    check(built_in.wait(HANGS) == 0, built_in.stderr())
    out = os.path.join(built_in.directory, "ours")
    ours = run(2, "train", sets, words=["--steps=12", "--batch=32", "--out=" + out])
    check(ours.process.returncode == 0, ours.stderr())
    theirs = tensors(os.path.join(built_in.summary()["checkpoint"], "model.safetensors"))
    mine = tensors(out)
    check(set(mine) <= set(theirs) and len(mine) == 12, (sorted(mine), sorted(theirs)))
    for name, value in mine.items():
        check(value == theirs[name], f"{name} differs")
    losses = [[step["loss"] for step in job.steps()] for job in (built_in, ours)]
    worst = max(abs(a - b) / abs(b) for a, b in zip(*losses))
    print(f"       largest relative difference of 12 losses {worst:.1e}, parameters bit for bit")
    check(len(losses[0]) == len(losses[1]) == 12 and worst < 1e-6, losses)
    for job in (built_in, ours):
        job.close()


def the_jobs_policy_compresses_its_gradients():
    out = os.path.join(tempfile.mkdtemp(prefix="sluice-e2e-"), "ours")
    job = run(2, "train", ["training.global_batch=32", "compression.policy=lgreco",
                           "compression.warmup_steps=5", "compression.window_steps=6",
                           "compression.lead_steps=2", "training.checksum_every_steps=5"],
              words=["--steps=25", "--batch=32", "--out=" + out])
    check(job.process.returncode == 0, job.stderr())
    summary = job.summary()
    check(summary["policy_changes"] >= 1, summary)
    check(summary["raw_bytes_per_step"] > 1.5 * summary["wire_bytes_per_step"], summary)
    check(summary["replicas_identical"], summary)
    check("of 12 layers" in job.stdout() + job.stderr(), job.stderr())
    job.close()


def collectives_and_groups():
    job = run(3, "collectives")
    check(job.process.returncode == 0, job.stderr())
    text = job.stdout() + job.stderr()
    for rank, group in [(0, "0 of 2: 2"), (1, "-1 of 2: rank 1 is not in the group [0, 2]"), (2, "1 of 2: 2")]:
        line = f"rank {rank} local {rank} of 3: 6 6 6; 1 1; 30; 0 0 1 1 2 2; 1 1; group {group}"
        check(line in text, f"{line}\n{text}")
    job.close()


def different_calls_are_named_on_every_rank_and_the_job_goes_on():
    job = run(2, "different_calls")
    check(job.process.returncode == 0, job.stderr())
    text = job.stdout() + job.stderr()
    shape = ('SL2001 ranks call different things: rank 1 has all-reduce mean "fc.weight" float32 [10, 32] '
             'where rank 0 has all-reduce mean "fc.weight" float32 [10, 64]')
    call = "rank 1 has barrier where rank 0 has broadcast from 0 of float32 [4]"
    check(text.count(shape) == 2 and text.count(call) == 2 and text.count("after: 2") == 2, text)
    job.close()


def different_models_are_named_on_every_rank():
    job = run(2, "different_models")
    text = job.stdout() + job.stderr()
    want = 'rank 1 has "fc.weight" float32 [10, 32] where rank 0 has "fc.weight" float32 [10, 64]'
    check(job.process.returncode == 78, (job.process.returncode, text))
    check(text.count("a DistributedOptimizer: " + want) >= 2, text)
    job.close()


def a_rank_that_leaves_a_call_out_is_named():
    job = run(2, "missing_call", ["communication.timeout_seconds=2"])
    text = job.stdout() + job.stderr()
    check(job.process.returncode == 1, (job.process.returncode, text))
    check('all-reduce sum "loss" float32 [4]: SL2002 rank 1 has not called it' in text, text)
    job.close()


def gradients_add_up_over_passes_and_unused_ones_are_zero():
    job = run(2, "accumulate")
    text = job.stdout() + job.stderr()
    # 1 - 2 steps x mean of (2 x 1, 2 x 2)
    check(text.count("used -5 -5 unused 1 1") == 2, text)
    check(job.process.returncode == 78 and 'the gradient of "used" was computed 3 times in step 2' in text, text)
    job.close()


def a_program_that_ends_without_joining_is_named():
    job = run(2, "stranger")
    check(job.process.returncode == 78, job.stderr())
    check("without joining the job. A training program calls sluice::Session::Join()" in job.stderr(), job.stderr())
    job.close()


def a_program_that_exits_without_leaving_is_named():
    job = run(1, "exit")
    check(job.process.returncode == 1, job.stderr())
    check("ended without leaving the job" in job.stderr(), job.stderr())
    job.close()


def a_programs_own_exit_code_is_named_and_kept():
    job = run(2, "code")
    check(job.process.returncode == 7 and re.search(r"rank [01] \(host .*\) exited with 7", job.stderr()), job.stderr())
    job.close()


def a_second_join_says_why_not():
    job = run(1, "second_join")
    check(job.process.returncode == 78 and "works once per process" in job.stderr(), job.stderr())
    job.close()


def arguments_pass_whole_and_the_environment_is_there():
    words = ["two words", "a'b\"c", "--", "", "$HOME", "*"]
    job = run(2, "words", words=["--", *words])
    text = job.stdout() + job.stderr()
    check(job.process.returncode == 0, text)
    for word in words:
        check(text.count(f"word: {word}|\n") == 2, f"{word}\n{text}")
    for fact in ["RANK=0", "RANK=1", "SLUICE_RANK=1"]:
        check(re.search(fact + "$", text, re.M), text)
    check(len(re.findall(r"WORLD_SIZE=2$", text, re.M)) == 2, text)
    job.close()


def a_dry_run_shows_the_program():
    done = subprocess.run([BINARY, "run", "-np", "2", "--dry-run", "--", PROGRAM, "two words"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    check(done.returncode == 0 and f"# rank 1 then starts\n{PROGRAM} 'two words'\n" in done.stdout, done)


def a_program_that_is_not_there_is_named_at_once():
    done = subprocess.run([BINARY, "run", "-np", "2", "--", "./no_such_program"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    check(done.returncode == 78 and "./no_such_program: No such file" in done.stderr, done)


def alone_it_says_how_to_start_it():
    done = subprocess.run([PLAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    check(done.returncode == 78 and "orchestrator run -np N -- PROGRAM" in done.stderr, done)


def under_another_launcher_ranks_meet_by_themselves():
    folder = tempfile.mkdtemp(prefix="sluice-e2e-")
    job_file = os.path.join(folder, "job.yaml")
    with open(job_file, "w") as file:
        file.write("compression: {policy: none}\n")
    port = 20000 + os.getpid() % 9000
    ranks = []
    for rank in range(2):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2",
                   MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID=f"e2e{os.getpid()}")
        ranks.append(subprocess.Popen([BINARY, "worker", job_file, "--", PROGRAM, "--mode=different_calls"],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                                      env=env, cwd=folder))
    outputs = [rank.communicate(timeout=HANGS)[0] for rank in ranks]
    check([rank.returncode for rank in ranks] == [0, 0], outputs)
    check(sum(text.count("after: 2") for text in outputs) == 2, outputs)


def programs_of(job, path):
    """Pids of a job's programs, by slot."""
    workers = {pid: int(name.split()[1]) for pid, name in job.children().items() if name.startswith("worker")}
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            if parent in workers and os.readlink(f"/proc/{entry}/exe") == os.path.realpath(path):
                found[workers[parent]] = int(entry)
        except OSError:
            continue
    return found


def an_elastic_loop_survives_the_kill_of_a_rank(slot):
    job = program_job(3, [ELASTIC, "--steps=4000", "--commit_every=10"],
                      ["report.every_steps=1", "compression.policy=none", "training.checksum_every_steps=100"],
                      ["--min-np", "1"])
    job.wait_for_step(50)
    victim = programs_of(job, ELASTIC)[slot]
    os.kill(victim, signal.SIGKILL)
    check(job.wait(HANGS) == 0, job.stderr())
    text = job.stdout() + job.stderr()
    generations = job.events("generation")
    check([one["world_size"] for one in generations][:2] == [3, 2], generations)
    check(re.search(r"generation 2: rank 0 of 2 from step (\d+)", text), text)
    done = re.findall(r"done: 4000 steps, loss (\S+)", text)
    check(len(done) == generations[-1]["world_size"] and float(done[0]) < 0.2, (done, generations))
    summary = job.summary()
    check(summary["replicas_identical"] and summary["checksums_compared"] > 0, summary)
    print(f"       {len(generations)} generations, {summary['steps']} steps for 4000, loss {done[0]}")
    check(job.children() == {}, job.children())
    job.close()


def an_elastic_loop_survives_the_kill_of_rank_1():
    an_elastic_loop_survives_the_kill_of_a_rank(1)


def an_elastic_loop_survives_the_kill_of_rank_0():
    an_elastic_loop_survives_the_kill_of_a_rank(0)


def without_elasticity_a_kill_ends_the_job_and_names_the_rank():
    job = program_job(2, [ELASTIC, "--steps=100000"], ["report.every_steps=1", "compression.policy=none"])
    job.wait_for_step(20)
    victim = programs_of(job, ELASTIC)[1]
    os.kill(victim, signal.SIGKILL)
    check(job.wait(HANGS) == 1, job.stderr())
    check(f"pid {victim}) is gone" in job.stderr(), job.stderr())
    job.wait_gone(10)
    job.close()


def a_signal_stops_it_between_two_steps():
    job = program_job(2, [ELASTIC, "--steps=100000"], ["report.every_steps=1", "compression.policy=none"])
    job.wait_for_step(20)
    job.process.send_signal(signal.SIGTERM)
    check(job.wait(HANGS) == 0, job.stderr())
    check("the job stops before step" in job.stdout() + job.stderr() or "stopped by SIGTERM" in job.stderr(), job.stderr())
    job.wait_gone(10)
    job.close()


def worker_of(job, slot):
    return next(pid for pid, name in job.children().items() if name == f"worker {slot}")


def a_signal_to_a_worker_stops_the_job_between_two_steps():
    job = program_job(2, [ELASTIC, "--steps=100000"], ["report.every_steps=1", "compression.policy=none"])
    job.wait_for_step(20)
    os.kill(worker_of(job, 1), signal.SIGTERM)
    check(job.wait(HANGS) == 0, job.stderr())
    check(job.summary()["stopped_by"].startswith("stopped by SIGTERM to rank 1"), job.stderr())
    job.wait_gone(10)
    job.close()


def a_rank_whose_worker_is_asked_to_leave_does_so_and_the_others_go_on():
    job = program_job(3, [ELASTIC, "--steps=600", "--commit_every=10"],
                      ["report.every_steps=1", "compression.policy=none", "training.checksum_every_steps=100"],
                      ["--min-np", "1"])
    job.wait_for_step(50)
    os.kill(worker_of(job, 2), signal.SIGUSR2)
    check(job.wait(HANGS) == 0, job.stderr())
    text = job.stdout() + job.stderr()
    generations = job.events("generation")
    check([one["world_size"] for one in generations] == [3, 2], generations)
    check("leaves the job: asked to leave by SIGUSR2" in text and text.count("done: 600 steps, loss") == 2, text)
    check(job.summary()["replicas_identical"], job.summary())
    job.close()


run_tests([the_plain_loop_runs_on_two_ranks, it_computes_the_bits_of_the_built_in_trainer,
           the_jobs_policy_compresses_its_gradients, collectives_and_groups,
           different_calls_are_named_on_every_rank_and_the_job_goes_on,
           different_models_are_named_on_every_rank, a_rank_that_leaves_a_call_out_is_named,
           gradients_add_up_over_passes_and_unused_ones_are_zero, a_program_that_ends_without_joining_is_named,
           a_program_that_exits_without_leaving_is_named, a_programs_own_exit_code_is_named_and_kept,
           a_second_join_says_why_not, arguments_pass_whole_and_the_environment_is_there, a_dry_run_shows_the_program,
           a_program_that_is_not_there_is_named_at_once, alone_it_says_how_to_start_it,
           under_another_launcher_ranks_meet_by_themselves, an_elastic_loop_survives_the_kill_of_rank_1,
           an_elastic_loop_survives_the_kill_of_rank_0, without_elasticity_a_kill_ends_the_job_and_names_the_rank,
           a_signal_stops_it_between_two_steps, a_signal_to_a_worker_stops_the_job_between_two_steps,
           a_rank_whose_worker_is_asked_to_leave_does_so_and_the_others_go_on])
