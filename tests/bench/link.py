#!/usr/bin/python3
"""How long the echo of a keystroke waits behind a screen update on a slow link, through the gateway and its peers.

    sudo tests/bench/link.py --gateway /abs/sallyport [--keys 30] [--rate 2mbit] [--queue 50] [--delay 0] [CASE ...]

Two network namespaces and a veth pair between them, shaped both ways by a token bucket with a plain queue of --queue ms.
A server behind the gateway floods its socket with zeros (a screen that never stops to change) and answers each key at
once: with its next write. The client reads all that comes, sends a key every 200 to 500 ms, and takes the time until it
comes back. Needs root, and ip and tc (Debian: iproute2); --delay needs the kernel's netem too. Takes away what it made.
"""

import argparse
import json
import os
import random
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

ADDRESS = {"gateway": "10.213.0.1", "client": "10.213.0.2"}
NETWORK = "10.213.0.0/24"
PORT, BACKEND_PORT = 6080, 5900
KEY = 8                     # bytes: 0xff and a number
WARM_UP = 3.0               # s until every buffer on the way is full
PATIENCE = 40.0             # s for the last echoes
SLIM = 16384                # SO_SNDBUF of a server that does not let its kernel hold much


# --- the server behind the gateway ------------------------------------------------------------------------------------

def serve_screen(address, buffer):
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listening.bind((address, BACKEND_PORT))
        listening.listen()
        print("ready", flush=True)
        while True:
            connection = listening.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            with connection:
                try:
                    flood(connection)
                except OSError:
                    pass


def flood(connection):
    screen, echo = bytes(65536), b""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLOUT)
    while True:
        events = poll.poll()[0][1]
        if events & ~select.POLLOUT:
            keys = connection.recv(4096)
            if not keys:
                return
            echo += keys
        if events & select.POLLOUT:
            if echo:
                echo = echo[connection.send(echo):]
            else:
                connection.send(screen)


# --- the client -------------------------------------------------------------------------------------------------------

class Unframed:
    """The payload of the server's frames, whatever pieces they come in."""

    def __init__(self):
        self.buffer, self.left = b"", 0

    def feed(self, data):
        data, payload = self.buffer + data, []
        while data:
            if self.left == 0:
                need = 2 if len(data) < 2 else {126: 4, 127: 10}.get(data[1], 2)
                if len(data) < need:
                    break
                self.left = data[1] if need == 2 else int.from_bytes(data[2:need], "big")
                data = data[need:]
            payload.append(data[:self.left])
            data, self.left = data[self.left:], max(0, self.left - len(data))
        self.buffer = data
        return b"".join(payload)


class Client:
    """Connects (raw, or WebSocket, or that over TLS), types, and measures."""

    def __init__(self, address, port, raw, tls):
        self.sock = socket.create_connection((address, port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unframed = None if raw else Unframed()
        self.tail, self.sent, self.delays, self.received = b"", {}, [], 0
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        if not raw:
            self.upgrade()

    def upgrade(self):
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                          b"Sec-WebSocket-Protocol: binary\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.sock.recv(4096)
            if not part:
                sys.exit(f"refused: {head[:60]!r}")
            head += part
        head, _, rest = head.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            sys.exit(f"refused: {head[:60]!r}")
        self.take(rest)

    def type(self, number):
        key = b"\xff%07d" % number
        self.sent[key] = time.monotonic()
        self.sock.sendall(key if self.unframed is None else bytes([0x82, 0x80 | KEY]) + bytes(4) + key)

    def take(self, data):
        self.received += len(data)
        stream = self.tail + (data if self.unframed is None else self.unframed.feed(data))
        at = stream.find(b"\xff")
        while at >= 0 and len(stream) >= at + KEY:
            self.delays.append(time.monotonic() - self.sent.pop(stream[at:at + KEY]))
            at = stream.find(b"\xff", at + KEY)
        self.tail = stream[at:] if at >= 0 else b""

    def read_until(self, deadline):
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 16)
            except TimeoutError:
                return
            if not data:
                sys.exit("the connection ended")
            self.take(data)

    def run(self, keys):
        chance = random.Random(keys)
        self.read_until(time.monotonic() + WARM_UP)
        began, before = time.monotonic(), self.received
        for number in range(keys):
            self.type(number)
            self.read_until(time.monotonic() + chance.uniform(0.2, 0.5))
        rate = (self.received - before) / (time.monotonic() - began)
        deadline = time.monotonic() + PATIENCE
        while self.sent and time.monotonic() < deadline:
            self.read_until(time.monotonic() + 0.1)
        print(json.dumps({"delays": self.delays, "lost": len(self.sent), "rate": rate}))


# --- the link ---------------------------------------------------------------------------------------------------------

def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")


class Link:
    """Two namespaces with a shaped pair of interfaces between them."""

    def __init__(self, rate, queue, delay, congestion):
        self.name = {side: f"bench-{side}-{os.getpid()}" for side in ADDRESS}
        self.shape = (rate, queue, delay)
        self.congestion = congestion

    def __enter__(self):
        try:
            for side in ADDRESS:
                run("ip", "netns", "add", self.name[side])
            run("ip", "-n", self.name["gateway"], "link", "add", "name", "veth0", "type", "veth", "peer", "name",
                "veth0", "netns", self.name["client"])
            for side in ADDRESS:
                self.set_up(side)
        except BaseException:
            self.__exit__()
            raise
        return self

    def set_up(self, side):
        name, (rate, queue, delay) = self.name[side], self.shape
        run("ip", "-n", name, "address", "add", ADDRESS[side] + "/24", "dev", "veth0")
        for device in ("lo", "veth0"):
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", name, "route", "change", NETWORK, "dev", "veth0", "src", ADDRESS[side], "congctl", self.congestion)
        run("tc", "-n", name, "qdisc", "add", "dev", "veth0", "root", "handle", "1:", "tbf", "rate", rate,
            "burst", "3200", "latency", f"{queue}ms")
        if delay > 0:
            run("tc", "-n", name, "qdisc", "add", "dev", "veth0", "parent", "1:", "netem", "delay", f"{delay}ms",
                "limit", "10000")

    def inside(self, side):
        return ["ip", "netns", "exec", self.name[side]]

    def __exit__(self, *_):
        for name in self.name.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class Child:
    """A process in the gateway's namespace, for as long as the block."""

    def __init__(self, link, *argv):
        self.argv = [*link.inside("gateway"), *argv]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self.process

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# --- who is measured --------------------------------------------------------------------------------------------------

TARGET = f"127.0.0.1:{BACKEND_PORT}"


def gateway_config(directory, tls, options):
    lines = ["[server]", "workers = 1", "log_level = error", "[listen all]", f"address = {ADDRESS['gateway']}:{PORT}"]
    if tls:
        lines += ["tls = on", "[tls own]", f"certificate = {certificate(directory)}"]
    return "\n".join([*lines, "[route all]", f"target = {TARGET}", *options]) + "\n"


def certificate(directory):
    path = os.path.join(directory, "own.pem")
    if not os.path.exists(path):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/CN=gateway", "-days", "2", "-keyout", path + ".key", "-out", path + ".crt")
        with open(path, "w", encoding="ascii") as out:
            for part in (".crt", ".key"):
                with open(path + part, encoding="ascii") as source:
                    out.write(source.read())
    return path


def sallyport(arguments, directory, tls, options):
    path = os.path.join(directory, "gateway.conf")
    with open(path, "w", encoding="ascii") as out:
        out.write(gateway_config(directory, tls, options))
    return [arguments.gateway, "-c", path]


def haproxy(directory):
    path = os.path.join(directory, "haproxy.conf")
    with open(path, "w", encoding="ascii") as out:
        out.write("global\nnbthread 1\ndefaults\nmode tcp\ntimeout connect 5s\ntimeout client 1h\ntimeout server 1h\n"
                  f"listen all\nbind {ADDRESS['gateway']}:{PORT}\nserver s {TARGET}\n")
    return ["haproxy", "-db", "-q", "-f", path]


class Case:
    """One row: a server under test, and what kind of client and backend it has."""

    def __init__(self, argv, raw=False, tls=False, buffer=SLIM):
        self.argv, self.raw, self.tls, self.buffer = argv, raw, tls, buffer
        self.port = PORT if argv is not None else BACKEND_PORT

    def measure(self, link, keys):
        where = ADDRESS["gateway"] if self.argv is None else "127.0.0.1"
        with Child(link, sys.executable, __file__, "--screen", where, str(self.buffer)) as screen:
            screen.stdout.readline()
            if self.argv is None:
                return self.type(link, keys)
            with Child(link, *self.argv):
                wait_for_port(link, self.port)
                return self.type(link, keys)

    def type(self, link, keys):
        words = [sys.executable, __file__, "--client", ADDRESS["gateway"], str(self.port), str(int(self.raw)),
                 str(int(self.tls)), str(keys)]
        done = subprocess.run([*link.inside("client"), *words], capture_output=True, text=True, check=False,
                              timeout=WARM_UP + keys * 0.5 + PATIENCE + 20)
        if done.returncode != 0:
            sys.exit(f"the client failed: {done.stderr.strip()}")
        return json.loads(done.stdout)


def wait_for_port(link, port):
    """Looks without connecting: the screen serves one client at a time."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = subprocess.run([*link.inside("gateway"), "ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True,
                               check=True)
        if found.stdout.strip():
            return
        time.sleep(0.05)
    sys.exit("a server under test does not listen")


def cases(arguments, directory):
    def gateway(profile, tls=False, buffer=SLIM):
        sub = tempfile.mkdtemp(dir=directory)
        os.chmod(sub, 0o755) # for whom the gateway becomes after root started it
        options = [f"profile = {profile}", *(word.replace("=", " = ") for word in arguments.set)]
        return Case(sallyport(arguments, sub, tls, options), tls=tls, buffer=buffer)

    websockify = ["websockify", f"{ADDRESS['gateway']}:{PORT}", TARGET]
    made = {"direct": Case(None, raw=True)}
    for profile in ("bulk", "interactive"):
        made[profile] = gateway(profile)
        made[f"{profile}-tls"] = gateway(profile, tls=True)
        made[f"{profile}-fat"] = gateway(profile, buffer=0)
    made["haproxy"] = Case(haproxy(directory), raw=True)
    made["websockify"] = Case(websockify)
    made["direct-fat"] = Case(None, raw=True, buffer=0)
    return made


# --- the command line -------------------------------------------------------------------------------------------------

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def report(name, result):
    if not result["delays"]:
        print(f"| {name} | none of the keys came back |", flush=True)
        return
    p50, p99, top = (percentile(result["delays"], share) * 1000 for share in (0.5, 0.99, 1.0))
    lost = f" ({result['lost']} keys never came back)" if result["lost"] else ""
    print(f"| {name} | {len(result['delays'])}{lost} | {p50:.0f} | {p99:.0f} | {top:.0f} | {result['rate'] * 8 / 1e6:.3f} |",
          flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which rows, default: all")
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT"), help="the binary, absolute")
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--rate", default="2mbit", help="of the link, as tc writes it")
    parser.add_argument("--queue", type=int, default=50, help="ms that a packet may wait in the link's queue")
    parser.add_argument("--delay", type=int, default=0, help="ms one way, by netem")
    parser.add_argument("--congestion", default="cubic", help="congestion control of both ends")
    parser.add_argument("--rounds", type=int, default=1, help="how often all rows are measured in turn")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of the gateway's route")
    return parser.parse_args()


def check(arguments):
    if os.geteuid() != 0:
        sys.exit("link.py must run as root: it makes network namespaces")
    for tool in ("ip", "tc", "ss"):
        if shutil.which(tool) is None:
            sys.exit(f"link.py needs {tool}: install iproute2")
    if not arguments.gateway or not os.path.isabs(arguments.gateway):
        sys.exit("link.py needs --gateway /abs/sallyport, or SALLYPORT in the environment")


def main():
    if sys.argv[1:2] == ["--screen"]:
        serve_screen(sys.argv[2], int(sys.argv[3]))
    if sys.argv[1:2] == ["--client"]:
        address, port, raw, tls, keys = sys.argv[2:]
        Client(address, int(port), raw == "1", tls == "1").run(int(keys))
        return
    arguments = parse()
    check(arguments)
    directory = tempfile.mkdtemp(prefix="bench-")
    os.chmod(directory, 0o755)
    try:
        made = cases(arguments, directory)
        unknown = set(arguments.cases) - set(made)
        if unknown:
            sys.exit(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(made)}")
        print("| through | keys | p50 ms | p99 ms | max ms | Mbit/s |\n|---|---|---|---|---|---|", flush=True)
        with Link(arguments.rate, arguments.queue, arguments.delay, arguments.congestion) as link:
            for _ in range(arguments.rounds):
                for name in arguments.cases or made:
                    report(name, made[name].measure(link, arguments.keys))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
