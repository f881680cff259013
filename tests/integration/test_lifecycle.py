"""The gateway's own life: reload, drain, signals, limits, timers of the opening, ways to listen and to dial.

Each test starts the gateway it needs; what it waits for is in the log or on a socket, never a span of time.
"""

import contextlib
import os
import re
import resource
import select
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time

import pytest

import backends
from gateway import binary, wait_until
from inside import cpu_seconds, descriptors, limit_descriptors_of
from wsclient import BINARY, TIMEOUT, Connection, EndOfStream, close_frame, frame, get, request

PLAIN = "[server]\nworkers = 2\nlog_level = debug\n[listen plain]\naddress = 127.0.0.1:0\n"
RELOADED = "configuration was reloaded"


def plain(option):
    """PLAIN with one more option of [server]."""
    return PLAIN.replace("[server]\n", f"[server]\n{option}\n")


def route(name, target, **options):
    lines = [f"[route {name}]", f"path = /{name}", f"target = {target}"]
    return "\n".join(lines + [f"{key} = {value}" for key, value in options.items()]) + "\n"


def connect(gateway, listener="plain", **options):
    return Connection(gateway.address(listener), **options)


def ask(gateway, path, listener="plain", **fields):
    """The answer to an upgrade request, 101 or a refusal."""
    with connect(gateway, listener) as client:
        client.send(request(path, **fields))
        return client.read_response()


def opened(gateway, path="/echo", listener="plain", **options):
    client = connect(gateway, listener, **options)
    client.upgrade(path)
    return client


def reload(gateway, text, event=RELOADED):
    mark = gateway.mark()
    gateway.config.write_text(text)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for(event, since=mark)
    return mark


# --- reload -----------------------------------------------------------------------------------------------------------

def test_rl_reload_keeps_sessions(start_gateway):
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    address, process = gateway.address("plain"), gateway.pid
    with opened(gateway) as client:
        for turn in range(10):
            reload(gateway, PLAIN + route("echo", "echo:") + route(f"extra{turn}", "echo:"))
            client.expect_echo(b"%d" % turn)
            with Connection(address) as other:
                other.upgrade(f"/extra{turn}")
                other.expect_echo()
        assert gateway.pid == process and gateway.process.poll() is None
        client.send(close_frame(1000))
        client.expect_close(1000)


def test_rl_route_removed(start_gateway):
    """Its session lives on; who asks anew is told 404."""
    gateway = start_gateway(PLAIN + route("echo", "echo:") + route("old", "echo:"))
    with opened(gateway, "/old") as client:
        reload(gateway, PLAIN + route("echo", "echo:"))
        assert ask(gateway, "/old").status == 404
        assert ask(gateway, "/echo").status == 101
        client.expect_echo()


def test_rl_reload_options_apply_to_new_sessions(start_gateway):
    gateway = start_gateway(PLAIN + route("echo", "echo:", max_message=100))
    with opened(gateway) as old:
        reload(gateway, PLAIN + route("echo", "echo:", max_message=10))
        old.expect_echo(b"x" * 50)
        with opened(gateway) as new:
            new.send(frame(BINARY, b"x" * 50))
            new.expect_close(1009)


def test_rl_reload_keeps_health(start_gateway, tmp_path):
    """What is known of a target that cannot be reached lives on, until it is reached."""
    path = tmp_path / "target"
    text = PLAIN + route("echo", "echo:") + route("down", f"unix:{path}")
    gateway = start_gateway(text)

    def refused():
        mark = gateway.mark()
        assert ask(gateway, "/down").status == 502
        record = gateway.wait_for("session end", since=mark, reason="backend_refused")
        return int(record["failures"]), float(record["failing"].rstrip("s")), int(record["others"])

    assert refused()[0] == 1
    failures, since, others = refused()
    assert (failures, others) == (2, 0)
    reload(gateway, text + route("extra", "echo:"))
    failures, still, others = refused()
    assert (failures, others) == (3, 0) and still >= since
    with contextlib.closing(backends.Backend(str(path), backends.serve_echo)):
        path.chmod(0o777)
        with opened(gateway, "/down") as client:
            client.expect_echo()
            path.unlink()
            reload(gateway, text)
            failures, _, others = refused()
            assert (failures, others) == (1, 1)


@pytest.mark.parametrize("broken", [
    "[server]\nworkers = many\n", "[route echo]\npath = /echo\ntarget = echo:\nprot = 1\n", "nonsense\n", "",
    "[listen plain]\naddress = 127.0.0.1:0\n[route echo]\npath = /echo\ntarget = nowhere\n",
    "[listen plain]\naddress = 127.0.0.1:0\ntls = on\n[tls own]\ncertificate = /nonexistent\n" + route("echo", "echo:"),
    "[listen plain]\naddress = 127.0.0.1:0\n[listen taken]\naddress = unix:/dev/null\n" + route("echo", "echo:"),
])
def test_rl_reload_broken(start_gateway, broken):
    """The old configuration stays, the error is in the log, and -t says the same."""
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    with opened(gateway) as client:
        mark = reload(gateway, broken, event="reload refused: the running configuration stays")
        assert gateway.find(level=None, since=mark) or any(r.level == "error" for r in gateway.records[mark:])
        client.expect_echo()
        assert ask(gateway, "/echo").status == 101
        if "taken" not in broken: # -t binds nothing
            checked = subprocess.run([binary(), "-t", "-c", gateway.config], capture_output=True, check=False)
            assert checked.returncode != 0
        reload(gateway, PLAIN + route("echo", "echo:") + route("mended", "echo:"))
        assert ask(gateway, "/mended").status == 101


def test_rl_reload_file_gone(start_gateway):
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    gateway.config.unlink()
    gateway.signal(signal.SIGHUP)
    gateway.wait_for("reload refused: the running configuration stays")
    assert ask(gateway, "/echo").status == 101


def test_rl_reload_listeners(start_gateway, tmp_path):
    """Addresses come and go; the ones that stay keep their port and what waits in their backlog."""
    path = tmp_path / "door"
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    address = gateway.address("plain")
    reload(gateway, PLAIN + f"[listen door]\naddress = unix:{path}\n" + route("echo", "echo:"))
    with Connection(str(path)) as client:
        client.upgrade("/echo")
        reload(gateway, PLAIN + route("echo", "echo:"))
        client.expect_echo()
        assert not path.exists()
    with Connection(address) as client:
        client.upgrade("/echo")
        client.expect_echo()


def test_rl_reload_churn(start_gateway, backend):
    """Two hundred reloads while sessions come and go: none is refused, none is lost."""
    echo = backend(serve=backends.serve_echo)
    text = PLAIN + route("echo", "echo:") + route("back", echo.target)
    gateway = start_gateway(text)
    over, failures, count = threading.Event(), [], [0]

    def churn(path):
        try:
            while not over.is_set():
                with opened(gateway, path) as client:
                    client.expect_echo()
                    client.send(close_frame(1000))
                    client.expect_close(1000, then_end=False)
                count[0] += 1
        except Exception as failure: # pylint: disable=broad-except
            failures.append(failure)
    threads = [threading.Thread(target=churn, args=(path,), daemon=True) for path in ("/echo", "/back")]
    with opened(gateway) as steady:
        for thread in threads:
            thread.start()
        for turn in range(100):
            gateway.signal(signal.SIGHUP)
            gateway.wait_for(RELOADED, count=turn + 1)
        over.set()
        for thread in threads:
            thread.join(TIMEOUT)
        assert not failures and count[0] > 0
        steady.expect_echo()


# --- the end ----------------------------------------------------------------------------------------------------------

def test_rl_sigterm(start_gateway, backend):
    """In each state of a connection: told why, flushed, and the exit status is 0."""
    held = backend()
    config = PLAIN.replace("workers = 2", "workers = 1")
    gateway = start_gateway(config + route("echo", "echo:") + route("held", held.target))
    address = gateway.address("plain")
    silent, half = connect(gateway), connect(gateway)
    half.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n")
    echo, session = opened(gateway), opened(gateway, "/held")
    echo.expect_echo() # the one worker has been round, so it has read the half request
    peer = held.accept()
    peer.send(b"just before")
    assert session.read_stream(11) == b"just before"
    gateway.terminate()
    gateway.wait_for("stopping")
    for client in (echo, session):
        close, _ = client.read_close()
        assert close.close_code == 1012
        client.send(close_frame(1012))
    assert peer.read_to_end() == b""
    peer.close()
    assert half.read_response().status == 503
    for client in (echo, session, half, silent):
        client.read_to_end()
        client.close()
    with pytest.raises(ConnectionRefusedError):
        Connection(address)
    assert gateway.wait() == 0
    reasons = [record["reason"] for record in gateway.find("session end")]
    assert reasons.count("drain") == 4, reasons


def test_rl_sigterm_flushes(start_gateway, backend):
    """What the backend had sent when the end began is not lost, and neither is what the client had sent."""
    held = backend()
    gateway = start_gateway(PLAIN + route("held", held.target))
    client = opened(gateway, "/held")
    peer = held.accept()
    data = os.urandom(200_000)
    sender = client.send_aside(frame(BINARY, data))
    assert peer.read(1) == data[:1]
    gateway.terminate()
    close, _ = client.read_close()
    assert close.close_code == 1012
    sender.join()
    client.send(close_frame(1012))
    assert peer.read_to_end() == data[1:]
    peer.close()
    client.expect_end()
    client.close()
    assert gateway.wait() == 0


def test_rl_sigterm_drain_timeout(start_gateway):
    """Who does not answer is cut off when the time is up."""
    gateway = start_gateway(plain("drain_timeout = 300ms") + route("echo", "echo:"))
    with opened(gateway) as client:
        gateway.terminate()
        close, _ = client.read_close()
        assert close.close_code == 1012
        assert gateway.wait() == 0
        record = gateway.wait_session_end(client)
        assert record["reason"] == "drain"


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
def test_rl_sigterm_twice(start_gateway, first, second):
    """The second signal ends it at once, although a client does not answer."""
    gateway = start_gateway(plain("drain_timeout = 1h") + route("echo", "echo:", close_timeout="1h"))
    with opened(gateway) as client:
        gateway.signal(first)
        client.read_close()
        gateway.signal(second)
        assert gateway.wait() == 0
        assert len(gateway.find("session end")) == 1


def test_rl_sigterm_idle(start_gateway):
    """Without a session it just goes."""
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    gateway.terminate()
    assert gateway.wait() == 0


def test_rl_sigterm_while_dialling(start_gateway, unanswering):
    gateway = start_gateway(PLAIN + route("far", unanswering.target, connect_timeout="1h"))
    with connect(gateway) as client:
        client.send(request("/far"))
        select.select([], [], [], 0.1) # it is dialling, most likely; any state must do
        gateway.terminate()
        with contextlib.suppress(EndOfStream):
            assert client.read_response().status == 503
    assert gateway.wait() == 0


# --- the log ----------------------------------------------------------------------------------------------------------

def test_sigusr1_reopens_log(start_gateway, tmp_path):
    path, moved = tmp_path / "gateway.log", tmp_path / "gateway.log.1"
    gateway = start_gateway(plain(f"log = file:{path}") + route("echo", "echo:"), ready=False)
    wait_until(lambda: path.exists() and "listening" in path.read_text())
    path.rename(moved)
    gateway.signal(signal.SIGUSR1)
    wait_until(path.exists)
    wait_until(lambda: "log was reopened" in path.read_text())
    assert "listening" in moved.read_text() and "listening" not in path.read_text()


# --- limits -----------------------------------------------------------------------------------------------------------

def test_rl_max_sessions(start_gateway):
    gateway = start_gateway(plain("max_sessions = 2") + route("echo", "echo:"))
    first, second = opened(gateway), opened(gateway)
    with connect(gateway) as third:
        third.send(request("/echo"))
        response = third.read_response()
        assert response.status == 503 and int(response["Retry-After"]) > 0
        third.expect_end()
    gateway.wait_for("connections refused", reason="overload", peer=third.peer_text)
    first.expect_echo()
    second.expect_echo()
    first.send(close_frame(1000))
    first.expect_close(1000)
    first.close()
    gateway.wait_session_end(first)
    wait_until(lambda: ask(gateway, "/echo").status == 101) # its place is free a moment after the record
    second.close()


def limit_descriptors(number):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def test_rl_accept_gate(start_gateway):
    """More sessions than there can be descriptors for: it does not start, and says why."""
    gateway = start_gateway(plain("max_sessions = 1000") + route("echo", "echo:"), ready=False,
                            preexec=limit_descriptors(256))
    assert gateway.wait() == 1
    assert "max_sessions = 1000" in gateway.log and "256" in gateway.log
    start_gateway.forget(gateway)


def test_rl_accept_gate_refusals(start_gateway):
    """Those without a session and those that need a worker have descriptors each."""
    needed = []
    for most in (10, 30):
        config = plain(f"max_sessions = 1000\nmax_refusals = {most}") + route("echo", "echo:")
        gateway = start_gateway(config, ready=False, preexec=limit_descriptors(256))
        assert gateway.wait() == 1
        needed.append(int(re.search(r"needs (\d+) descriptors", gateway.log)[1]))
        start_gateway.forget(gateway)
    assert needed[1] - needed[0] == 2 * 20, needed


def test_rl_accept_gate_auto(start_gateway):
    """By itself it takes what there is room for, and the next is told so while all others go on."""
    gateway = start_gateway(PLAIN + route("echo", "echo:"), preexec=limit_descriptors(120))
    clients, refused = [], None
    for _ in range(120):
        client = connect(gateway)
        client.send(request("/echo"))
        response = client.read_response()
        clients.append(client)
        if response.status != 101:
            refused = response
            break
    assert refused is not None and refused.status == 503 and refused["Retry-After"]
    for client in clients[:-1]:
        client.expect_echo()
    for client in clients:
        client.close()


def test_rl_emfile(start_gateway):
    """Out of descriptors: open sessions go on, no flood in the log, no busy loop, and it recovers by itself."""
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    with opened(gateway) as client:
        before = limit_descriptors_of(gateway.pid, max(descriptors(gateway.pid)) + 1)
        waiting = [connect(gateway) for _ in range(20)]
        mark = gateway.mark()
        used, began = cpu_seconds(gateway.pid), time.monotonic()
        while time.monotonic() - began < 0.7: # an interval to be measured, not waited for
            client.expect_echo()
            select.select([], [], [], 0.05)
        assert cpu_seconds(gateway.pid) - used < 0.5
        assert len(gateway.records) - mark <= 5
        limit_descriptors_of(gateway.pid, before)
        for one in waiting:
            with one:
                one.upgrade("/echo")
                one.expect_echo()
        client.expect_echo()


# --- timers before the session is open --------------------------------------------------------------------------------

def test_rl_handshake_timeout(start_gateway, certificate):
    """From accept to the answer, whatever drips in; with and without TLS, silent and half told."""
    tls = "[listen tls]\naddress = 127.0.0.1:0\ntls = on\nhandshake_timeout = 1s\n" + tls_section(certificate)
    gateway = start_gateway(PLAIN + "handshake_timeout = 1s\n" + tls + route("echo", "echo:"))
    silent, half, silent_tls = connect(gateway), connect(gateway), connect(gateway, "tls")
    half.send(b"GET /echo HTTP/1.1\r\n")
    assert half.read_response().status == 408
    for client in (silent, half, silent_tls):
        with client:
            with contextlib.suppress(ConnectionResetError):
                client.expect_end()
        gateway.wait_session_end(client)
    reasons = [gateway.wait_session_end(client)["reason"] for client in (silent, half, silent_tls)]
    assert reasons == ["http_done", "request_timeout", "http_done"] # who asked nothing is answered nothing


# --- ways to dial -----------------------------------------------------------------------------------------------------

def test_rl_connect_unix_backlog_full(start_gateway, backend, tmp_path):
    """A full backlog of a UNIX socket makes no event (EAGAIN): the dial goes on by itself once there is room."""
    full = backend(str(tmp_path / "full"), backlog=0)
    gateway = start_gateway(PLAIN + route("full", full.target))
    fillers = []
    with contextlib.suppress(BlockingIOError):
        while True:
            filler = socket.socket(socket.AF_UNIX)
            filler.setblocking(False)
            fillers.append(filler)
            filler.connect(full.path)
    with connect(gateway) as client:
        client.send(request("/full"))
        assert not select.select([client.sock], [], [], 0.3)[0], "an answer although the backlog is full"
        for _ in range(len(fillers)):
            full.accept().close()
            if select.select([client.sock], [], [], 0.3)[0]:
                break
        client.read_101()
    for filler in fillers:
        filler.close()


@pytest.mark.parametrize("family, host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_rl_connect_all_addresses(start_gateway, family, host):
    """A name with several addresses, as localhost is: the one that answers is found."""
    with socket.socket(family) as listening:
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip(f"there is no {host} here")
        listening.listen()
        gateway = start_gateway(PLAIN + route("name", f"localhost:{listening.getsockname()[1]}"))
        with opened(gateway, "/name") as client:
            peer = backends.Peer(listening.accept()[0])
            peer.send(b"found")
            assert client.read_stream(5) == b"found"
            peer.close()


def test_rl_connect_name_unknown(start_gateway):
    gateway = start_gateway(PLAIN + route("name", "tcp:no-such-host.invalid:1"))
    assert ask(gateway, "/name").status == 502
    assert gateway.wait_for("session end")["reason"] == "backend_not_found"


def in_namespaces(flags, prepare):
    """A prefix that runs the gateway in namespaces of its own, or skips the test where that is not allowed."""
    allowed = subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode == 0
    if os.geteuid() != 0 or not allowed:
        pytest.skip("namespaces cannot be made here")
    return ["unshare", *flags, "sh", "-c", f'{prepare} && exec "$@"', "sh"]


def test_rl_localhost_is_never_looked_up(start_gateway, tmp_path, backend):
    """RFC 6761, section 6.3: whatever the hosts file and the name servers say, for targets and listeners alike."""
    (tmp_path / "hosts").write_text("192.0.2.1 localhost a.localhost\n")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.78\n")
    echo = backend(serve=backends.serve_echo)
    prefix = in_namespaces(["-m"], " && ".join(f"mount --bind {tmp_path}/{f} /etc/{f}" for f in ("hosts", "resolv.conf")))
    gateway = start_gateway("[listen plain]\naddress = localhost:0\n" + route("name", f"localhost:{echo.port}") +
                            route("below", f"a.localhost.:{echo.port}"), prefix=prefix)
    for path in ("/name", "/below"):
        with opened(gateway, path) as client:
            client.expect_echo()


def test_rl_dns_hang(start_gateway, tmp_path, backend):
    """A name server that never answers delays its own route alone."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind(("127.0.0.77", 53))
    except OSError as error:
        pytest.skip(f"the name server's port cannot be had: {error}")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.77\noptions timeout:10 attempts:1\n")
    echo = backend(serve=backends.serve_echo)
    prefix = in_namespaces(["-m"], f"mount --bind {resolv} /etc/resolv.conf")
    gateway = start_gateway(PLAIN + route("hang", "tcp:slow.example:80", connect_timeout="2s") +
                            route("fast", f"localhost:{echo.port}") + route("number", echo.target), prefix=prefix)
    with server, contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(connect(gateway)) for _ in range(3)]
        for client in stuck:
            client.send(request("/hang"))
        server.settimeout(TIMEOUT)
        server.recvfrom(512) # it is being looked up
        for path in ("/number", "/fast"):
            with opened(gateway, path) as client:
                client.expect_echo()
        assert not gateway.find("session end", route="hang")
        for client in stuck:
            assert client.read_response().status == 504


def test_rl_ports(start_gateway, tmp_path):
    """No local port left to dial from: 503, and nothing else suffers."""
    prefix = in_namespaces(["-n"], "ip link set lo up && echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range")
    door = tmp_path / "door"
    gateway = start_gateway(f"[server]\nworkers = 1\nlog_level = debug\n[listen door]\naddress = unix:{door}\n"
                            "[listen inner]\naddress = 127.0.0.1:7000\nhandshake_timeout = 1h\n" +
                            route("echo", "echo:") + route("inner", "127.0.0.1:7000"), prefix=prefix)
    kept = []
    for _ in range(2):
        kept.append(Connection(str(door)))
        kept[-1].upgrade("/inner")
    with Connection(str(door)) as client:
        client.send(request("/inner"))
        response = client.read_response()
        assert response.status == 503 and response["Retry-After"]
    assert gateway.wait_for("session end")["reason"] == "no_resource"
    with Connection(str(door)) as client:
        client.upgrade("/echo")
        client.expect_echo()
    for client in kept:
        client.close()


# --- TLS to the backend -----------------------------------------------------------------------------------------------

class TlsBackend:
    """An echo behind TLS; ends each connection by close_notify once the peer did."""

    def __init__(self, certificate, first=b""):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.cert, certificate.key)
        self.first = first
        self.names = []
        self.context.sni_callback = lambda _, name, __: self.names.append(name)
        self.plain = backends.Backend(serve=self.serve)
        self.port = self.plain.port

    def serve(self, peer):
        with contextlib.suppress(ssl.SSLError):
            with self.context.wrap_socket(peer.sock, server_side=True) as secure:
                secure.sendall(self.first)
                while data := secure.recv(65536):
                    secure.sendall(data)
                secure.unwrap()

    def close(self):
        self.plain.close()


@pytest.fixture
def tls_backend(make_certificate):
    made = []

    def make(*sans, **options):
        certificate = make_certificate(f"backend{len(made)}.test", *sans)
        made.append(TlsBackend(certificate, **options))
        return made[-1], certificate
    yield make
    for one in made:
        one.close()


def test_tls_backend_verified(start_gateway, tls_backend):
    one, certificate = tls_backend("DNS:localhost", "IP:127.0.0.1", first=b"hello")
    gateway = start_gateway(PLAIN + route("name", f"tls:localhost:{one.port}", target_ca=certificate.cert) +
                            route("number", f"tls:127.0.0.1:{one.port}", target_ca=certificate.cert))
    for path in ("/name", "/number"):
        with opened(gateway, path) as client:
            assert client.read_stream(5) == b"hello"
            data = os.urandom(300_000)
            sender = client.send_aside(frame(BINARY, data))
            assert client.read_stream(len(data)) == data
            sender.join()
            client.send(close_frame(1000))
            client.expect_close(1000)
    assert one.names == ["localhost", None]


@pytest.mark.parametrize("how", ["wrong name", "unknown authority", "no TLS at all"])
def test_tls_backend_refused(start_gateway, tls_backend, backend, make_certificate, how):
    one, certificate = tls_backend("DNS:elsewhere.test" if how == "wrong name" else "DNS:localhost")
    other = make_certificate("stranger.test")
    port = backend(serve=lambda peer: peer.send(b"SSH-2.0-no-tls\r\n")).port if how == "no TLS at all" else one.port
    authority = other if how == "unknown authority" else certificate
    gateway = start_gateway(PLAIN + route("name", f"tls:localhost:{port}", target_ca=authority.cert))
    assert ask(gateway, "/name").status == 502
    record = gateway.wait_for("session end")
    assert record["reason"] == "backend_tls" and record["detail"], record
    with connect(gateway) as client:
        client.send(request("/name", origin="http://gateway.test"))
        client.read_101()
        close, _ = client.read_close()
        assert close.close_code == 1014
    if how == "wrong name":
        options = {"target_ca": authority.cert, "target_name": "elsewhere.test"}
    elif how == "unknown authority":
        options = {"target_verify": "no"}
    else:
        return
    reload(gateway, PLAIN + route("name", f"tls:localhost:{port}", **options))
    with opened(gateway, "/name") as client:
        client.send(frame(BINARY, b"now it fits"))
        assert client.read_stream(11) == b"now it fits"


def test_tls_backend_silent(start_gateway, backend):
    """The time to connect covers the TLS handshake."""
    silent = backend()
    gateway = start_gateway(PLAIN + route("name", f"tls:localhost:{silent.port}", connect_timeout="300ms",
                                          target_verify="no"))
    assert ask(gateway, "/name").status == 504
    assert gateway.wait_for("session end")["reason"] == "backend_timeout"


def test_tls_backend_fin(start_gateway, make_certificate):
    """A backend's close_notify ends its direction alone: what it had sent arrives, then Close 1000."""
    certificate = make_certificate("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        target = f"tls:localhost:{listening.getsockname()[1]}"
        gateway = start_gateway(PLAIN + route("name", target, target_ca=certificate.cert))
        client = connect(gateway)
        client.send(request("/name"))
        listening.settimeout(TIMEOUT)
        secure = context.wrap_socket(listening.accept()[0], server_side=True)
        client.read_101()
        data = os.urandom(1 << 20)
        sender = threading.Thread(target=lambda: (secure.sendall(data), secure.unwrap()), daemon=True)
        sender.start()
        close, got = client.read_close()
        assert (close.close_code, got) == (1000, data)
        client.send(close_frame(1000))
        client.expect_end()
        sender.join()
        secure.close()
        client.close()


# --- ways to listen ---------------------------------------------------------------------------------------------------

def tls_section(certificate, **options):
    options = {"certificate": certificate.cert, "key": certificate.key, **options}
    return "[tls own]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())


def test_listen_tls_auto(start_gateway, certificate):
    """The first byte decides; who sends none is not served by either."""
    gateway = start_gateway(PLAIN + "tls = auto\n" + tls_section(certificate) + route("echo", "echo:"))
    with opened(gateway) as client:
        client.expect_echo()
    with opened(gateway, tls=certificate.client_context()) as client:
        client.expect_echo()
        client.send(close_frame(1000))
        client.expect_close(1000)
    with opened(gateway, tls=certificate.client_context(), bytewise=True) as client:
        client.expect_echo()


@pytest.mark.parametrize("policy", ["required", "optional"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_listen_client_certificate(start_gateway, certificate, make_certificate, policy, version):
    authority, stranger = make_certificate("authority.test"), make_certificate("stranger.test")
    known = make_certificate("known.test", issuer=authority)
    section = tls_section(certificate, client_certificate=policy, client_ca=authority.cert)
    gateway = start_gateway(PLAIN + "tls = on\n" + section + route("echo", "echo:"))

    def served(own):
        context = ssl.create_default_context(cafile=certificate.cert)
        context.minimum_version = context.maximum_version = version
        if own is not None:
            context.load_cert_chain(own.cert, own.key)
        try:
            with opened(gateway, tls=context) as client:
                client.expect_echo()
            return True
        except (ssl.SSLError, OSError, EndOfStream):
            return False
    assert served(known)
    assert served(None) == (policy == "optional")
    assert not served(stranger)
    gateway.wait_for("session end", reason="tls_failed")


def test_listen_unix(start_gateway, tmp_path):
    path = tmp_path / "door"
    gateway = start_gateway(f"[listen door]\naddress = unix:{path}\nunix_mode = 0600\n" + route("echo", "echo:"))
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    with Connection(str(path)) as client:
        client.upgrade("/echo")
        client.expect_echo()
        client.send(close_frame(1000))
        client.expect_close(1000)
    record = gateway.wait_for("session end")
    assert f"pid={os.getpid()}" in record.line and f"uid={os.getuid()}" in record.line
    gateway.stop()
    assert not path.exists()


def test_listen_unix_stale(start_gateway, tmp_path):
    """A socket file that a crash has left behind is no obstacle; a live one, or a file, is."""
    path = tmp_path / "door"
    config = f"[listen door]\naddress = unix:{path}\n" + route("echo", "echo:")
    gateway = start_gateway(config)
    start_gateway.forget(gateway)
    assert path.exists()
    gateway = start_gateway(config)
    with Connection(str(path)) as client:
        client.upgrade("/echo")
        second = start_gateway(config, name="second.conf", ready=False)
        assert second.wait() != 0 and str(path) in second.log
        start_gateway.forget(second)
        client.expect_echo()
    gateway.stop()
    path.write_text("precious")
    third = start_gateway(config, name="third.conf", ready=False)
    assert third.wait() != 0
    start_gateway.forget(third)
    assert path.read_text() == "precious"


def test_listen_abstract(start_gateway, backend):
    """Abstract names on both sides."""
    name = f"@sallyport-test-{os.getpid()}"
    echo = backend(name + "-target", serve=backends.serve_echo)
    gateway = start_gateway(f"[listen door]\naddress = unix:{name}\n" + route("back", echo.target))
    with Connection("\0" + name[1:]) as client:
        client.upgrade("/back")
        client.expect_echo()
    assert gateway.address(0) == "\0" + name[1:]


HAND_OVER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
_, fds, _, _ = socket.recv_fds(sock, 1, 8)
for place, fd in enumerate(fds, 3):
    if fd != place:
        os.dup2(fd, place)
    os.set_inheritable(place, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def holder(tmp_path):
    """holder(sockets, names): a prefix that starts a program with these sockets, as a service manager does."""
    path = str(tmp_path / "holder")
    giver = socket.socket(socket.AF_UNIX)
    giver.bind(path)
    giver.listen()

    def hold(sockets, names):
        def give():
            taker, _ = giver.accept()
            with taker:
                socket.send_fds(taker, [b"x"], [one.fileno() for one in sockets])
        threading.Thread(target=give, daemon=True).start()
        return [sys.executable, "-c", HAND_OVER, path, names]
    yield hold
    giver.close()


def test_listen_inherited(start_gateway, holder, tmp_path):
    path = str(tmp_path / "inherited")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        listens = "[listen web]\naddress = fd:web\n[listen local]\naddress = fd:local\n"
        gateway = start_gateway(listens + route("echo", "echo:"), prefix=holder([tcp, unix], "web:local"))
        for address in (tcp.getsockname(), path):
            with Connection(address) as client:
                client.upgrade("/echo")
                client.expect_echo()
        gateway.stop()
        assert os.path.exists(path), "the socket's file is its maker's"


def test_rl_crash_restart(start_gateway, holder):
    """A crash loses what was open and nothing else: who comes meanwhile waits in the backlog of the held socket."""
    config = "[listen web]\naddress = fd:web\n" + route("echo", "echo:")
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        first = start_gateway(config, prefix=holder([tcp], "web"))
        with Connection(tcp.getsockname()) as client:
            client.upgrade("/echo")
            start_gateway.forget(first) # SIGKILL
            waiting = Connection(tcp.getsockname())
            waiting.send(request("/echo"))
            start_gateway(config, prefix=holder([tcp], "web"))
            with waiting:
                waiting.read_101()
                waiting.expect_echo()


# --- the clock --------------------------------------------------------------------------------------------------------

@pytest.mark.native
def test_rl_clock_step(start_gateway, tmp_path):
    """The wall clock leaps by a day, forwards and back: no timer of a session notices."""
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
    if not os.path.exists(library):
        pytest.skip("libfaketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    gateway = start_gateway(PLAIN + route("echo", "echo:", idle_timeout="1h", lifetime="2h", ping_interval="1h"), env={
        "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    with opened(gateway) as client:
        for step in ("+1d", "-1d", "+0"):
            clock.write_text(step)
            with opened(gateway) as other:
                other.expect_echo()
            client.expect_echo()
        assert not gateway.find("session end", reason="idle") and not gateway.find("session end", reason="lifetime")


# --- plain requests ---------------------------------------------------------------------------------------------------

def test_rl_plain_request_on_target(start_gateway):
    """A browser that opens the address by hand learns what it is."""
    gateway = start_gateway(PLAIN + route("echo", "echo:"))
    with connect(gateway) as client:
        client.send(get("/echo"))
        response = client.read_response()
        assert response.status == 426 and response["Upgrade"] == "websocket"
