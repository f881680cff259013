"""Ends that once went wrong: sessions cut, aborted or held for ever while one side or both had stopped taking part.

Where a pause is longer than a timer of the gateway, that pause is what the test is about; all else waits for an event.
"""

import contextlib
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import threading
import time

import pytest

import backends
from gateway import DISASTER, Record
from inside import send_until_held, socket_of
from wsclient import BINARY, MASK, TIMEOUT, Connection, EndOfStream, close_frame, frame, get, request, xor

MIB = 1 << 20
BLOB = os.urandom(MIB)
MASKED = xor(BLOB, MASK)
PAUSE = 1.0 # what 300 ms must not end, even if two such limits came one after the other
LISTEN = "[server]\nworkers = 1\nlog_level = debug\n[listen plain]\naddress = 127.0.0.1:0\n"


def section(name, **options):
    return f"[route {name}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())


def connect(gateway, **options):
    return Connection(gateway.address("plain"), **options)


def opened(gateway, **options):
    client = connect(gateway, **options)
    client.upgrade("/")
    return client


def repeated(n):
    return (BLOB * (n // MIB + 1))[:n]


def start_upload(gateway, client):
    """A frame without an end, sent until the gateway takes no more; returns how much of its payload was."""
    client.send(frame(BINARY, length=1 << 40))
    return send_until_held(gateway.pid, client.sock, MASKED)


def wait_discarded(sock):
    """Until the gateway reads again from an end that was held: it throws away what comes now."""
    assert select.select([], [sock], [], TIMEOUT)[1], "nothing more is read"


def shrink(gateway, other_end):
    """The kernel holds next to nothing of what the gateway sends to this end; the rest waits in the gateway."""
    with socket_of(gateway.pid, other_end) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def wait_taken(gateway, peer):
    """Until the gateway has read all that the peer has sent."""
    def waiting(sock, what):
        return struct.unpack("i", fcntl.ioctl(sock, what, bytes(4)))[0]
    with socket_of(gateway.pid, peer.sock) as copy:
        deadline = time.monotonic() + TIMEOUT
        while waiting(peer.sock, termios.TIOCOUTQ) + waiting(copy, termios.FIONREAD) > 0:
            assert time.monotonic() < deadline, "the gateway does not take what it has room for"
            time.sleep(0.01)


def ended(gateway, client, reason, code):
    record = gateway.wait_session_end(client)
    assert (record["reason"], record["code"]) == (reason, str(code)), record
    return record


# --- both backlogs are full -------------------------------------------------------------------------------------------

def test_reset_while_both_are_full(start_gateway, backend):
    """Neither side reads, both have sent all that is taken, and then the client is gone: the backend gets the rest."""
    one = backend()
    gateway = start_gateway(LISTEN + section("all", target=one.target))
    client = opened(gateway, rcvbuf=4096)
    peer = one.accept()
    send_until_held(gateway.pid, peer.sock, BLOB)
    sent = start_upload(gateway, client)
    client.reset()
    for _ in range(16): # more than buffers hold: it is thrown away while the other backlog is still full
        peer.send(BLOB)
    got = peer.read_to_end()
    assert got and got == repeated(sent)[:len(got)]
    peer.close()
    ended(gateway, client, "client_reset", 1006)
    with opened(gateway):
        pass


@pytest.mark.parametrize("how", ["lifetime", "drain"])
def test_echo_is_full(start_gateway, how):
    """A client that floods the echo and takes nothing back is told of the end behind what was echoed."""
    options = {"lifetime": "1s"} if how == "lifetime" else {}
    gateway = start_gateway(LISTEN + section("all", target="echo:", **options))
    client = opened(gateway, rcvbuf=4096)
    sent = start_upload(gateway, client)
    if how == "drain":
        gateway.terminate()
    wait_discarded(client.sock)
    code = 1001 if how == "lifetime" else 1012
    data = client.expect_close(code, then_end=False)
    assert data and data == repeated(sent)[:len(data)]
    client.close()
    ended(gateway, client, how, code)


# --- a client that does not take part ---------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["lifetime", "idle"])
def test_close_is_ignored(start_gateway, backend, how):
    """A client that goes on sending after our Close, for ever, is ended all the same."""
    one = backend(serve=backends.serve_sink)
    options = {f"{how}{'_timeout' if how == 'idle' else ''}": "300ms"}
    gateway = start_gateway(LISTEN + "linger_timeout = 200ms\n" +
                            section("all", target=one.target, close_timeout="200ms", stall_timeout="300ms", **options))
    client = opened(gateway)
    if how == "idle":
        assert client.expect_close(1001, then_end=False) == b""
    over = threading.Event()

    def talk():
        while not over.wait(0.01):
            client.send(frame(BINARY, b"hello"))
    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    try:
        ended(gateway, client, how, 1001)
    finally:
        over.set()
        talker.join()
        client.close()


def test_dead_client_was_heard(start_gateway, backend):
    """A client that answers no ping is reset, but what it had sent waits for a slow backend and arrives."""
    one = backend()
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    gateway = start_gateway(LISTEN + section("all", target=one.target, ping_interval="500ms", pong_timeout="1s"))
    client = opened(gateway)
    peer = one.accept()
    shrink(gateway, peer.sock)
    data = BLOB[:100_000]
    client.send(frame(BINARY, data))
    with pytest.raises((ConnectionResetError, EndOfStream)):
        while True:
            client.read_frame()
    assert peer.read_to_end() == data
    peer.close()
    assert ended(gateway, client, "client_dead", 1006)["bytes_up"] == str(len(data))
    client.close()


def test_no_stall_timeout_while_closing(start_gateway, backend):
    """stall_timeout = 0: a client may take its time behind the backend's FIN, too, whatever close_timeout says."""
    data = BLOB[:300_000]
    one = backend(serve=backends.serve_source(data))
    gateway = start_gateway(LISTEN + section("all", target=one.target, stall_timeout="0", close_timeout="300ms"))
    client = opened(gateway, rcvbuf=16384)
    time.sleep(PAUSE)
    assert client.expect_close(1000, then_end=False) == data
    client.send(close_frame(1000))
    client.expect_end()
    client.close()
    ended(gateway, client, "backend_closed", 1000)


def send_for_ever(peer):
    """A camera: it sends, whatever its other end does, until nobody is there any more."""
    try:
        while True:
            peer.send(b"frame")
            time.sleep(0.01)
    except OSError:
        pass


@pytest.fixture(params=["plain", "tls"])
def watched_camera(request, start_gateway, backend, certificate):
    """(gateway, client, peer): more is on its way to the client than it takes, all of it in the kernel's hands. Nothing but
    close_timeout is short."""
    one = backend()
    text = LISTEN + "linger_timeout = 1h\n[listen tls]\naddress = 127.0.0.1:0\ntls = on\n" + \
        f"[tls default]\ncertificate = {certificate.cert}\nkey = {certificate.key}\n"
    gateway = start_gateway(text + section("all", target=one.target, stall_timeout="0", close_timeout="100ms",
                                           ping_interval="0"))
    tls = certificate.client_context() if request.param == "tls" else None
    with Connection(gateway.address(request.param), tls=tls, rcvbuf=4096) as client:
        client.upgrade("/")
        peer = one.accept()
        peer.send(BLOB[:65536])
        wait_taken(gateway, peer)
        yield gateway, client, peer
    peer.close()


@pytest.mark.parametrize("says_close", [True, False], ids=["Close", "nothing"])
@pytest.mark.parametrize("how", ["reset", "end_sending"])
def test_gone_client_frees_its_target(watched_camera, says_close, how):
    """A client that is gone, or has ended its direction and takes nothing, has close_timeout and no more: stall_timeout is
    for those that are there."""
    gateway, client, peer = watched_camera
    if says_close:
        client.send(close_frame(1000))
    if how == "reset":
        client.reset()
    else:
        client.sock.shutdown(socket.SHUT_WR) # no close_notify: it would have to read first
    camera = threading.Thread(target=send_for_ever, args=(peer,), daemon=True)
    camera.start()
    record = gateway.wait_session_end(client)
    assert record["reason"] in ("client_closed", "client_gone", "client_reset"), record
    camera.join(TIMEOUT)
    assert not camera.is_alive()


def test_reset_behind_what_nobody_reads(start_gateway, backend):
    """Behind its Close a client may send more than is thrown away, and then nobody reads its reset: it is seen all the same."""
    one = backend()
    gateway = start_gateway(LISTEN + section("all", target=one.target, stall_timeout="0", close_timeout="100ms"))
    client = opened(gateway, rcvbuf=4096)
    peer = one.accept()
    peer.send(BLOB[:65536])
    wait_taken(gateway, peer)
    client.send(close_frame(1000))
    send_until_held(gateway.pid, client.sock, BLOB)
    client.reset()
    camera = threading.Thread(target=send_for_ever, args=(peer,), daemon=True)
    camera.start()
    ended(gateway, client, "client_closed", 1000)
    camera.join(TIMEOUT)


def test_lifetime_while_closing(start_gateway, backend):
    """A client that takes what waits for it a little at a time is moving, but lifetime ends it in any case."""
    one = backend()
    gateway = start_gateway(LISTEN + section("all", target=one.target, lifetime="500ms", close_timeout="300ms",
                                             stall_timeout="1h"))
    client = opened(gateway, rcvbuf=4096)
    peer = one.accept()
    shrink(gateway, client.sock)
    peer.send(BLOB[:100_000]) # below high_water, so the FIN behind it is seen at once
    peer.end_sending()
    wait_taken(gateway, peer)
    over = threading.Event()

    def sip():
        with contextlib.suppress(OSError):
            while not over.wait(0.02) and client.sock.recv(512):
                pass
    sipper = threading.Thread(target=sip, daemon=True)
    sipper.start()
    try:
        ended(gateway, client, "backend_closed", 1000)
    finally:
        over.set()
        sipper.join()
        client.close()


# --- downloads and half-closed clients --------------------------------------------------------------------------------

@pytest.fixture
def files(start_gateway, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o755)
    (root / "small").write_bytes(BLOB[:400_000])
    (root / "large").write_bytes(BLOB * 3)
    return start_gateway(LISTEN + "handshake_timeout = 300ms\nlinger_timeout = 300ms\n" + section("all", root=root))


def test_slow_download_kept_alive(files):
    """The kernel holds all of the file: the gateway has nothing to do, but the client is not done."""
    with connect(files, rcvbuf=16384) as client:
        client.send(get("/small"))
        time.sleep(PAUSE)
        response = client.read_response()
        assert response.status == 200 and response.body == BLOB[:400_000]
        client.expect_end()


@pytest.mark.parametrize("name, size", [("small", 400_000), ("large", 3 * MIB)])
def test_request_then_fin(files, name, size):
    """A client that half-closes behind its request gets all of the answer."""
    with connect(files, rcvbuf=16384) as client:
        client.send(get(f"/{name}"))
        client.end_sending()
        response = client.read_response()
        assert response.status == 200 and response.body == repeated(size)
        client.expect_end()


@pytest.mark.parametrize("where", ["gateway", "kernel"])
@pytest.mark.parametrize("half", [False, True], ids=["Close", "Close and FIN"])
def test_close_while_data_waits(start_gateway, backend, half, where):
    """A client that closes, or half-closes behind its Close, gets all that had come for it before."""
    one = backend()
    gateway = start_gateway(LISTEN + section("all", target=one.target))
    client = opened(gateway, rcvbuf=4096)
    peer = one.accept()
    if where == "gateway":
        shrink(gateway, client.sock)
    data = BLOB[:100_000]
    peer.send(data)
    peer.end_sending()
    wait_taken(gateway, peer)
    client.send(close_frame(1000))
    if half:
        client.end_sending()
    assert peer.read_to_end() == b""
    peer.close()
    assert client.expect_close(1000) == data
    client.close()
    assert gateway.wait_session_end(client)["bytes_down"] == str(len(data))


# --- backends that cannot be reached, or end badly --------------------------------------------------------------------

def test_name_not_found_in_words(start_gateway):
    """A label is 63 characters at most, so this name needs no name server to be unknown."""
    gateway = start_gateway(LISTEN + section("all", target=f"tcp:{'x' * 64}.test:1"))
    with connect(gateway) as client:
        client.send(request("/"))
        assert client.read_response().status == 502
    record = gateway.wait_for("session end")
    assert record["reason"] == "backend_not_found", record
    assert record["detail"] and "Unknown error" not in record["detail"], record


def test_refused_with_early_close(start_gateway):
    """What the client's own Close says changes nothing of the code that it was told."""
    refusing = backends.Refusing()
    gateway = start_gateway(LISTEN + section("all", target=refusing.target))
    with connect(gateway) as client:
        client.send(request("/", origin="http://gateway.test") + close_frame(3000))
        client.read_101()
        assert client.expect_close(1014) == b""
    ended(gateway, client, "backend_refused", 1014)
    refusing.close()


def test_tls_backend_cut(start_gateway, certificate):
    """A FIN without close_notify may be anybody's: what came is delivered, but not as if it were all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        gateway = start_gateway(LISTEN + section("all", target=f"tls:localhost:{listening.getsockname()[1]}",
                                                 target_ca=certificate.cert))
        with connect(gateway) as client:
            client.send(request("/"))
            secure = context.wrap_socket(listening.accept()[0], server_side=True)
            client.read_101()
            secure.sendall(b"hello")
            socket.socket(fileno=secure.detach()).close()
            assert client.expect_close(1011, then_end=False) == b"hello"
            client.send(close_frame(1011))
            client.expect_end()
    ended(gateway, client, "backend_reset", 1011)


# --- the log ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("tls", ["on", "auto"])
def test_probe_of_tls_port(start_gateway, certificate, tls):
    """Who connects to a TLS port and goes has failed at nothing."""
    gateway = start_gateway(LISTEN + f"tls = {tls}\n[tls default]\ncertificate = {certificate.cert}\n"
                            f"key = {certificate.key}\n" + section("all", target="echo:"))
    for leave in ("close", "reset"):
        client = connect(gateway)
        getattr(client, leave)()
        record = gateway.wait_session_end(client)
        assert (record["reason"], record.level) == ("http_done", "debug"), record


def test_who_goes_on_sending_is_not_read_for_ever(start_gateway):
    """After a refusal a little is thrown away, so that the answer arrives; what is more has to wait."""
    config = LISTEN.replace("[listen", "drain_timeout = 100ms\n[listen") + "linger_timeout = 300s\n"
    gateway = start_gateway(config + section("echo", path="/", target="echo:"))
    with connect(gateway) as client:
        client.send(request("/elsewhere"))
        assert client.read_response().status == 404
        assert send_until_held(gateway.pid, client.sock, MASKED) < 24 * MIB # the kernel's buffers hold half of it


def test_nobody_reads_stderr(start_gateway):
    """A pipe that is full stops nobody; once there is room again, the log tells how much of it was lost."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 8192)
    small = LISTEN.replace("[listen", "log_queue = 16k\n[listen", 1)
    gateway = start_gateway(small + section("all", target="echo:"), ready=False, preexec=lambda: os.dup2(writing, 2))
    os.close(writing)
    with open(reading, "rb", buffering=0) as pipe:
        text = b""
        while b"address=" not in text or not text.endswith(b"\n"):
            part = pipe.read(8192)
            assert part, text
            text += part
        gateway.records += [Record(line.decode()) for line in text.splitlines()]

        def ask():
            with connect(gateway) as client:
                client.send(request("/", host=None))
                assert client.read_response().status == 400
        for _ in range(400): # many more than the pipe and the queue can hold
            ask()
        text += pipe.read(8192)
        ask()
        gateway.terminate()
        text += pipe.readall()
        assert gateway.wait() == 0
    assert b"log records could not be written" in text
    assert not DISASTER.search(text.decode())
