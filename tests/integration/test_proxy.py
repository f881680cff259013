"""The PROXY protocol on listeners (proxy_protocol, trusted_proxy): who is believed, whom a session takes for its peer, and
that nothing but a whole header gets past the beginning of a connection.

Sources that headers name are of documentation networks, each with a port of its own, by which its record is found.
"""

import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import inside
from sections import listeners, section
from wsclient import BINARY, TIMEOUT, Connection, Truncated, close_frame, frame, get, request

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
ports = itertools.count(10000)


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "index.html").write_text("<!doctype html>hello\n")

    proxied = {"proxy_protocol": "on", "trusted_proxy": "127.0.0.0/8"}

    def listen(name, **options):
        return section(f"listen {name}", **{"address": "127.0.0.1:0", **proxied, **options})

    return share_gateway("""
[server]
workers = 2
log_level = debug
access_log = on
source_penalty_max = 0
""" + listeners(certificate, **proxied) + listen("auto", tls="auto")
        + listen("hurry", handshake_timeout="1s") + listen("hurrytls", tls="on", handshake_timeout="1s")
        + listen("distrust", trusted_proxy="192.0.2.0/24, 2001:db8::/32, 127.0.0.2")
        + listen("distrusttls", trusted_proxy="192.0.2.0/24", tls="on")
        + listen("six", address="[::1]:0", trusted_proxy="::1")
        + section("listen unix", address=f"unix:{root}/listen.sock", proxy_protocol="on")
        + section("listen direct", address="127.0.0.1:0") + f"""
[route echo]
path = /echo
target = echo:
[route files]
path = /files/*
root = {root}
""")


# --- headers ------------------------------------------------------------------------------------------------------------

def v1(words):
    return b"PROXY " + words.encode("latin-1") + b"\r\n"


def v2(command, transport, block=b"", length=None):
    return SIGNATURE + struct.pack(">BBH", command, transport, len(block) if length is None else length) + block


def ends4(port, source="192.0.2.1"):
    return socket.inet_aton(source) + socket.inet_aton("198.51.100.2") + struct.pack(">HH", port, 443)


def ends6(port, source="2001:db8::1"):
    return socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::2") + struct.pack(">HH", port, 443)


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_checksum(port):
    before = ends4(port) + tlv(0x04, b"noop")
    zeros = v2(PROXY, 0x11, before + tlv(0x03, bytes(4)))
    return v2(PROXY, 0x11, before + tlv(0x03, struct.pack(">I", crc32c(zeros))))


# By name: (header that names a port, the peer it makes, or None: the connection's own).
HEADERS = {
    "v1-tcp4": (lambda p: v1(f"TCP4 192.0.2.1 198.51.100.2 {p} 443"), "192.0.2.1:{}"),
    "v1-tcp6": (lambda p: v1(f"TCP6 2001:db8::1 2001:DB8::2 {p} 443"), "[2001:db8::1]:{}"),
    "v1-mapped": (lambda p: v1(f"TCP6 ::ffff:192.0.2.7 ::1 {p} 443"), "192.0.2.7:{}"),
    "v1-unknown": (lambda p: v1("UNKNOWN"), None),
    "v1-unknown-words": (lambda p: v1(f"UNKNOWN 192.0.2.1 198.51.100.2 {p} 443"), None),
    "v2-tcp4": (lambda p: v2(PROXY, 0x11, ends4(p)), "192.0.2.1:{}"),
    "v2-tcp6": (lambda p: v2(PROXY, 0x21, ends6(p)), "[2001:db8::1]:{}"),
    "v2-mapped": (lambda p: v2(PROXY, 0x21, ends6(p, "::ffff:192.0.2.7")), "192.0.2.7:{}"),
    "v2-local": (lambda p: v2(LOCAL, 0x00), None),
    "v2-local-block": (lambda p: v2(LOCAL, 0x11, ends4(p) + b"\x03\xff"), None),
    "v2-unspecified": (lambda p: v2(PROXY, 0x00), None),
    "v2-unix": (lambda p: v2(PROXY, 0x31, b"/run/x.sock".ljust(216, b"\0")), None),
    "v2-tlvs": (lambda p: v2(PROXY, 0x11, ends4(p) + tlv(0x01, b"h2") + tlv(0xEE, b"")), "192.0.2.1:{}"),
    "v2-checksum": (with_checksum, "192.0.2.1:{}"),
    "v2-longest": (lambda p: v2(PROXY, 0x11, ends4(p) + tlv(0x04, bytes(4080 - 12 - 3))), "192.0.2.1:{}"),
}


class Proxied(Connection):
    """A connection that begins with a header, which goes out by itself, or (together) in one segment with what is sent
    first: the request, or the first bytes of TLS."""

    def __init__(self, address, header, together=False, tls=None, **options):
        self.header = header if together else b""
        super().__init__(address, **options)
        if not together:
            super().send(header)
        if tls is not None:
            self._handshake(tls, "gateway.test")

    def _take_header(self):
        header, self.header = self.header, b""
        return header

    def send(self, data):
        super().send(self._take_header() + data if self.ssl is None else data)

    def _send_raw(self, data):
        super()._send_raw(self._take_header() + data)


def until_end(conn):
    """What comes before the connection ends, however it ends."""
    data = b""
    try:
        while part := conn.recv():
            data += part
    except (ConnectionResetError, Truncated):
        pass
    return data


def named(conn, peer=None):
    """The fields by which the record of a session is found."""
    return {"peer": conn.peer_text} if peer is None else {"peer": peer, "proxy": conn.peer_text}


def expect_untrusted(gw, listener, said=b""):
    """Not a byte comes: it is reset, be it before it knows that it was connected. The log says who was the last of them."""
    with socket.socket() as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(("127.0.0.1", 0))
        peer = "127.0.0.1:%d" % sock.getsockname()[1]
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.connect(gw.address(listener))
            sock.sendall(said)
            assert sock.recv(1) == b"never"
    gw.wait_for("connections refused", reason="proxy_untrusted", peer=peer)
    assert not gw.find("session end", peer=peer)


def expect_refused(gw, conn, reason, detail=None):
    """Not a byte comes, and the log has the connection's own address."""
    assert until_end(conn) == b""
    conn.close()
    record = gw.wait_session_end(conn)
    assert (record["reason"], record.get("proxy")) == (reason, None)
    assert detail is None or record["detail"] == detail
    return record


# --- what a header says -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["together", "alone", "bytewise"])
@pytest.mark.parametrize("mode", ["plain", "tls", "auto-plain", "auto-tls"])
@pytest.mark.parametrize("kind", HEADERS)
def test_header_names_the_peer(gw, certificate, kind, mode, way):
    header, peer = HEADERS[kind]
    port = next(ports)
    tls = certificate.client_context() if mode.endswith("tls") else None
    with Proxied(gw.address(mode.split("-")[0]), header(port), way == "together", tls, bytewise=way == "bytewise") as conn:
        conn.upgrade("/echo", origin=f"{'https' if tls else 'http'}://gateway.test")
        conn.expect_echo()
        conn.send(close_frame(1000))
        conn.expect_close(1000)
        conn.close()
        record = gw.wait_session_end(**named(conn, peer and peer.format(port)))
        assert record["reason"] == "client_closed"
        assert record.get("proxy") == (conn.peer_text if peer else None)


@pytest.mark.parametrize("kind", ["v1-tcp4", "v2-tcp6"])
def test_all_in_one_segment(gw, kind):
    """Header, request and the first frame."""
    header, peer = HEADERS[kind]
    port = next(ports)
    with Connection(gw.address("plain")) as conn:
        conn.send(header(port) + request() + frame(BINARY, b"early"))
        conn.read_101()
        assert conn.read_message() == (BINARY, b"early")
        conn.send(close_frame(1000))
        conn.expect_close(1000)
        conn.close()
        gw.wait_session_end(**named(conn, peer.format(port)))


@pytest.mark.parametrize("kind", ["v1-tcp4", "v1-tcp6", "v2-tcp6", "v2-checksum"])
def test_cut_anywhere(gw, kind):
    """In two segments with the request behind the second, the cut at every byte."""
    header, peer = HEADERS[kind]
    for cut in range(1, len(header(10000))):
        port = next(ports)
        with Connection(gw.address("plain")) as conn:
            conn.send(header(port)[:cut])
            conn.send(header(port)[cut:] + get("/files/"))
            assert conn.read_response().status == 200
            conn.close()
            gw.wait_session_end(**named(conn, peer.format(port)))


def test_requests_are_logged_with_the_peer(gw):
    port = next(ports)
    with Connection(gw.address("plain")) as conn:
        conn.send(v2(PROXY, 0x11, ends4(port)))
        for _ in range(2):
            conn.send(get("/files/"))
            assert conn.read_response().status == 200
    gw.wait_for("request", peer=f"192.0.2.1:{port}", count=2)


def test_ipv6_proxy(gw):
    port = next(ports)
    with Connection(gw.address("six")) as conn:
        conn.send(v2(PROXY, 0x11, ends4(port)) + get("/files/"))
        assert conn.read_response().status == 200
        conn.close()
        record = gw.wait_session_end(peer=f"192.0.2.1:{port}")
        assert record["proxy"] == f"[::1]:{conn.name[1]}"


@pytest.mark.parametrize("kind", ["v1-tcp6", "v2-tcp4", "v2-local", "v2-longest"])
def test_unix_socket_is_trusted(gw, kind):
    """By its permissions, without trusted_proxy."""
    header, peer = HEADERS[kind]
    port = next(ports)
    with Connection(gw.address("unix"), bytewise=True) as conn:
        conn.send(header(port) + get("/files/"))
        assert conn.read_response().status == 200
    own = f"unix:pid={os.getpid()},uid={os.getuid()}"
    record = gw.wait_session_end(listen="unix", peer=peer.format(port) if peer else own)
    assert record.get("proxy") == (own if peer else None)


# --- who is not believed ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("header", ["v1-tcp4", "v2-tcp4", "v2-local", "nothing"])
@pytest.mark.parametrize("listener", ["distrust", "distrusttls"])
def test_untrusted_source_is_refused(gw, listener, header):
    """It never sets its address, be it one that would be trusted, and learns nothing: there is no need to send anything."""
    port = next(ports)
    expect_untrusted(gw, listener, HEADERS[header][0](port) + request() if header != "nothing" else b"")
    assert not gw.find(peer=f"192.0.2.1:{port}")


def test_trust_is_for_each_listener(gw):
    """Another address of the same machine is trusted there."""
    port = next(ports)
    sock = socket.create_connection(gw.address("distrust"), TIMEOUT, source_address=("127.0.0.2", 0))
    with sock:
        sock.sendall(v2(PROXY, 0x11, ends4(port)) + get("/files/"))
        assert sock.recv(12) == b"HTTP/1.1 200"
    assert gw.wait_session_end(peer=f"192.0.2.1:{port}")["proxy"].startswith("127.0.0.2:")


@pytest.mark.parametrize("kind", ["v1-tcp4", "v2-tcp4"])
def test_header_where_none_is_asked_for(gw, kind):
    port = next(ports)
    with Connection(gw.address("direct")) as conn:
        conn.send(HEADERS[kind][0](port) + request())
        assert conn.read_response().status == 400
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "bad_request"
    assert not gw.find(peer=f"192.0.2.1:{port}")


@pytest.mark.parametrize("kind", ["v1-tcp4", "v2-tcp4"])
def test_second_header_is_a_bad_request(gw, kind):
    """What stands behind the header is the client's, who has no say in where it comes from."""
    port, other = next(ports), next(ports)
    with Connection(gw.address("plain")) as conn:
        conn.send(HEADERS[kind][0](port) + HEADERS[kind][0](other) + request())
        assert conn.read_response().status == 400
        conn.close()
        assert gw.wait_session_end(**named(conn, f"192.0.2.1:{port}"))["reason"] == "bad_request"
    assert not gw.find(peer=f"192.0.2.1:{other}")


# --- what is no header --------------------------------------------------------------------------------------------------

TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)
GOOD4, GOOD6 = ends4(443), ends6(443)

MALFORMED = [
    # nothing like it
    request(), get(), TLS_HELLO, b"\0", b"\n", b"\r\n\r\n" + request(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n",
    b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b" " + v1("TCP4 192.0.2.1 192.0.2.2 1 2"), b"PROXY\r\n", b"PROXY\tTCP4\r\n",
    b"\xef\xbb\xbf" + v1("UNKNOWN"),
    # version 1: words
    *map(v1, [
        "", " ", "TCP4", "TCP4 ", "TCP4 192.0.2.1", "TCP4 192.0.2.1 192.0.2.2", "TCP4 192.0.2.1 192.0.2.2 1",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3", "TCP4 192.0.2.1 192.0.2.2 1 2 ", " TCP4 192.0.2.1 192.0.2.2 1 2",
        "TCP4  192.0.2.1 192.0.2.2 1 2", "TCP4 192.0.2.1  192.0.2.2 1 2", "TCP4 192.0.2.1 192.0.2.2  1 2",
        "TCP4\t192.0.2.1 192.0.2.2 1 2", "TCP4 192.0.2.1 192.0.2.2 1\t2", "UNKNOWNX", "unknown", "UNKNOW", "UNKNOWN\r", "UDP4",
        "UDP4 192.0.2.1 192.0.2.2 1 2", "TCP 192.0.2.1 192.0.2.2 1 2", "tcp4 192.0.2.1 192.0.2.2 1 2",
        # addresses
        "TCP4 2001:db8::1 2001:db8::2 1 2", "TCP6 192.0.2.1 192.0.2.2 1 2", "TCP4 192.0.2.1 ::1 1 2", "TCP4 192.0.2 192.0.2.2 1 2",
        "TCP4 192.0.2.256 192.0.2.2 1 2", "TCP4 192.0.2.01 192.0.2.2 1 2", "TCP4 0xc0.0.2.1 192.0.2.2 1 2",
        "TCP4 3221225985 192.0.2.2 1 2", "TCP4 localhost localhost 1 2", "TCP4 192.0.2.1\0 192.0.2.2 1 2",
        "TCP6 [::1] [::1] 1 2", "TCP6 ::1%lo ::1 1 2", "TCP6 1::2::3 ::1 1 2", "TCP6 12345:: ::1 1 2", "TCP6 ::1 1:2:3 1 2",
        "TCP4 192.0.2.1 192.0.2.2\r\n1 2",
        # ports
        "TCP4 192.0.2.1 192.0.2.2 65536 2", "TCP4 192.0.2.1 192.0.2.2 1 65536", "TCP4 192.0.2.1 192.0.2.2 01 2",
        "TCP4 192.0.2.1 192.0.2.2 1 00", "TCP4 192.0.2.1 192.0.2.2 -1 2", "TCP4 192.0.2.1 192.0.2.2 +1 2",
        "TCP4 192.0.2.1 192.0.2.2 0x1 2", "TCP4 192.0.2.1 192.0.2.2 1a 2", "TCP4 192.0.2.1 192.0.2.2 4294967297 2",
        # length
        "UNKNOWN " + "x" * 92, "UNKNOWN " + "x" * 5000, "TCP4 192.0.2.1 192.0.2.2 1 " + "0" * 200,
    ]),
    # version 1: ends of the line
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", b"PROXY UNKNOWN\rX",
    # version 2: signature, version, command, transport
    b"\r\n\r\n\0\r\nQUIT\r" + v2(LOCAL, 0)[12:], b"\r\n\r\n\1\r\nQUIT\n" + v2(LOCAL, 0)[12:], b"\n" + v2(LOCAL, 0),
    v2(0x10, 0), v2(0x30, 0), v2(0x00, 0), v2(0x22, 0), v2(0x2F, 0x11, GOOD4), v2(0x11, 0x11, GOOD4), v2(0xA1, 0x11, GOOD4),
    v2(PROXY, 0x12, GOOD4), v2(PROXY, 0x22, GOOD6), v2(PROXY, 0x32, bytes(216)), v2(PROXY, 0x10, GOOD4), v2(PROXY, 0x13, GOOD4),
    v2(PROXY, 0x01, GOOD4), v2(PROXY, 0x02, GOOD4), v2(PROXY, 0x41, bytes(216)), v2(PROXY, 0xF1, bytes(216)),
    # lengths
    v2(PROXY, 0x11), v2(PROXY, 0x11, GOOD4[:11]), v2(PROXY, 0x21, GOOD6[:35]), v2(PROXY, 0x21, GOOD4), v2(PROXY, 0x31, bytes(215)),
    v2(PROXY, 0x11, length=4081), v2(LOCAL, 0, length=4081), v2(LOCAL, 0, length=65535),
    # TLVs
    v2(PROXY, 0x11, GOOD4 + b"\4"), v2(PROXY, 0x11, GOOD4 + b"\4\0"), v2(PROXY, 0x11, GOOD4 + b"\4\0\1"),
    v2(PROXY, 0x11, GOOD4 + b"\4\xff\xff"), v2(PROXY, 0x21, GOOD6 + tlv(4, b"x") + b"\4\0"), v2(PROXY, 0x11, GOOD4 + b"\4\0\2xyz"),
    v2(PROXY, 0x11, GOOD4 + tlv(3, b"")), v2(PROXY, 0x11, GOOD4 + tlv(3, bytes(4))), with_checksum(443)[:-1] + b"\0",
]


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("listener", ["plain", "tls", "auto"])
def test_malformed_headers_end_the_connection(gw, listener, bytewise):
    """Before anything else is looked at, and without an answer."""
    assert len(MALFORMED) >= 60
    for header in MALFORMED:
        with Connection(gw.address(listener), bytewise=bytewise) as conn:
            conn.send(header)
            expect_refused(gw, conn, "proxy_header", "missing or malformed")


def test_header_inside_of_tls_is_none(gw, certificate):
    """A client that ends TLS with us has no proxy in front that could have said anything."""
    with Connection(gw.address("tls")) as conn:
        with pytest.raises((OSError, Truncated)):
            conn._handshake(certificate.client_context(), "gateway.test")
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "proxy_header"


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1", v2(PROXY, 0x11, GOOD4)[:-1], b"P", b"\r"],
                         ids=["v1", "v2", "first-v1", "first-v2"])
@pytest.mark.parametrize("listener", ["plain", "tls", "auto"])
def test_header_cut_short(gw, listener, header):
    with Connection(gw.address(listener)) as conn:
        conn.send(header)
        conn.end_sending()
        expect_refused(gw, conn, "proxy_header", "cut short")


@pytest.mark.parametrize("listener", ["plain", "tls", "auto"])
@pytest.mark.parametrize("said", [b"", v2(LOCAL, 0)], ids=["nothing", "local"])
def test_checks_of_a_proxy_are_no_failure(gw, listener, said):
    """It connects, perhaps says that it is itself, and goes again."""
    with Connection(gw.address(listener)) as conn:
        conn.send(said)
        conn.end_sending()
        assert until_end(conn)[:1] in (b"", b"\x15") # an alert is all that TLS may say
        conn.close()
        record = gw.wait_session_end(conn)
        assert (record["reason"], record.level, record.get("proxy")) == ("http_done", "debug", None)


# --- time ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("listener", ["hurry", "hurrytls"])
@pytest.mark.parametrize("said, reason, detail", [
    (b"", "http_done", None), (b"PROXY TCP4 192.0.2.1", "proxy_header", "took too long"),
    (v2(PROXY, 0x11, GOOD4)[:20], "proxy_header", "took too long"), (v2(LOCAL, 0x00), "http_done", None),
], ids=["silent", "half-v1", "half-v2", "header-alone"])
def test_slow_header_hits_the_deadline(gw, listener, said, reason, detail):
    with Connection(gw.address(listener)) as conn:
        conn.send(said)
        record = expect_refused(gw, conn, reason, detail)
        assert float(record["duration"].rstrip("s")) >= 0.4


@pytest.mark.parametrize("listener", ["hurry", "hurrytls"])
def test_dripping_header_hits_the_deadline(gw, listener):
    """It is absolute: no byte begins it anew."""
    header = v2(PROXY, 0x11, GOOD4 + tlv(4, bytes(4000)))
    with Connection(gw.address(listener)) as conn:
        conn.sock.settimeout(0.05)
        for i in range(len(header) - 1):
            conn.send(header[i:i + 1])
            try:
                assert conn.recv() == b""
                break
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "proxy_header"


def test_header_and_request_have_one_deadline(gw):
    port = next(ports)
    with Connection(gw.address("hurry")) as conn:
        conn.send(v1(f"TCP4 192.0.2.1 198.51.100.2 {port} 443") + request()[:40])
        assert conn.read_response().status == 408
        conn.close()
        record = gw.wait_session_end(**named(conn, f"192.0.2.1:{port}"))
        assert record["reason"] == "request_timeout"


def test_waiting_for_the_rest_costs_nothing(gw):
    """What was looked at and not yet taken would wake the worker for ever."""
    before = inside.cpu_seconds(gw.pid)
    with Connection(gw.address("hurry")) as conn:
        conn.send(b"PROXY TCP4 192.0.2.1")
        expect_refused(gw, conn, "proxy_header", "took too long")
    assert inside.cpu_seconds(gw.pid) - before < 0.25 # of the second that it waits


# --- the gateway's own life ---------------------------------------------------------------------------------------------

CONFIG = """
    [server]
    log_level = debug
    [listen l]
    address = 127.0.0.1:0
    proxy_protocol = on
    trusted_proxy = {}
    linger_timeout = 300ms
    [route echo]
    target = echo:
"""


def test_reload_changes_who_is_trusted(start_gateway):
    gateway = start_gateway(CONFIG.format("127.0.0.1"))
    with Connection(gateway.address()) as old:
        old.send(v1("TCP4 192.0.2.1 198.51.100.2 1 443"))
        old.upgrade()
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace("trusted_proxy = 127.0.0.1", "trusted_proxy = 192.0.2.0/24"))
        gateway.signal(signal.SIGHUP)
        gateway.wait_for("configuration was reloaded")
        expect_untrusted(gateway, "l", v1("TCP4 192.0.2.1 198.51.100.2 2 443"))
        old.expect_echo()


def test_draining_does_not_wait_for_a_header(start_gateway):
    """But for linger_timeout, in which who has just connected may ask and be answered."""
    gateway = start_gateway(CONFIG.format("127.0.0.1") + "    [listen m]\n    address = 127.0.0.1:0\n")
    with Connection(gateway.address()) as conn, Connection(gateway.address("m")) as other:
        other.upgrade("/") # the session before it has been started, too
        conn.send(b"PROXY TCP4")
        gateway.terminate()
        expect_refused(gateway, conn, "drain")
        other.close()
    gateway.stop()


# --- the real thing -----------------------------------------------------------------------------------------------------

class Haproxy:
    """HAProxy in front of a gateway; its listening sockets are made here, so that their ports are known."""

    def __init__(self, directory, servers):
        self.sockets, config = {}, ["defaults", "  mode tcp", "  timeout connect 10s", "  timeout client 60s", "  timeout server 60s"]
        for name, (family, address, server) in servers.items():
            self.sockets[name] = sock = socket.create_server((address, 0), family=family)
            config += [f"listen {name}", f"  bind fd@{sock.fileno()}", f"  server gateway {server}"]
        path = directory / "haproxy.cfg"
        path.write_text("\n".join(config) + "\n")
        fds = [sock.fileno() for sock in self.sockets.values()]
        self.process = subprocess.Popen([shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", str(path)],
                                        pass_fds=fds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def connect(self, name):
        return Connection(self.sockets[name].getsockname()[:2])

    def stop(self):
        self.process.kill()
        self.process.wait()
        for sock in self.sockets.values():
            sock.close()


@pytest.fixture
def haproxy(gw, tmp_path):
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("haproxy is not installed")
    host, port = gw.address("plain")
    to = f"{host}:{port}"
    proxy = Haproxy(tmp_path, {
        "v1": (socket.AF_INET, "127.0.0.1", f"{to} send-proxy"),
        "v1-six": (socket.AF_INET6, "::1", f"{to} send-proxy"),
        "v2": (socket.AF_INET, "127.0.0.1", f"{to} send-proxy-v2"),
        "v2-six": (socket.AF_INET6, "::1", f"{to} send-proxy-v2"),
        "v2-checksum": (socket.AF_INET, "127.0.0.1", f"{to} send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        "check": (socket.AF_INET, "127.0.0.1", f"{to} send-proxy-v2 check check-send-proxy inter 200ms"),
    })
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("name", ["v1", "v1-six", "v2", "v2-six", "v2-checksum"])
def test_haproxy_names_the_client(gw, haproxy, name):
    with haproxy.connect(name) as conn:
        conn.upgrade()
        conn.expect_echo(os.urandom(100000))
        conn.send(close_frame(1000))
        conn.expect_close(1000)
        conn.close()
        host, port = conn.name[:2]
        record = gw.wait_session_end(peer=f"[{host}]:{port}" if name.endswith("six") else f"{host}:{port}")
        assert record["reason"] == "client_closed" and record["proxy"].startswith("127.0.0.1:")


def test_haproxy_checks_the_gateway(gw, haproxy):
    """Its own connections keep its own address, and are no failure."""
    record = gw.wait_for("session end", since=gw.since, count=2)
    assert record["reason"] in ("http_done", "client_reset") and record.get("proxy") is None
