#!/usr/bin/python3
"""R10: 5 % of the packets lost each way on a line of 1 Mbit/s, between client and gateway, and between gateway and
backend.

    SALLYPORT=/abs/sallyport tests/net/lossy_path.py [--quick] [--seconds N]

Two networks of namespaces at once, in each of which one wire is spoilt (tc tbf, nftables). On each eight sessions,
plain and TLS: bulk down, bulk up, keystrokes that are echoed, and silence. Data is numbered, so each end knows what
must come. When the time is up the senders stop, all that was sent must arrive, and the client's Close be answered.
Goals: no byte wrong or missing, no session ended before. Ten minutes and what the line needs to empty; --quick: half a
minute.
"""

import asyncio
import socket
import ssl
import struct
import sys
import time

import netns
import script
from clients import CLOSE, Client, masked

LOSS, RATE = 5, "1mbit"
UNDER_WAY = 1 << 18 # bytes of each session at most, or kernels would hold megabytes, which take minutes in the end
DRAIN = 300 # s that the line may take to empty
PLAIN, TLS = 6080, 6443
KINDS = {"down": 7001, "up": 7002, "keys": 7003, "silent": 7004}


def numbered(start, end):
    """Bytes start to end of the stream 0, 1, 2, ... in 8 bytes each."""
    first, last = start // 8, end // 8 + 1
    whole = struct.pack(f">{last - first}Q", *range(first, last))
    return whole[start - first * 8:end - first * 8]


class Way:
    """One direction of one session: what was sent, and whether what came is that."""

    def __init__(self):
        self.sent = self.got = 0
        self.wrong = None

    def next(self, n):
        self.sent += n
        return numbered(self.sent - n, self.sent)

    def take(self, data):
        if numbered(self.got, self.got + len(data)) != data and self.wrong is None:
            self.wrong = self.got
        self.got += len(data)

    def under_way(self):
        return self.sent - self.got

    def __str__(self):
        return f"{self.got} of {self.sent} bytes{'' if self.wrong is None else f', wrong at {self.wrong}'}"

    def whole(self):
        return self.wrong is None and self.got == self.sent


class Session:
    def __init__(self, line, kind, tls):
        self.line, self.kind = line, kind
        self.name = f"{line.side} line, {kind}, {'TLS' if tls else 'plain'}"
        self.up, self.down = Way(), Way()
        self.client = Client((netns.OUTSIDE, TLS if tls else PLAIN), f"/{kind}", line.context if tls else None,
                             space=line.network.client)
        self.slowest = 0

    async def run(self, stop):
        await self.client.open()
        self.backend = await self.line.accepted[self.kind].get()
        self.tasks = [asyncio.ensure_future(job) for job in (self.read_client(), self.read_backend(), self.write(stop))]

    async def read_client(self):
        async for payload in self.client.frames():
            self.down.take(payload)

    async def read_backend(self):
        reader, writer = self.backend
        while data := await reader.read(65536):
            self.up.take(data)
            if self.kind == "keys":
                writer.write(self.down.next(len(data)))
        writer.close()

    async def write(self, stop):
        await self.line.spoilt.wait()
        while not stop.is_set():
            if max(self.up.under_way(), self.down.under_way()) > UNDER_WAY:
                await asyncio.sleep(0.05)
            elif self.kind == "down":
                self.backend[1].write(self.down.next(4000))
                await self.backend[1].drain()
            elif self.kind == "up":
                self.client.send(self.up.next(4000))
                await self.client.writer.drain()
            elif self.kind == "keys":
                self.client.send(self.up.next(10))
                await asyncio.sleep(0.3)
            else:
                await asyncio.sleep(1)

    async def finish(self):
        """What is missing, or None."""
        deadline = time.monotonic() + DRAIN
        while not (self.tasks[2].done() and self.up.whole() and self.down.whole()):
            if self.client.ended or time.monotonic() > deadline or {self.up.wrong, self.down.wrong} != {None}:
                return f"{self.name}: ended {self.client.ended}, up {self.up}, down {self.down}"
            await asyncio.sleep(0.2)
        self.client.writer.write(masked(CLOSE, (1000).to_bytes(2, "big")))
        await asyncio.wait_for(asyncio.gather(*self.tasks[:2]), DRAIN)
        return None if self.client.ended.startswith("Close 1000") else f"{self.name}: {self.client.ended} instead of Close 1000"


class Line:
    """One network with one bad wire, its gateway and its sessions."""

    def __init__(self, side, network, context):
        self.side, self.network, self.context = side, network, context
        self.accepted = {kind: asyncio.Queue() for kind in KINDS}
        self.spoilt = asyncio.Event()
        self.sessions = [Session(self, kind, tls) for kind in KINDS for tls in (False, True)]

    async def serve(self):
        for kind, port in KINDS.items():
            with self.network.backend.entered():
                sock = socket.create_server((netns.BACKEND, port))

            async def accept(reader, writer, queue=self.accepted[kind]):
                queue.put_nowait((reader, writer))
            await asyncio.start_server(accept, sock=sock)


def configuration(cert, key):
    text = (f"[server]\nworkers = 1\ndrain_timeout = 3s\n[listen plain]\naddress = {netns.OUTSIDE}:{PLAIN}\n"
            f"[listen tls]\naddress = {netns.OUTSIDE}:{TLS}\ntls = on\n[tls one]\ncertificate = {cert}\nkey = {key}\n")
    return text + "".join(script.route(kind, f"tcp:{netns.BACKEND}:{port}", ping_interval="5s") for kind, port in KINDS.items())


async def run_lines(lines, seconds):
    """What failed."""
    stop = asyncio.Event()
    for line in lines:
        await line.serve()
        for session in line.sessions:
            await session.run(stop)
        line.network.spoil(line.side, LOSS, RATE) # what goes wrong before the 101 is another row
        line.spoilt.set()
    await asyncio.sleep(seconds)
    stop.set()
    return [what for what in await asyncio.gather(*(s.finish() for line in lines for s in line.sessions)) if what]


def report(verdicts, lines, failures, gateways, seconds):
    for failure in failures:
        print(failure)
    for line, running in zip(lines, gateways):
        bytes_up, bytes_down = (sum(getattr(s, way).got for s in line.sessions) for way in ("up", "down"))
        pings = sum(s.client.pings for s in line.sessions)
        running.wait_for("session end", count=len(line.sessions), timeout=60)
        spurious = [r["reason"] for r in running.find("session end") if r["reason"] != "client_closed"]
        mine = [what for what in failures if what.startswith(line.side)]
        verdicts.check(not spurious and not mine, f"R10: {line.side} line, {LOSS} % loss, {RATE}, {seconds} s: "
                       f"{len(line.sessions)} sessions, {bytes_up} bytes up and {bytes_down} down "
                       f"{'right' if not mine else 'NOT RIGHT'}, {pings} pings answered, {len(spurious)} spurious closes {spurious[:3]} (goal 0)")


def main():
    given = script.arguments(__doc__, lambda parser: parser.add_argument("--seconds", type=int))
    netns.require()
    seconds = given.seconds or (30 if given.quick else 600)
    verdicts = script.Verdicts()
    with script.directory() as path, netns.Network() as one, netns.Network() as two:
        cert, key = script.make_certificate(path)
        context = ssl.create_default_context(cafile=cert)
        text = configuration(cert, key)
        with script.gateway(text, verdicts, preexec=one.gateway.enter) as first, \
             script.gateway(text, verdicts, preexec=two.gateway.enter) as second:
            async def run():
                lines = [Line("client", one, context), Line("backend", two, context)]
                return lines, await run_lines(lines, seconds)
            lines, failures = asyncio.run(run())
            report(verdicts, lines, failures, (first, second), seconds)
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
