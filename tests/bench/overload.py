#!/usr/bin/python3
"""What a gateway that is full makes of those who come nevertheless, and what that does to those inside.

    tests/bench/overload.py --gateway /abs/sallyport [--pairs 5] [--seconds 4] [--rate 2000]

100 sessions, which is all that max_sessions allows, send 64 B, 20 times a second each, as in latency.py. That alone, then
beside clients who ask for an upgrade and are refused, so many a second, in turn: A B A B; and at last with as many as the
gateway can refuse. The gateway has one processor for both its threads.

The bars: 10,000 refusals for a second of the gateway's CPU time; the answer within 100 ms; at that rate, which asks for many
times the room there is, the p99 of those inside at most doubled. Who is refused for its source takes the same way.
"""

import argparse
import json
import os
import subprocess
import sys

import rig
from latency import SESSIONS, Paced, hurry, percentiles

REFUSALS_BAR, ANSWER_BAR_MS, LATENCY_BAR = 10000, 100, 2.0


class Full(rig.SERVERS["sallyport"]):
    """The gateway with room for the sessions of Paced and no more."""

    def text(self, workers):
        return super().text(workers).replace("[server]\n", f"[server]\nmax_sessions = {SESSIONS}\n")


class Crowd:
    """Refused clients for as long as the block."""

    def __init__(self, bench, server, seconds, rate):
        self.server, self.cpu = server, server.process.cpu()
        argv = [bench.file("tool_refused"), "-t", str(seconds), "-r", str(rate), f"127.0.0.1:{server.ports['echo']}"]
        self.child = rig.start(argv, rig.LOAD_CPU, stdout=subprocess.PIPE, text=True)

    def result(self):
        found = json.loads(self.child.communicate()[0])
        found["cpu"] = self.server.process.cpu() - self.cpu
        if found["other"] or found["refused"] == 0:
            sys.exit(f"not refused: {found}")
        return found

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def beside(bench, server, paced, seconds, rate):
    crowd = Crowd(bench, server, seconds + 1, rate)
    try:
        return percentiles(paced.run(seconds)), crowd.result()
    finally:
        crowd.end()


def report(bench, arguments):
    server = bench.server("sallyport")
    paced = Paced(server.ports["echo"], server.raw)
    pairs = []
    for _ in range(arguments.pairs):
        alone = percentiles(paced.run(arguments.seconds))
        pairs.append((alone, *beside(bench, server, paced, arguments.seconds, arguments.rate)))
    most = [Crowd(bench, server, arguments.seconds, 0).result() for _ in range(arguments.pairs)]
    return paced, pairs, most


def tell(pairs, most):
    ratio = rig.median(together[1] / alone[1] for alone, together, _ in pairs)
    added = rig.median(together[1] - alone[1] for alone, together, _ in pairs)
    answer = max(crowd["p99_ms"] for *_, crowd in pairs)
    worst = max(crowd["max_ms"] for *_, crowd in pairs)
    each = rig.median(crowd["refused"] / crowd["cpu"] for crowd in most)
    unanswered = sum(crowd["none"] for *_, crowd in pairs) + sum(crowd["none"] for crowd in most)
    middle = [[rig.median(pair[part][i] for pair in pairs) for i in range(3)] for part in (0, 1)]
    print(f"inside, alone: p50 / p99 / p99.9 {' / '.join(f'{value:.2f}' for value in middle[0])} ms\n"
          f"inside, beside {rig.median(crowd['refused'] / crowd['seconds'] for *_, crowd in pairs):.0f} refusals a second: "
          f"{' / '.join(f'{value:.2f}' for value in middle[1])} ms; p99 {ratio:.2f} times ({added:+.2f} ms)\n"
          f"the answer: p99 {answer:.1f} ms, at most {worst:.1f} ms\n"
          f"refusals at most: {rig.median(crowd['refused'] / crowd['seconds'] for crowd in most):.0f} a second, "
          f"{each:.0f} for a second of CPU time; {unanswered} got no answer")
    return each >= REFUSALS_BAR and answer <= ANSWER_BAR_MS and ratio <= LATENCY_BAR


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT"), help="the binary, absolute")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rate", type=int, default=2000, help="refused clients a second")
    arguments = parser.parse_args()
    if not arguments.gateway or not os.path.isabs(arguments.gateway):
        sys.exit("overload.py needs --gateway /abs/sallyport, or SALLYPORT in the environment")
    rig.SERVERS["sallyport"] = Full
    rig.TOOLS["tool_refused"] = ["tool_refused.c", "benchnet.c", "load/histogram.c"]
    with rig.Rig(arguments.gateway) as bench:
        echo = hurry(bench)
        try:
            paced, pairs, most = report(bench, arguments)
            paced.close()
        finally:
            echo.stop()
    if not tell(pairs, most):
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
