#!/usr/bin/python3
"""Restarts and crashes the gateway under a parent that holds the listening socket, and counts what that costs who connects.

    SALLYPORT=/path/to/sallyport tests/soak/restart.py [-r RESTARTS] [-k CRASHES] [-c AT_ONCE]

The parent passes the socket as a service manager does (LISTEN_FDS; address = fd:web). All the while clients connect, upgrade
and leave. RESTARTS times: SIGTERM; ten sessions that stay must get Close 1012, the gateway must end with status 0, and then the
next one is started. CRASHES times: SIGSEGV; the next one is started at once, but never two within a second.
No connection may be refused, and the first 101 must come within a second of a crash.
"""

import argparse
import os
import signal
import socket
import sys
import time

from rig import FIRST_INHERITED, PATIENCE, Failure, Rig, judged

HELD = 10
BETWEEN_STARTS = 1.0
FIRST_101 = 1.0
MANY = 10 ** 9
REQUEST = (b"GET /tcp HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


class Parent:
    """Holds the listening socket, as the first descriptor that is inherited, and starts one gateway after the other."""

    def __init__(self, rig, sock):
        self.rig, self.gateway, self.started = rig, None, []
        self.address = sock.getsockname()
        listeners = {"plain": "address = fd:web", "tls": "address = 127.0.0.1:0\ntls = on"}
        self.config = rig.configuration(listeners)

    def start(self):
        self.started.append(time.monotonic())
        self.gateway = self.rig.gateway(self.config, inherits=True)

    def announce(self):
        self.gateway.wait_line("listening", 2)
        addresses = self.gateway.log.listening()
        self.rig.churn.listen(addresses)

    def start_after_crash(self):
        """At once, unless the one before crashed within a second of its start."""
        time.sleep(max(0.0, self.started[-1] + BETWEEN_STARTS - time.monotonic()))
        self.start()


def first_101(address):
    """When a client that connects now and waits gets its 101."""
    with socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(REQUEST)
        line = sock.makefile("rb").readline()
        if b" 101 " not in line:
            raise Failure(f"after a crash: {line!r} instead of 101")
    return time.monotonic()


def restart(parent, churn):
    """SIGTERM, and the next one. Returns how many of the sessions that stayed were told so."""
    if churn.held(f"hold {HELD}")[0] != HELD:
        raise Failure("not all sessions that were to stay could be opened")
    status = parent.gateway.stop()
    if status != 0:
        raise Failure(f"the gateway ended with status {status} on SIGTERM")
    parent.start()
    parent.announce()
    _, told, cut = churn.held("count")
    churn.tell("drop")
    if (told, cut) != (HELD, 0):
        raise Failure(f"{told} of {HELD} sessions got Close 1012, {cut} were cut")
    return told


def crash(parent):
    """A second of service, SIGSEGV, and the next one. Returns how long it took until the first 101."""
    time.sleep(BETWEEN_STARTS)
    killed = time.monotonic()
    parent.gateway.child.send_signal(signal.SIGSEGV)
    status = parent.gateway.wait_end()
    if status != -signal.SIGSEGV:
        raise Failure(f"the gateway ended with status {status} on SIGSEGV")
    parent.start_after_crash()
    took = first_101(parent.address) - killed
    parent.announce()
    return took


def under_load(churn, times, action):
    churn.tell(f"run {MANY}")
    results = [action() for _ in range(times)]
    churn.tell("stop")
    return churn.result(), results


def difference(later, earlier):
    return {name: later[name] - earlier[name] for name in later if name != "kinds"}


def report(what, figures):
    print(f"{what}: {figures['begun']} connections, {figures['refused']} refused; {figures['fine']} served, "
          f"{figures['told']} told (503, Close 1012), {figures['cut']} cut, {figures['wrong'] + figures['late']} otherwise", flush=True)
    if figures["refused"] or figures["wrong"] or figures["late"]:
        raise Failure("a connection was refused, or got a wrong answer")


def measure(parent, churn, restarts, crashes):
    first, told = under_load(churn, restarts, lambda: restart(parent, churn))
    report(f"{restarts} restarts, each with status 0", first)
    print(f"{sum(told)} of {restarts * HELD} sessions that stayed got Close 1012")
    second, took = under_load(churn, crashes, lambda: crash(parent))
    report(f"{crashes} crashes", difference(second, first))
    took.sort()
    print(f"first 101 after a crash: median {took[len(took) // 2] * 1000:.0f} ms, at most {took[-1] * 1000:.0f} ms")
    if first["cut"]:
        raise Failure("a connection that was accepted got no answer")
    if took[-1] > FIRST_101:
        raise Failure("the first 101 came late")


def hold_socket():
    """A listening socket that is the first descriptor to be inherited."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as made:
        if made.fileno() != FIRST_INHERITED:
            os.dup2(made.fileno(), FIRST_INHERITED)
            return socket.socket(fileno=FIRST_INHERITED)
        return socket.socket(fileno=made.detach())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", type=int, default=100, metavar="RESTARTS")
    parser.add_argument("-k", type=int, default=20, metavar="CRASHES")
    parser.add_argument("-c", type=int, default=20, metavar="AT_ONCE")
    arguments = parser.parse_args()
    sock = hold_socket() # before anything else is opened
    with judged("restart"), Rig(arguments.c, complaints=False) as rig:
        parent = Parent(rig, sock)
        parent.start()
        parent.announce()
        rig.churn.tell("only visit")
        measure(parent, rig.churn, arguments.r, arguments.k)
        parent.gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
