#!/usr/bin/python3
"""Compares the gateway's CPU time with a peer's under the same load, in turn (A B A B), and prints Markdown.

    SALLYPORT=./sallyport tests/bench/compare.py [-n PAIRS] [-t SECONDS] [P1 P2 ...]

The server under test has processor 0, the load generator and the backend share processor 1. What counts is the server's
own user and system time for each unit of work, so that the speed of the load generator does not matter. Absolute times
mean little on a shared machine; the ratio of a pair measured back to back does.
"""

import argparse
import collections
import os
import sys

from rig import SERVERS, Rig, median

GIB = 1024 ** 3
UNITS = {"s/GiB": lambda got: (got["bytes_out"] or got["bytes_in"]) / GIB,
         "us/message": lambda got: got["messages"] / 1e6,
         "us/frame": lambda got: got["frames"] / 1e6,
         "us/handshake": lambda got: got["messages"] / 1e6}

Side = collections.namedtuple("Side", "server workers mode backend options")
Case = collections.namedtuple("Case", "goal title unit ours theirs bar")


def side(server, mode, backend, options, workers=1):
    return Side(server, workers, mode, backend, options.split())


def against(goal, title, unit, peer, bar, load, ours="sallyport"):
    """The same load for both."""
    return Case(goal, title, unit, side(ours, *load), side(peer, *load), bar)


UP64 = ("up", "sink", "-n 4 -s 64k")
UP16 = ("up", "sink", "-n 4 -s 16k")
DOWN = ("down", "source", "-n 4")
ECHO = ("echo", "echo", "-n 50 -s 64")
CASES = [
    against("P1", "up, 64 KiB frames", "s/GiB", "haproxy", 0.80, UP64),
    against("P1", "up, 16 KiB frames", "s/GiB", "haproxy", 0.60, UP16),
    against("P2", "down", "s/GiB", "haproxy", 0.75, DOWN),
    against("P3", "64 B echo, 50 sessions", "us/message", "haproxy", 0.85, ECHO),
    against("P4", "64 B frames in bulk", "us/frame", "lighttpd", 0.20, ("up", "sink", "-n 4 -s 64")),
    against("P5", "TLS up, 64 KiB frames", "s/GiB", "haproxy-tls", 1.00, UP64, "sallyport-tls"),
    against("P5", "TLS down", "s/GiB", "haproxy-tls", 1.00, DOWN, "sallyport-tls"),
    against("P6", "TLS 64 B echo, 50 sessions", "us/message", "haproxy-tls", 0.95, ECHO, "sallyport-tls"),
    against("P7", "handshake and close", "us/handshake", "lighttpd", 0.90, ("handshake", "echo", "-n 8 -a 50")),
    Case("P9", "echo, 2000 sessions against 50", "us/message", side("sallyport", "echo", "echo", "-n 2000 -s 64"),
         side("sallyport", *ECHO), 1.3),
    Case("P10", "echo, two workers against one", "us/message", side("sallyport", *ECHO, workers=2),
         side("sallyport", *ECHO), 1.1),
]


def measure(rig, unit, load, seconds):
    """CPU seconds (or microseconds) of the server for one unit of work."""
    server = rig.server(load.server, load.workers)
    before = server.process.settled_cpu()
    run = rig.load(server.load(load.mode, load.backend, *load.options, "-t", str(seconds)))
    got = run.result()
    spent = server.process.settled_cpu() - before
    done = UNITS[unit](got)
    if got["failed"] or got["unfinished"] or done == 0:
        print(f"warning: {load.server} {load.mode}: {got}", file=sys.stderr)
    return spent / done if done else float("nan")


def compare(rig, case, pairs, seconds):
    for load in (case.ours, case.theirs):
        measure(rig, case.unit, load, 1)
    runs = [(measure(rig, case.unit, case.ours, seconds), measure(rig, case.unit, case.theirs, seconds))
            for _ in range(pairs)]
    return [ours for ours, _ in runs], [theirs for _, theirs in runs], [ours / theirs for ours, theirs in runs]


def spread(values):
    return f"{min(values):.3f} / {median(values):.3f} / {max(values):.3f}"


def describe(load):
    return load.server + (f", {load.workers} workers" if load.workers > 1 else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", dest="pairs", type=int, default=5)
    parser.add_argument("-t", dest="seconds", type=int, default=3)
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT", "./sallyport"))
    parser.add_argument("--stand-in", choices=sorted(SERVERS), help="measure this server in the gateway's place")
    parser.add_argument("goal", nargs="*", help="P1 ... P10; without any, P1 P2 P3")
    args = parser.parse_args()
    wanted = args.goal or ["P1", "P2", "P3"]

    print("| goal | work | unit | of | min / median / max | ratio: min / median / max | bar | |")
    print("|---|---|---|---|---|---|---|---|")
    with Rig(args.gateway) as rig:
        for case in (case for case in CASES if case.goal in wanted):
            if args.stand_in:
                case = case._replace(ours=case.ours._replace(server=args.stand_in))
            ours, theirs, ratios = compare(rig, case, args.pairs, args.seconds)
            verdict = "met" if median(ratios) <= case.bar else "missed"
            print(f"| {case.goal} | {case.title} | {case.unit} | {describe(case.ours)} | {spread(ours)} | "
                  f"{spread(ratios)} | {case.bar:.2f} | {verdict} |")
            print(f"| | | | {describe(case.theirs)} | {spread(theirs)} | | | |", flush=True)


if __name__ == "__main__":
    main()
