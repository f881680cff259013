"""Urgent data are bytes of the stream (RFC 9293 3.8.5, RFC 6093): telnet's IAC DM is sent as such. Both ways, TCP and UNIX.

The client's urgent byte is one inside the payload of its frame: were it left out, no later frame would be understood.
"""

import socket

import pytest

import backends
from sections import listen, section
from wsclient import BINARY, Connection, close_frame, frame

SCRIPTS = [("one byte", [(b"AB", 0), (b"C", 1), (b"DE", 0)]),
           ("IAC DM", [(b"x", 0), (b"\xff\xf2", 1), (b"y", 0)]),
           ("two urgent ones", [(b"1", 1), (b"2", 1), (b"3", 0)])]


def send_urgently(sock, script):
    for data, urgent in script:
        try:
            sock.send(data, socket.MSG_OOB if urgent else 0)
        except OSError as error:
            pytest.skip(f"this kernel has no such urgent data: {error}")


@pytest.fixture(params=["tcp", "unix"])
def session(request, start_gateway, tmp_path):
    """(gateway, client, peer): both ends TCP or both UNIX."""
    tmp_path.chmod(0o755)
    path = None if request.param == "tcp" else str(tmp_path / "target")
    one = backends.Backend(path=path)
    if path is not None:
        (tmp_path / "target").chmod(0o777)
    address = "127.0.0.1:0" if path is None else f"unix:@sallyport-{tmp_path.name}"
    gateway = start_gateway(listen("plain", address=address) + section("route all", target=one.target))
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/")
        with one.accept() as peer:
            yield gateway, client, peer
    one.close()


@pytest.mark.parametrize("script", [script for _, script in SCRIPTS], ids=[name for name, _ in SCRIPTS])
def test_urgent_data_of_the_target(session, script):
    _, client, peer = session
    send_urgently(peer.sock, script)
    peer.end_sending()
    assert client.expect_close(1000, then_end=False) == b"".join(data for data, _ in script)
    client.send(close_frame(1000))


def test_urgent_data_of_the_client(session):
    gateway, client, peer = session
    message = frame(BINARY, b"hello")
    send_urgently(client.sock, [(message[:8], 0), (message[8:9], 1), (message[9:] + close_frame(1000), 0)])
    assert peer.read_to_end() == b"hello"
    peer.close()
    assert client.expect_close(1000) == b""
    assert gateway.wait_for("session end")["reason"] == "client_closed"
