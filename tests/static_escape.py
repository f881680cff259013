#!/usr/bin/python3
"""Does any form of a path, or any moment in which a path changes, show what lies outside of a web root?

    SALLYPORT=/absolute/path/of/sallyport tests/static_escape.py [SWAPS]

First thousands of forms of paths, each asked for once; then so many swaps (default 100000) of files and directories of the
root with links out of it and with what lies outside, raced against at least as many requests. Whatever must not be seen says
so in its text. The last line says how many of the two passed and failed.
"""

import collections
import ctypes
import gzip
import itertools
import multiprocessing
import os
import pathlib
import re
import socket
import stat
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))

from gateway import Gateway # noqa: E402 (the path above)
from wsclient import TIMEOUT # noqa: E402

CANARY = b"CANARY"
PUBLIC = b"PUBLIC"
AT_FDCWD, RENAME_EXCHANGE = -100, 2

# --- the tree ---------------------------------------------------------------------------------------------------------------


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def make_tree(parent):
    """parent/root is the web root; everything else below parent, and what is hidden in the root, is a canary."""
    root = parent / "root"
    for name in ("index.html", "page.txt", "sub/index.html", "sub/deep/page.txt", "space name.txt", "a%2fb.txt", "x;y.txt",
                 "top.txt", "swap/top.txt", "swap/dir/page.txt", "swap/file.txt", "swap/deep/here/file.txt", "swap/app.js",
                 ".well-known/page.txt"):
        write(root / name, PUBLIC + b" " + name.encode() + b"\n")
    for name in (".hidden", ".git/config", "sub/.htpasswd", ".well-known/.hidden", ".well-known/sub/.git/config",
                 "sub/.well-known/x", "sub/..swp"):
        write(root / name, CANARY + b" hidden\n")
    for name in ("secret.txt", "page.txt", "index.html", "top.txt", "root-evil/secret.txt", "rootsecret.txt",
                 "outside/page.txt", "outside/index.html", "outside/top.txt"):
        write(parent / name, CANARY + b" " + name.encode() + b"\n")
    write(parent / "outside/deep/here/file.txt", PUBLIC + b" whenever it is in the root\n")
    (parent / "outside" / "app.js.gz").write_bytes(gzip.compress(CANARY, mtime=0))
    (root / "swap" / "app.js.gz").write_bytes(gzip.compress(PUBLIC + b" packed\n", mtime=0))
    make_links(parent, root)
    make_specials(root)
    return root


def make_links(parent, root):
    for name, to in (("link-in", "page.txt"), ("link-out", "../secret.txt"), ("link-abs", parent / "secret.txt"),
                     ("link-dir", "../outside"), ("link-dir-abs", parent / "outside"), ("link-etc", "/etc"), ("link-root", "/"),
                     ("link-up", ".."), ("link-loop", "link-loop"), ("link-proc", "/proc/self"), ("link-cwd", "/proc/self/cwd"),
                     ("link-link", "link-out"), ("link-in-out", "sub/../../secret.txt"), ("link-back", "../root/page.txt"),
                     (".well-known/link-out", "../../secret.txt"),
                     ("swap/link", "../../outside"), ("swap/link.txt", "../../outside/page.txt"),
                     ("swap/link.gz", "../../outside/app.js.gz"), ("swap/deep/here/up.txt", "../../top.txt")):
        (root / name).symlink_to(to)
    (parent / "outside/deep/here/up.txt").symlink_to("../../top.txt")
    (root / "trap").mkdir()
    (root / "trap" / "index.html").symlink_to("../../index.html")
    (root / "trap" / "vnc.html").symlink_to(parent / "secret.txt")
    write(root / "packed.js", PUBLIC + b" unpacked\n")
    (root / "packed.js.gz").symlink_to("../outside/app.js.gz")


def make_specials(root):
    os.mkfifo(root / "fifo")
    (root / "pit").mkdir()
    os.mkfifo(root / "pit" / "index.html")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "socket"))
    try:
        os.mknod(root / "device", stat.S_IFCHR | 0o644, os.makedev(1, 5)) # /dev/zero
    except PermissionError:
        pass


# --- forms of paths -----------------------------------------------------------------------------------------------------

DOTS = [b"..", b"%2e%2e", b".%2e", b"%2E.", b"..%00", b"%252e%252e", b"%25%32%65%25%32%65", b"..;", b"..;x=1", b"....",
        b"...", b". .", b"..%20", b"..%09", b"%c0%ae%c0%ae", b"%e0%80%ae%e0%80%ae", b"%f0%80%80%ae.", b"\xc0\xae\xc0\xae",
        b"%uff0e%uff0e",
        b"%ef%bc%8e%ef%bc%8e", b"%2e%2e%2f..", b"%u002e%u002e", b"..%3b", b"..%5c..", b".%0a.", b"%", b"%2", b"%zz"]
SLASHES = [b"/", b"//", b"/./", b"%2f", b"%2F", b"%5c", b"\\", b"/\\", b"%252f", b"%c0%af", b"%e0%80%af", b"\xc0\xaf",
           b"%ef%bc%8f", b"%u2215", b"/%2e/", b"/%00/", b"%00/", b"/sub/../", b":", b";/"]
GOALS = [b"secret.txt", b"root-evil/secret.txt", b"outside/page.txt", b"page.txt"]
STARTS = [b"/", b"/sub/", b"/sub/deep/", b"//", b"/nowhere/", b"/link-in/", b"/below/", b"/page.txt/", b"\\", b""]
NAMES = [b"secret.txt", b".hidden", b".git/config", b".git", b".git/", b"sub/.htpasswd", b".well-known/.hidden",
         b".well-known/sub/.git/config", b".well-known/../.hidden", b".well-known/../../secret.txt", b".well-known/link-out",
         b"sub/.well-known/x", b"sub/..swp", b"link-out", b"link-abs", b"link-dir", b"link-dir/", b"link-dir/page.txt",
         b"link-dir-abs/page.txt", b"link-etc/passwd", b"link-root/", b"link-root/etc/passwd", b"link-up/",
         b"link-up/secret.txt", b"link-loop", b"link-loop/x", b"link-proc/environ", b"link-proc/root/etc/passwd",
         b"link-proc/fd/0", b"link-cwd/secret.txt", b"link-link", b"link-in-out", b"link-back", b"fifo", b"pit/",
         b"pit", b"socket", b"device", b"trap/", b"trap/index.html", b"trap/vnc.html", b"packed.js.gz", b"packed.js",
         b"C:/secret.txt", b"~root", b"~/secret.txt", b"-evil/secret.txt", b"con", b"page.txt::$DATA", b"page.txt.",
         b"page.txt%20", b"etc/passwd", b"proc/self/environ", b"file:///etc/passwd", b"%2fetc/passwd",
         b"%5c%5chost%5cshare", b"secret.txt%00.html", b"link-out%00.txt", b"page.txt/..",
         b"page.txt/../../secret.txt", b"sub/index.html/", b"?/../secret.txt", b"#/../secret.txt"]


def climbing():
    for start, dots, slash in itertools.product(STARTS, DOTS, SLASHES):
        yield start + dots + slash + b"secret.txt"
    for dots, slash, goal, depth in itertools.product(DOTS, SLASHES, GOALS, (2, 3, 12)):
        yield b"/" + (dots + slash) * depth + goal
        yield b"/sub" + slash + (dots + slash) * depth + goal


def naming():
    """Each name as it is, one byte of it encoded, all of it encoded, in other case, and with things around it."""
    for name in NAMES:
        coded = b"".join(b"%%%02x" % c for c in name)
        first = b"%%%02X" % name[0] + name[1:]
        for form in (name, coded, first, coded.replace(b"%2f", b"/"), name.upper(), name + b"/", name + b"/.", name + b"%00",
                     name + b"?x", name + b";x", name.replace(b"/", b"//"), name.replace(b"/", b"/./"), b"./" + name,
                     b"sub/../" + name, b"sub/" + name, b"%2e/" + name, b"/" + name, b"\\" + name, b"below/" + name):
            yield b"/" + form
            yield b"http://gateway.test/" + form


def long_ones():
    for n in (255, 256, 1000, 4000, 8000, 20000):
        yield b"/" + b"a" * n
        yield b"/" + b"../" * (n // 3) + b"secret.txt"
        yield b"/" + b"./" * (n // 2) + b"page.txt"
        yield b"/" + b"sub/" * (n // 4) + b"page.txt"
        yield b"/" + b"%2e%2e/" * (n // 7) + b"secret.txt"
        yield b"/" + b"/" * n + b"etc/passwd"


def odd_bytes():
    for c in range(256):
        yield b"/%%%02x" % c
        yield b"/..%%%02xsecret.txt" % c
        yield b"/link-out%%%02x" % c
        yield b"/sub/%%%02x/page.txt" % c
        yield b"/" + bytes([c]) + b"secret.txt"
        yield b"/.." + bytes([c]) + b"secret.txt"


def forms():
    every = itertools.chain(climbing(), naming(), long_ones(), odd_bytes())
    return [f for f in dict.fromkeys(every) if b"\n" not in f]


# --- asking ---------------------------------------------------------------------------------------------------------------

class Client:
    """Requests one after the other, on a connection for as long as the gateway keeps it."""

    def __init__(self, address):
        self.address, self.sock, self.buffer = address, None, b""

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock, self.buffer = None, b""

    def send(self, data):
        if self.sock is None:
            self.sock = socket.create_connection(self.address, TIMEOUT)
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError): # answered and ended before all of it was read
            pass

    def read(self):
        """(status, fields, body) of the next answer; None when the connection ended before it."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])
        while len(self.buffer) < length:
            assert self._more(), f"the end in the middle of an answer: {head!r}"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        if re.search(rb"(?i)\r\nconnection: close", head):
            self.close()
        return int(head[9:12]), head, body

    def _more(self):
        try:
            data = self.sock.recv(1 << 16) if self.sock is not None else b""
        except ConnectionResetError:
            data = b""
        if not data:
            self.close()
        self.buffer += data
        return bool(data)


def request(target):
    return b"GET " + target + b" HTTP/1.1\r\nHost: gateway.test\r\nAccept-Encoding: gzip\r\n\r\n"


def judge(target, answer):
    """What is wrong with an answer, or None."""
    status, head, body = answer
    plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    if CANARY in head + plain or b"root:" in plain:
        return f"{target!r} was answered with what is none of its business: {status} {plain[:80]!r}"
    if status == 200 and not plain.startswith(PUBLIC):
        return f"{target!r} was answered with no file of the root: {plain[:80]!r}"
    location = re.search(rb"\r\nLocation: ([^\r]*)", head)
    if location and not re.match(rb"/([^/\\]|$)", location[1]):
        return f"{target!r} leads elsewhere: {location[1]!r}"
    return None if status in (200, 301, 400, 404, 414, 431, 503) else f"{target!r} was answered with {status}"


def ask_all(address, targets):
    client, statuses, wrong = Client(address), collections.Counter(), []
    for target in targets:
        answer = None
        while answer is None: # a connection that stays may have been ended meanwhile
            fresh = client.sock is None
            client.send(request(target))
            answer = client.read()
            assert answer or not fresh, f"{target!r} was not answered at all"
        statuses[answer[0]] += 1
        wrong += filter(None, [judge(target, answer)])
    client.close()
    return statuses, wrong


CONTROLS = [b"/", b"/page.txt", b"/sub/", b"/sub/deep/page.txt", b"/space%20name.txt", b"/a%252fb.txt", b"/x;y.txt",
            b"/link-in", b"/packed.js", b"/%70age.txt", b"/below/page.txt", b"http://gateway.test/page.txt",
            b"/swap/deep/here/up.txt", b"/swap/app.js", b"/.well-known/page.txt"]


def run_forms(address):
    every = forms()
    statuses, wrong = ask_all(address, CONTROLS)
    if statuses != {200: len(CONTROLS)}:
        wrong.append(f"what may be seen was not: {dict(statuses)}")
    statuses, more = ask_all(address, every)
    return report(f"{len(every)} forms of paths", statuses, wrong + more)


# --- swapping -----------------------------------------------------------------------------------------------------------------

def swap(root, swaps, stop):
    """In a process of its own: exchanges the two of each pair in turn, until told to stop."""
    libc, outside = ctypes.CDLL(None, use_errno=True), root.parent / "outside"
    pairs = [(root / "swap" / a, b) for a, b in (
        ("dir", root / "swap" / "link"), ("file.txt", root / "swap" / "link.txt"), ("app.js.gz", root / "swap" / "link.gz"),
        ("deep", outside / "deep"))]
    names = itertools.cycle([(os.fsencode(a), os.fsencode(b)) for a, b in pairs])
    parent = os.getppid()
    while not stop.value and os.getppid() == parent:
        a, b = next(names)
        if libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        swaps.value += 1


RACED = [b"/swap/dir/page.txt", b"/swap/link/page.txt", b"/swap/file.txt", b"/swap/link.txt", b"/swap/app.js",
         b"/swap/app.js.gz", b"/swap/link.gz", b"/swap/deep/here/up.txt", b"/swap/deep/here/file.txt", b"/swap/dir/"] * 4


def run_swaps(address, root, wanted):
    swaps, stop = multiprocessing.RawValue("Q", 0), multiprocessing.RawValue("b", 0)
    swapper = multiprocessing.Process(target=swap, args=(root, swaps, stop), daemon=True)
    swapper.start()
    client, statuses, wrong, asked = Client(address), collections.Counter(), [], 0
    while (asked < wanted or swaps.value < wanted) and swapper.is_alive() and not wrong:
        client.send(b"".join(map(request, RACED)))
        for target in RACED:
            answer = client.read()
            if answer is None:
                break
            asked += 1
            statuses[answer[0]] += 1
            wrong += filter(None, [judge(target, answer)])
    stop.value = 1
    swapper.join()
    client.close()
    if swapper.exitcode != 0 or not statuses[200] or not statuses[404]:
        wrong.append(f"there was no race: the swapper ended with {swapper.exitcode}")
    return report(f"{swaps.value} swaps raced against {asked} requests", statuses, wrong)


# --- all of it ------------------------------------------------------------------------------------------------------------

def report(what, statuses, wrong):
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    print(f"{'FAILED ' if wrong else 'ok     '} {what}: {len(wrong)} escapes; {answers}", flush=True)
    for line in wrong[:10]:
        print("       ", line)
    return not wrong


def main():
    swaps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="sallyport-static-") as directory:
        parent = pathlib.Path(directory).resolve()
        root = make_tree(parent)
        config = parent / "sallyport.conf"
        config.write_text(f"[listen public]\naddress = 127.0.0.1:0\n[route files]\nroot = {root}\n"
                          f"[route below]\npath = /below/*\nroot = {root}\n")
        gateway = Gateway(["-c", str(config)], ["public"]).wait_ready()
        try:
            begin = time.monotonic()
            results = [run_forms(gateway.address()), run_swaps(gateway.address(), root, swaps)]
            print(f"        {time.monotonic() - begin:.1f} s")
            gateway.stop()
        finally:
            gateway.kill()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
