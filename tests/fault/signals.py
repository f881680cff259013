#!/usr/bin/python3
"""Signals of all kinds at 1 kHz while sessions talk; and the two that mean something in every state of a connection.

    SALLYPORT=/abs/sallyport tests/fault/signals.py [COUNT [STATES]]     100,000 signals (100 s) by default; STATES: also those

The figures are bytes lost, descriptors before and after, and how the process ended. The signals are HUP, USR1, PIPE, CHLD,
WINCH, URG, CONT and IO in random order; only those with a handler, or ignored by default, since others are meant to end it.
With the states each connection is brought to one of them, SIGHUP comes, then SIGTERM: the gateway has to end with status 0
within its drain limit.
"""

import contextlib
import os
import random
import signal
import sys
import time

import rig
from rig import Bystander, Daemon, Fault, wait
import wsclient
from wsclient import BINARY, close_frame, frame, request
from world import World

KINDS = [signal.SIGHUP] + [signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT] * 8
DRAIN = 2 # seconds, as in the configuration


def start(world, number):
    directory = os.path.join(world.directory, f"signals{number}")
    os.mkdir(directory)
    daemon = Daemon(directory, world.config(f"sallyport-signals-{os.getpid()}-{number}"))
    wait(lambda: len(daemon.addresses()) == 4 or not daemon.alive(), "the gateway does not start", 60)
    return daemon


def send_many(daemon, count, sessions):
    """At a kilohertz, as far as the machine goes along. Returns the seconds it took."""
    begun = time.monotonic()
    for i in range(count):
        os.kill(daemon.pid, random.choice(KINDS))
        ahead = begun + i / 1000 - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        if i % 1000 == 0:
            for one in sessions:
                one.check()
    return time.monotonic() - begun


def storm(world, count):
    daemon = start(world, 0)
    try:
        addresses = daemon.addresses()
        sessions = [Bystander(addresses["plain"], pause=0.001).start() for _ in range(4)]
        sessions += [Bystander(addresses["tls"], world.client_tls, pause=0.001).start() for _ in range(4)]
        rig.wait(lambda: all(one.rounds > 0 for one in sessions), "the sessions do not begin", 30)
        since = daemon.mark()
        daemon.signal(signal.SIGHUP) # from here on the sessions hold a generation that is not the current one
        daemon.wait_record("was reloaded", since)
        time.sleep(0.3)
        before = len(daemon.descriptors())
        took = send_many(daemon, count, sessions)
        for one in sessions:
            one.moves_on()
        wait(lambda: len(daemon.descriptors()) == before, lambda: f"{len(daemon.descriptors())} descriptors, not {before}", 30)
        rounds = sum(one.rounds for one in sessions)
        slowest = max(one.slowest for one in sessions)
        for one in sessions:
            one.stop()
        daemon.terminate()
    finally:
        daemon.kill()
    print(f"{count} signals in {took:.0f} s: 0 bytes lost of {rounds} messages, slowest {slowest * 1000:.0f} ms, "
          f"{before} descriptors before and after, exit status 0")


# --- every state of a connection ----------------------------------------------------------------------------------------

def silent(world, address):
    del world
    return wsclient.Connection(address["plain"])


def half_hello(world, address):
    del world
    conn = wsclient.Connection(address["tls"])
    conn.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return conn


def half_head(world, address):
    conn = silent(world, address)
    conn.send(b"GET /tcp HTTP/1.1\r\nHos")
    return conn


def dialling(world, address):
    conn = silent(world, address)
    conn.send(request("/unanswering"))
    return conn


def opened(world, address, target="/tcp", listener="plain", rcvbuf=None):
    conn = wsclient.Connection(address[listener], world.client_tls if listener == "tls" else None, rcvbuf=rcvbuf)
    conn.upgrade(target)
    return conn


def opened_tls(world, address):
    return opened(world, address, listener="tls")


def backlogged_down(world, address):
    return opened(world, address, "/source", rcvbuf=4096)


def backlogged_up(world, address):
    conn = opened(world, address, "/silence")
    conn.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(1000):
            conn.sock.send(frame(BINARY, bytes(60000)))
    return conn


def closing(world, address):
    """Its Close is answered, and the connection stays."""
    conn = opened(world, address)
    conn.send(close_frame(1000))
    conn.read_close()
    return conn


def refused(world, address):
    """It has its 502, and does not go."""
    conn = silent(world, address)
    conn.send(request("/refused"))
    conn.read_response()
    return conn


def file_under_way(world, address):
    conn = wsclient.Connection(address["plain"], rcvbuf=4096)
    conn.send(b"".join(wsclient.get("/files/large.bin") for _ in range(20)))
    del world
    return conn


STATES = (silent, half_hello, half_head, dialling, opened, opened_tls, backlogged_down, backlogged_up, closing, refused,
          file_under_way)


def end_in(world, number, states):
    """Three connections in each of these states; SIGHUP, SIGTERM, and the end."""
    daemon = start(world, number)
    try:
        conns = [state(world, daemon.addresses()) for state in states for _ in range(3)]
        time.sleep(0.05)
        since = daemon.mark()
        daemon.signal(signal.SIGHUP)
        daemon.wait_record("was reloaded", since)
        begun = time.monotonic()
        daemon.terminate()
        took = time.monotonic() - begun
        for conn in conns:
            conn.close()
    finally:
        daemon.kill()
    return took


def every_state(world):
    slowest = 0.0
    for number, states in enumerate([*((state,) for state in STATES), STATES], 1):
        took = end_in(world, number, states)
        names = states[0].__name__ if len(states) == 1 else "all of them"
        print(f"SIGHUP and SIGTERM, {names}: exit status 0 after {took:.2f} s", flush=True)
        slowest = max(slowest, took)
    return slowest


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with rig.scratch() as directory:
        world = World(directory)
        try:
            if count > 0:
                storm(world, count)
            if len(sys.argv) > 2:
                every_state(world)
        except (Fault, AssertionError, OSError) as failure:
            print(f"FAILED  {type(failure).__name__} {failure}\n0 passed, 1 failed")
            return 1
        finally:
            world.close()
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
