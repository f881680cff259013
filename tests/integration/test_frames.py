"""Frames (RFC 6455 sections 5 to 8): what strict/messages.py cannot say as a row, because it needs a limit of time or
rate, many answers of which some may be missing, or a gateway that stops.

Timers of the gateway are set far away but on routes that are about one.
"""

import os

import pytest

from sections import listeners, section
from wsclient import BINARY, CONTINUATION, PING, PONG, close_frame, frame


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder, refusing):
    def route(name, target, **options):
        lines = [f"[route {name}]", f"path = /{name}", f"target = {target}"]
        patient = {"close_timeout": "60s", "ping_interval": "0"}
        return "\n".join(lines + [f"{key} = {value}" for key, value in {**patient, **options}.items()]) + "\n"

    return share_gateway("""
[server]
workers = 2
drain_timeout = 5s
""" + listeners(certificate, linger_timeout="60s") + route("raw", recorder.target)
        + route("rate", recorder.target, max_frame_rate=200)
        + route("idle", recorder.target, idle_timeout="300ms") + route("lifetime", recorder.target, lifetime="300ms")
        + route("refused-hasty", refusing.target, close_timeout="300ms")
        + route("hasty", recorder.target, close_timeout="300ms"))


class Session:
    """An open session and the backend's end of it."""

    def __init__(self, gw, transport, recorder, target="/raw"):
        recorder.drop_waiting()
        self.conn = transport.connect(gw)
        self.conn.upgrade(target)
        self.peer = recorder.accept()

    def __enter__(self):
        return self.conn, self.peer

    def __exit__(self, *_):
        self.conn.close()
        self.peer.close()


# --- lengths ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [0, 125, 126, 127, 65535, 65536])
def test_fr_len_bounds_alignments(gw, whole, recorder, length):
    """Frames at every offset modulo 8 of the stream, each with a mask of its own."""
    with Session(gw, whole, recorder) as (conn, peer):
        wanted = b""
        for shift in range(8):
            filler, payload = os.urandom(shift), os.urandom(length)
            conn.send(frame(BINARY, filler, mask=os.urandom(4)) + frame(BINARY, payload, mask=os.urandom(4)))
            wanted += filler + payload
        assert peer.read(len(wanted)) == wanted


def test_fr_len_bounds_splits(gw, whole, recorder):
    """Three frames of the three length forms, cut in two at every place of their headers and at some of the payloads."""
    payloads = [os.urandom(n) for n in (5, 130, 65540)]
    stream = b"".join(frame(BINARY, p, mask=os.urandom(4)) for p in payloads)
    headers = set(range(1, 20)) | set(range(140, 170)) | {1000, 65535, 65536, len(stream) - 1}
    with Session(gw, whole, recorder) as (conn, peer):
        for cut in sorted(headers):
            sender = conn.send_aside(stream[:cut])
            sender.join()
            conn.send(stream[cut:])
            assert peer.read(sum(map(len, payloads))) == b"".join(payloads), cut


# --- control frames ---------------------------------------------------------------------------------------------------

def test_fr_tcp_close_first(gw, transport, recorder):
    """The server ends TCP, the client need not: FIN comes while we hold our end open, and what we still send is taken."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(close_frame(1000))
        assert peer.read_to_end() == b""
        peer.close()
        conn.expect_close(1000)
        for _ in range(20): # taken and dropped; a reset would fail the later sends
            conn.send(b"\0" * 1000)
        assert conn.unsendable is None
        conn.close()
        end = gw.wait_session_end(conn)
        assert end["reason"] == "client_closed" and "detail" not in end.fields


def test_fr_ping_latest(gw, transport, recorder):
    """Of many Pings the last one is owed an answer; the others may get theirs, in order and at most once."""
    with Session(gw, transport, recorder) as (conn, peer):
        pings = [f"ping {i}".encode() for i in range(300)]
        conn.send(b"".join(frame(PING, p) for p in pings))
        answers = []
        while not answers or answers[-1] != pings[-1]:
            got = conn.read_frame()
            assert got.opcode == PONG
            answers.append(got.payload)
        places = [pings.index(a) for a in answers]
        assert places == sorted(set(places))
        conn.send(frame(BINARY, b"on we go"))
        assert peer.read(8) == b"on we go"


# --- limits -----------------------------------------------------------------------------------------------------------

def test_fr_empty_rate(gw, whole, recorder):
    """Empty frames count against the frame rate."""
    with Session(gw, whole, recorder, "/rate") as (conn, peer):
        conn.send(frame(BINARY, b"first") + frame(BINARY, b"") * 5000)
        conn.expect_close(1008)
        assert peer.read_to_end() == b"first"
        peer.close()
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "frame_rate"


@pytest.mark.parametrize("flood", [frame(BINARY, b"x"), frame(PING, b""), frame(PONG, b"x"),
                                   frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"")],
                         ids=["data", "ping", "pong", "fragments"])
def test_fr_empty_rate_others(gw, whole, recorder, flood):
    with Session(gw, whole, recorder, "/rate") as (conn, _):
        conn.send(flood * 5000)
        got, _ = conn.read_close()
        assert got.close_code == 1008


def test_fr_empty_rate_within(gw, whole, recorder):
    with Session(gw, whole, recorder, "/rate") as (conn, peer):
        conn.send(frame(BINARY, b"") * 50 + frame(BINARY, b"x") * 50)
        assert peer.read(50) == b"x" * 50
        conn.send(frame(PING, b"still"))
        assert conn.read_frame().payload == b"still"


# --- ends -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target, reason", [("/idle", "idle"), ("/lifetime", "lifetime")])
def test_fr_our_codes_timers(gw, transport, recorder, target, reason):
    with Session(gw, transport, recorder, target) as (conn, peer):
        conn.expect_close(1001, then_end=False)
        conn.send(close_frame(1001))
        conn.expect_end()
        peer.read_to_end()
        peer.close()
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == reason


@pytest.mark.parametrize("target", ["/hasty", "/refused-hasty"])
def test_fr_our_codes_unanswered(gw, transport, recorder, target):
    """Our Close is not answered: after close_timeout the end comes all the same, and a clean one."""
    with transport.connect(gw) as conn:
        recorder.drop_waiting()
        conn.upgrade(target, origin=f"{transport.scheme}://gateway.test")
        if target == "/hasty":
            recorder.accept().close()
        conn.expect_close(1000 if target == "/hasty" else 1014)


def test_fr_our_codes_drain(start_gateway, transport, certificate, recorder):
    gw = start_gateway(listeners(certificate) + section("route raw", path="/raw", target=recorder.target))
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"before"))
        assert peer.read(6) == b"before"
        peer.send(b"on its way")
        assert conn.read_message() == (BINARY, b"on its way")
        gw.terminate()
        conn.expect_close(1012, then_end=False)
        conn.send(frame(BINARY, b"after") + close_frame(1012))
        assert peer.read_to_end() == b"after"
        conn.expect_end()
        peer.close()
        conn.close()
        gw.stop()
        assert gw.wait_session_end(conn)["reason"] == "drain"
