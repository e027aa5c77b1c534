#!/usr/bin/python3
"""The manifests in examples/kubernetes hold together: names, numbers and the program's own flags."""

import subprocess
import sys

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is not installed")
    sys.exit(0)

PROGRAM = "/opt/sluice/orchestrator"


def load(name):
    with open("examples/kubernetes/" + name) as file:
        return {one["kind"]: one for one in yaml.safe_load_all(file)}


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def flags_exist(command):
    """Every flag of the command is one that the subcommand lists."""
    check(command[0] == PROGRAM, command)
    text = subprocess.run(["orchestrator/orchestrator", command[1], "--help"], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    for word in command[2:]:
        if word.startswith("-"):
            check(f"  {word.split('=')[0]} " in text, f"{command[1]} has no {word}")


def memory_for_shm(pod, container):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    check(volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory", "/dev/shm is not memory")


indexed = load("indexed_job.yaml")
service, job = indexed["Service"], indexed["Job"]
name = job["metadata"]["name"]
pod = job["spec"]["template"]["spec"]
container = pod["containers"][0]
env = {one["name"]: one for one in container["env"]}
check(service["spec"]["clusterIP"] == "None", "the service is not headless")
check(service["spec"]["publishNotReadyAddresses"] is True, "pods are found only when they are ready")
check(service["spec"]["selector"] == {"job-name": name}, "the service selects other pods")
check(pod["subdomain"] == service["metadata"]["name"], "pods are not in the service's domain")
check(job["spec"]["completionMode"] == "Indexed", "pods have no index")
check(job["spec"]["completions"] == job["spec"]["parallelism"] == int(env["WORLD_SIZE"]["value"]),
      "WORLD_SIZE is not the number of pods")
check(env["MASTER_ADDR"]["value"] == f"{name}-0.{service['metadata']['name']}", "MASTER_ADDR is not pod 0")
check(int(env["MASTER_PORT"]["value"]) == service["spec"]["ports"][0]["port"], "MASTER_PORT is not the service's")
check("job-completion-index" in env["RANK"]["valueFrom"]["fieldRef"]["fieldPath"], "RANK is not the index")
memory_for_shm(pod, container)
flags_exist(container["command"])

mpi = load("mpi_job.yaml")["MPIJob"]["spec"]
launcher = mpi["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]
workers = mpi["mpiReplicaSpecs"]["Worker"]
command = launcher["command"]
check(int(command[command.index("-np") + 1]) == mpi["slotsPerWorker"] * workers["replicas"], "-np is not the slots")
check(command[command.index("--hostfile") + 1] == "/etc/mpi/hostfile", "another host file than the operator's")
pod = workers["template"]["spec"]
check(pod["containers"][0]["workingDir"] == launcher["workingDir"], "workers start in another directory")
memory_for_shm(pod, pod["containers"][0])
flags_exist(command)
print("passed")
