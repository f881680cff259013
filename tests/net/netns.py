"""Three network namespaces, client - gateway - backend, joined by two veth pairs, whose wires can be cut, slowed and
made to lose.

    client 10.99.1.2  ---  10.99.1.1 gateway 10.99.2.1  ---  10.99.2.2 backend

Owns nothing that has a name: a namespace lives as long as the descriptor that holds it, so whatever ends this process,
even SIGKILL, removes all of it. It must never touch the namespace it was started in. Needs root, iproute2 and nftables.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import threading

import script

CLIENT, OUTSIDE, INSIDE, BACKEND = "10.99.1.2", "10.99.1.1", "10.99.2.1", "10.99.2.2"

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def lacking():
    """Why no namespace can be made here; None if it can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        return "network namespaces cannot be made here"
    return None


def require(*packages):
    """For a script's beginning: ends it with words if it cannot work here."""
    reason = lacking()
    if reason:
        sys.exit(reason)
    script.install("iproute2", "nftables", *packages)


def set_namespace(fd):
    """Of the calling thread; what it opens and starts from now on is there."""
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    def __init__(self, name):
        self.name = name
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            if LIBC.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            set_namespace(home)
        finally:
            os.close(home)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def entered(self):
        """Sockets made in the block are this namespace's for good; another thread is not moved."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        set_namespace(self.fd)
        try:
            yield self
        finally:
            set_namespace(home)
            os.close(home)

    def enter(self):
        """For preexec_fn: the process to be belongs here."""
        set_namespace(self.fd)

    def run(self, *words, text=None):
        done = subprocess.run(words, preexec_fn=self.enter, input=text, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def rules(self, script):
        """Replaces all of its nftables rules."""
        self.run("nft", "-f", "-", text="flush ruleset\n" + script)

    def close(self):
        os.close(self.fd)


def dropping(*matches, hooks=("input", "output")):
    """A script for rules(): packets that fit any of these do not pass."""
    rules = "; ".join(f"{match} drop" for match in matches)
    chains = "".join(f"chain {hook} {{ type filter hook {hook} priority 0; {rules}; }}\n" for hook in hooks)
    return f"table inet faults {{\n{chains}}}\n"


class Network:
    """The three, by name, and what may happen to the wires between them."""

    def __init__(self):
        self.client, self.gateway, self.backend = Namespace("client"), Namespace("gateway"), Namespace("backend")
        self.gone = {"client": [], "backend": []}
        self.losses = []
        self.lock = threading.Lock()
        self._join(1, self.client)
        self._join(2, self.backend)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for space in (self.client, self.gateway, self.backend):
            space.close()

    def _join(self, number, end):
        device = f"to-{end.name}"
        self.gateway.run("ip", "link", "add", device, "type", "veth", "peer", "name", "wire", "netns", end.path)
        for space, name, host in ((self.gateway, device, 1), (end, "wire", 2)):
            space.run("ip", "address", "add", f"10.99.{number}.{host}/24", "dev", name)
            space.run("ip", "link", "set", name, "up")

    def vanish(self, side, *ports):
        """Who has these TCP ports at the `client` or `backend` end is dead from now on: nothing leaves it or reaches it."""
        with self.lock:
            self.gone[side] += [f"tcp {way} {port}" for port in ports for way in ("sport", "dport")]
            getattr(self, side).rules(dropping(*self.gone[side]))

    def spoil(self, side, percent, rate):
        """The wire to `client` or `backend` carries so much (as tc writes it) and loses so many packets of 100, each way."""
        end, device = getattr(self, side), f"to-{side}"
        for space, name in ((self.gateway, device), (end, "wire")):
            space.run("tc", "qdisc", "replace", "dev", name, "root", "tbf", "rate", rate, "burst", "4kb", "latency", "300ms")
        loss = f"numgen random mod 1000 < {int(percent * 10)}"
        self.losses.append(f"iifname {device} {loss}")
        self.gateway.rules(dropping(*self.losses, hooks=("input",)))
        end.rules(dropping(f"iifname wire {loss}", hooks=("input",)))
