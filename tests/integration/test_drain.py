"""Who is just connecting while the gateway stops: what was accepted is answered, and what is idle keeps nobody waiting.

Each gateway has one worker, so that an echo in a session shows that all connections made before have been accepted.
"""

import socket

import pytest

from wsclient import TIMEOUT, Connection, Response, close_frame, get, request

CONFIG = """
    [server]
    workers = 1
    log_level = debug
    [tls own]
    certificate = {cert.cert}
    key = {cert.key}
    [listen plain]
    address = 127.0.0.1:0
    linger_timeout = {linger}
    handshake_timeout = {handshake}
    [listen tls]
    address = 127.0.0.1:0
    tls = on
    linger_timeout = {linger}
    [route echo]
    path = /echo
    target = echo:
    [route files]
    path = /files/*
    root = {root}
"""


@pytest.fixture
def start(start_gateway, certificate, tmp_path):
    """start(linger, handshake): the gateway, and a session that it has been round to."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.html").write_text("a page")

    def run(linger="1h", handshake="1h"):
        gateway = start_gateway(CONFIG.format(cert=certificate, root=tmp_path / "web", linger=linger, handshake=handshake))

        def settle():
            session = Connection(gateway.address("plain"))
            session.upgrade("/echo")
            session.expect_echo()
            return session
        return gateway, settle
    return run


def stop(gateway, session):
    gateway.terminate()
    close, _ = session.read_close()
    assert close.close_code == 1012
    session.send(close_frame(1012))
    session.close()


def test_drain_answers_who_has_just_connected(start):
    """Connected, but the request is not there yet: it gets its answer when it comes."""
    gateway, settle = start()
    with Connection(gateway.address("plain")) as client, Connection(gateway.address("plain")) as other:
        stop(gateway, settle())
        client.send(request("/echo"))
        assert client.read_response().status == 503
        client.expect_end()
        other.send(get("/files/page.html"))
        response = other.read_response()
        assert response.status == 503 and response["Retry-After"]
    assert gateway.wait() == 0
    assert [record["reason"] for record in gateway.find("session end")] == ["drain"] * 3


def test_drain_answers_who_begins_tls(start, certificate):
    gateway, settle = start()
    with socket.create_connection(gateway.address("tls"), TIMEOUT) as raw:
        stop(gateway, settle())
        with certificate.client_context().wrap_socket(raw, server_hostname="gateway.test") as client:
            client.sendall(request("/echo"))
            answer = client.recv(4096)
    assert Response(answer.partition(b"\r\n\r\n")[0]).status == 503
    assert gateway.wait() == 0


@pytest.mark.parametrize("limits", [{"linger": "100ms"}, {"handshake": "300ms"}], ids=["linger", "handshake"])
def test_drain_does_not_wait_for_silence(start, limits):
    """Nothing is asked, so nothing is answered, and the shorter limit ends it."""
    gateway, settle = start(**limits)
    with Connection(gateway.address("plain")) as client:
        stop(gateway, settle())
        assert client.read_to_end() == b""
    assert gateway.wait() == 0


def test_drain_ends_idle_connection_at_once(start):
    """Who has had an answer and asks nothing more need not be waited for."""
    gateway, settle = start()
    with Connection(gateway.address("plain")) as client:
        client.send(get("/files/page.html"))
        assert client.read_response().status == 200
        stop(gateway, settle())
        assert client.read_to_end() == b""
    assert gateway.wait() == 0
