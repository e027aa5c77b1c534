#!/usr/bin/python3
"""Goodput of one plain TCP stream, in MB/s (10^6), printed as one number.

  goodput.py [--seconds S]                  over loopback
  goodput.py --sender "ip netns exec a" --receiver "ip netns exec b" --address IP

The two ends are processes of their own, started behind the given commands. The receiver counts from the end of the
first tenth of the time on, so that the sender's buffers and a token bucket's burst do not count.
"""

import argparse
import shlex
import socket
import subprocess
import sys
import time

CHUNK = 1 << 18


def receive(address, seconds):
    listener = socket.create_server((address, 0))
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(10)
    stream, _ = listener.accept()
    stream.settimeout(10)
    buffer = memoryview(bytearray(CHUNK))
    started = time.monotonic()
    counted_from, counted, last = None, 0, started
    while True:
        got = stream.recv_into(buffer)
        if got == 0:
            break
        last = time.monotonic()
        if counted_from is None:
            if last - started >= seconds / 10:
                counted_from = last
        else:
            counted += got
    if counted_from is None or last <= counted_from:
        sys.exit("goodput.py: the stream ended before anything could be counted")
    print(counted / (last - counted_from) / 1e6, flush=True)


def send(address, port, seconds):
    payload = bytes(CHUNK)
    with socket.create_connection((address, port), timeout=10) as stream:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            stream.sendall(payload)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to send (default 2)")
    parser.add_argument("--sender", default="", help="command before the sending process")
    parser.add_argument("--receiver", default="", help="command before the receiving process")
    parser.add_argument("--address", default="127.0.0.1", help="where the receiver listens")
    parser.add_argument("--end", choices=["send", "receive"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.end == "receive":
        return receive(args.address, args.seconds)
    if args.end == "send":
        return send(args.address, args.port, args.seconds)

    myself = [sys.executable, __file__, "--seconds", str(args.seconds), "--address", args.address]
    receiver = subprocess.Popen(shlex.split(args.receiver) + myself + ["--end", "receive"],
                                stdout=subprocess.PIPE, text=True)
    try:
        port = receiver.stdout.readline().strip()
        if not port:
            sys.exit(f"goodput.py: the receiver on {args.address} did not start")
        subprocess.run(shlex.split(args.sender) + myself + ["--end", "send", "--port", port], check=True,
                       timeout=args.seconds + 30)
        print(f"{float(receiver.stdout.readline()):.1f}")
        return receiver.wait(30)
    except (subprocess.SubprocessError, ValueError) as error:
        sys.exit(f"goodput.py: {error}")
    finally:
        if receiver.poll() is None:
            receiver.kill()


if __name__ == "__main__":
    sys.exit(main())
