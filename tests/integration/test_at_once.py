"""What the gateway does at once, in the turn of its loop in which it learns of it: dialling while the client goes on
sending, closing with the last bytes, freeing sessions and descriptors that others get in the next moment.

Where time is measured, the bound is far from what is right, and what is wrong is far beyond it.
"""

import random
import signal
import threading
import time

import pytest

import backends
from inside import cpu_seconds, send_until_held
from sections import listeners
from wsclient import BINARY, TIMEOUT, Connection, close_frame, frame, get, request

BLOB = random.Random(11).randbytes(400_000)
WAIT = 0.6          # below the second after which the kernel sends the first SYN again
BUSY = WAIT / 2     # of a processor; who waits needs next to nothing, who spins all of it
DELAYED = 0.2       # how long the kernel keeps what is announced to go on, and does not
SESSIONS = 200
FULL = 16


@pytest.fixture
def gateway_to(start_gateway, certificate):
    """gateway_to(target, workers=1, options="")"""
    def start(target, workers=1, options=""):
        return start_gateway(f"""
[server]
workers = {workers}
log_level = debug
{listeners(certificate)}
[route back]
path = /back
target = {target}
{options}
[route echo]
path = /echo
target = echo:
""")
    return start


def reach(gateway, certificate, **options):
    """Over TLS if there is a certificate."""
    if certificate is None:
        return Connection(gateway.address("plain"), **options)
    return Connection(gateway.address("tls"), tls=certificate.client_context(), **options)


def on_threads(failures, function, calls):
    def run(arguments):
        try:
            function(*arguments)
        except Exception as failure: # pylint: disable=broad-except
            failures.append(f"{function.__name__} {arguments[-2:]}: {failure!r}")
    threads = [threading.Thread(target=run, args=(arguments,), daemon=True) for arguments in calls]
    for thread in threads:
        thread.start()
    return threads


# --- dialling ---------------------------------------------------------------------------------------------------------

class Late(backends.Unanswering):
    """Drops SYNs until it is opened; then it serves the connection that comes."""

    def open(self):
        for filler in self.fillers: # from here on only the gateway asks
            filler.close()
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.accept()[0].close()
        except BlockingIOError:
            pass
        self.sock.settimeout(TIMEOUT)

    def accept(self):
        return backends.Peer(self.sock.accept()[0])


@pytest.fixture
def late():
    one = Late()
    yield one
    one.close()


@pytest.mark.parametrize("size", [100, 12_000, 400_000])
@pytest.mark.parametrize("way", ["together", "apart", "FIN"])
def test_frames_while_dialling(gateway_to, whole, late, size, way):
    """A client that does not wait for its answer makes the gateway neither lose a byte nor spin. 12 000 bytes are one
    record of TLS, and more than is read of a request."""
    gateway = gateway_to(late.target)
    first = size if way == "together" else size // 2
    pieces = [request("/back") + frame(BINARY, BLOB[:first]), frame(BINARY, BLOB[first:size]) + close_frame(1000)]
    if way == "together":
        pieces = [b"".join(pieces)]
    with whole.connect(gateway) as client:
        sender = client.send_aside(pieces[0])
        if size < 100_000:
            sender.join()
        before = cpu_seconds(gateway.pid)
        rest = on_threads([], lambda: (sender.join(), client.send(b"".join(pieces[1:]))), [()])[0]
        if way == "FIN" and size < 100_000:
            rest.join()
            client.end_sending()
        time.sleep(WAIT)
        assert cpu_seconds(gateway.pid) - before < BUSY
        late.open()
        with late.accept() as peer:
            assert peer.read_to_end() == BLOB[:size]
        client.read_101()
        rest.join()
        client.expect_close(1000)
    assert gateway.wait_session_end(client)["reason"] == "client_closed"


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_gone_while_dialling(gateway_to, whole, late, leave):
    """A client that goes away meanwhile makes the gateway spin no more than one that waits."""
    gateway = gateway_to(late.target)
    client = whole.connect(gateway)
    client.send(request("/back") + frame(BINARY, BLOB[:100]))
    getattr(client, leave)()
    before = cpu_seconds(gateway.pid)
    time.sleep(WAIT)
    assert cpu_seconds(gateway.pid) - before < BUSY
    late.open()
    with late.accept() as peer:
        try:
            assert peer.read_to_end() in (b"", BLOB[:100])
        except ConnectionResetError:
            assert leave == "reset"
    assert gateway.wait_session_end(client)["reason"] in ("client_gone", "client_reset")


# --- the last bytes and the end ---------------------------------------------------------------------------------------

def end_by_close(client, _peer):
    client.send(close_frame(1000))
    client.expect_close(1000)


def end_by_violation(client, _peer):
    client.send(frame(3))
    client.expect_close(1002)


def end_by_backend(client, peer):
    """The client is silent, so that no FIN follows our Close."""
    peer.close()
    client.expect_close(1000, then_end=False)


def end_by_backend_behind_data(client, peer):
    peer.send(b"the last words")
    peer.close()
    assert client.expect_close(1000, then_end=False) == b"the last words"


@pytest.mark.parametrize("end", [end_by_close, end_by_violation, end_by_backend, end_by_backend_behind_data])
def test_prompt_close(gateway_to, whole, backend, end):
    """Nothing that was announced to go on is kept back for want of it. The fastest of some: a machine may be busy."""
    one = backend()
    gateway = gateway_to(one.target)
    times = []
    for _ in range(8):
        with whole.connect(gateway) as client:
            client.upgrade("/back")
            with one.accept() as peer:
                begun = time.monotonic()
                end(client, peer)
                times.append(time.monotonic() - begun)
    assert min(times) < DELAYED / 2, times


@pytest.mark.parametrize("text, status", [(request("/none"), 404), (get("/back"), 426), (request("/back"), 502)])
def test_prompt_refusal(gateway_to, whole, text, status):
    refusing = backends.Refusing()
    gateway = gateway_to(refusing.target)
    times = []
    for _ in range(8):
        with whole.connect(gateway) as client:
            begun = time.monotonic()
            client.send(text)
            assert client.read_response().status == status
            client.expect_end()
            times.append(time.monotonic() - begun)
    refusing.close()
    assert min(times) < DELAYED / 2, times


# --- many ends in one turn --------------------------------------------------------------------------------------------

class Stopped:
    """The gateway stands still meanwhile, so that it learns of all that happened in one turn of its loop."""

    def __init__(self, gateway):
        self.gateway = gateway

    def __enter__(self):
        self.gateway.signal(signal.SIGSTOP)

    def __exit__(self, *_):
        self.gateway.signal(signal.SIGCONT)


def all_of(method, ends):
    for end in ends:
        getattr(end, method)()


@pytest.mark.parametrize("how", ["backend closes", "backend resets", "clients reset", "all reset", "all close",
                                 "close frames", "data and resets"])
def test_all_die_at_once(gateway_to, certificate, backend, how):
    one = backend(backlog=SESSIONS)
    gateway = gateway_to(one.target, options="close_timeout = 500ms")
    clients, peers = [], []
    for number in range(SESSIONS):
        client = reach(gateway, certificate if number % 4 == 0 else None)
        client.upgrade("/back")
        clients.append(client)
        peers.append(one.accept())
    with Stopped(gateway):
        if how == "data and resets":
            for client, peer in zip(clients, peers):
                client.send(frame(BINARY, BLOB[:1000]))
                peer.send(BLOB[:30_000])
        if how == "close frames":
            for client in clients:
                client.send(close_frame(1000))
        if how in ("backend closes", "all close"):
            all_of("close", peers)
        if how in ("backend resets", "all reset", "data and resets"):
            all_of("reset", peers)
        if how in ("clients reset", "all reset", "data and resets"):
            all_of("reset", clients)
        if how == "all close":
            all_of("close", clients)
    if how in ("clients reset", "close frames"):
        for peer in peers:
            assert peer.read_to_end() == b""
        all_of("close", peers)
    if how in ("backend closes", "backend resets", "close frames"):
        code = {"backend closes": 1000, "backend resets": 1011, "close frames": 1000}[how]
        for client in clients:
            assert client.expect_close(code, then_end=False) == b""
        all_of("close", clients)
    gateway.wait_for("session end", count=SESSIONS)
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/echo")
        client.expect_echo()


@pytest.mark.parametrize("who", ["backend", "client", "both"])
def test_all_die_full_at_once(gateway_to, certificate, backend, who):
    """The same with all that can wait waiting, in both directions."""
    one = backend()
    gateway = gateway_to(one.target)
    clients, peers = [], []
    for number in range(FULL):
        client = reach(gateway, certificate if number % 2 else None, rcvbuf=4096)
        client.upgrade("/back")
        clients.append(client)
        peers.append(one.accept())
        if number % 2 == 0:
            client.send(frame(BINARY, length=1 << 40))
    ends = [p.sock for p in peers] + [c.sock for c in clients[::2]]
    for thread in on_threads([], send_until_held, [(gateway.pid, end, BLOB) for end in ends]):
        thread.join()
    with Stopped(gateway):
        if who != "client":
            all_of("reset", peers)
        if who != "backend":
            all_of("reset", clients)
    all_of("close", peers + clients)
    gateway.wait_for("session end", count=FULL)
    with reach(gateway, None) as client:
        client.upgrade("/echo")
        client.expect_echo()


# --- descriptors come again -------------------------------------------------------------------------------------------

def steady(gateway, certificate, until, number):
    """A session that lasts: its own bytes come back, all of them, in order, until the others are done."""
    source, turn = random.Random(number), 0
    with reach(gateway, certificate if number % 2 else None) as client:
        client.upgrade("/back")
        while not until.is_set() or turn < 10:
            data = source.randbytes(source.choice((1, 60, 125, 3000, 40_000)))
            client.send(frame(BINARY, data, mask=source.randbytes(4)))
            assert client.read_stream(len(data)) == data, f"session {number} got what is not its own"
            turn += 1
        client.send(close_frame(1000))
        client.expect_close(1000)


def fleeting(gateway, certificate, number, turns):
    """Sessions that end as soon as they began, in all ways."""
    source = random.Random(1000 + number)
    for _ in range(turns):
        tls, data = source.random() < 0.3, source.randbytes(source.randrange(1, 2000))
        ends = source.choice(("close", "reset", "violation", "early", "refused", "none", "silent"))
        client = reach(gateway, certificate if tls else None)
        if ends in ("refused", "none"):
            client.send(request("/refused" if ends == "refused" else "/none"))
            assert client.read_response().status == (502 if ends == "refused" else 404)
        elif ends == "early":
            client.send(request("/back") + frame(BINARY, data) + close_frame(1000))
            client.read_101()
            client.read_close()
        elif ends != "silent":
            client.upgrade("/back")
            client.send(frame(BINARY, data, mask=source.randbytes(4)))
            assert client.read_stream(len(data)) == data
        if ends == "violation":
            client.send(frame(3))
            client.expect_close(1002)
        client.reset() if ends == "reset" else client.close()


def test_descriptors_come_again(gateway_to, certificate, backend, refusing):
    """Sessions that come and go all the time on two workers, beside some that last: nobody gets what is somebody
    else's, and nobody waits for what has come, whoever had the descriptor before."""
    echo = backend(serve=backends.serve_echo)
    gateway = gateway_to(echo.target, 2, f"[route refused]\npath = /refused\ntarget = {refusing.target}")
    failures, until = [], threading.Event()
    lasting = on_threads(failures, steady, [(gateway, certificate, until, number) for number in range(6)])
    passing = on_threads(failures, fleeting, [(gateway, certificate, number, 40) for number in range(6)])
    for thread in passing:
        thread.join(8 * TIMEOUT)
    until.set()
    for thread in lasting:
        thread.join(8 * TIMEOUT)
    assert not failures
    gateway.wait_for("session end", count=6 + 6 * 40)
