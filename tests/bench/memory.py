#!/usr/bin/python3
"""Measures the gateway's memory, idle and under attack, and prints Markdown.

    SALLYPORT=./sallyport tests/bench/memory.py [-n IDLE_SESSIONS] [-t SECONDS] [--peer haproxy]

Memory is the proportional set size (Pss) of the whole process; growth is over what it had after a warm-up.
"""

import argparse
import os
import time

from measure import warm_server
from rig import SERVERS, Rig

KIB = 1024
FLOODS = (
    ("one frame of 1 TiB", "up sink -x -d 1t", 1),
    ("a million frames of one byte", "up sink -s 1 -c 1000000", 4),
    ("a message of a million fragments", "up sink -x -F -s 1 -c 1000000", 4),
    ("a million pings, no pong read", "up sink -x -q -o 9 -s 125 -c 1000000", 4),
)


def idle(rig, name, sessions):
    server = warm_server(rig, name)
    before = server.process.memory()
    run = rig.load(server.load("idle", "echo", "-n", str(sessions), "-t", "600"))
    run.wait_open()
    server.process.settled_cpu()
    each = (server.process.memory() - before) / sessions
    run.end()
    server.process.settled_cpu()
    left = (server.process.memory() - before) / KIB
    return f"| {name} | idle, {sessions} sessions | {each / KIB:.1f} KiB a session | {left:.0f} KiB left afterwards | |"


def stalled(rig, name, title, load, seconds):
    """Memory of each session, and CPU share, while nobody takes what is sent."""
    server = warm_server(rig, name)
    before = server.process.memory()
    run = rig.load(server.load(*load, "-n", "100", "-t", "600"))
    run.wait_open()
    time.sleep(3) # the kernel lets its buffers grow by and by
    cpu, began = server.process.settled_cpu(), time.monotonic()
    time.sleep(seconds)
    share = (server.process.cpu() - cpu) / (time.monotonic() - began)
    each = (server.process.memory() - before) / 100
    run.end()
    server.process.settled_cpu()
    return f"| {name} | {title} | {each / KIB:.1f} KiB a session | CPU {share * 100:.1f} % | |"


def flood(rig, name, title, load, seconds):
    """The most that the process grew while the load ran."""
    server = warm_server(rig, name)
    before = server.process.memory()
    run = rig.load(server.load(*load, "-t", str(seconds)))
    peak = before
    while run.child.poll() is None:
        peak = max(peak, server.process.memory())
        time.sleep(0.02)
    got = run.result()
    server.process.settled_cpu()
    done = f"{got['frames']} frames" if got["frames"] else f"{got['bytes_out'] / KIB ** 3:.2f} GiB"
    return (f"| {name} | {title} | {(peak - before) / KIB:.0f} KiB at most | "
            f"{(server.process.memory() - before) / KIB:.0f} KiB left afterwards | {done} in {got['seconds']:.1f} s |")


def rows(rig, args):
    for name in ("sallyport", "sallyport-tls", *args.peer):
        yield idle(rig, name, args.sessions)
    for name in ("sallyport", "sallyport-tls", *args.peer):
        yield stalled(rig, name, "100 clients that never read", ("down", "source", "-q", "-x"), args.seconds)
        yield stalled(rig, name, "100 backends that never read", ("up", "stall", "-x"), args.seconds)
    for title, load, times in FLOODS:
        yield flood(rig, "sallyport", title, load.split(), args.seconds * times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", dest="sessions", type=int, default=2000)
    parser.add_argument("-t", dest="seconds", type=int, default=5)
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT", "./sallyport"))
    parser.add_argument("--peer", action="append", default=[], choices=sorted(SERVERS))
    parser.add_argument("--stand-in", choices=sorted(SERVERS), help="measure this server in the gateway's place")
    args = parser.parse_args()
    if args.stand_in:
        SERVERS["sallyport"] = SERVERS["sallyport-tls"] = SERVERS[args.stand_in]

    print("| server | case | memory | | |")
    print("|---|---|---|---|---|")
    with Rig(args.gateway) as rig:
        for row in rows(rig, args):
            print(row, flush=True)


if __name__ == "__main__":
    main()
