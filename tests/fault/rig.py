"""The gateway under injected faults as a process: built shim, control of it, log file, descriptors, end.

Owns processes and files below one temporary directory; what is done with a gateway is told by the scripts beside it.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
LIMIT = 5.0 # seconds a session may take to end after a fault
os.environ.setdefault("SALLYPORT_TEST_TIMEOUT", str(LIMIT))

from gateway import DISASTER, SANITIZER_ENV, Record, binary # noqa: E402  the path has to be set before
import wsclient # noqa: E402

SHORT = 10000 # in place of an errno: one byte is moved instead of many
NAMES = {SHORT: "SHORT", 0: "NULL", -3: "EAI_AGAIN", -10: "EAI_MEMORY", -2: "EAI_NONAME"}


def name_of(error):
    return NAMES.get(error) or errno.errorcode[error]


class Fault(Exception):
    """What must not happen, whatever fails."""


class Control(ctypes.Structure):
    """The file that the shim and the test share; inject.c has the same layout."""
    _fields_ = [("function", ctypes.c_char * 32), ("armed", ctypes.c_uint32), ("nth", ctypes.c_uint32),
                ("times", ctypes.c_uint32), ("error", ctypes.c_int32), ("calls", ctypes.c_uint32),
                ("struck", ctypes.c_uint32), ("exempt", ctypes.c_uint8 * 1024)]


@contextlib.contextmanager
def scratch():
    """A directory of our own, open to whom the gateway becomes when root has started it."""
    os.umask(0)
    with tempfile.TemporaryDirectory(prefix="sallyport-fault.", dir=os.environ.get("TMPDIR", "/tmp")) as directory:
        os.chmod(directory, 0o777)
        yield directory


class Shim:
    """inject.c as a shared object, with one control file for each gateway."""

    def __init__(self, directory):
        self.directory, self.made = directory, 0
        self.path = os.path.join(directory, "inject.so")
        subprocess.run([*os.environ.get("CC", "cc").split(), "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-fno-builtin",
                        "-shared", os.path.join(HERE, "inject.c"), "-o", self.path], check=True)

    def control(self):
        """A new control, and the environment that makes a gateway obey it."""
        self.made += 1
        path = os.path.join(self.directory, f"control{self.made}")
        with open(path, "w+b") as file:
            file.truncate(ctypes.sizeof(Control))
            control = Control.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Control)))
        return control, {"LD_PRELOAD": self.path, "INJECT_CONTROL": path}


def arm(control, function, error, nth, times=1):
    control.armed = 0
    control.function, control.error, control.nth, control.times = function.encode(), error, nth, times
    control.calls = control.struck = 0
    control.armed = 1


class Daemon:
    """A gateway whose log is a file. env: for the shim; limits: (soft and hard) descriptors."""

    def __init__(self, directory, config, env=None, preexec=None, log=None):
        self.log_path = log or os.path.join(directory, "log")
        self.config_path = os.path.join(directory, "sallyport.conf")
        self.write_config(config)
        environment = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_FDS")}
        environment.update(SANITIZER_ENV)
        # The shim's malloc() has to be found before the sanitizer's, which looks after being first.
        environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0:allocator_may_return_null=1"
        supp = os.path.join(HERE, "lsan.supp")
        environment["LSAN_OPTIONS"] = f"exitcode=98:print_suppressions=0:fast_unwind_on_malloc=0:suppressions='{supp}'"
        environment.update(env or {})
        self.errors = tempfile.TemporaryFile(dir=directory)
        self.process = subprocess.Popen([binary(), "-c", self.config_path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.errors, env=environment, preexec_fn=preexec)
        self.pid = self.process.pid

    def write_config(self, config):
        self.config = config
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(config.replace("LOG", f"file:{self.log_path}"))

    def signal(self, number):
        self.process.send_signal(number)

    def alive(self):
        return self.process.poll() is None

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "backslashreplace")

    # the log

    def mark(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def records(self, since=0):
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, "rb") as file:
            file.seek(since)
            return [Record(line.decode("utf-8", "backslashreplace")) for line in file.read().split(b"\n")[:-1]]

    def wait_record(self, pattern, since=0, limit=30.0):
        """The first record since then whose line has the pattern; dead gateways write none."""
        def look():
            found = [r for r in self.records(since) if re.search(pattern, r.line)]
            if not found and not self.alive():
                raise Fault(f"the gateway ended with {self.process.returncode}: {self.stderr()[-3000:]}")
            return found[0] if found else None
        return wait(look, f"no record with {pattern!r}", limit)

    def addresses(self):
        """By the name of the [listen] section, what a client connects to."""
        found = {}
        for record in self.records():
            if record.event == "listening":
                host, _, port = record["address"].rpartition(":")
                found[record["listen"]] = (host, int(port)) if port.isdigit() else "\0" + port[1:]
        return found

    # descriptors

    def descriptors(self):
        return set(map(int, os.listdir(f"/proc/{self.pid}/fd")))

    def wait_descriptors(self, base, limit=LIMIT):
        wait(lambda: len(self.descriptors()) == len(base), lambda: f"{len(self.descriptors())} descriptors instead of "
             f"{len(base)}: {sorted(self.open_files())}", limit)

    def open_files(self):
        """Pairs of a descriptor's number and what it is, such as socket:[1234]."""
        found = set()
        for fd in self.descriptors():
            with contextlib.suppress(OSError):
                found.add((fd, os.readlink(f"/proc/{self.pid}/fd/{fd}")))
        return found

    # the end

    def judge(self, statuses=(0,), limit=60.0):
        """Waits for the exit; a status of a sanitizer's, a signal's or words of a disaster are a fault."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Fault("the gateway does not end") from None
        text = self.stderr()
        match = DISASTER.search(text)
        if match:
            raise Fault(f"{match[0]!r}: {text[max(0, match.start() - 300):][:6000]}")
        if status not in statuses:
            raise Fault(f"exit status {status} instead of {statuses}: {text[-3000:]}")
        return status

    def terminate(self, statuses=(0,)):
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.judge(statuses)

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()


def wait(condition, complaint, limit=LIMIT):
    """Waits until the condition is true; its value. complaint: words, or a function that says them."""
    deadline = time.monotonic() + limit
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Fault(complaint() if callable(complaint) else complaint)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


class Bystander:
    """A session that has nothing to do with the faults, and talks all the while: numbered messages come back whole."""

    def __init__(self, address, tls=None, pause=0.003):
        self.conn = wsclient.Connection(address, tls)
        self.conn.upgrade("/tcp")
        self.pause, self.rounds, self.failure, self.stopping = pause, 0, None, False
        self.slowest = 0.0
        self.latencies = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def once(self):
        payload = b"%d " % self.rounds + bytes(i * self.rounds & 255 for i in range(1 + self.rounds % 500))
        begun = time.monotonic()
        self.conn.send(wsclient.frame(wsclient.BINARY, payload))
        got = self.conn.read_stream(len(payload))
        took = time.monotonic() - begun
        self.slowest = max(self.slowest, took)
        self.latencies.append(took)
        if got != payload:
            raise Fault(f"the bystander got other bytes in round {self.rounds}")
        self.rounds += 1

    def _run(self):
        try:
            while not self.stopping:
                self.once()
                time.sleep(self.pause)
        except Exception as error: # pylint: disable=broad-except  whatever it is, it is told by check()
            self.failure = error

    def check(self):
        if self.failure is not None:
            raise Fault(f"the bystander was harmed: {type(self.failure).__name__} {self.failure}")

    def moves_on(self):
        """A whole round begins and ends now."""
        before = self.rounds
        wait(lambda: self.failure is not None or self.rounds > before + 1, "the bystander stands still")
        self.check()

    def stop(self):
        self.stopping = True
        self.thread.join(LIMIT)
        self.check()
        self.conn.close()


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
