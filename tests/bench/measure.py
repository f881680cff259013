"""Runs a case: pairs of the same load, first one server, then the other, and after each pair the order changes."""

import sys

from cases import UNITS

WARM_UP = "0.3"     # seconds
ATTEMPTS = 3
PERCENTILES = ("p50_us", "p99_us", "p999_us")


def run_load(rig, load, seconds):
    """The load generator's report. CPU time is that between the opening of the last session and the end of the time."""
    server = rig.server(load.server, load.workers)
    process = server.process
    watch = [] if server.family else ["-k", str(process.pid)]
    run = rig.load(server.load(load.mode, load.backend, *load.options, "-t", str(seconds), *watch))
    if server.family:    # no clock counts a family: the closing of its sessions is in it, too
        run.wait_open()
        before = process.cpu()
        got = run.result()
        got["cpu"] = process.settled_cpu() - before
    else:
        got = run.result()
        process.settled_cpu()
    if got["failed"] or got["unfinished"]:
        print(f"warning: {load.server} {load.mode}: {got}", file=sys.stderr)
    return got


def work(rig, case, load, seconds):
    """One run as it goes into the results: cost and rate in the case's unit."""
    unit = UNITS[case.unit]
    got = run_load(rig, load, seconds)
    done = unit.count(got)
    if not done:
        sys.exit(f"{load.server} did nothing at all in {case.key}, {case.title}: {got}")
    run = {"cost": got["cpu"] * unit.cost_scale / done, "rate": done * unit.rate_scale / got["seconds"],
           "busy": got["cpu"] / got["seconds"], "report": got}
    return run | ({name: got[name] for name in PERCENTILES} if unit.latency else {})


def warm_server(rig, name):
    """A new server that has made what it makes once: its buffers, the library's tables, the heap's first growth."""
    server = rig.fresh_server(name)
    for load in (("echo", "echo", "-n", "20", "-s", "64"), ("up", "sink", "-n", "4"), ("down", "source", "-n", "4")):
        rig.load(server.load(*load, "-t", WARM_UP)).result()
    server.process.settled_cpu()
    return server


def open_idle(rig, load, sessions):
    """Opens so many, and false if one is refused; they stay until their load is ended."""
    options = list(load.options)
    options[options.index("-n") + 1] = str(sessions)
    run = rig.load(rig.server(load.server).load(load.mode, load.backend, *options, "-t", "60"))
    opened = run.opened()
    rig.server(load.server).process.settled_cpu()
    return run, opened


def memory_once(rig, load, sessions):
    """What the sessions add to a new process, in bytes, or None if it refused one. A tenth more are opened before, to
    fill what the warm-up left free in the heap: else the sessions seem to be smaller than they are."""
    process = warm_server(rig, load.server).process
    first, _ = open_idle(rig, load, sessions // 10)
    before = process.memory()
    run, opened = open_idle(rig, load, sessions)
    growth = process.memory() - before
    for each in (first, run):
        each.end()
    rig.stop_server(load.server)
    return growth if opened else None


def memory(rig, case, load, seconds):
    """Memory for each idle session. A server that refused one of thousands is tried again."""
    del seconds
    sessions = int(load.options[load.options.index("-n") + 1])
    for _ in range(ATTEMPTS):
        growth = memory_once(rig, load, sessions)
        if growth is not None:
            return {"cost": growth * UNITS[case.unit].cost_scale / sessions}
        print(f"{load.server} refused some of {sessions} sessions: once more", file=sys.stderr)
    sys.exit(f"{load.server} does not open {sessions} sessions")


def compare(rig, case, pairs, seconds):
    """The runs of both sides, in the order of the pairs."""
    once = memory if case.unit == "session" else work
    sides = (case.ours, case.theirs)
    runs = ([], [])
    if once is work:
        for load in sides:
            run_load(rig, load, WARM_UP)
    for pair in range(pairs):
        for which in ((0, 1), (1, 0))[pair % 2]:
            runs[which].append(once(rig, case, sides[which], seconds))
    return runs
