"""max_backlog: whatever peers make the gateway hold comes out of one pool, not only what waits for those who do not read."""

import contextlib
import socket
import struct
import time

import pytest

from sections import listeners, section
from wsclient import TIMEOUT, Connection, get

PART = b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX: "
HELLO = struct.pack("!BHH", 22, 0x301, 0x4000) + b"\1\1\x80\0" + bytes(0x4000 - 4)
MORE = struct.pack("!BHH", 22, 0x301, 0x4000) + bytes(0x4000)


@pytest.fixture
def gateway(start_gateway, certificate, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o755)
    with open(root / "large", "wb") as file:
        file.truncate(16 << 20)
    server = section("server", workers=1, log_level="debug", max_backlog="64k")
    return start_gateway(server + listeners(certificate, handshake_timeout="1h") + section("route all", root=root))


def send_quietly(client, data):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sock.sendall(data)


def is_full(gateway):
    """Whether a request that comes in part is refused. It is looked at once its connection's end is in the log."""
    with Connection(gateway.address("plain")) as client:
        client.send(PART)
        client.end_sending()
        client.recv()
        client.close()
        return gateway.wait_session_end(client)["reason"] == "backlog_full"


def wait_until(full, gateway):
    deadline = time.monotonic() + TIMEOUT
    while is_full(gateway) != full:
        assert time.monotonic() < deadline


def test_parts_of_requests_are_held_and_refused(gateway):
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(Connection(gateway.address("plain"))).send(PART.ljust(4000, b"x")) # which takes 4 KiB
        wait_until(True, gateway)
        with Connection(gateway.address("plain")) as client:
            client.send(PART)
            assert client.read_response().status == 503
        with Connection(gateway.address("plain")) as client: # what need not be held is answered
            client.send(get("/none"))
            assert client.read_response().status == 404
    wait_until(False, gateway)


def test_large_handshakes_are_held_and_refused(gateway):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(gateway.address("tls"))) for _ in range(4)]
        for client in clients:
            send_quietly(client, HELLO + 4 * MORE)
        record = gateway.wait_session_end()
        assert (record["reason"], record["listen"]) == ("backlog_full", "tls"), record
    wait_until(False, gateway)


def test_stalled_downloads_over_tls_are_held(gateway, certificate):
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            client = Connection(gateway.address("tls"), tls=certificate.client_context(), rcvbuf=4096)
            stack.enter_context(client).send(get("/large"))
        wait_until(True, gateway)
    wait_until(False, gateway)
