"""A look at the gateway from beside it: copies of its sockets (pidfd_getfd(2)), its processor time, its threads.

Owns nothing of the gateway's; it is for what the kernel knows and no peer can see, such as socket options.
"""

import contextlib
import ctypes
import os
import socket

import pytest

PIDFD_GETFD = 438
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def descriptors(pid):
    """Number to what it is, such as socket:[1234]."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


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
