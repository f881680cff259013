"""A child process bound to one processor: its CPU time, its memory, its end; and which processors to bind to."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None)
QUIET_SECONDS = 0.03        # a server that used less than 1 % of this is at rest
QUIET_SHARE = 0.01


def siblings(cpu):
    """The processors that share a core with this one, itself included."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", encoding="ascii") as listed:
            ranges = [part.split("-") for part in listed.read().strip().split(",")]
    except OSError:
        return {cpu}
    return {each for first, *last in ranges for each in range(int(first), int((last or [first])[0]) + 1)}


def choose_processors():
    """One for the server under test, one on another core for load and backends; the same if there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    others = [cpu for cpu in allowed if cpu not in siblings(allowed[0])] or allowed[1:] or allowed
    return allowed[0], others[0]


SERVER_CPU, LOAD_CPU = choose_processors()


def raise_descriptor_limit():
    """Thousands of sessions need it, and children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(argv, cpu, **options):
    """Like Popen, bound to a processor."""
    try:
        return subprocess.Popen(argv, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), **options)
    except FileNotFoundError:
        sys.exit(f"{argv[0]}: not found")


def cpu_seconds(pid):
    """User and system time of a process, by its CPU clock: all threads, ended ones too, in nanoseconds.

    /proc/PID/stat is the same sum cut to ticks of 10 ms, and schedstat forgets the threads that ended."""
    clock = ctypes.c_int()
    if LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        raise ProcessLookupError(pid)
    return time.clock_gettime(clock.value)


def stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        return [int(child) for child in listed.read().split()]


def family_cpu_seconds(pid):
    """The same with all that it has forked: living children, and, in ticks, those it has waited for."""
    try:
        waited_for = sum(int(field) for field in stat_fields(pid)[13:15]) / TICK
        return cpu_seconds(pid) + waited_for + sum(map(family_cpu_seconds, children(pid)))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def kibibytes(path, field):
    with open(path, encoding="utf-8", errors="replace") as listed:
        for line in listed:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(field)


def memory_bytes(pid):
    """Proportional: what is shared counts in parts. A server that guards its memory (it is not dumpable) shows that to
    root only; to others, how much of it is private."""
    try:
        return kibibytes(f"/proc/{pid}/smaps_rollup", "Pss")
    except PermissionError:
        return kibibytes(f"/proc/{pid}/status", "RssAnon")


class Process:
    """A server or a backend, with its output in a file. family: it forks, and its children count."""

    def __init__(self, argv, cpu, log, family=False):
        self.log = log
        self.family = family
        with open(log, "ab") as out:
            self.child = start(argv, cpu, stdout=out, stderr=out)
        self.pid = self.child.pid

    def cpu(self):
        return family_cpu_seconds(self.pid) if self.family else cpu_seconds(self.pid)

    def settled_cpu(self):
        """CPU time once the process has come to rest, or after five seconds."""
        before = self.cpu()
        for _ in range(int(5 / QUIET_SECONDS)):
            time.sleep(QUIET_SECONDS)
            now = self.cpu()
            if now - before < QUIET_SHARE * QUIET_SECONDS:
                return now
            before = now
        return before

    def memory(self):
        """Bytes, of all its family."""
        return sum(map(memory_bytes, [self.pid, *(children(self.pid) if self.family else [])]))

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
