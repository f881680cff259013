#!/usr/bin/python3
"""Compares what the gateway costs with what its peers cost under the same load, and writes tables and a picture.

    SALLYPORT=./sallyport tests/bench/compare.py [-n PAIRS] [-t SECONDS] [-o DIRECTORY] [--before BINARY] [P1 P2 ...]

Without goals, all of them, and websockify (W) for scale. With --before the peer of each is an earlier gateway. The
directory gets bench.md, bench.svg and bench.json, which holds every run; the table is printed, too.
tests/bench/README.md says what the figures mean.
"""

import argparse
import os
import signal
import sys
import time

import machine
import plot
import report
from cases import CASES, INCUMBENT, KEYS, SCALE, with_itself
from measure import compare
from results import Results
from rig import Rig
from servers import SERVERS, find_programs_of_root


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", dest="pairs", type=int, default=7, help="pairs of runs for each comparison (7)")
    parser.add_argument("-t", dest="seconds", type=float, default=2, help="of each run (2)")
    parser.add_argument("-o", dest="directory", default="bench-results", help="for the results (bench-results)")
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT", "./sallyport"))
    parser.add_argument("--before", metavar="BINARY", help="measure against this earlier gateway instead of the peers")
    parser.add_argument("--stand-in", choices=sorted(SERVERS), help="measure this server in the gateway's place")
    parser.add_argument("--keep", action="store_true", help="keep the earlier results of goals that are not named")
    parser.add_argument("--render", action="store_true", help="measure nothing: write anew what bench.json says")
    parser.add_argument("--readme", metavar="FILE", help="put picture and summary between the marks in this document")
    parser.add_argument("--publish", metavar="DIR", help="put results.md and bench.svg there; relative to the document")
    parser.add_argument("--install", action="store_true", help="install what is needed (apt-get or dnf), and end")
    parser.add_argument("goal", nargs="*", help=" ".join(KEYS))
    args = parser.parse_args()
    unknown = [goal for goal in args.goal if goal not in KEYS]
    if unknown or args.pairs < 1 or args.seconds <= 0 or bool(args.readme) != bool(args.publish):
        parser.error(f"no such goal: {' '.join(unknown)}; there are {' '.join(KEYS)}" if unknown else
                     "at least one pair, some seconds, and --readme with --publish")
    return args


def check_needs(gateway):
    lacking = machine.lacks()
    if lacking:
        sys.exit(f"missing: {', '.join(lacking)}.\n{machine.how_to_install()}")
    if not os.access(gateway, os.X_OK):
        sys.exit(f"{gateway} is not a program: build it, or name it with SALLYPORT=")


def replaced(case, stand_in):
    return case._replace(ours=case.ours._replace(server=stand_in)) if stand_in else case


def all_cases(args):
    return with_itself(CASES) if args.before else CASES + SCALE


def measurable(args, results):
    """The wanted cases whose peer is here; what is left out is noted."""
    wanted = [replaced(case, args.stand_in) for case in all_cases(args) if not args.goal or case.key in args.goal]
    missing = machine.missing_peers([side.server for case in wanted for side in (case.ours, case.theirs)])
    for reason in dict.fromkeys(missing.values()):
        results.left_out.append(reason)
    if missing:
        print(f"Left out: {'; '.join(results.left_out)}.\n{machine.how_to_install()}", file=sys.stderr)
    return [case for case in wanted if not {case.ours.server, case.theirs.server} & set(missing)]


def run_case(rig, case, args, results, order):
    began = time.monotonic()
    runs = compare(rig, case, args.pairs if case.key != INCUMBENT else 1, args.seconds)
    row = results.add(case, runs, order)
    print(f"{row.key:4}{row.title}, {row.peer}: {row.ratio:.2f} ({min(row.ratios):.2f} to {max(row.ratios):.2f}), "
          f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    results.save()


def measure_all(args, results):
    find_programs_of_root()
    for gateway in filter(None, (args.gateway, args.before)):
        check_needs(gateway)
    order = [(case.key, case.title, case.theirs.label) for case in all_cases(args)]
    results.forget(args.goal or KEYS)
    results.machine = machine.describe(args.gateway)
    results.settings = {"pairs": args.pairs, "seconds": args.seconds}
    cases = measurable(args, results)
    print(results.machine["placement"], file=sys.stderr)
    with Rig(args.gateway, args.before) as rig:
        for case in cases:
            run_case(rig, case, args, results, order)


def write_pages(results, page, picture):
    with open(page, "w", encoding="utf-8") as out:
        out.write(report.page(results))
    with open(picture, "w", encoding="utf-8") as out:
        out.write(plot.draw(results.rows()))


def write(args, results):
    write_pages(results, results.file("bench.md"), results.file("bench.svg"))
    if args.readme:
        directory = os.path.join(os.path.dirname(args.readme), args.publish)
        write_pages(results, os.path.join(directory, "results.md"), os.path.join(directory, "bench.svg"))
        report.rewrite(args.readme, args.publish, results)
    print(report.tables(results))


def main():
    args = read_arguments()
    if args.install:
        return machine.install()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results(args.directory)
    if args.render or (args.keep and os.path.exists(results.file("bench.json"))):
        results.load()
    if not args.render:
        measure_all(args, results)
    write(args, results)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
