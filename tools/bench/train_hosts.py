"""Where train_bench.py puts its ranks: on rate-limited hosts (network namespaces), or on this one."""

import os
import re
import socket
import subprocess

TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NETLAB = os.path.join(TOOLS, "netlab", "netlab.sh")


class LimitedHosts:
    """One host per rank, each with an interface net0 of the given rate. Needs root."""
    interface = "net0"
    transports = "tcp"
    # Namespaces do not part shared memory, which would go round the limit.
    environment = {"UCX_TLS": "tcp", "UCX_NET_DEVICES": "net0"}

    def __init__(self, count, rate):
        self.count, self.rate = count, rate
        self.prefix = f"tb{os.getpid()}"
        self.next_port = 29400

    def up_command(self):
        return [NETLAB, "up", self.prefix, str(self.count), self.rate]

    def down_command(self):
        return [NETLAB, "down", self.prefix]

    def __enter__(self):
        if os.geteuid() != 0:
            raise SystemExit("train_bench: --rate needs root, for network namespaces; --rate none does not")
        subprocess.run(self.up_command(), check=True)
        return self

    def __exit__(self, *unused):
        subprocess.run(self.down_command(), check=True)

    def wrap(self, host, command):
        return [NETLAB, "exec", self.prefix, str(host)] + command

    def address(self, host):
        return f"10.77.0.{host + 1}"

    def port(self):
        """One per run: the last one's may still be waiting for stray packets."""
        self.next_port += 1
        return self.next_port

    def measure_goodput(self):
        """MB/s (10^6) of one TCP stream from host 0 to host 1."""
        done = subprocess.run([NETLAB, "goodput", self.prefix], check=True, stdout=subprocess.PIPE, text=True)
        return float(done.stdout)

    def sent_bytes(self, pids):
        """Sent so far over net0, headers included, in all hosts. \\param pids  of one process per host"""
        return sum(interface_bytes(pid, self.interface) for pid in pids)


class ThisHost:
    """All ranks here: Sluice over shared memory, DDP over loopback."""
    interface = "lo"
    transports = ""
    environment = {}
    rate = "none"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass

    def wrap(self, _, command):
        return command

    def address(self, _):
        return "127.0.0.1"

    def port(self):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

    def measure_goodput(self):
        return None

    def sent_bytes(self, pids):
        return interface_bytes(pids[0], self.interface)


def interface_bytes(pid, interface):
    """That the network namespace of `pid` has sent over the interface."""
    with open(f"/proc/{pid}/net/dev") as file:
        fields = re.search(rf"^\s*{interface}:(.*)$", file.read(), re.MULTILINE).group(1).split()
    return int(fields[8])
