"""Traps of libevent, OpenSSL and the kernel, as far as they show outside: a test for each rule ev_*."""

import random
import re
import signal
import ssl
import subprocess
import threading

import pytest

import backends
from gateway import binary
from inside import descriptors, thread_status
from sections import listeners
from wsclient import BINARY, CLOSE, PING, PONG, Connection, close_frame, frame, request

MIB = 1 << 20
BLOB = random.Random(7).randbytes(4 * MIB)


def config_text(certificate, target, workers=1, options=""):
    return f"""
[server]
workers = {workers}
log_level = debug
{listeners(certificate)}
[route echo]
path = /echo
target = echo:
[route back]
path = /back
target = {target}
{options}
[route hasty]
path = /hasty
target = {target}
close_timeout = 1s
"""


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder):
    return share_gateway(config_text(certificate, recorder.target))


@pytest.fixture
def open_back(gw, recorder, certificate):
    """open_back(tls, path, **options): (client, peer)"""
    made = []
    recorder.drop_waiting()

    def make(tls=True, path="/back", **options):
        context = certificate.client_context() if tls else None
        client = Connection(gw.address("tls" if tls else "plain"), tls=context, **options)
        made.append(client)
        client.send(request(path))
        client.read_101()
        peer = recorder.accept()
        made.append(peer)
        return client, peer
    yield make
    for one in made:
        one.close()


def send_quietly(peer, data):
    try:
        peer.send(data)
    except OSError:
        pass


# --- ends that come out of turn ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("tls", [False, True])
def test_ev_sigpipe(gw, open_back, tls):
    """Who vanishes while data is on its way to him raises no signal."""
    for who in ("client", "backend") * 5:
        client, peer = open_back(tls)
        pour = threading.Thread(target=send_quietly, args=(peer, BLOB), daemon=True)
        pour.start()
        talk = client.send_aside(frame(BINARY, BLOB[:MIB]))
        if who == "client":
            client.reset()
        else:
            peer.reset()
        pour.join()
        peer.close()
        client.sock.close()
        talk.join()
    gw.check_running()


def test_ev_tls_truncated(gw, open_back):
    """FIN without close_notify: all that came is delivered, and the end is no clean one."""
    client, peer = open_back()
    data = BLOB[:300_000]
    sender = client.send_aside(frame(BINARY, data))
    got = peer.read(len(data))
    sender.join()
    client.end_sending(notify=False)
    assert got == data and peer.read_to_end() == b""
    peer.close()
    client.close()
    record = gw.wait_session_end(client)
    assert record["code"] == "1006" and record["reason"] in ("client_gone", "client_reset"), record


def say_close_notify(client):
    """Ends our direction of TLS and no more: SSL_shutdown() must not meet data, which it would take for an error."""
    try:
        while True:
            client.buffer += client.ssl.read(1 << 18)
    except ssl.SSLWantReadError:
        pass
    with pytest.raises(ssl.SSLWantReadError):
        client.ssl.unwrap()
    client.sock.sendall(client.outgoing.read())


def test_ev_notify_queue(gw, open_back):
    """The peer's close_notify ends one direction; what is queued for the other still goes out, up to our Close."""
    client, peer = open_back(rcvbuf=65536)
    pour = threading.Thread(target=send_quietly, args=(peer, BLOB), daemon=True)
    pour.start()
    first = client.read_frame().payload
    client.send(close_frame(1000))
    say_close_notify(client)
    close, rest = client.read_close()
    assert close.close_code == 1000
    assert BLOB.startswith(first + rest)
    client.expect_end()
    peer.close()
    pour.join()


@pytest.mark.parametrize("answers", [True, False])
def test_ev_free_flush(gw, open_back, answers):
    """Nothing that is queued is dropped with the connection, and close_notify comes before the FIN."""
    client, peer = open_back(path="/hasty" if not answers else "/back", rcvbuf=65536)
    data = BLOB[:MIB + 1]
    pour = threading.Thread(target=lambda: (peer.send(data), peer.end_sending()), daemon=True)
    pour.start()
    pour.join(0.2) # the queue fills up, or not: both must do
    close, got = client.read_close()
    assert (close.close_code, got) == (1000, data)
    if answers:
        client.send(close_frame(1000))
    assert peer.read_to_end() == b""
    client.expect_end()
    pour.join()


def test_ev_notify_wait(gw, open_back):
    """Our close_notify and FIN do not wait for the peer's, and the wait for his is short."""
    client, peer = open_back(path="/hasty")
    client.send(close_frame(1000))
    assert peer.read_to_end() == b""
    peer.close()
    client.expect_close(1000)
    record = gw.wait_session_end(client) # while we hold the connection open
    assert record["reason"] == "client_closed"


# --- bytes that wake nobody -------------------------------------------------------------------------------------------

def records_of(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


def send_in_records(client, pieces):
    """Each piece a TLS record of its own, all in one go."""
    for piece in pieces:
        client.ssl.write(piece)
    client.sock.sendall(client.outgoing.read())


@pytest.mark.parametrize("size", [1, 100, 5000, 16384])
def test_ev_read_ahead(open_back, size):
    """Many records at once, then silence: all of them arrive."""
    client, peer = open_back()
    data = BLOB[:max(2000, 10 * size)]
    wire = frame(BINARY, data)
    sender = threading.Thread(target=send_in_records, args=(client, records_of(wire, size)), daemon=True)
    sender.start()
    assert peer.read(len(data)) == data
    sender.join()


def test_ev_ssl_pending(open_back):
    """Bytes that wait inside the TLS layer while the backend is too slow are not forgotten there."""
    client, peer = open_back()
    data = BLOB[:3 * MIB]
    sender = threading.Thread(target=send_in_records, args=(client, records_of(frame(BINARY, data), 9001)), daemon=True)
    sender.start()
    sender.join(0.3) # it stands still once every buffer is full
    assert peer.read(len(data)) == data
    sender.join()
    client.send(frame(BINARY, b"more"))
    assert peer.read(4) == b"more"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [1, 60, 5000, 100_000])
def test_ev_handover(gw, recorder, certificate, tls, size):
    """Frames that come together with the request, in its record and behind it, need nothing more to be seen."""
    recorder.drop_waiting()
    client = Connection(gw.address("tls" if tls else "plain"), tls=certificate.client_context() if tls else None)
    data = BLOB[:size]
    sender = client.send_aside(request("/back") + frame(BINARY, data) + frame(PING, b"seen?"))
    with client, recorder.accept() as peer:
        client.read_101()
        assert peer.read(size) == data
        sender.join()
        got = client.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"seen?")


def test_ev_write_retry(open_back):
    """Refused TLS writes, odd sizes and pongs in between: the stream stays whole."""
    client, peer = open_back(rcvbuf=65536)
    rng = random.Random(1)
    pieces, at = [], 0
    while at < len(BLOB):
        pieces.append(BLOB[at:at + rng.randint(1, 40_000)])
        at += len(pieces[-1])
    pour = threading.Thread(target=lambda: [peer.send(piece) for piece in pieces], daemon=True)
    pour.start()
    pour.join(0.3) # everything is full
    got, pongs = bytearray(), 0
    while len(got) < len(BLOB):
        if len(got) < 3 * MIB:
            client.send(frame(PING, b"%d" % len(got)))
        piece = client.read_frame()
        if piece.opcode == PONG:
            pongs += 1
        else:
            assert piece.opcode == BINARY
            got += piece.payload
    assert got == BLOB and pongs > 0
    pour.join()


# --- TLS of other makes -----------------------------------------------------------------------------------------------

class Tool:
    """openssl s_client with pipes: for what Python's ssl cannot do."""

    def __init__(self, address, *options):
        self.process = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % address, *options], bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def send(self, data):
        self.process.stdin.write(data)

    def read_until(self, mark):
        while mark not in self.output:
            data = self.process.stdout.read(65536)
            assert data, f"s_client ended: {bytes(self.output)!r}"
            self.output += data

    def read_to_end(self):
        while True:
            data = self.process.stdout.read(65536)
            if not data:
                return
            self.output += data


def payload_of(frames):
    """Payload of the data frames up to the Close, its code."""
    data, at = bytearray(), 0
    while True:
        opcode, length, at = frames[at] & 0xF, frames[at + 1], at + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(frames[at:at + size], "big"), at + size
        if opcode == CLOSE:
            return bytes(data), int.from_bytes(frames[at:at + 2], "big")
        data += frames[at:at + length]
        at += length


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_ev_maxfraglen(gw, recorder, version):
    """A client that asks for fragments of 512 bytes gets the same bytes as any other."""
    recorder.drop_waiting()
    data = BLOB[:300_000]
    with Tool(gw.address("tls"), "-quiet", "-maxfraglen", "512", version) as tool:
        tool.send(request("/hasty"))
        with recorder.accept() as peer:
            sender = threading.Thread(target=lambda: (peer.send(data), peer.end_sending()), daemon=True)
            sender.start()
            tool.read_to_end()
            sender.join()
        head, _, frames = bytes(tool.output).partition(b"\r\n\r\n")
        assert b"HTTP/1.1 101 " in head
        assert payload_of(frames) == (data, 1000)


def test_ev_key_update(gw, recorder):
    """TLS 1.3 key updates, ours asked for as well, in the middle of a session."""
    recorder.drop_waiting()
    with Tool(gw.address("tls"), "-tls1_3") as tool:
        tool.send(request("/back"))
        tool.read_until(b"HTTP/1.1 101 ")
        with recorder.accept() as peer:
            for turn in range(5):
                tool.send(frame(BINARY, b"ask %d" % turn))
                assert peer.read(5) == b"ask %d" % turn
                tool.output.clear()
                tool.send(b"K\n") # has to be a read of its own there
                tool.read_until(b"KEYUPDATE")
                peer.send(b"answer %d" % turn)
                tool.read_until(b"answer %d" % turn)
    gw.check_running()


def test_ev_renegotiate(gw, recorder):
    """TLS 1.2: a renegotiation is not had, the gateway lives."""
    recorder.drop_waiting()
    with Tool(gw.address("tls"), "-tls1_2") as tool:
        tool.send(request("/back"))
        tool.read_until(b"HTTP/1.1 101 ")
        with recorder.accept():
            tool.send(b"R\n")
            tool.read_until(b"RENEGOTIATING")
            tool.read_to_end()
            assert b"no renegotiation" in tool.output
    gw.check_running()


NO_HANDSHAKES = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff", b""]


def test_ev_err_queue(gw, certificate):
    """Broken handshakes beside a good session, on the same worker, do not spoil it, nor the next good ones."""
    with Connection(gw.address("tls"), tls=certificate.client_context()) as good:
        good.upgrade("/echo")
        for turn in range(40):
            with Connection(gw.address("tls")) as bad:
                bad.send(NO_HANDSHAKES[turn % 4])
                if turn % 3 == 0:
                    bad.reset()
            good.expect_echo(b"%d" % turn)
        for _ in range(5):
            with Connection(gw.address("tls"), tls=certificate.client_context()) as more:
                more.upgrade("/echo")
                more.expect_echo()


# --- descriptors, callbacks -------------------------------------------------------------------------------------------

def open_descriptors(gateway):
    return len(descriptors(gateway.pid))


def test_ev_fd_close_once(gw, open_back, certificate):
    """Numbers of closed descriptors are used again at once: no session may close or watch another one's."""
    with Connection(gw.address("tls"), tls=certificate.client_context()) as steady:
        steady.upgrade("/echo")
        before = None
        for turn in range(60):
            client, peer = open_back(tls=turn % 3 == 0)
            send_quietly(peer, b"x" * 1000)
            first, second = (client, peer) if turn % 2 else (peer, client)
            first.reset()
            second.close()
            gw.wait_session_end(client)
            steady.expect_echo(b"%d" % turn)
            if turn == 10:
                before = open_descriptors(gw)
        assert open_descriptors(gw) <= before + 1


@pytest.mark.native
def test_ev_fd_close_once_traced(start_gateway, certificate, recorder, tmp_path):
    """No call on a descriptor that is not open."""
    recorder.drop_waiting()
    trace = tmp_path / "trace"
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    gateway = start_gateway(config_text(certificate, recorder.target),
                            prefix=["strace", "-D", "-f", "-o", str(trace), "-e", "trace=close,epoll_ctl,shutdown"])
    for turn in range(20):
        client = Connection(gateway.address("tls"), tls=certificate.client_context())
        client.upgrade("/back")
        peer = recorder.accept()
        (client.reset if turn % 2 else peer.reset)()
        client.close()
        peer.close()
        gateway.wait_session_end(client)
    gateway.stop()
    text = trace.read_text()
    assert "close(" in text and "EBADF" not in text


def test_ev_free_in_cb(gw, open_back):
    """The end of a session found in the middle of its own callback: errors of both sides in one turn of the loop."""
    for turn in range(40):
        client, peer = open_back(tls=turn % 2 == 0)
        client.send(frame(BINARY, b"data") + frame(3, b"illegal") + frame(BINARY, BLOB[:50_000]))
        (peer.reset if turn % 4 < 2 else peer.close)()
        client.reset() if turn % 3 == 0 else client.close()
        gw.wait_session_end(client)


# --- threads and signals ----------------------------------------------------------------------------------------------

@pytest.fixture
def many(start_gateway, certificate, backend):
    echo = backend(serve=backends.serve_echo)
    return start_gateway(config_text(certificate, echo.target, workers=4))


def test_ev_threads(many, certificate):
    """Sessions on all workers at a time, reloads between them; the thread sanitizer is the judge."""
    failures = []

    def talk(number):
        try:
            for turn in range(3):
                tls = (number + turn) % 2 == 0
                with Connection(many.address("tls" if tls else "plain"),
                                tls=certificate.client_context() if tls else None) as client:
                    client.upgrade("/back")
                    for size in (1, 1000, 70_000):
                        client.send(frame(BINARY, BLOB[:size]))
                        assert client.read_stream(size) == BLOB[:size]
                    client.send(close_frame(1000))
                    client.expect_close(1000, then_end=False)
        except Exception as failure: # pylint: disable=broad-except
            failures.append(failure)
    threads = [threading.Thread(target=talk, args=(number,), daemon=True) for number in range(24)]
    for thread in threads:
        thread.start()
    for turn in range(10):
        many.signal(signal.SIGHUP)
        many.wait_for("configuration was reloaded", count=turn + 1)
    for thread in threads:
        thread.join(60)
    assert not failures
    many.wait_for("session end", count=72)


def test_ev_signals(many, certificate):
    """Signals reach the main thread alone, wherever they are sent."""
    blocked = [int(fields["SigBlk"], 16) for tid, fields in thread_status(many.pid).items() if tid != many.pid]
    wanted = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
    assert len(blocked) >= 4
    for mask in blocked:
        assert all(mask >> (number - 1) & 1 for number in wanted), f"{mask:x}"
    ignored = int(thread_status(many.pid)[many.pid]["SigIgn"], 16)
    assert ignored >> (signal.SIGPIPE - 1) & 1
    with Connection(many.address("tls"), tls=certificate.client_context()) as client:
        client.upgrade("/back")
        for _ in range(50):
            many.signal(signal.SIGUSR1)
            client.expect_echo()


# --- reload and TLS ---------------------------------------------------------------------------------------------------

def test_ev_reload_tls(start_gateway, certificate, make_certificate, backend):
    """A session keeps the TLS context that it began with, whatever replaces it."""
    other = make_certificate("other.test", "DNS:gateway.test")
    echo = backend(serve=backends.serve_echo)
    gateway = start_gateway(config_text(certificate, echo.target))
    with Connection(gateway.address("tls"), tls=certificate.client_context()) as old:
        old.upgrade("/back")
        gateway.config.write_text(config_text(other, echo.target))
        gateway.signal(signal.SIGHUP)
        gateway.wait_for("configuration was reloaded")
        with Connection(gateway.address("tls"), tls=other.client_context()) as new:
            new.upgrade("/back")
            new.expect_echo()
            old.expect_echo()
        with pytest.raises(ssl.SSLCertVerificationError):
            Connection(gateway.address("tls"), tls=certificate.client_context())
        old.expect_echo(b"after all that")
        old.send(close_frame(1000))
        old.expect_close(1000)


# --- the binary -------------------------------------------------------------------------------------------------------

def test_pkg_linkage():
    """Nothing of libevent's old parsers is linked in, and no library that brings them."""
    symbols = subprocess.run(["nm", "-D", binary()], check=True, capture_output=True, text=True).stdout
    assert "event_base_new" in symbols
    assert not re.findall(r"\b(?:evhttp|evdns|evtag|evrpc)_\w+", symbols)
    libraries = subprocess.run(["readelf", "-d", binary()], check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"NEEDED.*\[(.*)\]", libraries)
    assert any(name.startswith("libevent_core") for name in needed)
    assert not [name for name in needed if re.match(r"libevent(-|_extra)", name)]
