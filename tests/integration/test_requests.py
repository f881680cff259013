"""How large a request may be, and how long a connection waits for the next one. What else a request must be is in strict/."""

import pytest

from sections import listen, section
from test_lifecycle import connect
from wsclient import BINARY, frame, get, request

COOKIES = ["Cookie: " + "; ".join(f"sso{i}={'x' * 2000}" for i in range(15))] # what single sign-on leaves behind


@pytest.fixture(scope="module")
def shared(share_gateway, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "a.txt").write_text("a")
    return share_gateway(section("server", log_level="debug") + listen("usual") + listen("large", head_limit="32k")
                         + listen("small", head_limit="1k")
                         + listen("patient", handshake_timeout="500ms", keepalive_timeout="300s")
                         + listen("brief", handshake_timeout="300s", keepalive_timeout="200ms")
                         + listen("single", keepalive_timeout="0")
                         + section("route echo", path="/echo", target="echo:")
                         + section("route files", path="/files/*", root=root))


def sized(n):
    return request(extra=["X-Pad: " + "p" * (n - len(request(extra=["X-Pad: "])))])


def fetch(client):
    client.send(get("/files/a.txt"))
    response = client.read_response()
    assert response.status == 200 and response.body == b"a"
    return response


@pytest.mark.parametrize("bytewise", [False, True])
def test_request_with_cookies(gw, bytewise):
    """Whole and in pieces, with frames behind it at once."""
    with connect(gw, "large", bytewise=bytewise) as client:
        client.send(request(extra=COOKIES) + frame(BINARY, b"early" * 1000))
        client.read_101()
        assert client.read_stream(5000) == b"early" * 1000
        client.expect_echo()


@pytest.mark.parametrize("listener, size, status", [
    ("usual", 8192, 101), ("usual", 8193, 431), ("usual", 30000, 431), ("large", 32768, 101), ("large", 32769, 431),
    ("small", 1024, 101), ("small", 1025, 431)])
def test_request_head_limit(gw, listener, size, status):
    with connect(gw, listener) as client:
        client.send(sized(size))
        assert client.read_response().status == status


def test_request_pipelined_at_the_limit(gw):
    """Requests of all sizes on one connection, as they come."""
    with connect(gw, "large") as client:
        wanted = [get("/files/a.txt", extra=["X: " + "x" * n]) for n in (0, 30000, 10, 9000, 16000, 31000, 0)] * 3
        sender = client.send_aside(b"".join(wanted))
        for _ in wanted:
            assert client.read_response().status == 200
        sender.join()


def test_keepalive_outlives_the_handshake_timeout(gw):
    """While a client that says nothing is ended, one that was answered may wait."""
    with connect(gw, "patient") as kept:
        fetch(kept)
        with connect(gw, "patient") as silent:
            silent.expect_end()
        fetch(kept)
        kept.send(get("/files/a.txt")[:20]) # but then the whole request has to come in time
        assert kept.read_response().status == 408
        kept.expect_end()


def test_keepalive_ends(gw):
    """Without a word, since nothing was asked; a client that has asked for nothing yet has its own time."""
    with connect(gw, "brief") as first, connect(gw, "brief") as kept:
        fetch(kept)
        kept.expect_end()
        assert gw.wait_session_end(kept)["reason"] == "http_done"
        fetch(first)


def test_keepalive_none(gw):
    with connect(gw, "single") as client:
        assert fetch(client)["Connection"] == "close"
        client.expect_end()
