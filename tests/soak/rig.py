"""What soak.py, reload.py and restart.py share: the churn client, the gateway as a process, and what its log counts.

Owns the processes that it starts and one directory; leaves nothing behind.
"""

import collections
import contextlib
import fcntl
import glob
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "bench")
sys.path.insert(0, BENCH)
from process import kibibytes, raise_descriptor_limit  # noqa: E402

PATIENCE = 120      # seconds for what must come
LOG_ROOM = 1 << 20  # bytes: the gateway loses records rather than wait for whoever reads them
FIRST_INHERITED = 3 # of the descriptors that LISTEN_FDS counts
SESSION_END = re.compile(rb"session end.* reason=([a-z_0-9]+)")
BACKENDS = {"tcp": "echo=127.0.0.1:0", "unix": "echo=unix:{dir}/echo.sock", "fin": "fin=127.0.0.1:0",
            "rst": "rst=127.0.0.1:0"}


class Failure(Exception):
    pass


def binary():
    path = os.environ.get("SALLYPORT", "")
    if not os.access(path, os.X_OK):
        sys.exit("the environment must have SALLYPORT=/absolute/path/of/the/binary")
    return path


def wait_until(met, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Log:
    """Reads what a gateway says: counts the ends of sessions by reason, keeps everything else."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.reasons = collections.Counter()
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.pipe:
            end = SESSION_END.search(line)
            if end:
                self.reasons[end[1].decode()] += 1
            else:
                self.lines.append(line.decode("utf-8", "replace").rstrip())

    def count(self, text):
        return sum(text in line for line in self.lines)

    def listening(self):
        """Name of [listen] to address, as last announced."""
        found = {}
        for line in self.lines:
            match = re.search(r"listening.* listen=(\S+).* address=(\S+)", line) or \
                re.search(r"listening.* address=(\S+).* listen=(\S+)", line)
            if match:
                name, address = match.groups() if "listen=" + match[1] in line else match.groups()[::-1]
                found[name] = address
        return found


class Gateway:
    """A running gateway. inherits: descriptor 3 is a listening socket called web, for address = fd:web."""

    def __init__(self, config, inherits=False):
        words, passed, environment = [binary(), "-c", config], (), dict(os.environ)
        if inherits:
            words = ["/bin/sh", "-c", 'ulimit -c 0; LISTEN_PID=$$ exec "$@"', "sh", *words]
            passed = (FIRST_INHERITED,)
            environment.update(LISTEN_FDS="1", LISTEN_FDNAMES="web")
        self.child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      env=environment, pass_fds=passed)
        fcntl.fcntl(self.child.stderr, fcntl.F_SETPIPE_SZ, LOG_ROOM)
        self.log = Log(self.child.stderr)
        self.pid = self.child.pid

    def wait_line(self, text, count=1):
        def said():
            return self.log.count(text) >= count
        try:
            wait_until(lambda: said() or self.child.poll() is not None, f'"{text}" in the log')
            if not said():
                raise Failure("the gateway ended")
        except Failure as failure:
            raise Failure(f"{failure}:\n" + "\n".join(self.log.lines[-20:])) from None

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return file.read().split()

    def memory(self):
        """Bytes, without what is shared: that grows when other processes with the same libraries end."""
        return kibibytes(f"/proc/{self.pid}/smaps_rollup", "Pss_Anon")

    def wait_end(self):
        status = self.child.wait(PATIENCE)
        self.log.thread.join(PATIENCE)
        return status

    def stop(self):
        """SIGTERM; the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        return self.wait_end()

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Churn:
    """The churn client: commands down its standard input, answers up its output."""

    def __init__(self, program, clients, directory, complaints):
        backends = [spec.format(dir=directory) for spec in BACKENDS.values()]
        self.child = subprocess.Popen([program, "-n", str(clients), *backends], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=None if complaints else subprocess.DEVNULL, text=True, bufsize=1)
        self.lines = {word: queue.SimpleQueue() for word in ("backend", "ran", "held")}
        threading.Thread(target=self._read, daemon=True).start()
        self.backends = {name: self.line("backend").partition("=")[2] for name in BACKENDS}

    def _read(self):
        for line in self.child.stdout:
            word, _, rest = line.strip().partition(" ")
            self.lines[word].put(rest)

    def line(self, word, seconds=PATIENCE):
        """What follows this word on the next line that begins with it."""
        try:
            return self.lines[word].get(timeout=seconds)
        except queue.Empty:
            raise Failure(f"the churn client did not say {word!r} within {seconds} s") from None

    def tell(self, command):
        self.child.stdin.write(command + "\n")

    def listen(self, addresses):
        for name, address in addresses.items():
            self.tell(f"listen {name} {address}")

    def result(self, seconds=PATIENCE):
        return json.loads(self.line("ran", seconds))

    def run(self, sessions):
        self.tell(f"run {sessions}")
        return self.result(PATIENCE + sessions / 100)

    def held(self, command):
        """After `hold N` or `poke`: how many are alive, how many have ended in words, how many without."""
        self.tell(command)
        alive, _, told, _, cut = self.line("held").split()
        return int(alive), int(told), int(cut)

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Rig:
    """A directory with all that the configuration names, the churn client, and gateways. complaints: of sessions that did not
    go as their kind says, the first few on standard error."""

    def __init__(self, clients, complaints=True):
        raise_descriptor_limit()
        os.umask(0) # whoever the gateway becomes must reach what is made here
        self.directory = tempfile.mkdtemp(prefix="sallyport-soak-")
        os.chmod(self.directory, 0o777)
        os.umask(0) # for whom the gateway becomes after root started it
        self.gateways, self.churn = [], None
        self.refusing = socket.socket()
        try:
            self.refusing.bind(("127.0.0.1", 0))
            self._build()
            self._write_files()
            self.churn = Churn(self.file("churn"), clients, self.directory, complaints)
        except BaseException:
            self.clear()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()

    def clear(self):
        if self.churn:
            self.churn.stop()
        for gateway in self.gateways:
            gateway.kill()
        self.refusing.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def file(self, *name):
        return os.path.join(self.directory, *name)

    def write(self, name, text):
        """At once: the gateway may read it at any time."""
        with open(self.file(name + ".new"), "w", encoding="ascii") as file:
            file.write(text)
        os.replace(self.file(name + ".new"), self.file(name))

    def _build(self):
        sources = sorted(glob.glob(os.path.join(HERE, "*.c"))) + [os.path.join(BENCH, "benchnet.c")]
        subprocess.run([*os.environ.get("CC", "cc").split(), "-std=c11", "-D_GNU_SOURCE", "-O2", "-o",
                        self.file("churn"), *sources, "-lssl", "-lcrypto"], check=True)

    def _write_files(self):
        os.mkdir(self.file("web"))
        self.write("web/index.html", "<p>A page.</p>\n" * 20)
        self.write("web/large.bin", "0123456789abcdef" * 16384)
        self.renew_certificate()

    def renew_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=gateway.test", "-days", "2", "-keyout", self.file("new.key"),
                        "-out", self.file("new.pem")], check=True, capture_output=True)
        parts = []
        for name in ("new.pem", "new.key"):
            with open(self.file(name), encoding="ascii") as part:
                parts.append(part.read())
        self.write("own.pem", "".join(parts))

    def configuration(self, listeners, more="", server=""):
        """listeners: name to lines of its section. The routes are those that the kinds of the churn client ask for;
        more: sections behind them; server: more options of [server]."""
        targets = self.churn.backends
        self.write("tokens", f"one: {targets['tcp']}\n")
        routes = {
            "tcp": f"path = /tcp\ntarget = {targets['tcp']}",
            "unix": f"path = /unix\ntarget = {targets['unix']}\naccept = binary",
            "fin": f"path = /fin\ntarget = {targets['fin']}",
            "rst": f"path = /rst\ntarget = {targets['rst']}",
            "echo": "path = /echo\ntarget = echo:",
            "token": f"path = /token\ntoken_file = {self.file('tokens')}",
            "small": f"path = /small\ntarget = {targets['tcp']}\nmax_message = 4k",
            "refused": f"path = /refused\ntarget = 127.0.0.1:{self.refusing.getsockname()[1]}",
            "gone": f"path = /gone\ntarget = unix:{self.file('no.sock')}",
            "idle": f"path = /idle\ntarget = {targets['tcp']}\nidle_timeout = 300ms",
            "brief": f"path = /brief\ntarget = {targets['tcp']}\nlifetime = 2s",
            "files": f"path = /files/*\nroot = {self.file('web')}",
        }
        sections = [f"[server]\nworkers = 2\nlog_level = debug\n{server}\n[tls own]\ncertificate = {self.file('own.pem')}"]
        sections += [f"[listen {name}]\n{lines}" for name, lines in listeners.items()]
        sections += [f"[route {name}]\n{lines}" for name, lines in routes.items()]
        self.write("sallyport.conf", "\n".join(sections) + "\n" + more)
        return self.file("sallyport.conf")

    def gateway(self, config, inherits=False):
        self.gateways = [one for one in self.gateways if one.child.poll() is None]
        self.gateways.append(Gateway(config, inherits))
        return self.gateways[-1]


LISTENERS = {
    "plain": "address = 127.0.0.1:0\nbacklog = 4096",
    "hasty": "address = 127.0.0.1:0\nbacklog = 4096\nhandshake_timeout = 500ms",
    "tls": "address = 127.0.0.1:0\nbacklog = 4096\ntls = on",
}


@contextlib.contextmanager
def judged(name):
    """Prints what went wrong instead of a trace, and ends with 1."""
    try:
        yield
    except Failure as failure:
        sys.exit(f"{name}: FAILED: {failure}")
