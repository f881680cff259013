#!/usr/bin/python3
"""R9: how long until a peer that vanished without FIN or RST is noticed, and what it is called.

    SALLYPORT=/abs/sallyport tests/net/dead_peer.py [--quick]

Client, gateway and backend are in network namespaces of their own; a nftables rule makes a peer dead. Each row is one
session: who vanishes, at which age of the session, and what was under way. The goal is 45 s on both sides from then to
the session's line in the log, the reason client_dead or backend_dead, and every descriptor back. In further rows both
peers live, with a window that is closed for longer than that: nothing may end these before their stall_timeout, and no
byte may be missing after it. Takes two minutes; --quick: one.
"""

import contextlib
import os
import socket
import sys
import threading
import time

import netns
import script
from wsclient import BINARY, CLOSE, Connection, PING, PONG, frame  # noqa: E402

GOAL = 45
LISTEN = (netns.OUTSIDE, 6080)
FIRST_PORT = 7000
PIECE = bytes(range(256)) * 64


class Case:
    """One session. Who is to vanish: `client`, `backend` or nobody; work: what is under way then."""

    def __init__(self, name, victim, work, age=12, **options):
        self.name, self.victim, self.work, self.age, self.options = name, victim, work, age, options


CASES = [
    Case("client, idle", "client", "idle"),
    Case("client, idle, no pings", "client", "idle", ping_interval="0"),
    Case("client, idle, at the age of 1 s", "client", "idle", age=1),
    Case("client, data to it", "client", "down"),
    Case("client, data to it, no pings", "client", "down", ping_interval="0"),
    Case("client, data to it, at the age of 1 s", "client", "down", age=1, ping_interval="0"),
    Case("client, one message to it", "client", "one down", ping_interval="0"),
    Case("client, data from it", "client", "up"),
    Case("client, its window closed", "client", "stuffed down", age=5),
    Case("backend, idle", "backend", "idle"),
    Case("backend, idle, at the age of 1 s", "backend", "idle", age=1),
    Case("backend, data to it", "backend", "up"),
    Case("backend, data to it, at the age of 1 s", "backend", "up", age=1),
    Case("backend, one message to it", "backend", "one up"),
    Case("backend, data from it", "backend", "down"),
    Case("backend, its window closed", "backend", "stuffed up", age=5),
]
ALIVE = [
    Case("client alive, window closed", None, "stuffed down", stall_timeout="5m"),
    Case("client alive, window closed, no pings", None, "stuffed down", stall_timeout="0", ping_interval="0"),
    Case("backend alive, window closed", None, "stuffed up", stall_timeout="5m"),
    Case("backend alive, window closed, no limit", None, "stuffed up", stall_timeout="0"),
]


class Session:
    """Both ends of one case, each looked after by a thread of its own."""

    def __init__(self, network, port, case):
        self.network, self.port, self.case = network, port, case
        self.reading = {"client": threading.Event(), "backend": threading.Event()} # unset: its window may close
        self.stop = threading.Event()
        self.writing = threading.Lock() # no pong inside a message
        self.sent = {"client": 0, "backend": 0}
        self.got = {"client": 0, "backend": 0}
        self.wrong = False
        with network.backend.entered():
            self.listener = socket.create_server((netns.BACKEND, port))

    def open(self):
        with self.network.client.entered():
            self.client = Connection(LISTEN, rcvbuf=65536 if self.case.work == "stuffed down" else None)
        self.client.upgrade(f"/{self.port}")
        self.backend = self.listener.accept()[0]
        self.client.sock.settimeout(None)
        self.own_port = self.client.name[1]
        work = self.case.work
        for side, closed in (("client", "stuffed down"), ("backend", "stuffed up")):
            if work != closed:
                self.reading[side].set()
        jobs = [self.read_client, self.read_backend]
        if work in ("down", "stuffed down"):
            jobs.append(self.send_down)
        if work in ("up", "stuffed up"):
            jobs.append(self.send_up)
        for job in jobs:
            threading.Thread(target=self.guard, args=(job,), daemon=True).start()

    def guard(self, job):
        try:
            job()
        except Exception: # whatever ends a dead session's ends; the log tells how the gateway saw it
            pass

    def read_client(self):
        while self.reading["client"].wait():
            got = self.client.read_frame()
            if got.opcode == PING:
                if self.writing.acquire(blocking=False):
                    self.client.sock.sendall(frame(PONG, got.payload))
                    self.writing.release()
            elif got.opcode == CLOSE:
                return self.leave(self.client.sock)
            else:
                self.take("client", got.payload)

    def read_backend(self):
        while self.reading["backend"].wait():
            data = self.backend.recv(65536)
            if not data:
                return self.leave(self.backend)
            self.take("backend", data)

    def leave(self, sock):
        """Who lives ends when it is told to."""
        self.stop.set()
        sock.shutdown(socket.SHUT_RDWR) # close() would wait for the thread that sends

    def take(self, side, data):
        at = self.got[side] % len(PIECE)
        self.wrong |= (PIECE * (len(data) // len(PIECE) + 2))[at:at + len(data)] != data
        self.got[side] += len(data)

    def send_down(self):
        """Steadily; into a closed window, as much as it takes."""
        while not self.stop.is_set():
            self.backend.sendall(PIECE)
            self.sent["backend"] += len(PIECE)
            self.stop.wait(0 if "stuffed" in self.case.work else 0.2)

    def send_up(self):
        message = frame(BINARY, PIECE)
        while not self.stop.is_set():
            with self.writing:
                self.client.sock.sendall(message)
            self.sent["client"] += len(PIECE)
            self.stop.wait(0 if "stuffed" in self.case.work else 0.2)

    def vanish(self):
        case = self.case
        self.network.vanish(case.victim, self.own_port if case.victim == "client" else self.port)
        self.vanished = time.monotonic()
        if case.work == "one down":
            self.backend.sendall(b"one")
        if case.work == "one up":
            self.client.sock.sendall(frame(BINARY, b"one"))

    def close(self):
        self.stop.set()
        for one in (self.client.sock, self.backend, self.listener):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR) # wakes its thread
            one.close()


def run_dead(network, running, session, results):
    """Opens, lets it grow old enough, and waits for the gateway's word."""
    case = session.case
    session.open()
    time.sleep(case.age)
    session.vanish()
    try:
        record = running.wait_for("session end", timeout=4 * GOAL, route=session.port)
        results[case] = (time.monotonic() - session.vanished, record["reason"])
    except AssertionError:
        results[case] = (None, "nothing")
    session.close()


def run_alive(running, session, seconds, results):
    session.open()
    time.sleep(seconds)
    early = running.find("session end", route=session.port)
    session.stop.set()
    for event in session.reading.values():
        event.set()
    deadline = time.monotonic() + 60
    while not whole(session) and time.monotonic() < deadline:
        time.sleep(0.2)
    results[session.case] = (early[0]["reason"] if early else None, whole(session), sum(session.got.values()))
    session.close()


def whole(session):
    """A sender that hung in sendall() counts its last piece when it is through."""
    return session.got["client"] == session.sent["backend"] and session.got["backend"] == session.sent["client"]


def configuration(cases):
    text = f"[server]\nworkers = 2\n[listen public]\naddress = {LISTEN[0]}:{LISTEN[1]}\n"
    for number, case in enumerate(cases):
        port = FIRST_PORT + number
        text += script.route(port, f"tcp:{netns.BACKEND}:{port}", **case.options)
    return text


def main():
    given = script.arguments(__doc__)
    netns.require()
    alive_for = 50 if given.quick else 100
    verdicts, results, threads = script.Verdicts(), {}, []
    with netns.Network() as network, script.gateway(configuration(CASES + ALIVE), verdicts,
                                                    preexec=network.gateway.enter) as running:
        before = descriptors(running.pid)
        for number, case in enumerate(CASES + ALIVE):
            session = Session(network, FIRST_PORT + number, case)
            job = (run_dead, (network, running, session, results)) if case.victim else \
                  (run_alive, (running, session, alive_for, results))
            threads.append(threading.Thread(target=job[0], args=job[1], daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        report(verdicts, results, alive_for)
        running.wait_for("session end", count=len(CASES + ALIVE), timeout=120)
        verdicts.check(descriptors(running.pid) == before, f"{before} descriptors before, {descriptors(running.pid)} after")
    return verdicts.end()


def report(verdicts, results, alive_for):
    for case in CASES:
        seconds, reason = results[case]
        verdicts.check(seconds is not None and seconds <= GOAL and reason == f"{case.victim}_dead",
                       f"{case.name}: {'not noticed' if seconds is None else f'{seconds:.1f} s'}, {reason}")
    for case in ALIVE:
        ended, complete, count = results[case]
        verdicts.check(ended is None and complete, f"{case.name} for {alive_for} s: "
                       f"{'ended: ' + ended if ended else 'not ended'}, {count} bytes {'right' if complete else 'NOT ALL'}")
    worst = max((results[case][0] or 999 for case in CASES))
    print(f"R9: {len(CASES)} vanished peers, the last noticed after {worst:.1f} s (goal {GOAL} s)")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


if __name__ == "__main__":
    sys.exit(main())
