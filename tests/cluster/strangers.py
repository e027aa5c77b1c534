#!/usr/bin/python3
"""Connects to whatever listens in network namespaces but sshd and sends what UCX reads: strangers.py COUNT_FILE NAMESPACE:ADDRESS...

Ends when it is killed. COUNT_FILE has the number of connections made.
"""

import random
import socket
import struct
import subprocess
import sys
import time

SSHD = 2222
MAGIC = struct.pack("<Q", 0xcafebabe12345678)
RNG = random.Random(1)


def message():
    kind = RNG.randrange(4)
    if kind == 0:
        return RNG.randbytes(RNG.choice([1, 8, 13, 1000]))
    length = RNG.choice([0, 1, 0x40000, 0xffffffff])
    return MAGIC + struct.pack("<BI", RNG.choice([0, 1, 31, 255]), length) + RNG.randbytes(RNG.randrange(64))


def ports(namespace):
    lines = subprocess.run(["ip", "netns", "exec", namespace, "ss", "-ltnH"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines} - {SSHD}


def main():
    count_file, *hosts = sys.argv[1:]
    hosts = [host.split(":") for host in hosts]
    made, open_ones = 0, []
    while True:
        for namespace, address in hosts:
            for port in ports(namespace):
                for _ in range(20):
                    try:
                        stranger = socket.create_connection((address, port), timeout=1)
                        stranger.sendall(message())
                        made += 1
                    except OSError:
                        break
                    open_ones.append(stranger)
                    if RNG.random() < 0.5:
                        RNG.choice(open_ones).close()
        open_ones = [stranger for stranger in open_ones if stranger.fileno() >= 0][-500:]
        with open(count_file, "w") as file:
            file.write(str(made))
        time.sleep(0.01)


main()
