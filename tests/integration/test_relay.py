"""What passes and how it ends: a test for each relay rule rl_*, over plain TCP and TLS to TCP and UNIX backends.

Every test ends by the log: one record a session, with the reason, the code and the bytes of both directions.
"""

import contextlib
import os
import random
import select
import signal
import socket
import struct
import threading
import time

import pytest

import backends
from inside import cpu_seconds, send_until_held, socket_of
from sections import listeners
from wsclient import BINARY, CLOSE, MASK, PING, PONG, Connection, EndOfStream, close_frame, frame, request, xor

MIB = 1 << 20
SIZES = [1, 125, 126, 65535, 65536, 200_001, 3 * MIB + 1]


def numbered(n, seed=0):
    """n bytes in which no stretch repeats soon, so that a lost or doubled piece cannot go unseen."""
    return random.Random(seed).randbytes(n)


BLOB = numbered(8 * MIB)


@pytest.fixture(scope="module")
def unix_recorder(tmp_path_factory):
    one = backends.Backend(str(tmp_path_factory.mktemp("unix") / "backend"))
    yield one
    one.close()


ROUTES = {
    "": "",
    "-hasty": "close_timeout = 1s",
    "-stall": "stall_timeout = 400ms",
    "-slow": "stall_timeout = 1s",
    "-ping": "ping_interval = 100ms\npong_timeout = 300ms",
    "-pong": "ping_interval = 50ms\npong_timeout = 1h\nstall_timeout = 200ms", # half of which is when the timer looks
    "-idle": "idle_timeout = 1s\nping_interval = 50ms",
    "-life": "lifetime = 1s",
    "-timers": "idle_timeout = 1h\nlifetime = 1h\nping_interval = 1h",
}


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder, unix_recorder, refusing, unanswering):
    routes = "".join(f"[route {kind}{suffix}]\npath = /{kind}{suffix}\ntarget = {one.target}\n{options}\n"
                     for kind, one in (("tcp", recorder), ("unix", unix_recorder))
                     for suffix, options in ROUTES.items())
    return share_gateway(f"""
[server]
workers = 1
log_level = debug
{listeners(certificate)}
{routes}
[route echo]
path = /echo
target = echo:
[route refused]
path = /refused
target = {refusing.target}
[route timeout]
path = /timeout
target = {unanswering.target}
connect_timeout = 200ms
""")


class Session:
    """Both ends of an open session."""

    def __init__(self, gateway, client, peer):
        self.gateway, self.client, self.peer = gateway, client, peer

    def send(self, data, opcode=BINARY):
        self.client.send(frame(opcode, data))

    def ended(self, reason, code, up=None, down=None, leave=True):
        """The one record of this session's end says so. leave: we close first, so that nobody waits for our FIN."""
        if leave:
            self.client.close()
            self.peer.close()
        record = self.gateway.wait_session_end(self.client)
        assert (record["reason"], record["code"]) == (reason, str(code)), record
        if up is not None:
            assert record["bytes_up"] == str(up), record
        if down is not None:
            assert record["bytes_down"] == str(down), record
        assert len(self.gateway.find("session end", id=record["id"])) == 1

    def peer_sees_end(self):
        """FIN or RST."""
        try:
            while self.peer.recv():
                pass
        except ConnectionResetError:
            pass


class Opener:
    def __init__(self, gateway, transport, kind, listening):
        self.gateway, self.transport, self.kind, self.listening = gateway, transport, kind, listening
        self.made = []

    def __call__(self, suffix="", early=b"", **options):
        client = self.transport.connect(self.gateway, **options)
        client.send(request(f"/{self.kind}{suffix}") + early)
        client.read_101()
        peer = self.listening.accept()
        self.made += [client, peer]
        return Session(self.gateway, client, peer)


@pytest.fixture
def opener(gw, recorder, unix_recorder):
    made = []

    def make(transport, kind):
        listening = unix_recorder if kind == "unix" else recorder
        listening.drop_waiting()
        made.append(Opener(gw, transport, kind, listening))
        return made[-1]
    yield make
    for one in made:
        for end in one.made:
            end.close()


@pytest.fixture(params=["tcp", "unix"])
def open_session(opener, whole, request):
    """open_session(suffix) over each of plain, TLS and TCP, UNIX."""
    return opener(whole, request.param)


@pytest.fixture
def open_tcp(opener, whole):
    return opener(whole, "tcp")


# --- rl_backend_fin, rl_half_close ------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_rl_backend_fin(open_session, size):
    session = open_session()
    data, late = BLOB[:size], BLOB[size:size + 70_000]

    def serve():
        session.peer.send(data)
        session.peer.end_sending()
    sender = threading.Thread(target=serve, daemon=True)
    sender.start()
    close, got = session.client.read_close()
    sender.join()
    assert got == data
    assert close.close_code == 1000 and close.close_reason == "Target closed"
    # the other direction is alive until our own Close
    session.send(late)
    assert session.peer.read(len(late)) == late
    session.client.send(close_frame(1000))
    assert session.peer.read_to_end() == b""
    session.client.expect_end()
    session.ended("backend_closed", 1000, up=len(late), down=size)


@pytest.mark.slow
def test_rl_backend_fin_64_mib(open_session):
    session = open_session()
    sender = threading.Thread(target=lambda: [session.peer.send(BLOB) for _ in range(8)] and session.peer.end_sending(),
                              daemon=True)
    sender.start()
    close, got = session.client.read_close()
    assert close.close_code == 1000 and got == BLOB * 8
    sender.join()
    session.client.send(close_frame(1000))
    assert session.peer.read_to_end() == b""
    session.ended("backend_closed", 1000, down=8 * len(BLOB))


def test_rl_backend_fin_at_once(open_session):
    """Data and FIN before the 101 is even out."""
    client = open_session.transport.connect(open_session.gateway)
    client.send(request(f"/{open_session.kind}"))
    peer = open_session.listening.accept()
    peer.send(b"SSH-2.0-hello\r\n")
    peer.close()
    client.read_101()
    assert client.expect_close(1000, then_end=False) == b"SSH-2.0-hello\r\n"
    client.send(close_frame(1000))
    client.expect_end()
    client.close()


def test_rl_half_close_client_silent(open_session):
    """A client that does not answer the Close is waited for, but not for ever; what it still sends arrives."""
    session = open_session("-hasty")
    session.peer.send(b"last words")
    session.peer.end_sending()
    assert session.client.expect_close(1000, then_end=False) == b"last words"
    session.send(b"still talking")
    assert session.peer.read(13) == b"still talking"
    assert session.peer.read_to_end() == b""
    session.client.expect_end()
    session.ended("backend_closed", 1000, up=13, down=10, leave=False)


# --- rl_client_close --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_rl_client_close(open_session, size):
    session = open_session()
    data = BLOB[:size]
    sender = session.client.send_aside(frame(BINARY, data) + close_frame(1000, "bye"))
    assert session.peer.read_to_end() == data
    sender.join()
    close, got = session.client.read_close()
    assert (close.close_code, got) == (1000, b"")
    # answered before the backend has closed; what that still says has no way to go any more
    session.peer.send(b"too late")
    session.peer.close()
    session.client.expect_end()
    session.ended("client_closed", 1000, up=size, down=0)


def test_rl_client_close_backend_stays(open_session):
    """A backend that ignores the FIN is dropped after close_timeout."""
    session = open_session("-hasty")
    session.client.send(frame(BINARY, b"data") + close_frame(1000))
    assert session.peer.read_to_end() == b"data"
    session.client.expect_close(1000)
    session.client.close()
    session.ended("client_closed", 1000, up=4, leave=False)
    with pytest.raises(OSError):
        while True: # a closed connection answers what is sent by a reset, or by EPIPE
            session.peer.send(b"x" * 65536)


def test_rl_client_close_flushes_backlog_down(open_session):
    """What the gateway had taken from the backend stands in front of the Close's answer, intact."""
    session = open_session()
    sender = threading.Thread(target=lambda: send_until_error(session.peer, BLOB), daemon=True)
    sender.start()
    first = session.client.read_frame().payload
    session.client.send(close_frame(1000))
    close, rest = session.client.read_close()
    assert close.close_code == 1000
    assert BLOB.startswith(first + rest)
    assert session.peer.read_to_end() == b""
    sender.join()
    session.peer.close()
    session.client.expect_end()
    session.ended("client_closed", 1000, down=len(first + rest))


def send_until_error(peer, data):
    try:
        peer.send(data)
        peer.end_sending()
    except OSError:
        pass


def test_rl_client_close_empty(open_session):
    """An empty Close is answered by an empty one and logged as 1005."""
    session = open_session()
    session.client.send(close_frame())
    assert session.client.read_frame().payload == b""
    assert session.peer.read_to_end() == b""
    session.peer.close()
    session.client.expect_end()
    session.ended("client_closed", 1005)


# --- rl_client_abort --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_rl_client_abort_fin(open_session, size):
    session = open_session()
    data = BLOB[:size]
    sender = session.client.send_aside(frame(BINARY, data))
    sent = threading.Thread(target=lambda: (sender.join(), session.client.end_sending()), daemon=True)
    sent.start()
    assert session.peer.read_to_end() == data
    sent.join()
    session.peer.close()
    session.ended("client_gone", 1006, up=size)


def test_rl_client_abort_reset(open_session):
    session = open_session()
    session.send(b"before")
    assert session.peer.read(6) == b"before"
    session.client.reset()
    session.peer_sees_end()
    session.peer.close()
    session.ended("client_reset", 1006, up=6)


def test_rl_client_abort_inside_frame(open_session):
    """What there was of an unfinished frame is delivered as well."""
    session = open_session()
    session.client.send(frame(BINARY, b"0123456789", length=1000))
    assert session.peer.read(10) == b"0123456789"
    session.client.end_sending()
    assert session.peer.read_to_end() == b""
    session.peer.close()
    session.ended("client_gone", 1006, up=10)


# --- rl_backend_rst ---------------------------------------------------------------------------------------------------

def test_rl_backend_rst(open_tcp):
    session = open_tcp()
    session.peer.send(b"first")
    assert session.client.read_frame().payload == b"first"
    session.peer.reset()
    session.client.expect_close(1011, then_end=False)
    session.client.send(close_frame(1011))
    session.client.expect_end()
    session.ended("backend_reset", 1011, down=5)


def test_rl_backend_rst_client_silent(open_tcp):
    session = open_tcp("-hasty")
    session.peer.reset()
    session.client.expect_close(1011)
    session.ended("backend_reset", 1011, leave=False)


@pytest.mark.parametrize("path, status, reason", [("/refused", 502, "backend_refused"),
                                                  ("/timeout", 504, "backend_timeout")])
def test_rl_backend_unreachable(gw, whole, path, status, reason):
    with whole.connect(gw) as client:
        client.send(request(path))
        response = client.read_response()
        assert response.status == status
        client.expect_end()
    record = gw.wait_session_end(client)
    assert (record["reason"], record["code"]) == (reason, str(status))
    with whole.connect(gw) as client:
        client.send(request(path, origin=f"{whole.scheme}://gateway.test"))
        client.read_101()
        client.expect_close(1014, then_end=False)
        client.send(close_frame(1014))
        client.expect_end()
    record = gw.wait_session_end(client)
    assert (record["reason"], record["code"]) == (reason, "1014")


# --- rl_last_byte -----------------------------------------------------------------------------------------------------

def test_rl_last_byte_while_client_talks(open_session):
    """The client is still sending when the backend has ended: close() on unread bytes would reset the tail away."""
    for turn in range(25):
        session = open_session()
        talk = session.client.send_aside(frame(BINARY, BLOB[:300_000]))
        session.peer.send(BLOB[:1000 + turn])
        session.peer.end_sending()
        close, got = session.client.read_close()
        assert (close.close_code, got) == (1000, BLOB[:1000 + turn])
        assert session.peer.read(300_000) == BLOB[:300_000]
        talk.join()
        session.client.send(close_frame(1000))
        assert session.peer.read_to_end() == b""
        session.client.expect_end()


def test_rl_last_byte_after_refusal(open_session):
    """A protocol error in front of much more data: the Close arrives whole, and the end is no reset."""
    for _ in range(25):
        session = open_session()
        session.client.send_aside(frame(BINARY, b"good") + frame(3, b"bad") + frame(BINARY, BLOB[:400_000]))
        close, got = session.client.read_close()
        assert (close.close_code, got) == (1002, b"")
        session.client.end_sending()
        session.client.expect_end()
        assert session.peer.read_to_end() == b"good"
        session.peer.close()
        session.ended("protocol_error", 1002, up=4)


# --- rl_backpressure --------------------------------------------------------------------------------------------------

def fill(gateway, sock):
    """Sends until nothing more is taken; returns how much was."""
    sent = send_until_held(gateway.pid, sock, BLOB, 64 * MIB)
    assert sent < 64 * MIB, "nobody holds the sender back"
    return sent


def repeated(n):
    return (BLOB * (n // len(BLOB) + 1))[:n]


def test_rl_backpressure_down(open_session):
    """A client that does not read holds the backend back; once it reads, all of it comes."""
    session = open_session(rcvbuf=65536)
    session.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sent = fill(session.gateway, session.peer.sock)
    assert session.client.read_stream(sent) == repeated(sent)
    session.peer.send(b"and on")
    assert session.client.read_stream(6) == b"and on"
    session.client.send(close_frame(1000))
    assert session.peer.read_to_end() == b""
    session.peer.close()
    session.ended("client_closed", 1000, down=sent + 6)


def test_rl_backpressure_up(opener, request, gw):
    for kind in ("tcp", "unix"):
        session = opener(Plain(), kind)()
        session.client.send(frame(BINARY, b"", length=1 << 40)) # one endless frame, never reassembled
        sock = session.client.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sent = fill(session.gateway, sock)
        wanted = masked(repeated(sent))
        assert session.peer.read(sent) == wanted
        sock.sendall(masked(b"done", sent))
        assert session.peer.read(4) == b"done"
        session.client.end_sending()
        assert session.peer.read_to_end() == b""
        session.peer.close()
        session.ended("client_gone", 1006, up=sent + 4)


class Plain:
    """The transport `plain`, for tests that write to the socket themselves."""

    def connect(self, gateway, **options):
        return Connection(gateway.address("plain"), **options)


def masked(data, offset=0):
    turn = offset % 4
    return xor(data, MASK[turn:] + MASK[:turn])


def test_rl_backpressure_other_direction_flows(open_session):
    """A client that reads nothing can still send, and a backend that reads nothing is still heard."""
    session = open_session(rcvbuf=65536)
    fill(session.gateway, session.peer.sock)
    session.send(b"typed while the picture is stuck")
    assert session.peer.read(32) == b"typed while the picture is stuck"


# --- rl_write_stall ---------------------------------------------------------------------------------------------------

def send_as_long_as_taken(peer, n):
    with contextlib.suppress(OSError):
        for _ in range(n // len(BLOB) + 1):
            peer.send(BLOB)


def test_rl_write_stall_client(open_session):
    """A client that takes nothing while data waits is ended, by a reset, and the backend is told."""
    session = open_session("-stall", rcvbuf=65536)
    sender = threading.Thread(target=send_as_long_as_taken, args=(session.peer, 32 * MIB), daemon=True)
    sender.start() # what the kernel's buffers have no room for is thrown away in the end
    session.ended("client_stalled", 1006, leave=False)
    session.peer_sees_end()
    sender.join()
    with pytest.raises(ConnectionResetError):
        while session.client.sock.recv(1 << 18):
            pass


def test_rl_write_stall_backend(opener, whole):
    for kind in ("tcp", "unix"):
        session = opener(whole, kind)("-stall")
        session.client.send_aside(frame(BINARY, BLOB + BLOB))
        close, _ = session.client.read_close()
        assert close.close_code == 1011
        session.client.close()
        session.ended("backend_stalled", 1011, leave=False)


def test_rl_write_stall_slow_is_not_stalled(opener):
    """Who takes a little now and then makes progress, however long it lasts."""
    session = opener(Plain(), "tcp")("-slow", rcvbuf=65536)
    data = BLOB[:3 * MIB]
    sender = threading.Thread(target=session.peer.send, args=(data,), daemon=True)
    sender.start()
    began = time.monotonic()
    while time.monotonic() - began < 2.2: # twice stall_timeout
        session.client.buffer += session.client.sock.recv(4096)
        select.select([], [], [], 0.02)
    assert session.client.read_stream(len(data)) == data
    sender.join()


# --- rl_fairness ------------------------------------------------------------------------------------------------------

def test_rl_fairness(gw, opener, whole):
    """One worker: a session that floods both ways leaves room for small exchanges."""
    flood = opener(whole, "tcp")()
    over = threading.Event()
    flood.client.sock.settimeout(60)

    def pour():
        while not over.is_set():
            flood.client.send(frame(BINARY, BLOB[:MIB]))
    threads = [threading.Thread(target=pour, daemon=True),
               threading.Thread(target=backends.serve_sink, args=(flood.peer,), daemon=True)]
    for thread in threads:
        thread.start()
    with whole.connect(gw) as client:
        client.upgrade("/echo")
        for turn in range(100):
            client.expect_echo(b"turn %d" % turn)
    over.set()
    threads[0].join()
    flood.client.send(close_frame(1000))
    flood.client.expect_close(1000, then_end=False)


# --- rl_tiny_frames ---------------------------------------------------------------------------------------------------

DATA_SEGMENTS_IN = 152 # offset of tcpi_data_segs_in in struct tcp_info


def test_rl_tiny_frames(open_tcp):
    """Many small frames that come together leave together, not one by one."""
    session = open_tcp()
    data = BLOB[:2000]
    session.client.send(b"".join(frame(BINARY, data[i:i + 1]) for i in range(len(data))))
    assert session.peer.read(len(data)) == data
    info = session.peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    segments, = struct.unpack_from("=I", info, DATA_SEGMENTS_IN)
    assert segments <= 20, f"{len(data)} frames became {segments} segments"


def test_rl_tiny_frames_nodelay(gw, open_tcp):
    """Small writes do not wait for acknowledgements, on either side."""
    session = open_tcp()
    for end in (session.client.sock, session.peer.sock):
        with socket_of(gw.pid, end) as copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


# --- rl_short_write ---------------------------------------------------------------------------------------------------

def test_rl_short_write(gw, open_tcp):
    """The gateway's own send buffers are shrunk under it while signals interrupt it: not a byte goes missing."""
    session = open_tcp()
    for end in (session.client.sock, session.peer.sock):
        with socket_of(gw.pid, end) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    up, down, over = BLOB[:MIB], BLOB[MIB:2 * MIB], threading.Event()

    def interrupt():
        while not over.wait(0.001):
            gw.signal(signal.SIGUSR1)
    threads = [threading.Thread(target=interrupt, daemon=True),
               session.client.send_aside(b"".join(frame(BINARY, up[i:i + 4001]) for i in range(0, len(up), 4001))),
               threading.Thread(target=session.peer.send, args=(down,), daemon=True)]
    for thread in (threads[0], threads[2]):
        thread.start()
    got = []
    reader = threading.Thread(target=lambda: got.append(session.peer.read(len(up))), daemon=True)
    reader.start()
    assert session.client.read_stream(len(down)) == down
    reader.join(30)
    over.set()
    assert got == [up]
    session.client.send(close_frame(1000))
    session.client.expect_close(1000, then_end=False)


# --- rl_dead_peer -----------------------------------------------------------------------------------------------------

def test_rl_dead_peer_no_pong(open_session):
    """A client that answers no ping is dead."""
    session = open_session("-ping")
    assert session.client.read_frame().opcode == PING
    session.ended("client_dead", 1006, leave=False)
    session.peer_sees_end()
    with pytest.raises((ConnectionResetError, EndOfStream)):
        while True:
            session.client.read_frame()


def test_rl_dead_peer_pong_lives(open_session):
    """Who answers lives: there is no second ping before the first one was answered."""
    session = open_session("-pong")
    for _ in range(4):
        ping = session.client.read_frame()
        assert ping.opcode == PING
        session.client.send(frame(PONG, ping.payload))
    session.send(b"alive")
    assert session.peer.read(5) == b"alive"
    session.client.send(close_frame(1000))
    while session.client.read_frame().opcode == PING:
        pass


def test_rl_dead_peer_any_byte_lives(open_session):
    """Data is as good as a pong: it brings the next ping."""
    session = open_session("-pong")
    for turn in range(4):
        assert session.client.read_frame().opcode == PING
        session.send(b"%d" % turn)
        assert session.peer.read(1) == b"%d" % turn


TCP_USER_TIMEOUT = 18


def test_rl_dead_peer_keepalive(gw, open_tcp):
    """The kernel looks after both connections too, once a session lasts: the ping shows that its timer has run."""
    session = open_tcp("-pong")
    assert session.client.read_frame().opcode == PING
    for end in (session.client.sock, session.peer.sock):
        with socket_of(gw.pid, end) as copy:
            assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
            assert 0 < copy.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) <= 35_000
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20


# --- timers -----------------------------------------------------------------------------------------------------------

def test_rl_idle(open_session):
    """Pings are no data: they do not keep a session from being idle."""
    session = open_session("-idle")
    session.send(b"once")
    assert session.peer.read(4) == b"once"
    while True:
        got = session.client.read_frame()
        if got.opcode == CLOSE:
            break
        assert got.opcode == PING
        session.client.send(frame(PONG, got.payload))
    assert got.close_code == 1001
    session.client.send(close_frame(1001))
    assert session.peer.read_to_end() == b""
    session.peer.close()
    session.client.expect_end()
    session.ended("idle", 1001, up=4)


def test_rl_lifetime(open_session):
    """The lifetime ends a session although it is busy."""
    session = open_session("-life")
    over = threading.Event()

    def talk():
        try:
            while not over.wait(0.01):
                session.peer.send(b"x" * 100)
        except OSError:
            pass
    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    close, data = session.client.read_close()
    assert close.close_code == 1001 and set(data) == set(b"x")
    over.set()
    talker.join()
    session.client.send(close_frame(1001))
    session.client.expect_end()
    session.ended("lifetime", 1001)


# --- control frames and backlog ---------------------------------------------------------------------------------------

def test_rl_pings_unread(opener):
    """Pings whose pongs nobody reads: only the latest is owed one, and the stream stays intact behind them."""
    session = opener(Plain(), "tcp")()
    count = 20_000
    session.client.send(b"".join(frame(PING, b"%07d" % i) for i in range(count)) + frame(BINARY, b"behind"))
    assert session.peer.read(6) == b"behind"
    last = b""
    while last != b"%07d" % (count - 1):
        got = session.client.read_frame()
        assert got.opcode == PONG and got.payload > last
        last = got.payload


@pytest.mark.native
def test_rl_memory_stalled(start_gateway, backend):
    """Stalled in both directions, a session costs at most 256 KiB beside what the kernel holds."""
    source = backend(serve=lambda peer: send_until_error(peer, BLOB * 4))
    gateway = start_gateway("[server]\nworkers = 1\n[listen plain]\naddress = 127.0.0.1:0\n"
                            f"[route all]\ntarget = {source.target}\n")
    with Plain().connect(gateway) as client: # it makes what it makes once
        client.upgrade("/")
        while len(client.buffer) < 4 * MIB:
            client.buffer += client.recv()
    wait_until_quiet(gateway.pid)
    resident = resident_of(gateway.pid)
    count = 40
    clients = [Plain().connect(gateway) for _ in range(count)]
    for client in clients:
        client.upgrade("/")
    wait_until_quiet(gateway.pid)
    grown = (resident_of(gateway.pid) - resident) / count
    for client in clients:
        client.reset()
    assert grown <= 256 * 1024, f"{grown / 1024:.0f} KiB a session"


def resident_of(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until_quiet(pid):
    """Until the process has used no processor time for a while."""
    before = -1.0
    while (now := cpu_seconds(pid)) != before:
        before = now
        time.sleep(0.2)


# --- rl_cloexec -------------------------------------------------------------------------------------------------------

def test_rl_cloexec(gw, open_tcp):
    """No descriptor would survive an exec; with a session open, in DIAL and half a request as well."""
    session = open_tcp()
    waiting = Plain().connect(gw)
    waiting.send(b"GET / HT")
    session.send(b"here")
    assert session.peer.read(4) == b"here"
    leaks = []
    for fd in os.listdir(f"/proc/{gw.pid}/fd"):
        with open(f"/proc/{gw.pid}/fdinfo/{fd}", encoding="ascii") as info:
            flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
        if int(fd) > 2 and not flags & os.O_CLOEXEC:
            leaks.append((fd, os.readlink(f"/proc/{gw.pid}/fd/{fd}")))
    waiting.close()
    assert not leaks


# --- rl_reason --------------------------------------------------------------------------------------------------------

def test_rl_reason(gw):
    """All that this module has ended so far: one record a session, with one of the named reasons."""
    known = {"bad_request", "backend_refused", "backend_timeout", "backend_closed", "backend_reset", "backend_stalled",
             "client_closed", "client_gone", "client_reset", "client_dead", "client_stalled", "protocol_error", "idle",
             "lifetime", "http_done", "tls_failed"}
    records = gw.find("session end")
    ids = [record["id"] for record in records]
    assert len(ids) == len(set(ids))
    for record in records:
        assert record["reason"] in known, record
        assert record.get("code") is not None and record.get("duration") is not None and record.get("listen"), record
