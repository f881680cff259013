"""Work that one connection makes for its worker: what keeps it busy and is no data ends it, by a reason of that name."""

import contextlib
import signal
import ssl
import subprocess

import pytest

from rawtls import HANDSHAKE, RawTls
from sections import listen, listeners, section
from wsclient import BINARY, CONTINUATION, PING, PONG, TEXT, Connection, close_frame, frame, request

FLOOD = 3000
UPDATES, REQUESTS = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder):
    server = section("server", workers=1, log_level="debug")
    return share_gateway(server + listeners(certificate) + section("route all", target=recorder.target)
                         + section("route echo", path="/echo", target="echo:"))


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


# --- frames -----------------------------------------------------------------------------------------------------------

MANY = 4000


@contextlib.contextmanager
def stopped(gateway):
    """What is sent meanwhile is there at once when it goes on."""
    gateway.signal(signal.SIGSTOP)
    yield
    gateway.signal(signal.SIGCONT)


def test_pings_at_once(gw):
    """Some get a pong, the latest in any case (RFC 6455 5.5.3)."""
    with Connection(gw.address("plain")) as client:
        client.upgrade("/echo")
        with stopped(gw):
            client.send(b"".join(frame(PING, b"%d" % i) for i in range(MANY)))
        pongs = [client.read_frame()]
        while pongs[-1].payload != b"%d" % (MANY - 1):
            pongs.append(client.read_frame())
        assert {pong.opcode for pong in pongs} == {PONG} and len(pongs) < MANY / 8
        client.expect_echo()


@pytest.mark.native
def test_frames_at_once_traced(start_gateway, recorder, tmp_path):
    """Small frames with others between them are few sends to the target all the same, and echoed in few."""
    recorder.drop_waiting()
    trace = tmp_path / "trace"
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    gateway = start_gateway(section("server", workers=1) + listen("plain") + section("route all", target=recorder.target)
                            + section("route echo", path="/echo", target="echo:"),
                            prefix=["strace", "-D", "-f", "-o", str(trace), "-e", "trace=sendto"])
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/")
        with recorder.accept() as peer:
            client.send((frame(BINARY, b"x") + frame(PONG)) * MANY + frame(BINARY, b"y" * 2000) + frame(BINARY, b"z"))
            assert peer.read(MANY + 2001) == b"x" * MANY + b"y" * 2000 + b"z"
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/echo")
        client.send(frame(BINARY, b"x") * MANY)
        assert client.read_stream(MANY) == b"x" * MANY
    gateway.stop()
    assert 4 < trace.read_text().count("sendto(") < MANY / 8


def test_echoes_at_once(gw):
    """Each message comes back as it was, and many in a send; pongs keep their place among them."""
    with Connection(gw.address("plain")) as client:
        client.upgrade("/echo")
        with stopped(gw):
            client.send(frame(BINARY, b"a" * 3000) + frame(TEXT, b"b") + frame(PING, b"p") + frame(BINARY, b"") +
                        frame(BINARY, b"c", fin=False) + frame(CONTINUATION, b"d" * 2000) +
                        b"".join(frame(BINARY, b"%d" % i) for i in range(MANY)))
        for opcode, payload in ((BINARY, b"a" * 3000), (TEXT, b"b"), (PONG, b"p"), (BINARY, b""), (BINARY, b"c"),
                                (CONTINUATION, b"d" * 2000), *((BINARY, b"%d" % i) for i in range(MANY))):
            got = client.read_frame()
            assert (got.opcode, got.payload) == (opcode, payload)
