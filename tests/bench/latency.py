#!/usr/bin/python3
"""What one flooder adds to the echo of 100 quiet sessions on the same worker.

    tests/bench/latency.py --gateway /abs/sallyport [--pairs 5] [--seconds 4] [--servers sallyport,haproxy]
                           [--floods down,up] [--ways through,beside,past] [--closed]

100 sessions send 64 B, 20 times a second each, at times that are fixed beforehand (so that whoever is slow is not asked
less often); the latency counts from such a time to the echo. That alone, then with a flooder, in turn: A B A B. A flooder
is one session that takes all that a source sends (down), or sends 64 KiB frames to a sink (up). It goes

    through  the server under test, the same single worker: what is in question
    beside   a second process of that server on the same processor: what sharing the processor costs
    past     it, straight to its backend: what the load costs by itself

The server has one processor; load and backends the other, where the echo's have real-time priority (chrt; as root), so that
the flooder's do not delay them. With --closed each session sends as soon as its echo is there: then the server is busy
all the time anyway, and the flooder takes its share.
"""

import argparse
import collections
import os
import select
import socket
import sys
import time

import rig

SESSIONS, SIZE, INTERVAL = 100, 64, 0.05
BAR_MS = 5.0


# --- the paced echo ---------------------------------------------------------------------------------------------------

class Session:
    """One quiet session: what it sent and has not got back, by the time it was due."""

    def __init__(self, port, raw):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due, self.got = collections.deque(), 0
        self.message = bytes(SIZE) if raw else bytes([0x82, 0x80 | SIZE]) + bytes(4 + SIZE)
        self.answer = SIZE if raw else 2 + SIZE
        if not raw:
            self.upgrade()
        self.sock.setblocking(False)

    def upgrade(self):
        self.sock.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                          b"Sec-WebSocket-Protocol: binary\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = self.sock.recv(1)
            if not part:
                sys.exit(f"refused: {head[:60]!r}")
            head += part

    def send(self, due):
        self.due.append(due)
        self.sock.send(self.message)

    def take(self, delays):
        """One message comes in one frame, so whole answers are counted by their length."""
        data = self.sock.recv(65536)
        if not data:
            sys.exit("a session ended")
        self.got += len(data)
        now = time.perf_counter()
        while self.got >= self.answer and self.due:
            self.got -= self.answer
            delays.append(now - self.due.popleft())


class Paced:
    def __init__(self, port, raw):
        self.sessions = [Session(port, raw) for _ in range(SESSIONS)]
        self.by_fd = {session.sock.fileno(): session for session in self.sessions}
        self.epoll = select.epoll()
        for fd in self.by_fd:
            self.epoll.register(fd, select.EPOLLIN)

    def take(self, patience, delays):
        if patience > 0: # epoll's own time-out is in whole milliseconds
            select.select([self.epoll], [], [], patience)
        for fd, _ in self.epoll.poll(0):
            self.by_fd[fd].take(delays)

    def run(self, seconds):
        """The delays of so many seconds, in ms, sorted."""
        step, delays = INTERVAL / SESSIONS, []
        began = time.perf_counter() + 0.01
        for number in range(int(seconds / step)):
            due = began + number * step
            while (left := due - time.perf_counter()) > 0:
                self.take(left, delays)
            self.sessions[number % SESSIONS].send(due)
            self.take(0, delays)
        deadline = time.perf_counter() + 5
        while any(session.due for session in self.sessions) and time.perf_counter() < deadline:
            self.take(0.1, delays)
        lost = sum(len(session.due) for session in self.sessions)
        if lost:
            sys.exit(f"{lost} echoes never came")
        return sorted(delay * 1000 for delay in delays)

    def close(self):
        self.epoll.close()
        for session in self.sessions:
            session.sock.close()


def percentiles(delays):
    return [delays[min(len(delays) - 1, int(len(delays) * share))] for share in (0.5, 0.99, 0.999)]


# --- the flooder ------------------------------------------------------------------------------------------------------

class Flood:
    """One session that moves as much as it can, for as long as the block."""

    def __init__(self, bench, server, kind, way, seconds):
        backend = "source" if kind == "down" else "sink"
        if way == "past":
            words = [kind, "-r", bench.backends[backend]]
        else:
            words = server.load(kind, backend)
        self.load = bench.load([words[0], "-t", str(seconds), "-s", "64k", *words[1:]])
        self.kind = kind

    def __enter__(self):
        self.load.wait_open()
        time.sleep(0.5)
        return self

    def rate(self):
        """MB/s."""
        result = self.load.result()
        return (result["bytes_in"] if self.kind == "down" else result["bytes_out"]) / result["seconds"] / 1e6

    def __exit__(self, *_):
        self.load.end()


# --- the pairs --------------------------------------------------------------------------------------------------------

class Measurement:
    def __init__(self, bench, arguments):
        self.bench, self.arguments = bench, arguments

    def echo(self, server):
        """p50, p99 and p99.9 in ms of the quiet sessions."""
        if not self.arguments.closed:
            paced = Paced(server.ports["echo"], server.raw)
            try:
                return percentiles(paced.run(self.arguments.seconds))
            finally:
                paced.close()
        load = self.bench.load(server.load("echo", "echo", "-n", str(SESSIONS), "-s", str(SIZE), "-t",
                                           str(self.arguments.seconds)))
        result = load.result()
        return [result[name] / 1000 for name in ("p50_us", "p99_us", "p999_us")]

    def pair(self, server, other, kind, way):
        alone = self.echo(server)
        flooded = other if way == "beside" else server
        with Flood(self.bench, flooded, kind, way, self.arguments.seconds + 2) as flood:
            together = self.echo(server)
            return alone, together, flood.rate()

    def second(self, name):
        """Another process of that server, stopped with the others."""
        key = ("second", name)
        if key not in self.bench.servers:
            self.bench.servers[key] = rig.SERVERS[name](self.bench, 1)
        return self.bench.servers[key]

    def row(self, name, kind, way):
        server = self.bench.server(name)
        other = self.second(name) if way == "beside" else None
        pairs = [self.pair(server, other, kind, way) for _ in range(self.arguments.pairs)]
        middle = [[rig.median(pair[part][i] for pair in pairs) for i in range(3)] for part in (0, 1)]
        added = sorted(pair[1][1] - pair[0][1] for pair in pairs)
        words = " | ".join(" / ".join(f"{value:.2f}" for value in part) for part in middle)
        print(f"| {name} | {kind} | {way} | {words} | {rig.median(added):.2f} ({added[0]:.2f} to {added[-1]:.2f}) | "
              f"{rig.median(pair[2] for pair in pairs):.0f} |", flush=True)
        return rig.median(added)


# --- the set-up -------------------------------------------------------------------------------------------------------

def gateway_with(options):
    """The gateway with further options in each route."""
    class Sallyport(rig.SERVERS["sallyport"]):
        def text(self, workers):
            lines = "".join(f"{word.replace('=', ' = ')}\n" for word in options)
            return super().text(workers).replace("[route ", lines + "[route ").replace(lines, "", 1) + lines
    return Sallyport


def hurry(bench):
    """The echo's two ends go before the flooder's on their processor."""
    os.sched_setaffinity(0, {rig.LOAD_CPU})
    priority = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
        priority = ["chrt", "-f", "10"]
    except PermissionError:
        print("without real-time priority (not root) the flooder's own ends delay the echo's", file=sys.stderr)
    log = bench.file("echo.log")
    echo = rig.Process([*priority, bench.file("tool_backend"), "echo=127.0.0.1:0"], rig.LOAD_CPU, log)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with open(log, encoding="ascii") as text:
            line = text.read()
        if line.endswith("\n"):
            bench.backends["echo"] = line.strip().split("=", 1)[1]
            return echo
        time.sleep(0.02)
    echo.stop()
    sys.exit("the echo did not start")


# --- the command line -------------------------------------------------------------------------------------------------

def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT"), help="the binary, absolute")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--servers", default="sallyport,haproxy", type=lambda text: text.split(","))
    parser.add_argument("--floods", default="down,up", type=lambda text: text.split(","))
    parser.add_argument("--ways", default="through,beside,past", type=lambda text: text.split(","))
    parser.add_argument("--closed", action="store_true", help="each session sends as soon as its echo is there")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of the gateway's routes")
    return parser.parse_args()


def main():
    arguments = parse()
    if not arguments.gateway or not os.path.isabs(arguments.gateway):
        sys.exit("latency.py needs --gateway /abs/sallyport, or SALLYPORT in the environment")
    rig.SERVERS["sallyport"] = gateway_with(arguments.set)
    print("| through | flood | way | alone p50 / p99 / p99.9 ms | with the flooder | added p99 ms (min to max) | flooder MB/s |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    with rig.Rig(arguments.gateway) as bench:
        echo = hurry(bench)
        try:
            measurement = Measurement(bench, arguments)
            added = [(name, way, measurement.row(name, kind, way)) for name in arguments.servers
                     for kind in arguments.floods for way in arguments.ways]
        finally:
            echo.stop()
    if any(name == "sallyport" and way == "through" and more > BAR_MS for name, way, more in added):
        sys.exit(f"a flooder adds more than {BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
