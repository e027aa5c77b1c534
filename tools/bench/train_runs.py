"""One training run of either system: its commands, and what came of them."""

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

import train_methods

BENCH = os.path.dirname(os.path.abspath(__file__))
DDP_BENCH = os.path.join(BENCH, "peers", "ddp_bench.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# What Sluice's launcher sets. Not DDP's, whose processes are no faster with it.
LAUNCHER = {**ONE_THREAD, "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


@dataclasses.dataclass
class Result:
    """What a run measured. Times and bytes are of the timed steps."""
    step_s: float
    samples_s: float
    bytes_per_step: float  # sent per rank
    losses: list  # mean over ranks, of every step
    ends: list  # of every step, in seconds since the first began
    exposed_s: float = None
    payload_bytes_per_step: float = None  # by the system's own account
    accuracy: float = None
    test_loss: float = None
    version: str = None


@dataclasses.dataclass
class Command:
    """A process of a run."""
    name: str
    argv: list
    environment: dict

    def shell(self):
        words = [f"{key}={value}" for key, value in sorted(self.environment.items())] + self.argv
        return " ".join(shlex.quote(word) for word in words)


def sluice_commands(orchestrator, hosts, settings, job_path, directory, port, profiler):
    """The first one is the coordinator, which reports on its standard output; then the workers."""
    run_directory = os.path.join(directory, "run")
    if hosts.rate == "none":
        argv = [orchestrator, "run", "-np", str(settings.ranks), "--json", "--run-directory", run_directory, job_path]
        return [Command("run", argv, ONE_THREAD)]
    environment = {**LAUNCHER, **hosts.environment}
    credentials = os.path.join(directory, "credentials")
    common = ["--job", job_path, "--job-id", "bench", "--run-directory", run_directory, "--credentials", credentials]
    coordinator = ["--coordinator", f"{hosts.address(0)}:{port}"]
    commands = [Command("coordinator", hosts.wrap(0, [
        orchestrator, "coordinator", *common, "--json", "--bind", hosts.address(0), "--port", str(port)]), environment)]
    for kind, count in (("worker", settings.ranks), ("profiler", 1 if profiler else 0)):
        for slot in range(count):
            commands.append(Command(f"{kind} {slot}", hosts.wrap(slot, [
                orchestrator, kind, *common, *coordinator, "--slot", str(slot)]), environment))
    return commands


def ddp_commands(python, hosts, method, settings, seed, port):
    arguments = train_methods.ddp_arguments(method, settings, seed)
    commands = []
    for rank in range(settings.ranks):
        environment = {**ONE_THREAD, "RANK": str(rank), "WORLD_SIZE": str(settings.ranks),
                       "MASTER_ADDR": hosts.address(0), "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": hosts.interface}
        commands.append(Command(f"rank {rank}", hosts.wrap(rank, [python, DDP_BENCH, *arguments]), environment))
    return commands


class Processes:
    """The processes of a run, none of which outlives it. Their standard errors go to files in `directory`."""

    def __init__(self, commands, directory, timeout):
        self.commands, self.directory, self.timeout = commands, directory, timeout
        self.processes = []
        self.timed_out = False

    def __enter__(self):
        for index, command in enumerate(self.commands):
            with open(self._errors(command), "w") as errors:
                self.processes.append(subprocess.Popen(
                    command.argv, env={**os.environ, **command.environment}, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL, stderr=errors, text=True,
                    start_new_session=True))
        self.timer = threading.Timer(self.timeout, self._expire)
        self.timer.daemon = True
        self.timer.start()
        return self

    def __exit__(self, *unused):
        self.timer.cancel()
        self._kill()
        for process in self.processes:
            process.wait()
        self.processes[0].stdout.close()

    def lines(self):
        """JSON objects of the first process, each with the time at which it came."""
        for line in self.processes[0].stdout:
            now = time.perf_counter()
            if line.startswith("{"):
                yield now, json.loads(line)

    def stop(self):
        """Asks the first process to end the run for all, and waits for that."""
        self.processes[0].terminate()
        for _ in self.processes[0].stdout:
            pass
        for process in self.processes:
            process.wait()

    def pids(self, first):
        return [process.pid for process in self.processes[first:]]

    def failure(self, what):
        texts = [f"{what}{f': not done after {self.timeout} s' if self.timed_out else ''}"]
        for command in self.commands:
            with open(self._errors(command)) as file:
                lines = file.read().splitlines()[-6:]
            if lines:
                texts.append("\n".join([f"-- {command.name}: {command.shell()}"] + lines))
        return RuntimeError("\n".join(texts))

    def _errors(self, command):
        return os.path.join(self.directory, command.name.replace(" ", "") + ".stderr")

    def _expire(self):
        self.timed_out = True
        self._kill()

    def _kill(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def scratch(keep):
    directory = tempfile.mkdtemp(prefix="train-bench-")
    try:
        yield directory
    finally:
        if keep:
            print(f"files: {directory}", file=sys.stderr)
        else:
            subprocess.run(["rm", "-rf", directory], check=False)


def write_job(method, settings, seed, hosts, directory):
    path = os.path.join(directory, "job.json")
    with open(path, "w") as file:
        json.dump(train_methods.sluice_job(method, settings, seed, hosts.transports), file, indent=1)
    os.mkdir(os.path.join(directory, "run"))
    return path


def run_sluice(orchestrator, hosts, method, settings, seed, timeout, keep=False):
    """\\raises RuntimeError with the ends of the processes' standard errors"""
    with scratch(keep) as directory:
        job = write_job(method, settings, seed, hosts, directory)
        commands = sluice_commands(orchestrator, hosts, settings, job, directory, hosts.port(), train_methods.plans(method))
        if len(commands) > 1:
            subprocess.run([orchestrator, "credentials", os.path.join(directory, "credentials")], check=True,
                           stdout=subprocess.DEVNULL)
        first = train_methods.timed_from(method, settings)
        arrivals, steps, counted, summary = [], [], [], None
        with Processes(commands, directory, timeout) as processes:
            def count():
                # In the first process alone there are no ranks to look at, and nothing on the network.
                if len(commands) > 1:
                    counted.append(hosts.sent_bytes(processes.pids(1)[:settings.ranks]))

            for now, line in processes.lines():
                if line["event"] == "step":
                    arrivals.append(now)
                    steps.append(line)
                    if len(steps) in (first, settings.steps):
                        count()
                    if len(steps) == settings.steps and not settings.eval:
                        processes.stop()  # an evaluation nobody asked for
                        break
                elif line["event"] == "summary":
                    summary = line
            if len(steps) < settings.steps or (settings.eval and (summary is None or summary["failed"])):
                raise processes.failure(f"{method}: {len(steps)} of {settings.steps} steps")
        timed = settings.steps - first
        begin = arrivals[0] - steps[0]["step_seconds"]
        wall = arrivals[-1] - (arrivals[first - 1] if first > 0 else begin)
        payload = mean(step["wire_bytes"] for step in steps[first:])
        on_network = (counted[-1] - counted[0]) / settings.ranks / timed if len(counted) == 2 else None
        return Result(
            step_s=wall / timed, samples_s=settings.batch * settings.ranks * timed / wall,
            bytes_per_step=payload if on_network is None else on_network, payload_bytes_per_step=payload,
            exposed_s=mean(step["exposed_seconds"] for step in steps[first:]),
            losses=[step["loss"] for step in steps], ends=[arrival - begin for arrival in arrivals],
            accuracy=summary["test_accuracy"] if settings.eval else None,
            test_loss=summary["test_loss"] if settings.eval else None)


def run_ddp(python, hosts, method, settings, seed, timeout, keep=False):
    """\\raises RuntimeError with the ends of the processes' standard errors"""
    with scratch(keep) as directory:
        commands = ddp_commands(python, hosts, method, settings, seed, hosts.port())
        counted, result = [], None
        with Processes(commands, directory, timeout) as processes:
            for _, line in processes.lines():
                if line["event"] in ("timed_start", "timed_end"):
                    counted.append(hosts.sent_bytes(processes.pids(0)))
                elif line["event"] == "result":
                    result = line
            if result is None:
                raise processes.failure(f"{method}: no result")
        timed = settings.steps - train_methods.timed_from(method, settings)
        return Result(
            step_s=result["step_s"], samples_s=result["samples_s"],
            bytes_per_step=(counted[1] - counted[0]) / settings.ranks / timed,
            losses=result["losses"], ends=result["ends"], accuracy=result.get("accuracy"), test_loss=result.get("test_loss"),
            version=f"torch {result['torch']}")


def mean(values):
    values = list(values)
    return sum(values) / len(values)
