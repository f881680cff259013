#!/usr/bin/python3
"""Runs very many sessions of all kinds of end, and looks at what is left of them.

    SALLYPORT=/path/to/sallyport tests/soak/soak.py [-n SESSIONS] [-c AT_ONCE] [-s STEPS]

In so many steps. After each step all sessions are over: descriptors must be as many as before, and memory (proportional set
size) is noted. At the end: each session went as its kind says; the log named as many ends of each reason as sessions of
these kinds were begun; and memory has grown by no more than 1 KiB for 10,000 sessions since the first step, which warms
up, in the median of the slopes between any two steps (one of them is not a trend). A run of fewer than 200,000 sessions may
grow by 1 MiB.
"""

import argparse
import collections
import sys
import time

from rig import LISTENERS, Failure, Rig, judged, wait_until

KIB = 1024
GROWTH = KIB / 10000        # bytes a session
LONG = 200000               # sessions; fewer are over before the heap has met its worst moment,
SLACK = 1024 * KIB          # and then it may still grow by so much


def expected_reasons(kinds):
    """How many ends of each reason; reasons with a | together."""
    expected = collections.Counter()
    for reason, count in kinds.values():
        if reason:
            expected[reason] += count
    return expected


def compare_reasons(expected, logged):
    """What cannot be: fewer or more ends of a reason than its kinds allow."""
    sure, lucky = collections.Counter(), collections.Counter()
    for reasons, count in expected.items():
        for reason in reasons.split("|"):
            (lucky if "|" in reasons else sure)[reason] += count
    return [f"{reason}: {logged[reason]} in the log, {sure[reason]} to {sure[reason] + lucky[reason]} expected"
            for reason in sorted({*sure, *lucky, *logged})
            if not sure[reason] <= logged[reason] <= sure[reason] + lucky[reason]]


def slope(points):
    """Bytes a session: the median of the slopes between all pairs, so that a single odd point does not count."""
    slopes = sorted((y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1:])
    return slopes[len(slopes) // 2]


class Soak:
    def __init__(self, rig, gateway):
        self.rig, self.gateway = rig, gateway
        self.descriptors = gateway.descriptors()
        self.threads = gateway.threads()
        self.points = []
        self.result = None

    def step(self, sessions):
        before = time.monotonic()
        self.result = self.rig.churn.run(sessions)
        took = time.monotonic() - before
        wait_until(lambda: self.gateway.descriptors() == self.descriptors, f"descriptors back to {self.descriptors}")
        wait_until(lambda: self.gateway.log.reasons.total() >= self.result["begun"], "the log's last lines")
        self.points.append((self.result["begun"], self.gateway.memory()))
        print(f"{self.result['begun']:9} sessions   {self.gateway.descriptors():3} descriptors"
              f"   {self.points[-1][1] / KIB:7.0f} KiB   {sessions / took:6.0f} sessions/s", flush=True)

    def judge(self):
        result, faults = self.result, []
        if result["fine"] != result["begun"]:
            faults.append(", ".join(f"{result[name]} {name}" for name in ("told", "refused", "cut", "wrong", "late")))
        faults += compare_reasons(expected_reasons(result["kinds"]), self.gateway.log.reasons)
        if self.gateway.threads() != self.threads:
            faults.append(f"{self.gateway.threads()} threads, there were {self.threads}")
        growth = slope(self.points)
        first, last = self.points[0], self.points[-1]
        print(f"growth: {growth * 10000 / KIB:.2f} KiB for 10,000 sessions; {(last[1] - first[1]) / KIB:.0f} KiB since the"
              " first step")
        if growth > GROWTH and (result["begun"] >= LONG or last[1] - first[1] > SLACK):
            faults.append("memory grows")
        if faults:
            raise Failure("\n".join(faults))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000000, metavar="SESSIONS")
    parser.add_argument("-c", type=int, default=400, metavar="AT_ONCE")
    parser.add_argument("-s", type=int, default=10, metavar="STEPS")
    arguments = parser.parse_args()
    with judged("soak"), Rig(arguments.c) as rig:
        gateway = rig.gateway(rig.configuration(LISTENERS))
        gateway.wait_line("listening", len(LISTENERS))
        rig.churn.listen(gateway.log.listening())
        soak = Soak(rig, gateway)
        for _ in range(arguments.s):
            soak.step(arguments.n // arguments.s)
        soak.judge()
        if gateway.stop() != 0:
            raise Failure(f"the gateway ended with status {gateway.child.returncode}")
    print(f"soak: {soak.result['begun']} sessions of {sum(bool(r) for r, _ in soak.result['kinds'].values())} kinds,"
          f" {len(gateway.log.reasons)} reasons; all as they should be")


if __name__ == "__main__":
    sys.exit(main())
