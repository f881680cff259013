"""The gateway under test as a process: started, watched by its log, stopped, and judged by how it ended.

Owns the process and its standard error; it must never look inside: tests know the gateway by its sockets, its log and
its exit status alone.
"""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from wsclient import TIMEOUT

# What standard error may never have, whatever the test was about.
DISASTER = re.compile(r"Sanitizer|runtime error:|\bassert|terminate called|stack smashing|free\(\): |double free")

SUPPRESSIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:exitcode=99",
    "LSAN_OPTIONS": f"exitcode=98:print_suppressions=0:suppressions='{SUPPRESSIONS}'",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=97",
    "TSAN_OPTIONS": "exitcode=96:second_deadlock_stack=1",
}


def binary():
    path = os.environ.get("SALLYPORT")
    assert path and os.path.isabs(path), "the environment must have SALLYPORT=/absolute/path/of/the/binary"
    return path


INSTRUMENTS = {b"__asan_init": "address", b"__tsan_init": "thread", b"__gcov_": "coverage", b"exec valgrind": "valgrind"}


@functools.lru_cache(maxsize=None)
def find_instrument(path=None):
    """What there is in the binary, or the script in its place, besides the gateway: a value of INSTRUMENTS, or None."""
    try:
        with open(path or binary(), "rb") as file:
            image = file.read()
    except OSError:
        return None
    return next((name for sign, name in INSTRUMENTS.items() if sign in image), None)


def find_sanitizer():
    """The sanitizer the binary was built with: "address", "thread" or None."""
    found = find_instrument()
    return found if found in ("address", "thread") else None


def open_to_all(directory):
    """For whoever the gateway has become after root started it; directories for tests are made for their owner alone."""
    directory = pathlib.Path(directory).resolve()
    if os.geteuid() != 0:
        return
    directory.chmod(0o777)
    for above in directory.parents:
        if above.stat().st_mode & 0o001:
            break
        above.chmod(0o711)


def without_sandbox(arguments):
    """The arguments, or a file beside the configuration, for what makes system calls of its own: valgrind, and sanitizers,
    which also look for leaks as a debugger would."""
    if "-c" not in arguments:
        return ["--sandbox", "off", *arguments]
    more = pathlib.Path(arguments[arguments.index("-c") + 1]).parent / "conf.d"
    more.mkdir(exist_ok=True)
    (more / "sandbox.conf").write_text("[server]\nsandbox = off\n", encoding="ascii")
    return arguments


def wait_until(condition):
    """For what no event tells, such as a file that appears."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class Record:
    """A line of the log: level, event, and fields by name (as text)."""

    TEXT = re.compile(r"(?:(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) )?(?P<level>error|warn|info|debug)\s+(?P<rest>.*)")
    FIELD = re.compile(r'(?:^|\s)([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')

    def __init__(self, line):
        self.line = line
        self.level = self.event = None
        self.fields = {}
        if line.startswith("{"):
            self._read_json(line)
        else:
            self._read_text(line)

    def _read_json(self, line):
        try:
            fields = json.loads(line)
        except ValueError:
            return
        self.level, self.event = fields.get("level"), fields.get("event")
        self.fields = {k: str(v) for k, v in fields.items() if k not in ("time", "level", "event")}

    def _read_text(self, line):
        match = self.TEXT.match(line)
        if not match:
            return
        self.level, rest = match["level"], match["rest"]
        first = self.FIELD.search(rest)
        self.event = (rest[:first.start()] if first else rest).strip()
        for name, value in self.FIELD.findall(rest):
            value = value[1:-1] if value.startswith('"') else value
            self.fields[name] = re.sub(r"\\x([0-9a-f]{2})", lambda escape: chr(int(escape[1], 16)), value)

    def __getitem__(self, name):
        return self.fields[name]

    def get(self, name, default=None):
        return self.fields.get(name, default)

    def __repr__(self):
        return f"<{self.line}>"


class Gateway:
    """A running gateway. listeners: names of the [listen] sections in the order in which they appear in the log, one a
    bound address; None when it is not known (a program that is expected to fail)."""

    def __init__(self, arguments, listeners, env=None, prefix=(), preexec=None, binary_path=None, pass_fds=()):
        self.listeners = listeners
        self.records = []
        self.changed = threading.Condition()
        self.eof = False
        self.judged = False
        self.terminated = False
        self.since = 0 # where in the log wait_session_end() begins to look: ports come again
        if "-c" in arguments:
            open_to_all(os.path.dirname(arguments[arguments.index("-c") + 1]) or ".")
        if find_instrument(binary_path) not in (None, "coverage"): # coverage.sh sees to it itself
            arguments = without_sandbox(list(arguments))
        environment = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_FDS")}
        for name, value in SANITIZER_ENV.items():
            environment.setdefault(name, value)
        environment.update(env or {})
        self.process = subprocess.Popen([*prefix, binary_path or binary(), *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
                                        preexec_fn=preexec, start_new_session=True, pass_fds=pass_fds)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read_log(self):
        for raw in self.process.stderr:
            record = Record(raw.decode("utf-8", "backslashreplace").rstrip("\n"))
            with self.changed:
                self.records.append(record)
                self.changed.notify_all()
        with self.changed:
            self.eof = True
            self.changed.notify_all()

    @property
    def log(self):
        with self.changed:
            return "\n".join(r.line for r in self.records)

    def mark(self):
        """A place in the log: pass it as since= to see only what comes later."""
        with self.changed:
            return len(self.records)

    def find(self, event=None, since=0, **fields):
        """The records so far with this event (None: any) and these fields."""
        with self.changed:
            return [r for r in self.records[since:] if self._fits(r, event, fields)]

    @staticmethod
    def _fits(record, event, fields):
        return (event is None or record.event == event) and all(record.get(k) == str(v) for k, v in fields.items())

    def wait_for(self, event=None, since=0, count=1, timeout=TIMEOUT, **fields):
        """Waits for so many records with this event and these fields; returns the count-th."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                found = [r for r in self.records[since:] if self._fits(r, event, fields)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if self.eof or left <= 0:
                    raise AssertionError(f"no log record {event!r} {fields} came; the log:\n" +
                                         "\n".join(r.line for r in self.records[-40:]))
                self.changed.wait(left)

    def wait_session_end(self, client=None, **fields):
        """The `session end` record, of this client (a wsclient.Connection) or with these fields. It comes when all is
        over: the client must have ended, too."""
        if client is not None and client.peer_text is not None:
            fields["peer"] = client.peer_text
        fields.setdefault("since", self.since)
        return self.wait_for("session end", **fields)

    # addresses

    def wait_ready(self):
        """Waits until every listener has logged what it is bound to."""
        self.wait_for("listening", count=len(self.listeners), timeout=4 * TIMEOUT)
        return self

    def address(self, listener=0):
        """Of a listener, by name or place: (host, port), or the path of a UNIX socket."""
        records = self.find("listening")
        if isinstance(listener, str):
            named = [r for r in records if r.get("listen") == listener]
            record = named[0] if named else records[self.listeners.index(listener)]
        else:
            record = records[listener]
        text = record["address"]
        if text.startswith("unix:"):
            name = text[5:]
            return "\0" + name[1:] if name.startswith("@") else name
        host, _, port = text.rpartition(":")
        host = host.strip("[]")
        return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host), int(port)

    def port(self, listener=0):
        return self.address(listener)[1]

    # the end

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self):
        """SIGTERM, once."""
        if not self.terminated:
            self.terminated = True
            self.signal(signal.SIGTERM)

    def wait(self, timeout=4 * TIMEOUT):
        """Waits for the exit and for the last of the log; returns the status."""
        status = self.process.wait(timeout)
        self.reader.join(TIMEOUT)
        return status

    def check_running(self):
        """Fails if the gateway died or complained of itself."""
        self._check_log()
        assert self.process.poll() is None, f"the gateway ended with status {self.process.returncode}:\n{self.log[-4000:]}"

    def _check_log(self):
        log = self.log
        match = DISASTER.search(log)
        assert not match, f"{match[0]!r} in the gateway's standard error:\n{log[max(0, match.start() - 500):][:6000]}"

    def stop(self, status=0):
        """SIGTERM (unless it has ended), and the judgement: exit status and a clean log."""
        if self.judged:
            return
        self.judged = True
        try:
            if self.process.poll() is None:
                self.terminate()
            got = self.wait()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the gateway did not end after SIGTERM:\n{self.log[-4000:]}") from None
        finally:
            self.kill()
        self._check_log()
        assert got == status, f"the gateway ended with status {got} instead of {status}:\n{self.log[-4000:]}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        try:
            os.killpg(self.pid, signal.SIGKILL) # what a prefix such as strace has left behind
        except ProcessLookupError:
            pass
        self.reader.join(TIMEOUT)


def listener_names(config):
    """The names of the [listen NAME] sections of a configuration, once for each address."""
    names, section = [], None
    for line in config.splitlines():
        line = re.split(r"(?:^|\s)[;#]", line)[0].strip()
        if line.startswith("["):
            section = line.strip("[]").split(None, 1)
        elif section and section[0] == "listen" and re.match(r"address\s*=", line):
            names += [section[-1] for item in line.split("=", 1)[1].split(",") if item.strip()]
    return names
