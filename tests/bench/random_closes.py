#!/usr/bin/python3
"""Ends many sessions at random and checks that no byte was lost, doubled or moved.

    SALLYPORT=/path/to/sallyport tests/bench/random_closes.py [-n CASES] [--seed N] [--max-size BYTES] [--jobs N]

Each case draws who ends (client or backend) and how (Close, FIN, RST), how much flows either way (1 B to 64 MiB,
log-uniform), frame sizes, plain or TLS, TCP or UNIX, and who reads slowly. What is promised then:

    client Close, client FIN     all that the client sent before reaches the backend, and then a FIN
    backend FIN                  all that the backend sent reaches the client, then Close 1000; and the client's bytes
                                 still reach the backend until the client's own Close
    RST of either                what the other end got is a prefix of what was sent; a client is told by Close 1011

Both ends of a case run in one thread on non-blocking sockets, so a case is reproduced by its seed alone.
"""

import argparse
import collections
import math
import multiprocessing
import os
import random
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from gateway import Gateway  # noqa: E402
from wsclient import xor  # noqa: E402

ENDS = ("client_close", "client_fin", "client_rst", "backend_fin", "backend_close", "backend_rst")
LINGER_NONE = b"\1\0\0\0\0\0\0\0"
HANG = 60
RECV = 1 << 18
SLOW_BUFFER = 1 << 17   # less than two segments of the loopback would wait for the kernel's probes, not for us
REQUEST = (b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")

Case = collections.namedtuple("Case", "seed end tls unix up down frame cut slow_client slow_backend finishes")


class Failure(Exception):
    pass


def draw(seed, max_size):
    """The case of this seed."""
    rng = random.Random(seed)

    def size():
        return int(math.exp(rng.uniform(0, math.log(max_size))))
    up, down = size(), size()
    frame = max(int(math.exp(rng.uniform(0, math.log(1 << 18)))), up // 1000, 1)
    return Case(seed, rng.choice(ENDS), rng.random() < 0.4, rng.random() < 0.4, up, down, frame, rng.random(),
                rng.random() < 0.25, rng.random() < 0.25, rng.random() < 0.5)


class Endpoint:
    """One end of a case: sends its part, checks what comes against what the other end has to send."""

    def __init__(self, sock, expected, slow, rng):
        self.sock = sock
        self.sock.setblocking(False)
        self.expected = expected     # memoryview of all that the other end sends
        self.received = 0
        self.out = memoryview(b"")   # wire bytes under way
        self.sent_all = False
        self.ended = None            # "fin", "reset", or "own" when we closed
        self.unsendable = False
        self.resume_at = 0.0
        self.pauses = sorted(rng.randrange(len(expected)) for _ in range(8)) if slow else []
        self.slow = slow

    def take(self, data):
        """Payload from the other end: the next bytes of the expected ones, or the gateway is at fault."""
        end = self.received + len(data)
        if end > len(self.expected) or self.expected[self.received:end] != data:
            raise Failure(f"{type(self).__name__}: wrong bytes between {self.received} and {end}")
        self.received = end
        while self.pauses and self.received > self.pauses[0]:
            self.pauses.pop(0)
            self.resume_at = time.monotonic() + 0.01

    def interest(self, now):
        if self.ended:
            return 0
        writing = select.POLLOUT if not self.sent_all and not self.unsendable else 0
        return writing | (select.POLLIN if now >= self.resume_at else 0)

    def on_readable(self):
        try:
            data = self.sock.recv(8192 if self.slow else RECV)
        except BlockingIOError:
            return
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "reset"
            self.sock.close()
            return
        if data:
            self.on_bytes(data)
        else:
            self.on_fin()

    def on_writable(self):
        if not self.out:
            piece = self.next_piece()
            if piece is None:
                self.sent_all = True
                self.on_sent()
                return
            self.out = memoryview(piece)
        try:
            self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            self.unsendable = True

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        self.sock.close()
        self.ended = self.ended or "own"


class Client(Endpoint):
    def __init__(self, case, sock, tls, data, expected, rng):
        super().__init__(sock, expected, case.slow_client, rng)
        self.case, self.tls = case, tls
        self.data, self.at = data, 0
        self.stop_at = int(len(data) * case.cut) if case.end == "client_rst" else len(data)
        self.incoming = bytearray()
        self.payload_left = 0
        self.close_code = None
        self.close_sent = False
        self.rng = rng

    def encode(self, plain):
        if self.tls is None:
            return plain
        self.tls.ssl.write(plain)
        return self.tls.outgoing.read()

    def next_piece(self):
        if self.at < self.stop_at and (self.close_code is None or self.close_code == 1000):
            size = min(self.rng.randint(1, 2 * self.case.frame), self.stop_at - self.at)
            part = self.data[self.at:self.at + size]
            self.at += size
            return self.encode(client_frame(0x82, part, self.rng))
        # a backend that ends is answered; a client that ends by Close begins; the others never say Close
        wanted = self.close_code is not None or self.case.end == "client_close"
        if wanted and not self.close_sent:
            self.close_sent = True
            return self.encode(client_frame(0x88, b"\x03\xe8", self.rng))
        return None

    def on_sent(self):
        if self.case.end == "client_rst":
            self.close(reset=True)
        elif self.case.end == "client_fin":
            if self.tls is not None:
                self.tls.say_goodbye(self.sock)
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.unsendable = True

    def on_bytes(self, data):
        for plain in [data] if self.tls is None else self.tls.decode(data):
            self.incoming += plain
        self.on_frames()

    def on_frames(self):
        while self.incoming:
            if self.close_code is not None:
                raise Failure("bytes after the Close")
            if self.payload_left == 0 and not self.read_header():
                return
            part = bytes(self.incoming[:self.payload_left])
            del self.incoming[:len(part)]
            self.payload_left -= len(part)
            self.take(part)

    def read_header(self):
        """True when a data frame's payload is to follow."""
        if len(self.incoming) < 2:
            return False
        length, size = self.incoming[1], {126: 4, 127: 10}.get(self.incoming[1], 2)
        if len(self.incoming) < size:
            return False
        opcode = self.incoming[0]
        if size > 2:
            length = int.from_bytes(self.incoming[2:size], "big")
        if opcode == 0x82:
            del self.incoming[:size]
            self.payload_left = length
            return True
        if len(self.incoming) < size + length:
            return False
        payload = bytes(self.incoming[size:size + length])
        del self.incoming[:size + length]
        if opcode == 0x89:
            return False            # whoever is slow enough to be pinged has other troubles
        if opcode != 0x88:
            raise Failure(f"unexpected frame {opcode:#x}")
        self.close_code = int.from_bytes(payload[:2], "big")
        self.sent_all = False       # the answer is due
        return False

    def on_fin(self):
        self.ended = "fin" if self.tls is None or self.tls.ended else "truncated"
        self.sock.close()


class Backend(Endpoint):
    def __init__(self, case, sock, data, expected, rng):
        super().__init__(sock, expected, case.slow_backend, rng)
        self.case = case
        self.data, self.at = data, 0
        self.stop_at = int(len(data) * case.cut) if case.end == "backend_rst" else len(data)
        self.told = False            # the gateway's FIN came
        self.finished = False

    def next_piece(self):
        if self.told and not self.case.finishes:
            return None
        part = self.data[self.at:min(self.at + RECV, self.stop_at)]
        self.at += len(part)
        return part if len(part) else None

    def interest(self, now):
        return super().interest(now) & ~(select.POLLIN if self.told else 0)

    def on_sent(self):
        self.finished = True
        if self.case.end == "backend_rst":
            self.close(reset=True)
        elif self.case.end == "backend_fin":
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.unsendable = True
        self.maybe_close()

    def maybe_close(self):
        if self.ended:
            return
        got_all = self.received == len(self.expected)
        if self.finished and self.case.end == "backend_close" and got_all:
            self.close()
        elif self.told and (self.finished or self.unsendable):
            self.ended = "fin"
            self.sock.close()

    def on_bytes(self, data):
        self.take(data)
        self.maybe_close()

    def on_fin(self):
        self.told = True
        self.maybe_close()

    def on_writable(self):
        super().on_writable()
        self.maybe_close()


class Tls:
    def __init__(self, context, sock):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.ended = False
        while True:
            try:
                self.ssl.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self.outgoing.read())
                data = sock.recv(RECV)
                if not data:
                    raise Failure("end instead of a TLS handshake") from None
                self.incoming.write(data)
        sock.sendall(self.outgoing.read())

    def decode(self, wire):
        self.incoming.write(wire)
        while not self.ended:
            try:
                plain = self.ssl.read(RECV)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                plain = b""
            if plain:
                yield plain
            else:
                self.ended = True # close_notify

    def say_goodbye(self, sock):
        try:
            self.ssl.unwrap()
        except ssl.SSLError:
            pass
        sock.setblocking(True)
        try:
            sock.sendall(self.outgoing.read())
        except OSError:
            pass
        sock.setblocking(False)


def client_frame(first, payload, rng):
    length = len(payload)
    mask = rng.getrandbits(32).to_bytes(4, "big")
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 65536:
        head = bytes([first, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + length.to_bytes(8, "big")
    return head + mask + xor(payload, mask)


class Site:
    """What one job needs: its own backends, so that it knows which connection is whose."""

    def __init__(self, directory, index):
        self.index = index
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.path = os.path.join(directory, f"backend{index}")
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        self.unix.listen(16)

    def routes(self):
        timers = "close_timeout = 60s\n"
        port = self.tcp.getsockname()[1]
        return (f"[route tcp{self.index}]\npath = /tcp{self.index}\ntarget = 127.0.0.1:{port}\n{timers}"
                f"[route unix{self.index}]\npath = /unix{self.index}\ntarget = unix:{self.path}\n{timers}")


def open_case(case, site, plain, secure, context, blob, rng):
    sock = socket.socket()
    if case.slow_client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
    sock.settimeout(HANG)
    sock.connect(secure if case.tls else plain)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tls = Tls(context, sock) if case.tls else None
    up = blob[case.seed % 4096:][:case.up]
    down = blob[8192 + case.seed % 4096:][:case.down]
    client = Client(case, sock, tls, up, down, rng)
    sock.settimeout(HANG)
    sock.sendall(client.encode(REQUEST % f"/{'unix' if case.unix else 'tcp'}{site.index}".encode()))
    head = bytearray()
    while b"\r\n\r\n" not in head:
        data = sock.recv(RECV)
        if not data:
            raise Failure(f"no answer to the upgrade: {bytes(head)!r}")
        for part in [data] if tls is None else tls.decode(data):
            head += part
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Failure(f"refused: {bytes(head[:60])!r}")
    listener = site.unix if case.unix else site.tcp
    listener.settimeout(HANG)
    peer, _ = listener.accept()
    if case.slow_backend:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
    sock.setblocking(False)
    backend = Backend(case, peer, down, up, rng)
    client.incoming += head[head.index(b"\r\n\r\n") + 4:]
    client.on_frames()
    return client, backend


def pump(client, backend, deadline):
    """Runs both ends until both have ended."""
    while not (client.ended and backend.ended):
        now = time.monotonic()
        if now > deadline:
            raise Failure(f"hangs: client got {client.received} of {len(client.expected)}, ended {client.ended}, Close "
                          f"{client.close_code}; backend got {backend.received} of {len(backend.expected)}, ended "
                          f"{backend.ended}, told {backend.told}")
        poll = select.poll()
        ends = {}
        for end in (client, backend):
            wanted = end.interest(now)
            if wanted:
                ends[end.sock.fileno()] = end
                poll.register(end.sock.fileno(), wanted)
        for fd, events in poll.poll(5):
            end = ends[fd]
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and not end.ended:
                end.on_readable()
            if events & select.POLLOUT and not end.ended:
                end.on_writable()


def judge(case, client, backend):
    graceful = case.end not in ("client_rst", "backend_rst")
    if graceful and backend.received != case.up:
        raise Failure(f"the backend got {backend.received} of {case.up}")
    if case.end in ("backend_fin", "backend_close") and client.received != case.down:
        raise Failure(f"the client got {client.received} of {case.down}")
    if case.end in ("client_close", "client_fin", "backend_fin") and backend.ended != "fin":
        raise Failure(f"the backend's end was {backend.ended}")
    if case.end in ("client_close", "backend_fin", "backend_close"):
        if client.close_code != 1000:
            raise Failure(f"Close {client.close_code} instead of 1000")
        if client.ended != "fin":
            raise Failure(f"the client's end was {client.ended}")
    if case.end == "backend_rst":
        # a client that goes on sending may meet the gateway's RST before it reads the Close
        excused = client.close_code is None and (case.slow_client or case.up > 1 << 20)
        # a UNIX socket knows no reset: without unread bytes its end looks like any other
        excused = excused or (case.unix and client.close_code == 1000)
        if client.close_code != 1011 and not excused:
            raise Failure(f"Close {client.close_code} instead of 1011, end {client.ended}")


def run_case(case, *surroundings):
    rng = random.Random(case.seed ^ 0x5A5A)
    client, backend = open_case(case, *surroundings, rng)
    try:
        pump(client, backend, time.monotonic() + HANG)
        judge(case, client, backend)
    finally:
        client.sock.close()
        backend.sock.close()
    return client.received + backend.received


def run_job(site, seeds, max_size, plain, secure, context, blob, report):
    for seed in seeds:
        case = draw(seed, max_size)
        try:
            report(case, run_case(case, site, plain, secure, context, blob), None)
        except (Failure, OSError) as failure:
            report(case, 0, f"{type(failure).__name__}: {failure}")


def job_main(queue, *arguments):
    try:
        run_job(*arguments, lambda case, moved, failure: queue.put((case, moved, failure)))
    finally:
        queue.put(None)


def client_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def config_text(certificate, sites):
    return (f"[server]\nlog_level = info\n[listen plain]\naddress = 127.0.0.1:0\n[listen tls]\naddress = 127.0.0.1:0\n"
            f"tls = on\n[tls own]\ncertificate = {certificate}\n" + "".join(site.routes() for site in sites))


def make_certificate(directory):
    path = os.path.join(directory, "own.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-days", "2", "-keyout", path, "-out", path + ".crt"],
                   check=True, capture_output=True)
    with open(path + ".crt", encoding="ascii") as crt, open(path, "a", encoding="ascii") as pem:
        pem.write(crt.read())
    return path


class Tally:
    def __init__(self):
        self.cases, self.moved, self.failures = collections.Counter(), 0, []

    def add(self, case, moved, failure):
        self.cases[case.end] += 1
        self.moved += moved
        if failure:
            self.failures.append((case, failure))
            print(f"FAILED {failure}\n    {case}", flush=True)


def run_all(gateway, sites, seeds, max_size):
    """Runs the cases in one process for each site; returns the Tally."""
    blob = memoryview(random.Random(0).randbytes(max_size + 16384))
    queue = multiprocessing.Queue()
    jobs = [multiprocessing.Process(target=job_main, args=(
        queue, site, seeds[site.index::len(sites)], max_size, gateway.address("plain"), gateway.address("tls"),
        client_context(), blob), daemon=True) for site in sites]
    # no spawn: the sites' listening sockets are inherited
    for job in jobs:
        job.start()
    tally, running = Tally(), len(jobs)
    while running:
        got = queue.get(timeout=2 * HANG)
        if got is None:
            running -= 1
        else:
            tally.add(*got)
    for job in jobs:
        job.join()
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", dest="cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of the first case; the others count up from it")
    parser.add_argument("--max-size", type=int, default=64 << 20)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--log", action="store_true", help="show the gateway's log at the end")
    args = parser.parse_args()
    multiprocessing.set_start_method("fork")

    os.umask(0) # for whom the gateway becomes after root started it
    with tempfile.TemporaryDirectory(prefix="closes-") as directory:
        sites = [Site(directory, index) for index in range(args.jobs)]
        config = os.path.join(directory, "sallyport.conf")
        with open(config, "w", encoding="ascii") as out:
            out.write(config_text(make_certificate(directory), sites))
        gateway = Gateway(["-c", config], ["plain", "tls"])
        try:
            gateway.wait_ready()
            began = time.monotonic()
            tally = run_all(gateway, sites, range(args.seed, args.seed + args.cases), args.max_size)
            gateway.check_running()
            gateway.stop()
        finally:
            gateway.kill()
            if args.log:
                print(gateway.log)
    print(f"{sum(tally.cases.values())} closes, {tally.moved / 2 ** 30:.2f} GiB, {time.monotonic() - began:.0f} s: "
          f"{dict(tally.cases)}; {len(tally.failures)} failed")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
