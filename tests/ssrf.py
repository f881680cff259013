#!/usr/bin/python3
"""Can a client make the gateway connect to anything that its configuration does not name?

    SALLYPORT=/absolute/path/of/sallyport tests/ssrf.py [N] [SEED]

Sends N (default 1000000) random requests that name foreign addresses wherever one could be named: path, query, token,
Host, absolute and authority forms, PROXY headers, and fields that other programs believe. What the gateway connects to, and
the names it looks up, are recorded by a preloaded library (ssrf_shim.c); all of it must be in the configuration, each target
there must have been reached, and nobody may knock at the foreign addresses, which are real sockets. STRACE=1 compares with
what strace sees, too; that is slow.
"""

import collections
import contextlib
import multiprocessing
import os
import pathlib
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "integration"))

from gateway import SANITIZER_ENV, Gateway # noqa: E402 (the path above)

CLIENTS, BATCH, ALARM = 2, 32, 120
RECORD_ROOM = 1 << 30 # of a file that is mostly a hole
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

# --- what may be reached, and what may not ------------------------------------------------------------------------------


def listening(address):
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.bind(address)
    sock.listen(1024)
    sock.setblocking(False)
    return sock


class Targets:
    """Sockets that accept and hang up. configured: what the gateway may reach; foreign: nobody may come there."""

    def __init__(self, directory):
        self.tcp = [listening(("127.0.0.1", 0)) for _ in range(5)]
        self.ports = [s.getsockname()[1] for s in self.tcp]
        self.unix = [f"{directory}/direct.sock", f"{directory}/token.sock"]
        self.abstract = f"ssrf-{os.getpid()}"
        self.sockets = self.tcp + [listening(path) for path in self.unix] + [listening("\0" + self.abstract)]
        self.configured = {f"tcp:127.0.0.1:{port}" for port in self.ports} | {f"unix:{p}" for p in self.unix} | \
            {f"unix:@{self.abstract}", "name:localhost"}
        # the other address of localhost, tried where there is one; the listener's own
        self.possible = {f"tcp:[::1]:{self.ports[3]}", "name:127.0.0.1"}
        self.canaries = [listening(("127.0.0.1", 0)), listening(f"{directory}/foreign.sock")]
        port = self.canaries[0].getsockname()[1]
        self.foreign = [f"127.0.0.1:{port}", f"tcp:127.0.0.1:{port}", f"localhost:{port}", f"127.1:{port}", f"2130706433:{port}",
                        f"[::ffff:127.0.0.1]:{port}", f"[::1]:{port}", f"0x7f.1:{port}", f"0:{port}", f"tls:127.0.0.1:{port}",
                        f"unix:{directory}/foreign.sock", f"unix_socket:{directory}/foreign.sock", f"{directory}/foreign.sock",
                        "169.254.169.254:80", "metadata.invalid:80", "foreign.invalid", "unix:@foreign",
                        "unix:/run/dbus/system_bus_socket", f"localhost:{self.ports[0] ^ 1}", "127.0.0.1:22", "echo:", "fd:3",
                        "file:///etc/passwd"]

    def serve(self):
        """Accepts and hangs up, until the process is told to end."""
        selector = selectors.DefaultSelector()
        for sock in self.sockets:
            selector.register(sock, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                with contextlib.suppress(OSError):
                    while True:
                        drop(key.fileobj.accept()[0])

    def knocked(self):
        """How many came to the foreign sockets."""
        count = 0
        for sock in self.canaries:
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.accept()[0].close()
                    count += 1
        return count


def drop(sock):
    """Ends a connection by RST, so that no port is taken for a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def configuration(directory, targets, port):
    ports = targets.ports
    tokens = directory / "tokens"
    tokens.write_text(f"one: 127.0.0.1:{ports[1]}\ntwo: unix:{targets.unix[1]}\nthree: unix:@{targets.abstract}\n")
    root = directory / "root"
    root.mkdir()
    (root / "index.html").write_text("index\n")
    routes = {
        "tcp": f"target = 127.0.0.1:{ports[0]}", "unix": f"target = unix:{targets.unix[0]}",
        "tokens": f"token_file = {tokens}", "tree/*": f"target = 127.0.0.1:{ports[2]}",
        "name": f"target = localhost:{ports[3]}", "tls": f"target = tls:127.0.0.1:{ports[4]}\ntarget_verify = off",
        "open": f"target = 127.0.0.1:{ports[0]}\norigin = *", "echo": "target = echo:", "*": f"root = {root}",
    }
    text = f"[server]\nlog_level = error\n[listen tcp]\naddress = 127.0.0.1:{port}\n"
    text += f"[listen unix]\naddress = unix:{directory}/gateway.sock\n"
    text += f"[listen proxied]\naddress = unix:{directory}/proxied.sock\nproxy_protocol = on\n"
    return text + "".join(f"[route {i}]\npath = /{path}\n{lines}\n" for i, (path, lines) in enumerate(routes.items()))


# --- what a hostile client says -----------------------------------------------------------------------------------------

PATHS = ["/tcp", "/unix", "/tokens", "/tree/", "/name", "/tls", "/open", "/echo", "/", "/nowhere"]
PARAMETERS = ["token", "Token", "target", "host", "port", "path", "url", "uri", "dest", "backend", "redirect", "proxy",
              "t%6fken", "token[]", "token;token", ""]
BELIEVED = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Proto", "Forwarded",
            "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "X-Host", "X-Target", "X-Proxy-URL", "Proxy",
            "Proxy-Host", "Via", "Destination", "Location", "Content-Location", "Referer", "From", "Client-IP",
            "True-Client-IP", "X-Wap-Profile", "Base-Url", "Authorization", "Cookie", "Sec-WebSocket-Extensions",
            "Proxy-Authorization", "Proxy-Connection", "Alt-Svc"]
SPICE = ["", "\0", "%00", "\t", " ", "%0a", "%0d%0a", "\r\n", "\n", "@", "#", "?", "&token=", ";", ",", "\\", "/../",
         "%2e%2e/", "%", "..", "\xff", "\u202e".encode().decode("latin-1"), "[", "]", ":", "::", "'", '"', "$(id)",
         "{{7*7}}", "a" * 300]


class Fuzzer:
    def __init__(self, seed, foreign):
        self.random, self.foreign = random.Random(seed), foreign

    def one(self, of):
        return of[int(self.random.random() * len(of))]

    def chance(self, p):
        return self.random.random() < p

    def address(self):
        text = self.one(self.foreign)
        return text if self.chance(0.85) else self.one(SPICE) + text + self.one(SPICE)

    def token(self):
        return self.one(("one", "two", "three")) if self.chance(0.4) else self.address()

    def query(self):
        if self.chance(0.2):
            return "?token=" + self.one(("one", "two", "three"))
        pairs = [(self.one(PARAMETERS), self.address()) for _ in range(int(self.random.random() * 3))]
        if self.chance(0.7):
            pairs.insert(int(self.random.random() * (len(pairs) + 1)), ("token", self.token()))
        text = "&".join(f"{name}={value}" for name, value in pairs)
        return "?" + text.replace(" ", "%20" if self.chance(0.9) else " ") if text else ""

    def path(self):
        path = self.one(PATHS)
        if path.endswith("/") and self.chance(0.7) or self.chance(0.1):
            path += self.address()
        return path if self.chance(0.95) else self.one(("/", "\\")) + self.one(SPICE) + path

    def target(self):
        form = self.random.random()
        if form < 0.75:
            return self.path() + self.query()
        if form < 0.9: # absolute
            scheme = self.one(("http", "ws", "https", "ftp", "unix", "HTTP"))
            return f"{scheme}://{self.address()}{self.path()}{self.query()}"
        return self.one((self.address(), "//" + self.address() + self.path(), "*", "@" + self.address() + self.path()))

    def request(self):
        others = ("CONNECT", "POST", "HEAD", "OPTIONS", "TRACE", "PUT", "GET " + self.address())
        method = "GET" if self.chance(0.9) else self.one(others)
        lines = [f"{method} {self.target()} HTTP/1.1", "Host: " + ("gateway.test" if self.chance(0.8) else self.address())]
        if self.chance(0.85):
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + KEY, "Sec-WebSocket-Version: 13"]
        if self.chance(0.2):
            lines.append("Origin: " + self.one(("http://gateway.test", "http://" + self.address(), "null")))
        if self.chance(0.2):
            lines.append("Sec-WebSocket-Protocol: " + self.one(("binary", "binary, " + self.address(), self.address())))
        lines += [f"{self.one(BELIEVED)}: {self.address()}" for _ in range(int(self.random.random() * 4))]
        raw = "\r\n".join(lines).encode("latin-1", "replace")
        if self.chance(0.05): # a byte becomes another one
            at = int(self.random.random() * len(raw))
            raw = raw[:at] + bytes([int(self.random.random() * 256)]) + raw[at + 1:]
        if self.chance(0.02):
            raw = f"PROXY TCP4 10.0.0.1 {self.one(self.foreign)} 1 2\r\n".encode() + raw
        return raw + b"\r\n\r\n"


    def proxied(self):
        """Behind a proxy's header, which says that the client wanted to go elsewhere."""
        port = self.foreign[0].rpartition(":")[2]
        source = ".".join(str(int(self.random.random() * 256)) for _ in range(3))
        wanted = self.one(("127.0.0.1", "169.254.169.254"))
        return f"PROXY TCP4 10.{source} {wanted} 4711 {port}\r\n".encode() + self.request()


def connect(address):
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.connect(address)
    return sock


def status_of(sock):
    try:
        head = sock.recv(4096)
    except ConnectionResetError:
        return "reset"
    return head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.1 ") else "other" if head else "ended"


def batch(addresses, fuzzer, count):
    """So many connections at once, most to the UNIX socket, which takes no ports; yields the status of each."""
    plain, tcp, proxied = addresses
    socks = []
    for i in range(count):
        socks.append(connect({0: tcp, 4: proxied}.get(i % 8, plain)))
        with contextlib.suppress(OSError):
            socks[-1].sendall(fuzzer.proxied() if i % 8 == 4 else fuzzer.request())
    for sock in socks:
        yield status_of(sock)
        drop(sock)


def attack(addresses, count, seed, foreign, results):
    """In a process of its own."""
    fuzzer, statuses = Fuzzer(seed, foreign), collections.Counter()
    for begin in range(0, count, BATCH):
        signal.alarm(ALARM) # ends a client whose request is never answered
        statuses.update(batch(addresses, fuzzer, min(BATCH, count - begin)))
    results.put(statuses)


def attack_all(addresses, count, seed, foreign):
    results = multiprocessing.Queue()
    shares = [count // CLIENTS + (i < count % CLIENTS) for i in range(CLIENTS)]
    clients = [multiprocessing.Process(target=attack, args=(addresses, share, f"{seed}/{i}", foreign, results), daemon=True)
               for i, share in enumerate(shares)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    exits = [client.exitcode for client in clients]
    assert not any(exits), f"clients ended with {exits}: was one never answered?"
    return sum((results.get() for _ in clients), collections.Counter())


# --- the record ------------------------------------------------------------------------------------------------------------

def build_shim(directory):
    library = directory / "shim.so"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", library,
                    os.path.join(HERE, "ssrf_shim.c")], check=True)
    return library


STRACED = re.compile(r'sa_family=AF_INET, sin_port=htons\((\d+)\), sin_addr=inet_addr\("([\d.]+)"\)|sun_path=(@?)"([^"]*)"|'
                     r'sin6_port=htons\((\d+)\).*inet_pton\(AF_INET6, "([^"]*)"')


def read_strace(path):
    """Addresses as the library writes them. That looking up a name may go to the system's resolver is no client's choice."""
    for line in path.read_text(errors="replace").splitlines():
        match = STRACED.search(line)
        if match and match[1]:
            yield f"tcp:{match[2]}:{match[1]}"
        elif match and match[5]:
            yield f"tcp:[{match[6]}]:{match[5]}"
        elif match and match[4] != "/var/run/nscd/socket":
            yield f"unix:{match[3]}{match[4]}"


def read_record(path):
    """The lines of the preloaded library: how many bytes of them there are, and they."""
    with open(path, "rb") as file:
        used = int.from_bytes(file.read(8), sys.byteorder)
        return file.read(used).decode(errors="replace").splitlines()


def judge(seen, targets, what):
    allowed = targets.configured | targets.possible
    strange = sorted(set(seen) - allowed)
    missing = sorted(targets.configured - set(seen) - ({"name:localhost"} if what == "strace" else set()))
    print(f"        {what}: {sum(seen.values())} calls for {len(seen)} addresses,",
          f"{len(strange)} of them not in the configuration", *strange[:20])
    if missing:
        print("        never reached, so nothing is proved:", *missing)
    return not strange and not missing


def free_port():
    """A port for the gateway, whose log is too quiet to tell one that the kernel chose."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def wait_ready(gateway, addresses):
    deadline = time.monotonic() + 60
    for address in addresses:
        while True:
            with contextlib.suppress(OSError):
                drop(connect(address))
                break
            assert gateway.process.poll() is None and time.monotonic() < deadline, gateway.log
            time.sleep(0.05)


def start(directory, targets, record, port):
    config = directory / "sallyport.conf"
    config.write_text(configuration(directory, targets, port))
    os.set_inheritable(record.fileno(), True)
    trace = directory / "strace"
    prefix = ["strace", "-D", "-f", "-qq", "-e", "trace=connect", "-o", str(trace)] if os.environ.get("STRACE") else []
    env = {"LD_PRELOAD": str(build_shim(directory)), "CONNECTS_FD": str(record.fileno()),
           "ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}
    if prefix: # the gateway alone, not strace
        prefix += [part for name, value in env.items() for part in ("-E", f"{name}={value}")]
        env = {"LSAN_OPTIONS": "detect_leaks=0", "ASAN_OPTIONS": "detect_leaks=0"}
    return Gateway(["-c", str(config)], ["tcp", "unix", "proxied"], env=env, prefix=prefix, pass_fds=[record.fileno()])


def run(directory, count, seed):
    targets = Targets(directory)
    server = multiprocessing.Process(target=targets.serve, daemon=True)
    server.start()
    addresses = [f"{directory}/gateway.sock", ("127.0.0.1", free_port()), f"{directory}/proxied.sock"]
    with open(directory / "record", "w+b") as record:
        record.truncate(RECORD_ROOM)
        gateway = start(directory, targets, record, addresses[1][1])
    try:
        wait_ready(gateway, addresses)
        begin = time.monotonic()
        statuses = attack_all(addresses, count, seed, targets.foreign)
        took = time.monotonic() - begin
        gateway.stop()
    finally:
        gateway.kill()
        server.terminate()
        server.join()
    print(f"        {sum(statuses.values())} requests in {took:.1f} s, seed {seed}; answers", dict(sorted(statuses.items())))
    calls = read_record(directory / "record")
    results = [judge(collections.Counter(calls), targets, "library")]
    if (directory / "strace").exists():
        results.append(judge(collections.Counter(read_strace(directory / "strace")), targets, "strace"))
    knocked = targets.knocked()
    print(f"        {knocked} connections came to the foreign sockets")
    return all(results) and knocked == 0


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = sys.argv[2] if len(sys.argv) > 2 else str(int(time.time()))
    if os.environ.get("STRACE") and not shutil.which("strace"):
        sys.exit("strace is not here")
    with tempfile.TemporaryDirectory(prefix="sallyport-ssrf-") as directory:
        good = run(pathlib.Path(directory).resolve(), count, seed)
    print(f"{'ok     ' if good else 'FAILED '} {count} requests: every connection is in the configuration")
    print("1 passed, 0 failed" if good else "0 passed, 1 failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
