"""What the gateway has given up once it serves: rights, system calls, files; and that all it still has to do goes on."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import backends
from gateway import SANITIZER_ENV, binary, find_instrument, open_to_all
from inside import steward_of, thread_status
from sections import listeners
from test_lifecycle import wait_until
from wsclient import Connection, TIMEOUT, request

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root has something to give up")
CALLS_MAX = 48
LANDLOCK_CREATE_RULESET = 444


@pytest.fixture(autouse=True)
def only_with_a_sandbox():
    if find_instrument():
        pytest.skip(f"{find_instrument()} needs more than the sandbox has")


@pytest.fixture
def elsewhere():
    """A directory that anybody may use, and that has nothing to do with that of the configuration."""
    with tempfile.TemporaryDirectory(prefix="sallyport-elsewhere-") as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


LISTEN = "[listen plain]\naddress = 127.0.0.1:0\n"
ECHO = "[route echo]\npath = /echo\ntarget = echo:\n"


def run(*arguments, program=None, **options):
    environment = {**SANITIZER_ENV, **os.environ}
    return subprocess.run([program or binary(), *map(str, arguments)], capture_output=True, text=True, timeout=4 * TIMEOUT,
                          check=False, stdin=subprocess.DEVNULL, env=environment, **options)


def trial(*arguments, **options):
    """Of tests/sandbox_trial, which make check builds beside the binary."""
    program = Path(binary()).parent / "tests/sandbox_trial"
    if not program.exists():
        pytest.skip(f"there is no {program}; make check builds it")
    return run(*arguments, program=program, **options)


def connect(gateway, listener="plain", **options):
    return Connection(gateway.address(listener), **options)


def get(gateway, path):
    with connect(gateway) as client:
        client.send(request(path, upgrade=None, connection="close", key=None, ws_version=None))
        return client.read_response()


def answer(gateway, path):
    """What a request to upgrade is answered; the connection ends with it."""
    with connect(gateway) as client:
        client.send(request(path))
        return client.read_response().status


def check_echo(gateway, path="/echo", listener="plain", **options):
    with connect(gateway, listener, **options) as client:
        client.upgrade(path)
        client.expect_echo()


def reload(gateway, text=None):
    """Returns the log of the reload, whether it was taken or not."""
    if text is not None:
        gateway.config.write_text(text)
    mark = gateway.mark()
    gateway.signal(signal.SIGHUP)
    over = re.compile("configuration was reloaded|reload refused")
    wait_until(lambda: any(over.search(r.line) for r in gateway.find(since=mark)))
    return "\n".join(r.line for r in gateway.find(since=mark))


# --- what is given up ------------------------------------------------------------------------------------------------

def check_thread(status):
    ids = status["Uid"].split() + status["Gid"].split()
    assert not ROOT or "0" not in ids
    assert not ROOT or status.get("Groups", "").split() in ([], [status["Gid"].split()[0]])
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert not ROOT or int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert not blocks_sigsys(status) # or a refused call would be death


def blocks_sigsys(status):
    return int(status["SigBlk"], 16) >> (signal.SIGSYS - 1) & 1 == 1


def test_sb_all_threads(start_gateway):
    gateway = start_gateway("[server]\nworkers = 3\nresolver_threads = 2\nfile_threads = 1\n" + LISTEN + ECHO,
                            preexec=(lambda: os.setgroups([0, 4321])) if ROOT else None)
    wait_until(lambda: not any(map(blocks_sigsys, thread_status(gateway.pid).values()))) # as one does that has yet to run
    threads = thread_status(gateway.pid)
    assert len(threads) == 1 + 3 + 2 + 1 + 1 + 1, "main, workers, resolvers, helpers, log, reload"
    for status in threads.values():
        check_thread(status)


def test_sb_dumps(start_gateway):
    """No core file, and nothing of it to be read by others of the same user."""
    gateway = start_gateway(LISTEN + ECHO)
    limits = Path(f"/proc/{gateway.pid}/limits").read_text(encoding="ascii")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
    assert os.stat(f"/proc/{gateway.pid}/mem").st_uid == 0 # what is not dumpable is root's in /proc


def test_sb_off_leaves_rights_given_up(start_gateway):
    gateway = start_gateway("[server]\nsandbox = off\n" + LISTEN + ECHO)
    gateway.wait_for(re_event(gateway, "sandbox = off"))
    for status in thread_status(gateway.pid).values():
        assert status["Seccomp"] == "0" and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"
        assert not ROOT or status["Uid"].split()[0] != "0"


def re_event(gateway, begin):
    """The event of the record that begins so."""
    wait_until(lambda: any(r.event and r.event.startswith(begin) for r in gateway.find()))
    return next(r.event for r in gateway.find() if r.event and r.event.startswith(begin))


@as_root
@pytest.mark.parametrize("user", ["root", "0"])
def test_sb_refuses_root(tmp_path, user):
    config = tmp_path / "s.conf"
    config.write_text(f"[server]\nuser = {user}\n" + LISTEN + ECHO)
    for words in (["-t"], []):
        done = run(*words, "-c", config)
        assert done.returncode == 1
        want = 'user "root" is root; sallyport does not run as root' if user == "root" else 'there is no user "0"'
        assert f"{config}:2: [server] user: {want}" in done.stderr


@as_root
def test_sb_inherited_capabilities(start_gateway):
    """An ordinary user with a capability, as a unit with AmbientCapabilities= has it, does not keep it."""
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=+net_bind_service",
              "--ambient-caps=+net_bind_service"]
    gateway = start_gateway("[listen plain]\naddress = 127.0.0.1:0, 127.0.0.99:99\n" + ECHO, prefix=prefix)
    for status in thread_status(gateway.pid).values():
        assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
        assert status["Uid"].split()[0] != "0"


# --- the trial, and the size of the list -------------------------------------------------------------------------

def test_sb_trial(tmp_path):
    config = tmp_path / "s.conf"
    log = tmp_path / "log"
    (tmp_path / "web").mkdir()
    config.write_text(f"[server]\nlog = file:{log}\n" + LISTEN + ECHO + f"host = own\n[route files]\nroot = {tmp_path}/web\n")
    done = trial(config)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    calls = int(re.fullmatch(r"Landlock ABI [1-9]\d*, (\d+) system calls", lines[0])[1])
    assert 0 < calls <= CALLS_MAX
    assert len(lines) > 25 and all(line.startswith("ok ") for line in lines[1:])


def test_sb_trial_kills():
    """What only an attacker does ends the process; what a library might do fails and no more."""
    outcome = dict(re.findall(r"^ok +(.*): (.*)$", trial().stdout, re.M))
    for act in ("run a program", "fork", "make memory executable", "be traced", "mount", "load a BPF program",
                "make an io_uring", "take another process's descriptor"):
        assert outcome[act] == "killed"
    for act in ("open a file for writing", "open a raw socket", "attach a filter to a socket", "make a call that nobody needs"):
        assert outcome[act] == "Operation not permitted"


def test_sb_trial_quick(tmp_path):
    assert trial().returncode == 0
    config = tmp_path / "s.conf"
    config.write_text("[server]\nsandbox = off\n" + LISTEN + ECHO)
    off = trial(config)
    assert off.returncode == 1 and off.stdout == "FAILED  sandbox = off\n"


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]


def without_landlock():
    """For a child before exec: to it this is a kernel without Landlock (ENOSYS from its first call)."""
    code = (Instruction * 4)(Instruction(0x20, 0, 0, 0), Instruction(0x15, 0, 1, LANDLOCK_CREATE_RULESET),
                             Instruction(0x06, 0, 0, 0x00050000 | 38), Instruction(0x06, 0, 0, 0x7fff0000))
    program = Program(4, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def test_sb_no_landlock(start_gateway):
    """A kernel that has none is told of in the log, and the rest of the sandbox holds: no file is opened."""
    gateway = start_gateway(LISTEN + ECHO, preexec=without_landlock)
    re_event(gateway, "sandbox: this kernel has no Landlock")
    assert "Landlock ABI 0" in re_event(gateway, "sandbox: user")
    check_echo(gateway)
    assert "configuration was reloaded" in reload(gateway)
    done = trial(preexec_fn=without_landlock)
    assert done.returncode == 0 and "ok      read /etc/passwd: Permission denied" in done.stdout


# --- the network -----------------------------------------------------------------------------------------------------

def needs_abi(gateway, version):
    found = int(re.search(r"Landlock ABI (\d+)", re_event(gateway, "sandbox: user"))[1])
    if found < version:
        pytest.skip(f"this kernel has version {found} of Landlock")


def test_sb_ports_of_tokens(start_gateway, tmp_path, backend):
    """Tokens may name any port, until the administrator says which: then the kernel refuses the others."""
    named, other = backend(serve=backends.serve_echo), backend(serve=backends.serve_echo)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"named: {named.target[4:]}\nother: {other.target[4:]}\n")
    route = f"[route t]\npath = /\ntoken_file = {tokens}\n"
    free = start_gateway(LISTEN + route)
    for token in ("named", "other"):
        check_echo(free, f"/?token={token}")
    bounded = start_gateway(f"[server]\nsandbox_ports = {named.port}\n" + LISTEN + route, name="bounded.conf")
    needs_abi(bounded, 4)
    check_echo(bounded, "/?token=named")
    assert answer(bounded, "/?token=other") == 502
    bounded.wait_for("session end", reason="backend_refused")
    assert "sandbox_ports" in bounded.find("session end", reason="backend_refused")[0]["detail"]


@pytest.mark.parametrize("what", ["target", "token_file", "abstract"])
def test_sb_reload_other_port(start_gateway, tmp_path, backend, what):
    """Where a reload leads to anew on the network takes a restart, and the refusal says so with the line at fault."""
    other = backend(serve=backends.serve_echo)
    tokens = tmp_path / "tokens"
    tokens.write_text("")
    base = LISTEN + ECHO
    text = {"target": base + f"[route more]\ntarget = {other.target}\n",
            "token_file": base + f"[route more]\ntoken_file = {tokens}\n",
            "abstract": base + f"[route more]\ntarget = unix:@sallyport-{os.getpid()}\n"}[what]
    gateway = start_gateway(base)
    needs_abi(gateway, 6 if what == "abstract" else 4)
    said = reload(gateway, text)
    option = "target" if what == "abstract" else what
    assert re.search(rf"s\w+\.conf:\d+: \[\w+ more\] {option}: .*the sandbox does not allow .*restart", said), said
    assert "reload refused" in said and ("sandbox_ports" in said) == (what != "abstract")
    check_echo(gateway)
    gateway.stop()
    if what == "abstract":
        return
    foreseen = start_gateway(f"[server]\nsandbox_ports = 1, {other.port - 1}-{other.port + 1}\n" + base, name="foreseen.conf")
    said = reload(foreseen, f"[server]\nsandbox_ports = 1, {other.port - 1}-{other.port + 1}\n" + text)
    assert "configuration was reloaded" in said, said


def test_sb_abstract_target(start_gateway):
    """An abstract UNIX socket that is named at the start can be reached; nothing else of this kind is bounded then."""
    name = f"\0sallyport-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(name)
        door.listen()
        gateway = start_gateway(LISTEN + f"[route r]\npath = /*\ntarget = unix:@{name[1:]}\n")
        with connect(gateway) as client:
            client.upgrade("/")
            door.settimeout(TIMEOUT)
            door.accept()[0].close()


@pytest.mark.parametrize("value", ["0", "65536", "80-22", "22-", "ssh", "-1"])
def test_sb_ports_no_ports(tmp_path, value):
    config = tmp_path / "s.conf"
    config.write_text(f"[server]\nsandbox_ports = {value}\n" + LISTEN + ECHO)
    done = run("-t", "-c", config)
    assert done.returncode == 1 and re.search(r"s\.conf:2: \[server\] sandbox_ports: .*write 22, a range", done.stderr)


# --- calls that are refused, and faults --------------------------------------------------------------------------------

def shim(directory, body):
    """The environment for a gateway in which a library makes more calls than it did, in each connect(2)."""
    compiler = shutil.which(os.environ.get("CC", "cc").split()[0])
    if compiler is None:
        pytest.skip("there is no compiler")
    source, library = directory / "shim.c", directory / "shim.so"
    source.write_text("#define _GNU_SOURCE\n#include <errno.h>\n#include <fcntl.h>\n#include <pthread.h>\n#include <stdlib.h>\n"
                      "#include <sys/socket.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n"
                      "static void *nothing(void *arg) { return arg; }\n"
                      "static void update(void) { pthread_t thread; int result = 0; (void)thread; (void)nothing; (void)result;\n"
                      f"{body}\n}}\n"
                      "int connect(int fd, const struct sockaddr *to, socklen_t len)\n"
                      "{ update(); return (int)syscall(SYS_connect, fd, to, len); }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-pthread", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


def through(gateway):
    with connect(gateway) as client:
        client.upgrade("/")
        client.expect_echo()


def test_sb_unknown_call(start_gateway, tmp_path, backend):
    """A library that makes calls the list lacks gets EPERM; sessions live, and the log names each call once."""
    echo = backend(serve=backends.serve_echo)
    environment = shim(tmp_path, """
        for (int i = 0; i < 3; i++) {
                if (syscall(SYS_getsid, 0) != -1 || errno != EPERM) _exit(91);
                if (socket(AF_PACKET, SOCK_DGRAM, 0) != -1 || errno != EPERM) _exit(92);
                if (openat(AT_FDCWD, "/dev/null", O_RDWR) != -1 || errno != EPERM) _exit(93);
                if (pthread_create(&thread, NULL, nothing, NULL) != EAGAIN) _exit(94);
        }""")
    gateway = start_gateway(f"[server]\nworkers = 2\n{LISTEN}[route r]\npath = /*\ntarget = {echo.target}\n", env=environment)
    for _ in range(4):
        through(gateway)
    calls = ("getsid", "socket", "openat")
    for name in calls:
        re_event(gateway, f"sandbox: refused system call {name} (")
    assert len([r for r in gateway.find() if "refused system call" in r.line]) == len(calls)
    assert all(r.level == "warn" for r in gateway.find() if "refused system call" in r.line)


@pytest.mark.parametrize("body, number", [("abort();", signal.SIGABRT), ("syscall(SYS_io_uring_setup, 0, 0);", signal.SIGSYS),
                                          ("fork();", signal.SIGSYS)])
def test_sb_fatal(start_gateway, tmp_path, backend, body, number):
    """A fault that the process finds in itself ends it as anywhere else, by SIGABRT; an attacker's calls by SIGSYS."""
    echo = backend(serve=backends.serve_echo)
    gateway = start_gateway(f"{LISTEN}[route r]\npath = /*\ntarget = {echo.target}\n", env=shim(tmp_path, body))
    with connect(gateway) as client:
        client.send(request("/"))
        assert gateway.process.wait(TIMEOUT) == -number
    gateway.judged = True


# --- files -----------------------------------------------------------------------------------------------------------

def test_sb_breach_is_fatal(start_gateway, tmp_path):
    """What a sandbox is for: a file beside its paths can't be read, be it named by a link or moved there."""
    root = tmp_path / "web"
    root.mkdir()
    (root / "in.txt").write_text("inside")
    with tempfile.TemporaryDirectory() as other:
        os.chmod(other, 0o755)
        secret = Path(other) / "secret.txt"
        secret.write_text("secret")
        (root / "link.txt").symlink_to(secret)
        (root / "up.txt").symlink_to(os.path.relpath(secret, root))
        gateway = start_gateway(LISTEN + f"[route files]\nroot = {root}\n")
        assert get(gateway, "/in.txt").body == b"inside"
        assert get(gateway, "/link.txt").status == 404
        assert get(gateway, "/up.txt").status == 404


def test_sb_reload_within(start_gateway, tmp_path, certificate, backend):
    """All that may change, changes without a restart as long as it lies where it lay: routes, tokens, listeners."""
    echo = backend(serve=backends.serve_echo)
    root, tokens = tmp_path / "web", tmp_path / "tokens"
    root.mkdir()
    tokens.write_text(f"one: {echo.target[4:]}\n")
    base = (f"[server]\nsandbox_ports = {echo.port}\n" + listeners(certificate) + f"[listen door]\naddress = unix:{tmp_path}/door\n" + ECHO +
            f"[route files]\npath = /*\nroot = {root}\n")
    gateway = start_gateway(base)
    text = base.replace(f"unix:{tmp_path}/door", f"unix:{tmp_path}/door\naddress = unix:{tmp_path}/other, 127.0.0.1:0")
    text += (f"[route tokens]\npath = /tokens\ntoken_file = {tokens}\n" +
             f"[route name]\npath = /name\ntarget = localhost:{echo.port}\n")
    for _ in range(3):
        assert "configuration was reloaded" in reload(gateway, text)
    wait_until((tmp_path / "other").exists)
    lines = [r.line.replace(str(tmp_path), "") for r in gateway.find() if r.level == "warn"] # the path may have the word
    assert not any("sandbox" in line for line in lines)
    fresh = tmp_path / "tokens.new"
    fresh.write_text(f"two: {echo.target[4:]}\n")
    fresh.rename(tokens)
    (root / "late.txt").write_text("late")
    for path in ("/tokens?token=two", "/name", "/echo"):
        check_echo(gateway, path)
    check_echo(gateway, "/echo", "tls", tls=certificate.client_context())
    assert answer(gateway, "/tokens?token=one") == 403
    assert get(gateway, "/late.txt").body == b"late"
    gateway.stop()
    assert not (tmp_path / "other").exists() and not (tmp_path / "door").exists()


def test_sb_reload_elsewhere(start_gateway, elsewhere, certificate):
    """What a reload names may lie where nothing lay at the start."""
    for source, name in ((certificate.cert, "c.pem"), (certificate.key, "k.pem")):
        shutil.copyfile(source, elsewhere / name)
    base = LISTEN + "[listen tls]\naddress = 127.0.0.1:0\ntls = on\n" + ECHO
    gateway = start_gateway(base + f"[tls t]\ncertificate = {certificate.cert}\nkey = {certificate.key}\n")
    assert "configuration was reloaded" in reload(gateway, base + f"[tls t]\ncertificate = {elsewhere}/c.pem\nkey = {elsewhere}/k.pem\n")
    check_echo(gateway, "/echo", "tls", tls=certificate.client_context())


def test_sb_reload_of_relative_paths(start_gateway, tmp_path):
    """A relative path is looked at again without getcwd(), which the sandbox refuses and the log then names."""
    (tmp_path / "web").mkdir()
    open_to_all(tmp_path)
    base = LISTEN + "[route pages]\nroot = web\n[route tokens]\nhost = own\npath = /tokens\ntoken_file = tokens\n"
    (tmp_path / "tokens").write_text("one: 127.0.0.1:9\n")
    (tmp_path / "s.conf").write_text(base)
    gateway = start_gateway.from_file("s.conf", ["plain"], preexec=lambda: os.chdir(tmp_path))
    gateway.config = tmp_path / "s.conf"
    assert "configuration was reloaded" in reload(gateway)
    (tmp_path / "link").symlink_to("web/tokens")
    (tmp_path / "web" / "tokens").write_text("")
    assert "this root would publish the token_file" in reload(gateway, base.replace("= tokens", "= link"))
    assert "refused system call" not in gateway.log


@as_root
def test_sb_key_of_roots(start_gateway, tmp_path, make_certificate, certificate):
    """What only root can read, where others could put a link, is loaded at the start, and warned of: no reload reads it."""
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    shutil.copyfile(certificate.cert, cert)
    shutil.copyfile(certificate.key, key)
    key.chmod(0o600)
    gateway = start_gateway("[listen tls]\naddress = 127.0.0.1:0\ntls = on\n" + ECHO +
                            f"[tls t]\ncertificate = {cert}\nkey = {key}\n")
    wait_until(lambda: re.search(r"may not read \S*k\.pem: reloads will be refused: .*restart", gateway.log))
    said = reload(gateway)
    assert f"[tls t] key {key}: permission denied" in said and "reload refused" in said, said
    check_echo(gateway, "/echo", "tls", tls=certificate.client_context())
    key.chmod(0o644)
    assert "configuration was reloaded" in reload(gateway)


@as_root
@pytest.mark.parametrize("option", ["root", "token_file"])
def test_sb_eyes_of_the_user(tmp_path, option):
    """What no session could use is told at once, by the check as well: the option, the path and what to do."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "tokens").write_text("")
    closed.chmod(0o700)
    config = tmp_path / "s.conf"
    path = closed if option == "root" else closed / "tokens"
    config.write_text(LISTEN + f"[route r]\n{option} = {path}\n")
    for words in (["-t"], []):
        done = run(*words, "-c", config)
        assert done.returncode == 1
        complaint = rf"s\.conf:4: \[route r\] {option}: user \w+ may not \w+ {path}: give it the permission"
        assert re.search(complaint, done.stderr)
    closed.chmod(0o755)
    assert run("-t", "-c", config).returncode == 0


# --- the log ---------------------------------------------------------------------------------------------------------

def test_sb_tokens_in_a_wide_directory(start_gateway, backend):
    """A token file straight in /tmp is exchanged as any other: who opens it is not bound to a directory."""
    echo = backend(serve=backends.serve_echo)
    with tempfile.NamedTemporaryFile("w", prefix="sallyport-tokens.", dir="/tmp") as tokens:
        tokens.write(f"one: {echo.target[4:]}\n")
        tokens.flush()
        os.chmod(tokens.name, 0o644)
        gateway = start_gateway(LISTEN + f"[route tokens]\npath = /tokens\ntoken_file = {tokens.name}\n")
        check_echo(gateway, "/tokens?token=one")
        with open(tokens.name + ".new", "w", encoding="ascii") as new:
            new.write(f"two: {echo.target[4:]}\n")
        os.chmod(new.name, 0o644)
        os.rename(new.name, tokens.name)
        check_echo(gateway, "/tokens?token=two")
        assert answer(gateway, "/tokens?token=one") == 403


def test_sb_log_reopened(start_gateway, tmp_path):
    """Only the log's own flags may write, and only in its directory."""
    path = tmp_path / "gateway.log"
    gateway = start_gateway(f"[server]\nlog = file:{path}\n" + LISTEN + ECHO, ready=False)
    wait_until(lambda: path.exists() and "listening" in path.read_text())
    for turn in range(3):
        path.rename(tmp_path / f"gateway.log.{turn}")
        gateway.signal(signal.SIGUSR1)
        wait_until(lambda: path.exists() and "log was reopened" in path.read_text())


def in_own_mounts(prepare, path):
    """A prefix that prepares a mount namespace for the gateway, with path as $1, or a skip."""
    if not ROOT or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("namespaces cannot be made here")
    return ["unshare", "-m", "sh", "-c", f'{prepare} && shift && exec "$@"', "sh", str(path)]


def syslog_at(path):
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.bind(str(path))
    one.settimeout(TIMEOUT)
    return one


def receive_until(log, text):
    while text not in (record := log.recv(8192).decode()):
        pass
    return record


def test_sb_syslog(start_gateway, tmp_path):
    """syslog is connected to anew after its daemon was started again."""
    path = tmp_path / "log"
    prefix = in_own_mounts('mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s "$1" /dev/log', path)
    with syslog_at(path) as log:
        gateway = start_gateway("[server]\nlog = syslog\n" + LISTEN + ECHO, prefix=prefix, ready=False)
        receive_until(log, "listening")
    with syslog_at(path) as log:
        gateway.signal(signal.SIGHUP)
        assert "sallyport[" in receive_until(log, "configuration was reloaded")


# --- looking names up ------------------------------------------------------------------------------------------------

def test_sb_getaddrinfo(start_gateway, backend):
    """The hosts file, a name that nobody has, and a stop in the middle: no module and no call is missing."""
    echo = backend(serve=backends.serve_echo)
    gateway = start_gateway(LISTEN + f"[route name]\npath = /name\ntarget = localhost:{echo.port}\n" +
                            "[route none]\npath = /none\ntarget = no-such-host.invalid:1\n")
    check_echo(gateway, "/name")
    assert answer(gateway, "/none") in (502, 504)
    gateway.signal(signal.SIGSTOP)
    gateway.signal(signal.SIGCONT)
    check_echo(gateway, "/name")


def test_sb_name_service_module(start_gateway, tmp_path, backend):
    """A module that is code of its own (glibc brings hesiod) comes before the hosts file, and harms no look-up."""
    echo = backend(serve=backends.serve_echo)
    switch = tmp_path / "nsswitch.conf"
    switch.write_text("passwd: files\ngroup: files\nhosts: hesiod [!SUCCESS=continue] files # dns\n")
    prefix = in_own_mounts('mount --bind "$1" /etc/nsswitch.conf', switch)
    gateway = start_gateway(LISTEN + f"[route name]\npath = /name\ntarget = localhost:{echo.port}\n", prefix=prefix)
    assert "libnss_hesiod" in Path(f"/proc/{steward_of(gateway)}/maps").read_text(encoding="ascii") # already
    for _ in range(2):
        check_echo(gateway, "/name")


@pytest.mark.parametrize("before", ["hosts: files dns\n", "", "passwd: files\n\thosts:\tfiles # [!UNAVAIL=return] dns\n"])
def test_sb_name_service_edited(start_gateway, tmp_path, backend, before):
    """A module that is named later would be code to map: it takes a restart, also where Landlock does not hide its file."""
    echo = backend(serve=backends.serve_echo)
    switch = tmp_path / "nsswitch.conf"
    switch.write_text(before)
    (tmp_path / "hosts").write_text("127.0.0.1 early.test late.test\n")
    prefix = in_own_mounts('for f in nsswitch.conf hosts; do mount --bind "$1/$f" "/etc/$f"; done', tmp_path)
    names = "".join(f"[route {name}]\npath = /{name}\ntarget = {name}.test:{echo.port}\n" for name in ("early", "late"))
    gateway = start_gateway(LISTEN + names, prefix=prefix, preexec=without_landlock)
    check_echo(gateway, "/early")
    switch.write_text("hosts: hesiod [!SUCCESS=continue] files\n")
    check_echo(gateway, "/late")
    assert "libnss_hesiod" not in Path(f"/proc/{steward_of(gateway)}/maps").read_text(encoding="ascii")
