#!/usr/bin/python3
"""Reloads the gateway again and again under load, and counts what that cost anybody.

    SALLYPORT=/path/to/sallyport tests/soak/reload.py [-n SESSIONS] [-r RELOADS] [-c AT_ONCE]

While SESSIONS of all kinds of end come and go, and 100 others stay, RELOADS times (in rounds of five) something of the
configuration changes (a route comes or goes, the certificate, a listener comes or goes) and SIGHUP is sent; each change must
be seen from outside. No connection may be refused, no session may end otherwise than its kind says, the 100 must live and
relay at the end, and the process must be the same with as many threads and descriptors, the same children, and at most
1 MiB more memory.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import ssl
import sys

from rig import LISTENERS, PATIENCE, Failure, Rig, judged, wait_until
from soak import compare_reasons, expected_reasons

HELD = 100
GROWTH = 1 << 20
SPARE = "address = 127.0.0.1:%d"


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        return True
    except ConnectionRefusedError:
        return False


def answer(address, path):
    """The status line of a request for a file."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n".encode())
        return sock.makefile("rb").readline().decode().strip()


def free_ports(count):
    """Below those that the kernel gives to connections, so that a listener can come back to its own."""
    while True:
        ports = random.sample(range(15000, 30000), count)
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for port in ports:
                sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports


class Reloads:
    """The changes in turn; each one writes a configuration, reloads, and looks whether it took effect."""

    def __init__(self, rig):
        self.rig = rig
        *ports, self.port = free_ports(len(LISTENERS) + 1)
        self.listeners = {name: LISTENERS[name].replace(":0", f":{port}") for name, port in zip(LISTENERS, ports)}
        self.done = 0
        self.has_route = self.has_spare = False
        self.probes = 0     # connections made to look
        self.gateway = rig.gateway(self.configuration())
        self.gateway.wait_line("listening", len(LISTENERS))
        self.addresses = self.gateway.log.listening()
        rig.churn.listen(self.addresses)

    def configuration(self):
        listeners = dict(self.listeners)
        if self.has_spare:
            listeners["spare"] = SPARE % self.port
        more = f"[route changing]\npath = /changing/*\nroot = {self.rig.file('web')}\n" if self.has_route else ""
        return self.rig.configuration(listeners, more, f"sandbox_ports = {self.port}")

    def reload(self):
        self.configuration()
        self.done += 1
        self.gateway.child.send_signal(signal.SIGHUP)
        self.gateway.wait_line("configuration was reloaded", self.done)

    def change_route(self):
        self.has_route = not self.has_route
        self.reload()
        self.probes += 1
        status = answer(self.addresses["plain"], "/changing/index.html")
        self.expect(status.startswith("HTTP/1.1 200" if self.has_route else "HTTP/1.1 404"), f"the route: {status}")

    def change_certificate(self):
        self.rig.renew_certificate()
        self.reload()
        self.probes += 1
        host, _, port = self.addresses["tls"].rpartition(":")
        with open(self.rig.file("own.pem"), encoding="ascii") as file:
            served = ssl.get_server_certificate((host, int(port))).strip()
            self.expect(file.read().startswith(served), "the certificate")

    def change_listener(self):
        self.has_spare = not self.has_spare
        self.reload()
        self.probes += self.has_spare
        self.expect(connects(self.port) == self.has_spare, "the listener")

    def expect(self, right, what):
        if not right:
            raise Failure(f"reload {self.done}: {what} is not what it should be")

    def next(self):
        ROUND[self.done % len(ROUND)](self)


# After a whole round all but the certificate is as before.
ROUND = (Reloads.change_route, Reloads.change_certificate, Reloads.change_listener, Reloads.change_route,
         Reloads.change_listener)


class State:
    """What must be the same before and after; only the sessions that stay are there."""

    def __init__(self, gateway, descriptors):
        wait_until(lambda: gateway.descriptors() == descriptors, f"{descriptors} descriptors again")
        self.memory, self.descriptors, self.threads = gateway.memory(), gateway.descriptors(), gateway.threads()
        self.children = {child: len(os.listdir(f"/proc/{child}/fd")) for child in gateway.children()}


def sessions_over(gateway):
    return gateway.log.reasons.total()


def judge_load(result, reloads):
    logged = reloads.gateway.log.reasons
    if result["fine"] != result["begun"]:
        raise Failure(", ".join(f"{result[name]} {name}" for name in ("told", "refused", "cut", "wrong", "late")))
    expected = expected_reasons(result["kinds"])
    expected["http_done|no_route|client_reset"] += reloads.probes
    faults = compare_reasons(expected, logged)
    if faults:
        raise Failure("; ".join(faults))


def judge_state(gateway, before):
    after = State(gateway, before.descriptors)
    same = after.children == before.children # with as many descriptors each
    growth = after.memory - before.memory
    print(f"the same processes: {same}; {after.threads} threads, before {before.threads}; "
          f"memory {growth / 1024:+.0f} KiB")
    if not same or after.threads != before.threads or growth > GROWTH:
        raise Failure("the gateway is not what it was")


def reload_under_load(rig, reloads, sessions, count):
    first, done = sessions_over(reloads.gateway), reloads.done
    rig.churn.tell(f"run {sessions}")
    for number in range(count):
        wait_until(lambda mark=first + number * sessions // count: sessions_over(reloads.gateway) >= mark, "load", 600)
        reloads.next()
    result = rig.churn.result(PATIENCE + sessions / 100)
    print(f"{reloads.done - done} reloads under {sessions} sessions: {result['refused']} refused, "
          f"{result['begun'] - result['fine']} of {result['begun']} not as they should be")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500000, metavar="SESSIONS")
    parser.add_argument("-r", type=int, default=200, metavar="RELOADS")
    parser.add_argument("-c", type=int, default=200, metavar="AT_ONCE")
    arguments = parser.parse_args()
    with judged("reload"), Rig(arguments.c) as rig:
        reloads = Reloads(rig)
        descriptors = reloads.gateway.descriptors() + 2 * HELD
        rig.churn.held(f"hold {HELD}")
        reload_under_load(rig, reloads, max(arguments.n // 10, 3000), 4 * len(ROUND)) # what is grown to once, and kept
        before = State(reloads.gateway, descriptors)
        result = reload_under_load(rig, reloads, arguments.n, -(-arguments.r // len(ROUND)) * len(ROUND))
        alive = rig.churn.held("poke")[0]
        print(f"{alive} of {HELD} sessions alive and relaying")
        judge_state(reloads.gateway, before)
        judge_load(result, reloads)
        if alive != HELD or reloads.gateway.stop() != 0:
            raise Failure(f"{alive} of {HELD} are alive; the gateway ended with {reloads.gateway.child.returncode}")


if __name__ == "__main__":
    sys.exit(main())
