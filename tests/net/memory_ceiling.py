#!/usr/bin/python3
"""D4: a thousand hostile sessions and a hundred good ones, and the gateway in a memory cgroup of 64 MiB.

    SALLYPORT=/abs/sallyport tests/net/memory_ceiling.py [--quick] [--limit MIB] [--max-backlog SIZE]

Hostile, half of each kind over TLS: clients that read nothing of what a backend pours out, and that pour into a backend
which reads nothing, until every backlog is full; requests and TLS handshakes that stop half way and come again when
they are cut; frames that announce 1 TiB and bring a byte now and then; floods of pings whose pongs nobody reads;
messages of endless one-byte fragments. Good: each sends a stream of its own to an echo and compares what comes back.
Nothing may be killed, no good byte may be wrong or missing, and the most that the cgroup ever held is printed. --quick:
300 and 30. Without max_backlog (--max-backlog 0) the kernel kills the gateway: that shows that the test can fail.
"""

import asyncio
import multiprocessing
import os
import random
import resource
import socket
import ssl
import sys
import time

import cgroup
import script
from sections import listeners
from wsclient import request, xor  # noqa: E402

KINDS = (("slow reader", 30), ("slow backend", 15), ("half a request", 15), ("half a hello", 5), ("1 TiB frame", 15),
         ("ping flood", 10), ("fragments", 10))
FILL = 12 # s until the good come: the backlogs are full by then, and what came half way was cut and came again
MASK = b"\x37\xfa\x21\x3d"
PINGS = (b"\x89\xfd" + MASK + bytes(125)) * 64
FRAGMENTS = (b"\x02\x81" + MASK + b"a", (b"\x00\x81" + MASK + b"b") * 1000)
TIB = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + MASK
FILLING = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + MASK + bytes(65536)
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(20)
BYTES = { # of each kind: what it sends at first, and what again and again
    "slow reader": (b"", b""), "slow backend": (FILLING, bytes(65536)), "1 TiB frame": (TIB, b"x"), "ping flood": (PINGS, PINGS),
    "fragments": FRAGMENTS, "half a request": (b"GET /sink HTTP/1.1\r\nX: " + b"x" * 7000, b""), "half a hello": (HELLO, b""),
}


# --- backends ---------------------------------------------------------------------------------------------------------

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Sink(asyncio.Protocol):
    pass


class Source(asyncio.Protocol):
    """Pours as long as it is taken."""

    def connection_made(self, transport):
        self.transport, self.full = transport, False
        transport.set_write_buffer_limits(high=0)
        self.pour()

    def pour(self):
        if not self.full and not self.transport.is_closing():
            self.transport.write(bytes(65536))
            asyncio.get_running_loop().call_soon(self.pour)

    def pause_writing(self):
        self.full = True

    def resume_writing(self):
        self.full = False
        self.pour()


def run_backends(ports):
    """Takes the listening sockets of `ports`, a protocol each."""
    async def serve():
        loop = asyncio.get_running_loop()
        for protocol, sock in ports:
            await loop.create_server(protocol, sock=sock, backlog=4096)
        await asyncio.Event().wait()
    raise_descriptors()
    asyncio.run(serve())


# --- hostile clients --------------------------------------------------------------------------------------------------

class Hostile:
    """One hostile client, that comes again when it is cut."""

    def __init__(self, kind, address, context):
        self.kind, self.address, self.context = kind, address, context
        self.sock, self.started, self.cuts = None, False, 0

    def open(self):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        raw.settimeout(20)
        raw.connect(self.address)
        self.sock = raw
        if self.context and self.kind != "half a hello":
            self.sock = self.context.wrap_socket(raw, server_hostname="gateway.test")
        if not self.kind.startswith("half"):
            path = {"slow reader": "/source", "slow backend": "/stuck"}.get(self.kind, "/sink")
            self.sock.sendall(request(path))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = self.sock.recv(1)
                if not part:
                    raise ConnectionError(f"refused: {head[:40]!r}")
                head += part
        self.sock.setblocking(False)
        self.started = False

    def act(self):
        try:
            if self.sock is None:
                self.open()
            self.send()
            if self.kind.startswith("half") and not self.sock.recv(4096):
                raise ConnectionResetError
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.cuts += 1
            if self.sock is not None:
                self.sock.close()
            self.sock = None

    def send(self):
        first, more = BYTES[self.kind]
        data = more if self.started else first
        if data:
            self.sock.send(data)
        self.started = True


def run_hostile(count, addresses, certificate, ready, stop, results):
    raise_descriptors()
    context = ssl.create_default_context(cafile=certificate)
    all_of_them = []
    for kind, percent in KINDS:
        for number in range(count * percent // 100):
            tls = kind == "half a hello" or number % 2 == 1
            all_of_them.append(Hostile(kind, addresses["tls" if tls else "plain"], context if tls else None))
    random.Random(4).shuffle(all_of_them)
    began = time.monotonic()
    while not stop.wait(0.02):
        for one in all_of_them:
            one.act()
        if time.monotonic() - began > FILL:
            ready.set()
    kinds = {}
    for one in all_of_them:
        kinds.setdefault(one.kind, []).append(one.cuts)
    results.put({kind: (len(cuts), sum(cuts)) for kind, cuts in kinds.items()})


# --- good clients -----------------------------------------------------------------------------------------------------

async def good_session(number, address, context, size):
    """True when all of its bytes came back."""
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="gateway.test" if context else None)
    writer.write(request("/echo"))
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(head[:40])
    data = rng.randbytes(size)

    async def send():
        at = 0
        while at < size:
            piece = data[at:at + rng.choice((1, 100, 5000, 40000))]
            form = bytes([0x80 | len(piece)]) if len(piece) < 126 else b"\xfe" + len(piece).to_bytes(2, "big")
            writer.write(b"\x82" + form + MASK + xor(piece, MASK))
            at += len(piece)
            await writer.drain()

    async def receive():
        at = 0
        while at < size:
            first, length = await reader.readexactly(2)
            if length > 125:
                length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
            payload = await reader.readexactly(length)
            if first == 0x89:
                writer.write(b"\x8a\x80" + MASK)
            elif first != 0x82 or data[at:at + length] != payload:
                raise ValueError(f"session {number}: wrong bytes at {at}")
            else:
                at += length
    await asyncio.gather(send(), receive())
    writer.close()
    return True


def run_good(count, size, addresses, certificate, results):
    context = ssl.create_default_context(cafile=certificate)

    async def all_of_them():
        sessions = [good_session(number, addresses["tls" if number % 2 else "plain"], context if number % 2 else None, size)
                    for number in range(count)]
        return await asyncio.wait_for(asyncio.gather(*sessions, return_exceptions=True), 240)
    began = time.monotonic()
    try:
        outcome = asyncio.run(all_of_them())
    except asyncio.TimeoutError:
        outcome = [TimeoutError("not all within 240 s")]
    results.put((sum(one is True for one in outcome), [repr(one) for one in outcome if one is not True][:3],
                 time.monotonic() - began))


# --- the run ----------------------------------------------------------------------------------------------------------

def raise_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, max(16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))


def listening():
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    return sock, f"tcp:127.0.0.1:{sock.getsockname()[1]}"


def configuration(certificate, targets, max_backlog):
    text = (f"[server]\nworkers = 2\nmax_sessions = 4000\nmax_backlog = {max_backlog}\ndrain_timeout = 2s\n"
            + listeners(certificate))
    return text + "".join(script.route(name, target, stall_timeout="10m", ping_interval="10m") for name, target in
                          targets.items())


def prepare(parser):
    parser.add_argument("--limit", type=int, default=64, metavar="MIB", help="of the cgroup (64)")
    parser.add_argument("--max-backlog", default="16m", metavar="SIZE", help="the gateway's option (16m)")


def start(target, *arguments):
    process = multiprocessing.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def measure(given, group, verdicts, path):
    hostile, good, size = (300, 30, 1 << 20) if given.quick else (1000, 100, 1 << 20)
    certificate = script.make_certificate(path)
    sockets = {name: listening() for name in ("echo", "source", "sink", "stuck")} # nobody ever accepts at the last
    backends = [start(run_backends, [(protocol, sockets[name][0])]) for protocol, name in
                ((Echo, "echo"), (Source, "source"), (Sink, "sink"))]
    targets = {name: target for name, (_, target) in sockets.items()}

    def confine():
        raise_descriptors()
        group.enter()
    with script.gateway(configuration(certificate, targets, given.max_backlog), verdicts, preexec=confine) as running:
        addresses = {name: running.address(name) for name in ("plain", "tls")}
        ready, stop = multiprocessing.Event(), multiprocessing.Event()
        told, outcome = multiprocessing.Queue(), multiprocessing.Queue()
        enemies = start(run_hostile, hostile, addresses, certificate.cert, ready, stop, told)
        if not verdicts.check(ready.wait(120), f"{hostile} hostile clients are there"):
            return
        friends = start(run_good, good, size, addresses, certificate.cert, outcome)
        whole, wrong, seconds = outcome.get(timeout=300)
        kernel = group.kernel()
        stop.set()
        kinds = told.get(timeout=60)
        print("; ".join(f"{count} x {kind}, {cuts} cut" for kind, (count, cuts) in kinds.items()))
        verdicts.check(running.process.poll() is None and group.kills() == 0, f"killed by the kernel: {group.kills()}")
        verdicts.check(whole == good, f"{whole} of {good} good sessions byte-exact, {size} bytes each way, "
                       f"{seconds:.1f} s {wrong}")
        verdicts.check(group.peak() <= given.limit << 20, f"D4: peak {group.peak() / 1048576:.1f} MiB of {given.limit}, "
                       f"{kernel / 1048576:.1f} of it the kernel's; cgroup v{group.version}, "
                       f"{'without' if group.version == 1 else 'with'} socket buffers; goal: no kill")
        for process in (enemies, friends, *backends):
            process.terminate()


def main():
    given = script.arguments(__doc__, prepare)
    reason = cgroup.lacking()
    if reason:
        sys.exit(reason)
    multiprocessing.set_start_method("fork")
    raise_descriptors()
    verdicts = script.Verdicts()
    with script.directory() as path, cgroup.MemoryGroup(given.limit << 20) as group:
        measure(given, group, verdicts, path)
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
