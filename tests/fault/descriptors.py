#!/usr/bin/python3
"""Descriptors run out: what it costs, what the log says, what it does to those inside, and how soon it is over.

    SALLYPORT=/abs/sallyport tests/fault/descriptors.py [SECONDS]

Twice: with 64 descriptors from the start, so that our own gate (max_sessions) refuses; and with the limit lowered beneath a
running gateway, so that accept4() itself fails with EMFILE. Clients hold all there is, and more of them knock all the while.
The goal is: at most 1 % of a processor, one line of the log a second, p99 of other sessions' messages 20 ms, service again
within a second. Use a build without sanitizers, and nothing else on the machine. The exit status tells whether it was met.
"""

import contextlib
import resource
import socket
import sys
import time

import rig
from rig import Bystander, Daemon, percentile
import wsclient
from inside import cpu_seconds, limit_descriptors_of
from world import serve_echo
import backends

CONFIG = """
[server]
workers = 1
resolver_threads = 1
log = LOG
drain_timeout = 1s

[listen plain]
address = 127.0.0.1:0
linger_timeout = 200ms

[route tcp]
path = /tcp
target = 127.0.0.1:{port}
"""


def limit_to(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def occupy(address, most):
    """Sessions that stay, until one does not get in."""
    inside = []
    for _ in range(most):
        conn = wsclient.Connection(address)
        conn.sock.settimeout(1.0)
        try:
            conn.upgrade("/tcp")
        except (OSError, AssertionError, wsclient.EndOfStream):
            conn.close()
            break
        inside.append(conn)
    return inside


def knock(address):
    """One that wants to come in, and does not wait for the answer."""
    sock = socket.socket()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    return sock


def besiege(daemon, address, bystander, seconds, knocking):
    """Knocks for so long, a few at a time. The share of a processor, lines a second, latencies of the bystander."""
    waiting = [knock(address) for _ in range(knocking)]
    time.sleep(0.5)
    since, first, cpu, begun = daemon.mark(), len(bystander.latencies), cpu_seconds(daemon.pid), time.monotonic()
    while time.monotonic() - begun < seconds:
        time.sleep(0.2)
    took = time.monotonic() - begun
    share = (cpu_seconds(daemon.pid) - cpu) / took
    lines = len(daemon.records(since)) / took
    latencies = bystander.latencies[first:]
    for sock in waiting:
        sock.close()
    return share, lines, latencies


def recover(address):
    """Seconds until a session is served again."""
    begun = time.monotonic()
    while time.monotonic() - begun < 30:
        try:
            conn = wsclient.Connection(address)
            conn.sock.settimeout(2.0)
            conn.upgrade("/tcp")
            conn.expect_echo()
            conn.close()
            return time.monotonic() - begun
        except (OSError, AssertionError, wsclient.EndOfStream):
            time.sleep(0.01)
    return 30.0


def own_gate(daemon):
    del daemon


def below(daemon):
    """The limit beneath what is open now."""
    limit_descriptors_of(daemon.pid, max(daemon.descriptors()) + 1)


def measure(name, count, exhaust, seconds, port, directory):
    daemon = Daemon(directory, CONFIG.format(port=port), preexec=limit_to(count))
    try:
        rig.wait(lambda: daemon.addresses() or not daemon.alive(), "it does not start", 30)
        address = daemon.addresses()["plain"]
        bystander = Bystander(address, pause=0.02).start()
        inside = occupy(address, 64)
        exhaust(daemon)
        share, lines, latencies = besiege(daemon, address, bystander, seconds, 20)
        for conn in inside:
            conn.close()
        back = recover(address)
        bystander.stop()
        base = len(daemon.descriptors())
        daemon.terminate()
    finally:
        daemon.kill()
    p99 = percentile(latencies, 0.99) * 1000
    print(f"{name}: {len(inside) + 1} sessions inside, {base} descriptors after; CPU {share * 100:.2f} %, "
          f"{lines:.2f} lines/s, p99 {p99:.2f} ms of {len(latencies)} messages, back in {back * 1000:.0f} ms")
    return share <= 0.01 and lines <= 1.2 and p99 <= 20 and back <= 1


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    backend = backends.Backend(serve=serve_echo)
    good = True
    for name, count, exhaust in (("own gate, nofile 64", 64, own_gate), ("EMFILE, limit lowered beneath it", 128, below)):
        with rig.scratch() as directory:
            good &= measure(name, count, exhaust, seconds, backend.port, directory)
    backend.close()
    print("1 passed, 0 failed" if good else "0 passed, 1 failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
