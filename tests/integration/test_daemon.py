"""The daemon among its neighbours: what its parent left behind, and what others do to the files and readers it depends on."""

import ctypes
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from gateway import Record, binary, find_instrument, open_to_all
from inside import cpu_seconds
from test_lifecycle import PLAIN, ask, in_namespaces, opened, plain, route, wait_until
from test_log import wait_listening
from test_sandbox import Instruction, Program, in_own_mounts, receive_until, syslog_at
from wsclient import TIMEOUT, Connection, request

ECHO = route("echo", "echo:")


# --- what the parent left behind -------------------------------------------------------------------------------------

SIGNALS = {signal.SIGTERM: "stopped", signal.SIGINT: "stopped", signal.SIGHUP: "configuration was reloaded",
           signal.SIGUSR1: "log was reopened"}


@pytest.mark.parametrize("number", SIGNALS)
def test_blocked_signals_are_heard(start_gateway, number):
    """A mask is inherited over exec(2), for example from a thread of a supervisor."""
    gateway = start_gateway(PLAIN + ECHO, preexec=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))
    gateway.terminated = SIGNALS[number] == "stopped"
    gateway.signal(number)
    gateway.wait_for(SIGNALS[number])


def test_ignored_signals_are_heard(start_gateway):
    gateway = start_gateway(PLAIN + ECHO, preexec=lambda: [signal.signal(number, signal.SIG_IGN) for number in SIGNALS])
    gateway.signal(signal.SIGHUP)
    gateway.wait_for(SIGNALS[signal.SIGHUP])


def open_writer(path):
    """The writing end of a FIFO, once somebody opens it to read."""
    descriptor = None

    def try_once():
        nonlocal descriptor
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True
    wait_until(try_once)
    return descriptor


no_instrument = pytest.mark.skipif(find_instrument() is not None, reason="an instrument needs sandbox = off in a file")


@no_instrument
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_early_signals_wait(start_gateway, tmp_path, number):
    """A signal that comes while the configuration is still being read is obeyed once the gateway serves."""
    fifo = tmp_path / "early.conf"
    os.mkfifo(fifo, 0o644)
    open_to_all(tmp_path)
    gateway = start_gateway.from_file(fifo, ["plain"], ready=False)
    writer = open_writer(fifo)
    gateway.signal(number)
    fresh = tmp_path / "fresh.conf"
    fresh.write_text(PLAIN + ECHO)
    fresh.rename(fifo)
    with os.fdopen(writer, "w") as configuration:
        configuration.write(PLAIN + ECHO)
    gateway.wait_for(SIGNALS[number])
    assert ask(gateway, "/echo").status == 101


def hanging_names(tmp_path):
    """A name server that never answers, and a prefix for who is to ask it."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind(("127.0.0.78", 53))
    except OSError as error:
        pytest.skip(f"the name server's port cannot be had: {error}")
    server.settimeout(TIMEOUT)
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.78\noptions timeout:10 attempts:1\n")
    return server, in_namespaces(["-m"], f"mount --bind {resolv} /etc/resolv.conf")


def test_early_end(start_gateway, tmp_path):
    """A start that hangs, here on the name of a listener, is ended by SIGTERM."""
    server, prefix = hanging_names(tmp_path)
    with server:
        gateway = start_gateway("[listen slow]\naddress = slow.example:80\n" + ECHO, prefix=prefix, ready=False)
        server.recvfrom(512)
        gateway.terminate()
        assert gateway.wait() == 0


@pytest.mark.native
def test_closed_standard_descriptors(start_gateway, tmp_path):
    """Descriptors 0 to 2 that are closed at the start become no sockets or logs, and nobody waits on them in vain."""
    log = tmp_path / "log"
    gateway = start_gateway(plain(f"log = file:{log}") + ECHO, preexec=lambda: os.closerange(0, 3), ready=False)
    address = wait_listening(gateway, log)
    assert [os.readlink(f"/proc/{gateway.pid}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
    with Connection(address) as client:
        client.upgrade("/echo")
        client.expect_echo()


@pytest.mark.native
def test_closed_standard_descriptors_cost_nothing(start_gateway, tmp_path):
    door = tmp_path / "door"
    gateway = start_gateway(f"[listen door]\naddress = unix:{door}\n" + ECHO, preexec=lambda: os.closerange(0, 3), ready=False)
    wait_until(door.exists)
    with Connection(str(door)) as client: # it serves, so the start is over
        client.upgrade("/echo")
        used = cpu_seconds(gateway.pid)
        time.sleep(0.5) # an interval to be measured, not waited for
        assert cpu_seconds(gateway.pid) - used < 0.1


def refuse_descriptor_limit():
    """For a child before exec: it has 200 descriptors, and may not raise that, whatever the hard limit says."""
    soft, hard = 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    prlimit, to_resource, to_new = 302, 24, 32
    code = (Instruction * 8)(
        Instruction(0x20, 0, 0, 0), Instruction(0x15, 0, 5, prlimit), Instruction(0x20, 0, 0, to_resource),
        Instruction(0x15, 0, 3, resource.RLIMIT_NOFILE), Instruction(0x20, 0, 0, to_new), Instruction(0x15, 1, 0, 0),
        Instruction(0x06, 0, 0, 0x00050000 | 1), Instruction(0x06, 0, 0, 0x7fff0000))
    program = Program(8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter knows one architecture")
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1000, reason="the hard limit is low")
def test_descriptor_limit_in_force_counts(start_gateway):
    gateway = start_gateway(plain("max_sessions = 400") + ECHO, preexec=refuse_descriptor_limit, ready=False)
    assert gateway.wait() == 1
    assert "the limit is 200" in gateway.log, gateway.log
    start_gateway.forget(gateway)


# --- readers of the log ----------------------------------------------------------------------------------------------

def test_nobody_reads_syslog(start_gateway, tmp_path):
    """syslog(3) waits for a daemon that has stopped: nobody else does, and the gateway ends when it is told to."""
    path, door = tmp_path / "log", tmp_path / "door"
    prefix = in_own_mounts('mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s "$1" /dev/log', path)
    with syslog_at(path) as log:
        gateway = start_gateway("[server]\nlog = syslog\nlog_level = debug\nworkers = 1\nlog_queue = 16k\nlog_timeout = 100ms\n"
                                f"[listen door]\naddress = unix:{door}\n" + ECHO, prefix=prefix, ready=False)
        receive_until(log, "listening")
        with Connection(str(door)) as live:
            live.upgrade("/echo")
            for _ in range(400): # the socket holds some ten, the queue some hundred
                with Connection(str(door)) as client:
                    client.send(request("/nowhere"))
                    assert client.read_response().status == 404
            live.expect_echo()
        gateway.terminate()
        assert gateway.wait() == 0


def test_a_shared_stderr_is_left_as_it_is(start_gateway):
    """No flag is set on a descriptor that others use, and one that does not block loses no record."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    gateway = start_gateway(PLAIN + ECHO, ready=False, preexec=lambda: os.dup2(writing, 2))
    with open(reading, "rb") as log:
        while not gateway.find("listening"):
            gateway.records.append(Record(log.readline().decode().rstrip()))
        address = gateway.address("plain")
        for _ in range(60): # more than the pipe holds, less than the queue
            with Connection(address) as client:
                client.send(request("/nowhere"))
                assert client.read_response().status == 404
        gateway.terminate()
        assert not os.get_blocking(writing)
        os.close(writing)
        text = log.read().decode()
    assert gateway.wait() == 0
    assert text.count("session end") == 60 and "could not be written" not in text


# --- files that are none ---------------------------------------------------------------------------------------------

TLS = "tls = auto\n[tls t]\ncertificate = {d}/cert\nkey = {d}/key\nclient_certificate = optional\nclient_ca = {d}/client_ca\n"
OTHERS = route("secure", "tls:localhost:1", target_ca="{d}/target_ca") + route("tokens", "x").replace("target = x", "token_file = {d}/tokens")


@pytest.fixture
def files(tmp_path, certificate):
    """A directory with all that a configuration may name."""
    for source, name in ((certificate.cert, "cert"), (certificate.key, "key"), (certificate.cert, "client_ca"), (certificate.cert, "target_ca")):
        shutil.copyfile(source, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    (tmp_path / "tokens").write_text("a: 127.0.0.1:1\n")
    (tmp_path / "conf.d").mkdir(exist_ok=True)
    (tmp_path / "conf.d" / "more.conf").write_text("[server]\nmax_sessions = 10\n")
    return tmp_path


@pytest.mark.parametrize("name", ["sallyport.conf", "conf.d/more.conf", "cert", "key", "client_ca", "target_ca", "tokens"])
def test_reload_waits_for_nobody(start_gateway, files, name):
    """Where a reload finds a FIFO that nobody writes to, it is refused, and says what stood in the way."""
    gateway = start_gateway(PLAIN + (TLS + ECHO + OTHERS).format(d=files))
    whole = (files / name).read_bytes()
    (files / name).unlink()
    os.mkfifo(files / name, 0o644)
    mark = gateway.mark()
    gateway.signal(signal.SIGHUP)
    gateway.wait_for("reload refused: the running configuration stays", since=mark)
    told = [r.line for r in gateway.find(since=mark) if r.level == "error"]
    assert any(f"{files}/{name}" in line and "is not a regular file" in line for line in told), told
    assert ask(gateway, "/echo").status == 101
    (files / name).unlink()
    (files / name).write_bytes(whole)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for("configuration was reloaded", since=mark)


def feed(data):
    """A pipe from which the data can be read."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(data)
    return reading


@no_instrument
@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/{}", "/proc/self/fd/{}"])
def test_configuration_from_a_pipe(start_gateway, path):
    """As by -c <(...); a reload cannot read it again, and says so."""
    pipe = feed((PLAIN + ECHO).encode())
    try:
        gateway = start_gateway.from_file(path.format(pipe), ["plain"], pass_fds=[pipe], preexec=lambda: os.dup2(pipe, 0))
    finally:
        os.close(pipe)
    assert ask(gateway, "/echo").status == 101
    gateway.signal(signal.SIGHUP)
    gateway.wait_for("reload refused: the running configuration stays")
    assert "restart to read it again" in gateway.log


def test_key_from_a_pipe(start_gateway, files, certificate):
    pipe = feed((files / "key").read_bytes())
    try:
        text = PLAIN + f"tls = on\n[tls t]\ncertificate = {files}/cert\nkey = /dev/fd/{pipe}\n" + ECHO
        gateway = start_gateway(text, pass_fds=[pipe])
    finally:
        os.close(pipe)
    with opened(gateway, tls=certificate.client_context()) as client:
        client.expect_echo()


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("pair", [os.pipe, lambda: [end.detach() for end in socket.socketpair()]], ids=["pipe", "socket"])
def test_log_to_standard_output(start_gateway, pair, path):
    """Also where it belongs to somebody else, or is none that can be opened by its name; SIGUSR1 opens what there is."""
    reading, writing = pair()
    if os.geteuid() == 0:
        os.fchown(writing, 0, 0)
        os.fchmod(writing, 0o600)
    gateway = start_gateway(plain(f"log = file:{path}") + ECHO, ready=False, preexec=lambda: os.dup2(writing, 1))
    os.close(writing)
    with open(reading, "rb", buffering=0) as log:
        def read_until(text):
            got = b""
            while text not in got:
                part = log.read(4096)
                assert part, got
                got += part
        read_until(b"listening")
        gateway.signal(signal.SIGUSR1)
        read_until(b"log was reopened")
        gateway.terminate()
        read_until(b"stopped")
    assert gateway.wait() == 0


def test_log_to_a_shared_file(start_gateway, tmp_path):
    """Standard output as a file: what others write into it stays."""
    path = tmp_path / "out"
    with open(path, "ab", buffering=0) as out:
        gateway = start_gateway(plain("log = file:/dev/stdout") + ECHO, ready=False, preexec=lambda: os.dup2(out.fileno(), 1))
        wait_until(lambda: b"listening" in path.read_bytes())
        out.write(b"of somebody else\n")
        gateway.stop()
    assert re.search(rb"listening.*\n(.*\n)*of somebody else\n(.*\n)*.*stopped\n$", path.read_bytes())


# --- names -----------------------------------------------------------------------------------------------------------

def test_reload_looks_names_up_aside(start_gateway, tmp_path):
    """A listener's name that hangs stops nobody: clients are served, another reload replaces this one, SIGTERM ends it."""
    server, prefix = hanging_names(tmp_path)
    (tmp_path / "hosts").write_text(Path("/etc/hosts").read_text() + f"127.0.0.9 found.example {socket.gethostname()}\n")
    prefix[-2] = prefix[-2].replace(" && exec", f" && mount --bind {tmp_path}/hosts /etc/hosts && exec")
    slow = "[listen slow]\naddress = slow.example:0\n"
    with server:
        gateway = start_gateway(PLAIN + ECHO, prefix=prefix)

        def reload_with(more):
            gateway.config.write_text(PLAIN + more + ECHO)
            gateway.signal(signal.SIGHUP)
        reload_with(slow)
        while b"slow" not in server.recvfrom(512)[0]:
            pass
        assert ask(gateway, "/echo").status == 101
        mark = gateway.mark()
        reload_with("[listen named]\naddress = found.example:0\n")
        gateway.wait_for("configuration was reloaded", since=mark)
        gateway.wait_for("listening", since=mark, listen="named")
        address = gateway.find("listening", since=mark, listen="named")[0]["address"]
        assert address.startswith("127.0.0.9:")
        reload_with(slow.replace("slow", "slower"))
        gateway.wait_for("the reload waits for the look-up of new listeners' names", count=3)
        gateway.terminate()
        assert gateway.wait() == 0


# --- what root does by name ------------------------------------------------------------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led astray")


@pytest.fixture
def roots():
    """A directory of root's alone, with a file that nobody else may change, down to the root of the file system."""
    base = Path(tempfile.mkdtemp(prefix=".sallyport-test-", dir="/var/lib"))
    base.chmod(0o755)
    (base / "secret").write_text("secret\n")
    (base / "secret").chmod(0o600)
    yield base
    shutil.rmtree(base)


@as_root
@pytest.mark.parametrize("planted", ["file", "directory"])
def test_root_follows_no_planted_link_to_the_log(start_gateway, tmp_path, roots, planted):
    """In a directory that others may change a link decides where root's log goes: there it is opened as the user."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").chmod(0o777)
    log = tmp_path / "logs" / "secret"
    if planted == "file":
        log.symlink_to(roots / "secret")
    else:
        (tmp_path / "logs").rmdir()
        (tmp_path / "logs").symlink_to(roots)
    gateway = start_gateway(plain(f"log = file:{log}") + ECHO, ready=False)
    assert gateway.wait() == 1
    start_gateway.forget(gateway)
    assert f"log file {log}: Permission denied" in gateway.log
    assert (roots / "secret").read_text() == "secret\n" and len(list(roots.iterdir())) == 1


@as_root
def test_root_makes_no_log_behind_a_planted_link(start_gateway, tmp_path, roots):
    (tmp_path / "logs").symlink_to(roots)
    gateway = start_gateway(plain(f"log = file:{tmp_path}/logs/new") + ECHO, ready=False)
    assert gateway.wait() == 1
    start_gateway.forget(gateway)
    assert not (roots / "new").exists()


@as_root
def test_root_makes_no_socket_behind_a_planted_link(start_gateway, tmp_path, roots):
    (tmp_path / "run").symlink_to(roots)
    gateway = start_gateway(PLAIN + f"address = unix:{tmp_path}/run/door\n" + ECHO, ready=False)
    assert gateway.wait() == 1
    start_gateway.forget(gateway)
    assert not (roots / "door").exists()


@as_root
def test_root_removes_no_socket_behind_a_planted_link(start_gateway, tmp_path, roots):
    """One that nobody listens on, which would be replaced where it is ours."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(roots / "door"))
    before = (roots / "door").stat().st_ino
    (tmp_path / "run").symlink_to(roots)
    gateway = start_gateway(PLAIN + f"address = unix:{tmp_path}/run/door\n" + ECHO, ready=False)
    assert gateway.wait() == 1
    start_gateway.forget(gateway)
    assert (roots / "door").stat().st_ino == before


@as_root
def test_root_makes_files_where_only_root_can(start_gateway, roots):
    """As in /run and /var/log: there the user has no right to, and a link is root's own."""
    (roots / "real").mkdir()
    (roots / "link").symlink_to(roots / "real")
    log, door = roots / "link" / "log", roots / "link" / "door"
    gateway = start_gateway(plain(f"log = file:{log}") + f"[listen door]\naddress = unix:{door}\n" + ECHO, ready=False)
    wait_until(lambda: log.exists() and "sandbox" in log.read_text())
    with Connection(str(door)) as client:
        client.upgrade("/echo")
    assert log.stat().st_uid != 0
    gateway.stop()


# --- words -----------------------------------------------------------------------------------------------------------

def test_start_and_end_in_words(start_gateway, tmp_path):
    """The log says what was started, where it listens, where its routes lead, and what is left at the end."""
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    (tmp_path / "web").mkdir()
    gateway = start_gateway(PLAIN + ECHO + route("far", "tcp:127.0.0.1:9") + f"[route files]\npath = /files/*\nroot = {tmp_path}/web\n")
    started = gateway.wait_for("started")
    assert (started["version"], started["workers"]) == (version, "2")
    assert gateway.wait_for("route", route="echo")["target"] == "echo:"
    far, files = gateway.wait_for("route", route="far"), gateway.wait_for("route", route="files")
    assert (far["path"], far["target"]) == ("/far", "127.0.0.1:9")
    assert (files["path"], files["root"]) == ("/files/*", f"{tmp_path}/web")
    with opened(gateway) as one, opened(gateway) as other:
        gateway.terminate()
        stopping = gateway.wait_for("stopping")
        assert (stopping["sessions"], stopping["timeout"]) == ("2", "30.000")
        assert stopping["hint"] == "a second signal stops at once"
        one.read_close()
        other.read_close()
    assert gateway.wait() == 0


def test_many_routes_are_not_many_lines(start_gateway):
    gateway = start_gateway(PLAIN + "".join(route(f"r{i}", "echo:") for i in range(40)))
    gateway.wait_for("and 8 more routes")
    assert len(gateway.find("route")) == 32


@as_root
def test_root_makes_files_below_a_sticky_directory(start_gateway):
    """Nobody can move root's own directory there; a file that lies there itself is the user's to open."""
    with tempfile.TemporaryDirectory(prefix="sallyport-test-", dir="/tmp") as own:
        os.chmod(own, 0o755)
        log = Path(own) / "log"
        gateway = start_gateway(plain(f"log = file:{log}") + ECHO, ready=False)
        wait_until(lambda: log.exists() and "route=echo" in log.read_text())
        gateway.stop()
    secret = Path(tempfile.mkstemp(prefix="sallyport-test-", dir="/tmp")[1])
    try:
        gateway = start_gateway(plain(f"log = file:{secret}") + ECHO, ready=False)
        assert gateway.wait() == 1 and secret.read_text() == ""
        start_gateway.forget(gateway)
    finally:
        secret.unlink()
