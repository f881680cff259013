"""Work that one connection makes for its worker: what keeps it busy and is no data ends it, by a reason of that name."""

import ssl

import pytest

from rawtls import HANDSHAKE, RawTls
from sections import listeners, section
from wsclient import BINARY, close_frame, frame, request

FLOOD = 3000
UPDATES, REQUESTS = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder):
    server = section("server", workers=1, log_level="debug")
    return share_gateway(server + listeners(certificate) + section("route all", target=recorder.target))


@pytest.fixture
def raw(gw, certificate, tmp_path):
    """raw(version) makes a client that seals its own records."""
    made = []

    def make(version):
        made.append(RawTls(gw.address("tls"), certificate, version, tmp_path))
        return made[-1]
    yield make
    for one in made:
        one.close()


def idle_record(client):
    """One that brings no data: a KeyUpdate, or a ClientHello, which asks to renegotiate."""
    if client.ssl.version() == "TLSv1.3":
        return client.sealer.key_update()
    return client.sealer.record(HANDSHAKE, b"\x01\x00\x00\x26\x03\x03" + bytes(36))


@pytest.mark.parametrize("version", [UPDATES, REQUESTS], ids=["KeyUpdate", "renegotiation"])
def test_records_without_data_before_a_request(gw, raw, version):
    client = raw(version)
    client.send_sealed(b"".join(idle_record(client) for _ in range(FLOOD)))
    record = gw.wait_session_end(client)
    assert (record["reason"], record["detail"]) == ("tls_records", "too many TLS records without data"), record


@pytest.mark.parametrize("version", [UPDATES, REQUESTS], ids=["KeyUpdate", "renegotiation"])
def test_records_without_data_in_a_session(gw, raw, recorder, version):
    """What came before them is delivered."""
    recorder.drop_waiting()
    client = raw(version)
    client.send_sealed(client.seal_data(request("/")))
    peer = recorder.accept()
    client.send_sealed(client.seal_data(frame(BINARY, b"before")) + b"".join(idle_record(client) for _ in range(FLOOD)))
    assert peer.read_to_end() == b"before"
    peer.close()
    record = gw.wait_session_end(client)
    assert (record["reason"], record["code"], record.level) == ("tls_records", "1008", "warn"), record


@pytest.mark.parametrize("version", [UPDATES, REQUESTS], ids=["KeyUpdate", "renegotiation"])
def test_records_without_data_between_data(gw, raw, recorder, version):
    """As many, with data among them, are no flood."""
    recorder.drop_waiting()
    client = raw(version)
    client.send_sealed(client.seal_data(request("/")))
    peer = recorder.accept()
    for _ in range(20):
        few = b"".join(idle_record(client) for _ in range(20))
        client.send_sealed(few + client.seal_data(frame(BINARY, b"data")))
    assert peer.read(80) == b"data" * 20
    client.send_sealed(client.seal_data(close_frame(1000)))
    assert peer.read_to_end() == b""
    peer.close()
    client.close()
    assert gw.wait_session_end(client)["reason"] == "client_closed"
