#!/usr/bin/python3
"""The promises about data, memory and fairness, each against its goal: one command each, its figure, and ok or MISSED.

    SALLYPORT=/abs/sallyport tests/bench/promises.py GOAL...

    D1 [--closes 10000] [--seed N]   no byte lost or doubled in random closes
    D2    memory and processor time of 100 stalled sessions
    D3    growth under 1 TiB frames and floods; one-byte frames a second and core
    D5    memory of an idle session, plain and TLS 1.3
    D6    what a flooder adds to the latency of 100 sessions

What is measured is in memory.py, latency.py and random_closes.py; here are only the goals. D1 is 10,000 closes of 1 B
to 64 MiB and takes hours on two busy processors: --closes and --seed cut it into slices. All others take less than a
minute or two.
"""

import argparse
import os
import re
import subprocess
import sys
import time

import memory
from measure import memory_once, warm_server
from rig import Rig, SERVERS
from cases import side
from latency import gateway_with

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from verdicts import Verdicts  # noqa: E402

KIB = 1024
STALLED = ((("down", "source", "-q", "-x"), "clients that never read"), (("up", "stall", "-x"), "backends that never read"))


def figures(row, *patterns):
    """Numbers in a row of memory.py's."""
    return [float(re.search(pattern, row)[1]) for pattern in patterns]


def closes(args, verdicts):
    words = [os.path.join(HERE, "random_closes.py"), "-n", str(args.closes), "--seed", str(args.seed)]
    done = subprocess.run([sys.executable, *words], env={**os.environ, "SALLYPORT": args.gateway}, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.strip().splitlines() or ["nothing was said"]
    print("\n".join(lines[:-1]), end="\n" if lines[1:] else "")
    verdicts.check(done.returncode == 0, f"D1: {lines[-1]} (goal 0 failed)")


def stalled(args, verdicts):
    with Rig(args.gateway) as rig:
        for name in ("sallyport", "sallyport-tls"):
            for load, title in STALLED:
                row = memory.stalled(rig, name, title, load, 5)
                each, share = figures(row, r"([\d.]+) KiB a session", r"CPU ([\d.]+) %")
                verdicts.check(each <= 256 and share <= 1, f"D2: {name}, 100 {title}: {each:.1f} KiB a session (goal 256), "
                               f"{share:.1f} % of a processor (goal 1)")


def floods(args, verdicts):
    """A backlog that a slow sink leaves is another goal's (D2), so it is kept small where growth is measured."""
    with Rig(args.gateway) as rig:
        frames(rig, verdicts)
        SERVERS["sallyport"] = gateway_with(["high_water=8k", "low_water=0", "max_read=8k"])
        for title, load, _ in memory.FLOODS:
            title, load = title.replace("a million ", ""), load.replace("-c 1000000", "") # a million pass within milliseconds
            row = memory.flood(rig, "sallyport", title, load.split(), 5)
            most, = figures(row, r"(\d+) KiB at most")
            verdicts.check(most <= 64, f"D3: {title}: grows by {most:.0f} KiB at most (goal 64); {row.split('|')[-2].strip()}")


def frames(rig, verdicts):
    """By the processor time of the gateway, which its load must be able to fill."""
    server = warm_server(rig, "sallyport")
    run = rig.load(server.load("up", "sink", "-n", "4", "-s", "1", "-t", "5", "-k", str(server.process.pid)))
    got = run.result()
    rate = got["frames"] / got["cpu"] / 1e6
    verdicts.check(rate >= 15, f"D3: {rate:.1f} M one-byte frames a second and core (goal 15), "
                   f"{got['frames'] / got['seconds'] / 1e6:.1f} M a second with {got['cpu'] / got['seconds'] * 100:.0f} % of one")


def idle(args, verdicts):
    with Rig(args.gateway) as rig:
        for name, goal in (("sallyport", 4), ("sallyport-tls", 16)):
            growth = memory_once(rig, side(name, "idle", "echo", "-n 2000"), 2000)
            if growth is None:
                verdicts.check(False, f"D5: {name} refused some of 2000 sessions")
            else:
                each = growth / 2000 / KIB
                verdicts.check(each <= goal, f"D5: {name}, 2000 idle sessions: {each:.1f} KiB each (goal {goal})")


def fairness(args, verdicts):
    done = subprocess.run([sys.executable, os.path.join(HERE, "latency.py"), "--gateway", args.gateway, "--servers", "sallyport",
                           "--ways", "through", "--pairs", "3"], stdout=subprocess.PIPE, text=True, check=False)
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| sallyport")]
    for row in rows:
        added = float(row[6].split()[0])
        kind, alone, with_it, words = (row[column].strip() for column in (2, 4, 5, 6))
        verdicts.check(added <= 5, f"D6: a flooder {kind} adds {words} ms of p99 to 100 sessions (goal 5); "
                       f"p50 / p99 / p99.9 alone {alone}, with it {with_it} ms")
    if len(rows) != 2:
        verdicts.check(False, "D6: latency.py did not measure both floods")


GOALS = {"D1": closes, "D2": stalled, "D3": floods, "D5": idle, "D6": fairness}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT", "./sallyport"))
    parser.add_argument("--closes", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("goal", nargs="+", choices=sorted(GOALS))
    args = parser.parse_args()
    args.gateway = os.path.abspath(args.gateway)
    verdicts = Verdicts()
    for goal in args.goal:
        began = time.monotonic()
        GOALS[goal](args, verdicts)
        print(f"       {goal} took {time.monotonic() - began:.0f} s", flush=True)
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
