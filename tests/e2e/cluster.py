"""Runs `orchestrator run` for the end-to-end tests, and looks at the processes that it starts."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

BINARY = os.path.abspath("orchestrator/orchestrator")
MAIN_JOB = os.path.abspath("examples/fashion_mnist.yaml")
SHOWN = 2000  # characters of a failure's text, from its begin and from its end
# A job of seconds: small batches, short windows.
SMALL = ["training.global_batch=32", "training.checksum_every_steps=10", "compression.warmup_steps=10",
         "compression.window_steps=15", "compression.lead_steps=2"]


class Job:
    """One `orchestrator run`, started at once. `chaos`: faults as in docs/operations.md, without braces.
    `program`: a training program and its arguments, in the place of a job file."""

    def __init__(self, np, sets, job=MAIN_JOB, flags=(), chaos=(), program=()):
        self.directory = tempfile.mkdtemp(prefix="sluice-e2e-")
        if chaos:
            plan = os.path.join(self.directory, "chaos.yaml")
            with open(plan, "w") as file:
                file.write("faults:\n" + "".join(f"- {{{fault}}}\n" for fault in chaos))
            flags = [*flags, "--chaos", plan]
        self.run_directory = os.path.join(self.directory, "run")
        self.out = open(os.path.join(self.directory, "stdout"), "w")
        self.err = open(os.path.join(self.directory, "stderr"), "w")
        argv = [BINARY, "run", "-np", str(np), "--json", "--run-directory", self.run_directory, *flags]
        for one in sets:
            argv += ["--set", one]
        argv += ["--", *program] if program else [job]
        self.process = subprocess.Popen(argv, stdout=self.out, stderr=self.err,
                                        stdin=subprocess.DEVNULL)

    def wait(self, timeout):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the job hangs:\n" + self.stderr())

    def kill(self):
        for pid in [self.process.pid] + list(self.children()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    # Read through descriptors of their own: the processes share the position of those that they write to.

    def stdout(self):
        with open(self.out.name) as file:
            return file.read()

    def stderr(self):
        with open(self.err.name) as file:
            return file.read()

    def steps(self):
        return [line for line in self.json_lines() if line["event"] == "step"]

    def summary(self):
        lines = self.json_lines()
        assert lines and lines[-1]["event"] == "summary", self.stdout()[-500:] + self.stderr()
        return lines[-1]

    def json_lines(self):
        return [json.loads(line) for line in self.stdout().splitlines() if line.endswith("}")]

    def recorded(self, name):
        with open(os.path.join(self.run_directory, name)) as file:
            return [json.loads(line) for line in file]

    def events(self, *kinds):
        """Of events.jsonl, which kills leave whole."""
        return [line for line in self.recorded("events.jsonl") if line["event"] in kinds]

    def children(self):
        """Processes of this job by pid: "coordinator", "worker 0", "profiler 0"."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline") as file:
                    argv = file.read().split("\0")
                with open(f"/proc/{entry}/stat") as file:
                    zombie = file.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                continue
            if zombie or "--run-directory=" + self.run_directory not in argv:
                continue
            slot = [a.split("=")[1] for a in argv if a.startswith("--slot=")]
            found[int(entry)] = " ".join([argv[1]] + slot)
        return found

    def wait_for_step(self, step, timeout=120):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if any(line["step"] >= step for line in self.steps()):
                return
            assert self.process.poll() is None, "ended early:\n" + self.stderr()
            time.sleep(0.02)
        raise AssertionError(f"step {step} not reached in {timeout} s:\n" + self.stderr())

    def wait_gone(self, timeout):
        """Seconds until no process of the job is left."""
        begin = time.monotonic()
        while time.monotonic() - begin < timeout:
            if self.process.poll() is not None and not self.children():
                return time.monotonic() - begin
            time.sleep(0.02)
        left = self.children()
        self.kill()
        raise AssertionError(f"after {timeout} s there still are {left}:\n" + self.stderr())

    def close(self):
        self.out.close()
        self.err.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Script:
    """A host discovery script whose answer the caller writes."""

    def __init__(self, hosts):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-discovery-")
        self.path = os.path.join(self.folder.name, "hosts.sh")
        self.answer(hosts)

    def answer(self, hosts, before=""):
        lines = "".join(f"echo '{host}'\n" for host in hosts)
        with open(self.path + ".new", "w") as file:
            file.write("#!/bin/sh\n" + before + lines)
        os.chmod(self.path + ".new", 0o755)
        os.rename(self.path + ".new", self.path)  # never half written


def model(directory, step):
    """The model's bytes in a folder of checkpoints."""
    with open(os.path.join(directory, f"step_{step:08}", "model.safetensors"), "rb") as file:
        return file.read()


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def run_tests(tests):
    """Runs every function, prints a line each, ends with 1 if any failed."""
    failed = 0
    for test in tests:
        begin = time.monotonic()
        try:
            test()
            print(f"ok     {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except AssertionError as error:
            failed += 1
            text = str(error)
            if len(text) > 2 * SHOWN:
                text = f"{text[:SHOWN]}\n[... {len(text) - 2 * SHOWN} characters ...]\n{text[-SHOWN:]}"
            print(f"FAILED {test.__name__}: {text}", flush=True)
    print(f"{len(tests) - failed} of {len(tests)} tests passed")
    raise SystemExit(1 if failed else 0)
