#!/usr/bin/python3
"""Strangers at a job's sockets: they are refused, logged within limits, and change nothing.

`--times N`: so many connections, instead of 300.
"""

import argparse
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

from cluster import BINARY, SMALL, Job, check, run_tests

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--times", type=int, default=300)
PARSER.add_argument("--seed", type=int, default=int(time.time()))
ARGS = PARSER.parse_args()
STEPS = max(60, ARGS.times // 4)  # more than the strangers take, unless the machine is short of breath
GROWTH_BYTES = 64 << 20
# Of SecureChannel's limits: ConnectionGate::Options.
HANDSHAKE_SECONDS = 5


def listeners(job):
    """(process's name, address, port) of every TCP socket on which the job's processes listen."""
    names = job.children()
    lines = subprocess.run(["ss", "-ltnpH"], check=True, capture_output=True, text=True).stdout.splitlines()
    found = set()
    for line in lines:
        address, _, port = line.split()[3].rpartition(":")
        for pid in re.findall(r"pid=(\d+)", line):
            if int(pid) in names:
                found.add((names[int(pid)], address.strip("[]"), int(port)))
    return found


def port_of(job, name):
    return [port for owner, _, port in listeners(job) if owner == name][0]


def memory_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) << 10


def pid_of(job, name):
    return [pid for pid, owner in job.children().items() if owner == name][0]


def connect(port):
    stranger = socket.create_connection(("127.0.0.1", port), timeout=20)
    return stranger


def close_hard(stranger):
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stranger.close()


# What strangers do; each gets a connected socket.

def sends_noise(stranger, rng):
    stranger.sendall(rng.randbytes(rng.choice([1, 16, 52, 1000, 20000])))


def speaks_http(stranger, rng):
    stranger.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


def announces_much(stranger, rng):
    # A header of CAF's protocol whose length field says 4 GiB, in both byte orders.
    stranger.sendall(struct.pack(">BBBBI", 0, 0, 0, 0, 0xffffffff) * 7)


def breaks_off_tls(stranger, rng):
    stranger.sendall(b"\x16\x03\x01\x40\x00" + rng.randbytes(rng.randrange(64)))


def has_no_certificate(stranger, rng):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(stranger) as wrapped:
        wrapped.sendall(b"sluice/1" + bytes(33))
        check(not wrapped.recv(64), "a stranger without a certificate was answered")


def says_nothing(stranger, rng):
    pass


KINDS = [sends_noise, speaks_http, announces_much, breaks_off_tls, has_no_certificate, says_nothing]


def knock(port, times, errors, made):
    """`times` connections, from a few threads. AssertionErrors go to `errors`, a 1 per connection to `made`."""
    def some(count, rng):
        for _ in range(count):
            try:
                stranger = connect(port)
            except OSError:
                return  # the job is over
            made.append(1)
            try:
                rng.choice(KINDS)(stranger, rng)
            except OSError:
                pass  # refused, as it should
            except AssertionError as error:
                errors.append(str(error))
            if stranger.fileno() >= 0:
                (close_hard if rng.random() < 0.5 else socket.socket.close)(stranger)
    threads = [threading.Thread(target=some, args=(times // 4, random.Random(ARGS.seed + i))) for i in range(4)]
    for thread in threads:
        thread.start()
    return threads


def outcome(job):
    summary = job.summary()
    return summary["train_loss"], summary["steps"], summary["test_accuracy"]


def undisturbed():
    job = Job(2, SMALL + [f"training.steps={STEPS}"])
    check(job.wait(400) == 0, job.stderr())
    result = outcome(job)
    job.close()
    return result


def strangers_change_nothing():
    expected = undisturbed()
    job = Job(2, SMALL + [f"training.steps={STEPS}"])
    deadline = time.monotonic() + 60
    while not any(name == "coordinator" for name, _, _ in listeners(job)):
        check(time.monotonic() < deadline, "the coordinator does not listen:\n" + job.stderr())
        time.sleep(0.02)
    port, pid = port_of(job, "coordinator"), pid_of(job, "coordinator")
    before, most = memory_of(pid), 0
    errors, made = [], []
    # From before the workers join until all have knocked; the job may be over before.
    threads = knock(port, ARGS.times, errors, made)
    while any(thread.is_alive() for thread in threads):
        try:
            most = max(most, memory_of(pid))
        except (OSError, AttributeError):
            break  # it has ended
        time.sleep(0.05)
    check(job.wait(400) == 0, f"seed {ARGS.seed}: the job failed:\n" + job.stderr()[-3000:])
    for thread in threads:
        thread.join()
    check(not errors, errors[:3])
    check(len(made) > 100, f"only {len(made)} connections before the job was over")
    check(outcome(job) == expected, f"seed {ARGS.seed}: {outcome(job)}, undisturbed {expected}")
    refusals = [line for line in job.stderr().splitlines() if "refused a connection from 127.0.0.1" in line]
    check(0 < len(refusals) < 40, f"{len(refusals)} refusals in the log")
    check(most - before < GROWTH_BYTES, f"{(most - before) >> 20} MiB more memory")
    print(f"       {len(made)} strangers, {(most - before) >> 10} KiB more memory, {len(refusals)} lines of log")
    job.close()


def silent_and_slow_strangers_are_put_out():
    job = Job(2, SMALL + ["training.steps=100000", "report.every_steps=1"])
    job.wait_for_step(1)
    port = port_of(job, "coordinator")
    strangers = [connect(port) for _ in range(20)]
    strangers[0].sendall(b"\x16\x03\x01\x40\x00")
    begin = time.monotonic()
    for stranger in strangers:
        stranger.settimeout(HANDSHAKE_SECONDS * 4)
        try:
            check(stranger.recv(1) == b"", "a stranger was answered")
        except ConnectionResetError:
            pass
        except socket.timeout:
            check(False, "a silent connection stays open")
        stranger.close()
    check(time.monotonic() - begin >= HANDSHAKE_SECONDS / 2, "they had no time to speak")
    last = job.steps()[-1]["step"]
    job.wait_for_step(last + 5)  # training goes on
    job.kill()
    job.close()


def only_the_coordinator_of_a_local_job_listens():
    job = Job(2, SMALL + ["training.steps=100000", "report.every_steps=1"])
    job.wait_for_step(1)
    found = {(name, address) for name, address, _ in listeners(job)}
    check(found == {("coordinator", "127.0.0.1")}, found)
    job.kill()
    job.close()


def ucx_does_not_listen_while_training():
    # Where tcp is asked for. Strangers before that: tests/cluster/strangers_test.sh.
    job = Job(2, SMALL + ["training.steps=100000", "report.every_steps=1", "communication.transports=tcp,self"])
    job.wait_for_step(1)
    deadline = time.monotonic() + 60
    while True:  # steps need no profiler, which may still be on its way
        found = {(name, address) for name, address, _ in listeners(job)}
        if found == {("coordinator", "127.0.0.1")}:
            break
        check(time.monotonic() < deadline, found)
        time.sleep(0.2)
    job.kill()
    job.close()


def secrets_are_nowhere_to_be_read():
    job = Job(2, SMALL + ["training.steps=100000", "report.every_steps=1"])
    job.wait_for_step(1)
    for pid in [job.process.pid, *job.children()]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                check(b"PRIVATE KEY" not in file.read(), f"{name} of {pid} holds a key")
    for folder, _, files in os.walk(job.directory):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                check(b"PRIVATE KEY" not in file.read(), f"{name} holds a key")
    job.kill()
    job.close()


def start(argv, environment=None):
    return subprocess.Popen([BINARY, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment)


def run(argv):
    process = start(argv)
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def by_hand(job, kind, job_id, credentials, *more):
    return [kind, "--job", os.path.join(job.run_directory, "job.yaml"), "--job-id", job_id, "--run-directory",
            job.run_directory, "--credentials", credentials, *more]


def credentials_decide_who_joins():
    job = Job(1, SMALL + ["training.steps=100000", "report.every_steps=1"])
    job.wait_for_step(1)
    address = f"127.0.0.1:{port_of(job, 'coordinator')}"
    folder = os.path.join(job.directory, "credentials")
    code, text = run(["credentials", folder])
    check(code == 0 and "valid until" in text, text)
    check(oct(os.stat(folder).st_mode & 0o777) == "0o700", "others can read the folder")
    member = ["--coordinator", address, "--slot", "0"]
    code, text = run(by_hand(job, "worker", "7f3a", folder, *member))
    check(code == 77 and "SL1080 cannot join the coordinator at " + address in text, f"{code}: {text}")
    os.chmod(os.path.join(folder, "token"), 0o644)
    code, text = run(by_hand(job, "worker", "7f3a", folder, *member))
    check(code == 77 and "SL1080" in text and "chmod 600" in text, f"{code}: {text}")
    code, text = run([word for word in by_hand(job, "worker", "7f3a", "", *member)])
    check(code == 78 and "orchestrator credentials DIR" in text, f"{code}: {text}")
    check(job.process.poll() is None, "strangers ended the job:\n" + job.stderr())
    job.kill()
    job.close()


def another_job_is_named_on_both_sides():
    job = Job(1, SMALL + ["training.steps=1"])  # for its job.yaml
    check(job.wait(120) == 0, job.stderr())
    folder = os.path.join(job.directory, "credentials")
    check(run(["credentials", folder])[0] == 0, "no credentials")
    os.unlink(os.path.join(job.run_directory, "metrics.jsonl"))
    coordinator = start(by_hand(job, "coordinator", "7f3a", folder))
    line = coordinator.stderr.readline()
    while "listens on" not in line:
        check(line, "the coordinator ended")
        line = coordinator.stderr.readline()
    address = line.split()[-1]
    code, text = run(by_hand(job, "worker", "beef", folder, "--coordinator", address, "--slot", "0"))
    check(code == 78 and "7f3a" in text and "beef" in text, f"{code}: {text}")
    coordinator.terminate()
    _, err = coordinator.communicate(timeout=60)
    check("still busy" not in err, err)
    check("it is a process of job \"beef\", this is job \"7f3a\"" in err, err)
    job.close()


run_tests([strangers_change_nothing, silent_and_slow_strangers_are_put_out, only_the_coordinator_of_a_local_job_listens,
           ucx_does_not_listen_while_training, secrets_are_nowhere_to_be_read, credentials_decide_who_joins, another_job_is_named_on_both_sides])
