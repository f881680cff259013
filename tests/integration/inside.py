"""A look at the gateway from beside it: copies of its sockets (pidfd_getfd(2)), its processor time, its threads.

Owns nothing of the gateway's; it is for what the kernel knows and no peer can see, such as socket options.
"""

import contextlib
import ctypes
import os
import resource
import select
import socket

import pytest

from wsclient import TIMEOUT

PIDFD_GETFD = 438
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def is_asleep(pid):
    """None of its threads runs, or would if there were a processor for it: it has done all it could."""
    states = set()
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii", errors="replace") as stat:
            states.add(stat.read().rpartition(")")[2].split()[0])
    return states == {"S"}


def send_until_held(pid, sock, data, most=32 << 20):
    """Sends data over and over until the gateway takes no more of it, however slow the machine is, or most bytes are sent;
    returns how many were."""
    sock.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 2 and sent < most:
        if not select.select([], [sock], [], 0.15)[1]:
            quiet = quiet + 1 if is_asleep(pid) else 0
            continue
        quiet = 0
        with contextlib.suppress(BlockingIOError):
            sent += sock.send(data[sent % len(data):][:1 << 18])
    sock.settimeout(TIMEOUT)
    return sent


def children(pid):
    """The processes that it started."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry))
    return found


def steward_of(gateway):
    """Its second process, which opens what it gave up."""
    (only,) = children(gateway.pid)
    return only


def descriptors(pid):
    """Number to what it is, such as socket:[1234]."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def limit_descriptors_of(pid, soft):
    """Sets the soft limit, and returns the one before; as the gateway's own user, since root may lack the right to."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        ids = dict(line.split(":\t", 1) for line in status if line.startswith(("Uid", "Gid")))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(*[int(ids["Gid"].split()[0])] * 3)
                os.setresuid(*[int(ids["Uid"].split()[0])] * 3)
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, limits[1]))
            os.write(writing, b"%d" % limits[0])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    assert text, "the limit cannot be set"
    return int(text)


def thread_status(pid):
    """The status fields of each thread, by its id."""
    threads = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii") as status:
            threads[int(tid)] = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return threads


def copy_descriptor(pidfd, fd):
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


@contextlib.contextmanager
def socket_of(pid, other_end):
    """A copy of the gateway's TCP socket that is connected to ours."""
    ours = other_end.getsockname()
    pidfd = os.pidfd_open(pid)
    try:
        for fd, what in descriptors(pid).items():
            if not what.startswith("socket:"):
                continue
            try:
                copy = socket.socket(fileno=copy_descriptor(pidfd, fd))
            except OSError as error:
                pytest.skip(f"sockets cannot be copied here: {error}")
            with copy:
                try:
                    found = copy.getpeername() == ours
                except OSError:
                    found = False
                if found:
                    yield copy
                    return
    finally:
        os.close(pidfd)
    raise AssertionError(f"the gateway has no socket connected to {ours}")
