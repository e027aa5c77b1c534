#!/usr/bin/python3
"""All-reduce of floats by Open MPI: compiles mpi_allreduce.c, starts it under mpirun, passes its JSON lines on.

  mpi_allreduce.py [--ranks N] [--min-bytes B] [--max-bytes B] [--factor F] [--iterations N] [--warmup N]
                   [--check 0|1] [--transport shm|tcp] [--netlab-prefix P]

With --netlab-prefix each rank runs on its own host of those that `netlab.sh up P ...` has made; mpirun runs on host 0
and reaches the others through this script, as its remote shell. Needs Debian's openmpi-bin and libopenmpi-dev.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
ALWAYS = ["--allow-run-as-root", "--oversubscribe", "--mca", "btl_base_warn_component_unused", "0"]


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--min-bytes", type=int, default=1 << 10)
    parser.add_argument("--max-bytes", type=int, default=16 << 20)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--check", type=int, default=1)
    parser.add_argument("--transport", choices=["shm", "tcp"], default="shm", help="on one host")
    parser.add_argument("--netlab-prefix", default="")
    return parser.parse_args(argv)


def remote_shell(prefix, address, command):
    """What mpirun calls instead of ssh. Each host gets its own name: daemons of one name share files."""
    host = int(re.fullmatch(r"10\.77\.0\.(\d+)", address).group(1)) - 1
    os.execvp("ip", ["ip", "netns", "exec", f"{prefix}-h{host}", "unshare", "--uts", "sh", "-c",
                     f"hostname {prefix}-h{host}; " + " ".join(command)])


def mpirun(args, program):
    # ob1 with its own btl: the pml of UCX would otherwise be chosen where it is built in, as it is in Debian.
    if args.netlab_prefix:
        prefix = args.netlab_prefix
        agent = f"{sys.executable} {os.path.realpath(__file__)} --remote-shell {prefix}"
        hosts = ",".join(f"10.77.0.{i + 1}:1" for i in range(args.ranks))
        command = ["ip", "netns", "exec", f"{prefix}-h0", "unshare", "--uts", "sh", "-c",
                   f'hostname {prefix}-h0; exec "$@"', "sh", "mpirun", *ALWAYS, "--host", hosts,
                   "--mca", "plm_rsh_agent", agent, "--mca", "plm_rsh_no_tree_spawn", "1",
                   "--mca", "oob_tcp_if_include", "net0", "--mca", "btl_tcp_if_include", "net0",
                   "--mca", "pml", "ob1", "--mca", "btl", "tcp,self"]
        # One rank per "host": Open MPI does not see that they share the cores. It would bind every rank to the same
        # core, and poll without yielding.
        command += ["--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    elif args.transport == "tcp":
        command = ["mpirun", *ALWAYS, "--mca", "pml", "ob1", "--mca", "btl", "tcp,self",
                   "--mca", "btl_tcp_if_include", "lo"]
    else:
        command = ["mpirun", *ALWAYS, "--mca", "pml", "ob1", "--mca", "btl", "vader,self"]
    sweep = [args.min_bytes, args.max_bytes, args.factor, args.iterations, args.warmup, args.check]
    return command + ["-np", str(args.ranks), program, *map(str, sweep)]


def main():
    if sys.argv[1:2] == ["--remote-shell"]:
        return remote_shell(sys.argv[2], sys.argv[3], sys.argv[4:])
    args = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="mpi-allreduce-") as directory:
        program = os.path.join(directory, "mpi_allreduce")
        subprocess.run(["mpicc", "-O2", "-o", program, os.path.join(HERE, "mpi_allreduce.c")], check=True)
        return subprocess.run(mpirun(args, program), stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileNotFoundError as error:
        sys.exit(f"mpi_allreduce.py: {error.filename} is missing; `setup.sh --peers` installs Open MPI")
    except subprocess.CalledProcessError as error:
        sys.exit(f"mpi_allreduce.py: {error}")
