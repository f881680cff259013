"""The opening handshake: what strict/handshakes.py cannot say as a row, because it needs a deadline, a target that cannot
be reached, several requests, or a gateway that is full or stops.

Every refusal is checked whole: the exact status, `Connection: close`, no answer to what was pipelined behind it, the end
of the connection although the client stays silent, and a log line that names the same status.
"""

import contextlib

import pytest

from sections import listen, listeners
from wsclient import BINARY, PING, Connection, EndOfStream, Truncated, close_frame, frame, get, request


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder, refusing, unanswering, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"alice: 127.0.0.1:{recorder.port}\n")
    root = tmp_path_factory.mktemp("root")
    (root / "index.html").write_text("<!doctype html>hello\n")
    (root / "empty").mkdir()

    def route(name, target=None, **options):
        lines = [f"[route {name}]", f"path = /{options.pop('path', name)}"] + ([f"target = {target}"] if target else [])
        return "\n".join(lines + [f"{key} = {value}" for key, value in options.items()]) + "\n"

    return share_gateway("""
[server]
workers = 2
log_level = debug
""" + listeners(certificate)
        + listen("hurry", handshake_timeout="1s") + listen("hurrytls", tls="on", handshake_timeout="1s")
        + route("echo", "echo:") + route("tree", "echo:", path="tree/*")
        + route("tokens", token_file=tokens)
        + route("files", root=root, path="files/*")
        + route("refused", refusing.target) + route("refused-http", refusing.target, connect_error="http")
        + route("refused-close", refusing.target, connect_error="close")
        + route("no-socket", f"unix:{root}/nobody.sock")
        + route("no-name", "tcp:no-such-host.invalid:1")
        + route("timeout", unanswering.target, connect_timeout="300ms")
        + route("timeout-long", unanswering.target, connect_timeout="60s"))


# --- how a case is checked --------------------------------------------------------------------------------------------

PIPELINED = request("/echo", extra=["X-Pipelined: yes"])


def check_refused(gw, conn, status):
    response = conn.read_response()
    assert response.status == status, response
    assert response["Connection"].lower() == "close", response
    if status in (503, 429):
        assert int(response["Retry-After"]) >= 0, response
    conn.expect_end()
    conn.close()
    assert gw.wait_session_end(conn)["code"] == str(status)
    return response


def test_hs_auth(gw, transport, recorder):
    """Wrong tokens are told apart by nothing in the answer; that there is none is said."""
    answers = set()
    for query in ("", "?token=", "?tokens=alice"):
        with transport.connect(gw) as conn:
            conn.send(request("/tokens" + query) + PIPELINED)
            assert b"the URL has no ?token=" in check_refused(gw, conn, 403).body
    for query in ("?token=bob", "?token=alic", "?token=alicee", "?token=ALICE"):
        with transport.connect(gw) as conn:
            conn.send(request("/tokens" + query) + PIPELINED)
            response = check_refused(gw, conn, 403)
            answers.add((response.status, response.reason, response.body,
                         tuple(f for f in response.fields if f[0] != "date")))
    assert len(answers) == 1
    assert recorder.nobody_waits()
    with transport.connect(gw) as conn:
        conn.upgrade("/tokens?token=alice")
        recorder.accept().close()


# --- deadlines, backends, capacity ----------------------------------------------------------------------------------------

def until_end(conn):
    """What comes before the connection ends, however it ends."""
    data = b""
    try:
        while True:
            part = conn.recv()
            if not part:
                return data
            data += part
    except (ConnectionResetError, Truncated):
        return data


def drip(conn):
    """Sends a byte of an endless head now and then until the gateway has answered or ended; returns what came."""
    endless = iter(request(extra=["X-Drip: " + "d" * 4000], end=b""))
    conn.sock.settimeout(0.05)
    for byte in endless:
        conn.send(bytes([byte]))
        try:
            data = conn.recv()
        except TimeoutError:
            continue
        except (ConnectionResetError, Truncated):
            return b""
        return data
    raise AssertionError("200 seconds of dripping were allowed")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("behaviour", ["silent", "half", "drip"])
def test_hs_deadline(gw, certificate, tls, behaviour):
    """An absolute deadline from accept to the answer, whatever drips in."""
    address = gw.address("hurrytls" if tls else "hurry")
    with Connection(address, tls=certificate.client_context() if tls else None) as conn:
        if behaviour == "drip":
            answer = drip(conn)
        else:
            conn.send(request()[:60] if behaviour == "half" else b"")
            answer = until_end(conn)
        conn.close()
        end = gw.wait_session_end(conn)
        if behaviour == "silent":
            assert (answer, end["reason"]) == (b"", "http_done") # nothing was asked, so nothing is answered
        else:
            assert answer.startswith(b"HTTP/1.1 408 ") and end["reason"] == "request_timeout"


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
                         ids=["nothing", "record-header", "half-a-hello"])
def test_hs_deadline_of_tls(gw, said):
    with Connection(gw.address("hurrytls")) as conn:
        conn.send(said)
        until_end(conn)
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == ("tls_timeout" if said else "http_done") # a probe is no failure


def test_hs_deadline_covers_dial(gw):
    """The time to reach the target counts too: its own limit is a minute, the listener's a second."""
    with Connection(gw.address("hurry")) as conn:
        conn.send(request("/timeout-long"))
        assert conn.read_response().status in (408, 504)
        conn.expect_end()


def test_hs_deadline_ends_with_upgrade(gw):
    """Once open, the deadline is gone: it passes on the neighbour, and the session lives."""
    with Connection(gw.address("hurry")) as conn, Connection(gw.address("hurry")) as silent:
        conn.upgrade()
        until_end(silent)
        conn.expect_echo()


DOWN = [("/refused", 502, "backend_refused"), ("/no-socket", 502, "backend_refused"), ("/no-name", 502, "backend_not_found"),
        ("/timeout", 504, "backend_timeout")]


@pytest.mark.parametrize("target, status, reason", DOWN, ids=[row[0][1:] for row in DOWN])
def test_hs_backend_down(gw, transport, target, status, reason):
    with transport.connect(gw) as conn:
        conn.send(request(target) + PIPELINED)
        check_refused(gw, conn, status)
        assert gw.wait_session_end(conn)["reason"] == reason


@pytest.mark.parametrize("target, status, reason", DOWN, ids=[row[0][1:] for row in DOWN])
def test_hs_backend_down_browser(gw, transport, target, status, reason):
    """A browser's script never sees a status, so it is told by 101 and Close 1014 with words."""
    with transport.connect(gw) as conn:
        conn.upgrade(target, origin=f"{transport.scheme}://gateway.test")
        got, data = conn.read_close()
        assert (got.close_code, data) == (1014, b"")
        assert len(got.close_reason) >= 10
        conn.send(close_frame(1014))
        conn.expect_end()
        conn.close()
        end = gw.wait_session_end(conn)
        assert (end["reason"], end["code"]) == (reason, "1014")


def test_hs_backend_down_as_configured(gw, transport):
    with transport.connect(gw) as conn:
        conn.send(request("/refused-http", origin=f"{transport.scheme}://gateway.test"))
        check_refused(gw, conn, 502)
    with transport.connect(gw) as conn:
        conn.upgrade("/refused-close")
        conn.expect_close(1014, then_end=False)
        conn.send(close_frame(1014))
        conn.expect_end()


def test_hs_backend_down_early_frames(gw, transport):
    """Frames that came with the request of a browser do not disturb the Close."""
    with transport.connect(gw) as conn:
        conn.send(request("/refused", origin=f"{transport.scheme}://gateway.test") + frame(BINARY, b"x" * 1000))
        conn.read_101()
        conn.expect_close(1014, then_end=False)
        conn.send(frame(BINARY, b"y" * 1000) + close_frame(1014))
        conn.expect_end()


def test_hs_backend_down_early_ping(gw, transport):
    """A ping that came with the request of a browser gets no pong behind the Close."""
    with transport.connect(gw) as conn:
        conn.send(request("/refused", origin=f"{transport.scheme}://gateway.test") + frame(PING, b"early"))
        conn.read_101()
        conn.expect_close(1014, then_end=False)
        conn.send(close_frame(1014))
        conn.expect_end()


OVERLOAD = """
[server]
max_sessions = 2
workers = 1
[route echo]
path = /echo
target = echo:
"""


def test_hs_overload(start_gateway, transport, certificate):
    gw = start_gateway(OVERLOAD + listeners(certificate))
    with transport.connect(gw) as one, transport.connect(gw) as two:
        one.upgrade()
        two.upgrade()
        with transport.connect(gw) as three:
            three.send(request())
            response = three.read_response()
            assert response.status == 503 and int(response["Retry-After"]) > 0, response
            three.expect_end()
            gw.wait_for("connections refused", reason="overload", peer=three.peer_text)
        one.expect_echo()
        two.send(frame(8))
        two.expect_close(None)
        two.close()
        gw.wait_session_end(two)
    for _ in range(100): # a session counts until just after its line of the log
        with transport.connect(gw) as four:
            four.send(request())
            if four.read_response().status == 101:
                four.expect_echo()
                return
    raise AssertionError("there is room again, but nobody gets in")


def test_hs_overload_drain(start_gateway, certificate, whole):
    """A request that is under way when the gateway begins to stop is told so."""
    gw = start_gateway(OVERLOAD + listeners(certificate))
    with whole.connect(gw) as opened, whole.connect(gw) as half:
        opened.upgrade()
        half.send(request(end=b""))
        opened.expect_echo() # by the one worker, which has seen the half before
        gw.terminate()
        opened.expect_close(1012, then_end=False)
        opened.send(close_frame(1012))
        opened.expect_end()
        check_refused(gw, half, 503)
    gw.stop()


# --- routes ---------------------------------------------------------------------------------------------------------------

def test_hs_route_dot_segments(gw, transport):
    """Whether paths are normalised is the route table's choice; only that it cannot crash or hang is not."""
    with transport.connect(gw) as conn:
        conn.send(request("/tree/../nowhere"))
        assert conn.read_response().status in (101, 400, 404)


def test_hs_route_no_listing(gw, transport):
    for path in ("/files/empty/", "/files/empty"):
        with transport.connect(gw) as conn:
            conn.send(get(path))
            response = conn.read_response()
            assert response.status in (404, 301) and b"index.html" not in response.body


def test_hs_abandoned(gw, transport):
    """Clients that go away in the middle of the head, by FIN and by RST, end one session each and nothing else."""
    for length in (0, 1, 20, len(request()) - 1):
        for end in ("end_sending", "reset"):
            with transport.connect(gw) as conn:
                conn.send(request()[:length])
                getattr(conn, end)()
                if end == "end_sending":
                    try:
                        until_end(conn)
                    except (EndOfStream, OSError):
                        pass
                conn.close()
                gw.wait_session_end(conn)


def test_hs_garbage(gw, whole):
    """Bytes that are no HTTP at all: refused with 400, or ended, never served."""
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00" * 20, b"\x80" * 200, b"SSH-2.0-client\r\n\r\n", b"RFB 003.008\n", b"\0" * 300,
                 bytes(range(256)) * 40):
        with whole.connect(gw) as conn:
            conn.send(junk)
            if b"\n" not in junk[:-1] and b"\0" not in junk:
                with contextlib.suppress(OSError):      # the gateway may have seen enough already
                    conn.end_sending()
            answer = until_end(conn)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 408 ")), answer


# --- refusals of HEAD -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("head", [b"HEAD / HTTP/1.1\r\nHost : x\r\n\r\n", b"HEAD /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"HEAD / HTTP/1.1\r\n" + b"X: y\r\n" * 2000], ids=["malformed", "long-target", "too-large"])
def test_hs_refused_head_has_no_body(gw, whole, head):
    """Also when the head was no good: its first word says what is expected."""
    with whole.connect(gw) as conn:
        conn.send(head)
        assert conn.read_response("HEAD").status in (400, 414, 431)
        conn.expect_end()
