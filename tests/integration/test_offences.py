"""What earns a source a penalty, and what never may: whatever a web page can make its visitor's browser send.

One offence is enough here to be refused for an hour, and each row comes from an address of its own.
"""

import contextlib
import socket
import contextlib
import ssl

import pytest

from sections import listen, section
from test_lifecycle import connect
from test_limits import status
from wsclient import BINARY, KEY, TEXT, TIMEOUT, close_frame, frame, get, request

FOREIGN, OWN = "http://evil.test", "http://gateway.test"
GUESS = "/token?token=guess"
MANY = ", ".join(f"p{i}" for i in range(65))
STUN = bytes.fromhex("000300082112a442000102030405060708090a0b0019000411000000") # an Allocate request of TURN


def configuration(tmp_path, certificate, **tls):
    tokens = tmp_path / "tokens"
    tokens.write_text("known: 127.0.0.1:9\n")
    penalties = dict.fromkeys(["protocol", "auth", "timeout"], "1h")
    return (section("server", source_exempt="", log_level="debug", source_penalty_min="1h", source_penalty_max="1h",
                    **{f"source_penalty_{kind}": value for kind, value in penalties.items()})
            + listen("plain") + listen("tls", tls="on")
            + listen("hasty", handshake_timeout="500ms") + listen("hasty-tls", tls="on", handshake_timeout="500ms")
            + section("tls default", certificate=certificate.cert, key=certificate.key, **tls)
            + section("route echo", path="/echo", target="echo:")
            + section("route small", path="/small", target="echo:", max_message=10)
            + section("route binary", path="/binary", target="echo:", accept="binary")
            + section("route slow", path="/slow", target="echo:", max_frame_rate=5)
            + section("route text", path="/text", target="echo:", accept="text")
            + section("route token", path="/token", token_file=tokens)
            + section("route named", path="/named", host="vnc.test", target="echo:"))


@pytest.fixture(scope="module")
def shared(share_gateway, tmp_path_factory, certificate):
    return share_gateway(configuration(tmp_path_factory.mktemp("offences"), certificate))


def session(target, *frames, end=close_frame(1000)):
    return request(target, origin=OWN) + b"".join(frames) + end


BY_A_PAGE = {
    # a foreign page: new WebSocket(url, protocols)
    "foreign": request(origin=FOREIGN),
    "foreign-subprotocols": request(origin=FOREIGN, protocol=MANY),
    "foreign-guess": request(GUESS, origin=FOREIGN),
    "foreign-in-a-frame": request(origin="null"),
    "foreign-host": request("/named", host="rebound.test", origin="http://rebound.test"),
    "foreign-nowhere": request("/nowhere", origin=FOREIGN),
    "foreign-odd-host": request(host="a{b}.evil.test", origin=FOREIGN),
    "foreign-odder-host": request(host='"`;,=.evil.test', origin=FOREIGN),
    "foreign-escaped-host": request(host="a%21b.evil.test", origin=FOREIGN),
    "foreign-long": request("/echo?" + "x" * 3000, origin=FOREIGN),
    "foreign-longer": request("/echo?" + "x" * 70000, origin=FOREIGN),
    "foreign-odd-path": request("//echo/%00/..%2f/%zz?[]{}|\\^`", origin=FOREIGN),
    # a page without a script, or with fetch()
    "image": get("/echo"),
    "guess-by-image": get(GUESS),
    "odd-path": get("/%00%ff%2e%2e%zz"),
    "form": b"POST /echo HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\nx",
    "stream": b"POST /echo HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "preflight": get("/echo", method="OPTIONS", extra=["Access-Control-Request-Method: PUT"]),
    "any-method": get("/echo", method="BREW"),
    "control-byte": get("/echo", extra=["Accept: \x01\x7f"]),
    "cookies": get("/echo", extra=["Cookie: a=" + "x" * 70000]),
    "fields": get("/echo", extra=[f"X-{i}: x" for i in range(120)]),
    "through-a-proxy": request(origin=OWN, connection="close"),
    # other protocols that pages have
    "https": b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
    "webrtc": STUN,
    "webrtc-ice": len(STUN).to_bytes(2, "big") + STUN,
    "webrtc-long": b"\x02\x10" + STUN,
    # a page that may connect
    "own-subprotocols": request(origin=OWN, protocol=MANY),
    "too-big": session("/small", frame(BINARY, b"x" * 11)),
    "too-many": session("/slow", *[frame(BINARY, b"x")] * 50, end=b""),
    "other-kind": session("/binary", frame(TEXT, "x")),
    "any-close": session("/echo", end=close_frame(4999, "x" * 123)),
}
# What a program alone can send.
OFFENCES = {
    "request-line": b"GET  / HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target": "GET /é HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode(),
    "bare-lf": request().replace(b"\r\n", b"\n"),
    "nul": b"GET /\0 HTTP/1.1\r\n",
    "folded": request(extra=["X: a\r\n b"]),
    "field-name": request(extra=["X : a"]),
    "no-host": request(host=None),
    "two-hosts": request(host=["gateway.test", "gateway.test"]),
    "length": request(extra=["Content-Length: -1"]),
    "smuggled": request(extra=["Content-Length: 1", "Transfer-Encoding: chunked"]),
    "key": request(key="short"),
    "key-of-a-friend": request(key="short", origin=OWN),
    "two-keys": request(key=[KEY, KEY]),
    "subprotocol-twice": request(protocol="a, a"),
    "subprotocol-syntax": request(protocol="a b"),
    "guess": request(GUESS),
    "guess-of-a-friend": request(GUESS, origin=OWN),
    "unmasked": session("/echo", frame(BINARY, b"x", mask=None)),
    "reserved-bit": session("/echo", frame(BINARY, b"x", rsv=4)),
    "opcode": session("/echo", frame(3)),
    "close-code": session("/echo", end=close_frame(1005)),
    "bad-utf8": session("/text", frame(TEXT, b"\xff")),
}


def source_of(rows, name):
    return f"127.9.{len(rows)}.{1 + list(rows).index(name)}"


def tried(gateway, source, sent, listener="plain"):
    """Sends that, waits for the end of it, and comes again: what is the answer now?"""
    with connect(gateway, listener, source=source) as client:
        client.send(sent)
        with contextlib.suppress(ConnectionError):
            client.read_to_end()
    gateway.wait_session_end(client)
    return status(gateway, source).status


@pytest.mark.parametrize("name", BY_A_PAGE)
def test_offence_never_by_a_page(gw, name):
    assert tried(gw, source_of(BY_A_PAGE, name), BY_A_PAGE[name]) == 101


TO_TLS = {
    "http": get("/echo"), "post": BY_A_PAGE["form"], "webrtc": STUN, "webrtc-ice": len(STUN).to_bytes(2, "big") + STUN,
    "long": get("/" + "x" * 30000),
}


@pytest.mark.parametrize("name", TO_TLS)
def test_offence_never_by_a_page_to_tls(gw, name):
    """Of what is no TLS on a port that has it."""
    assert tried(gw, source_of(TO_TLS, name), TO_TLS[name], "tls") == 101


@pytest.mark.parametrize("name", OFFENCES)
def test_offence_by_a_program(gw, name):
    assert tried(gw, source_of(OFFENCES, name), OFFENCES[name]) == 429


def test_offence_half_a_request(gw):
    assert tried(gw, "127.9.1.3", request(end=b""), "hasty") == 429


def half_a_handshake(gateway, source):
    """A client that got our half and goes no further until it is ended."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="gateway.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with connect(gateway, "hasty-tls", source=source) as client:
        client.send(outgoing.read())
        client.read_to_end()
    gateway.wait_session_end(client)
    return status(gateway, source).status


def test_offence_half_a_handshake(gw):
    assert half_a_handshake(gw, "127.9.1.1") == 429


def test_offence_none_while_a_browser_asks_for_a_certificate(start_gateway, tmp_path, certificate):
    """A browser may stop there until its user chose one, and any page can make it begin."""
    gateway = start_gateway(configuration(tmp_path, certificate, client_certificate="required", client_ca=certificate.cert))
    assert half_a_handshake(gateway, "127.9.1.2") == 101


# --- handshakes that fail ------------------------------------------------------------------------------------------------

def hello(**options):
    """The first bytes of a handshake."""
    outgoing, context = ssl.MemoryBIO(), ssl.create_default_context()
    for name, value in options.items():
        setattr(context, name, value)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="gateway.test").do_handshake()
    return outgoing.read()


def alert(kind):
    return bytes([21, 3, 3, 0, 2, 2, kind])


TLS_BY_A_PAGE = {
    "plain-http": get("/"),
    "webrtc": STUN,
    "webrtc-ice": len(STUN).to_bytes(2, "big") + STUN,
    "webrtc-long": b"\x01\x10" + STUN,
    "gone": hello(),
    "gone-early": hello()[:100],
    "bad-certificate": hello() + alert(42),
    "certificate-unknown": hello() + alert(46),
    "unknown-ca": hello() + alert(48),
    "user-canceled": hello() + alert(90),
    "old": hello(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1, options=ssl.OP_ALL),
}
TLS_OFFENCES = {
    "no-hello": b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
    "other-message": b"\x16\x03\x01\0\x04\x02\0\0\0",
    "bad-lengths": hello()[:43] + b"\xff" + hello()[44:],
    "noise-behind": hello() + b"\x17\x03\x03\0\x40" + bytes(64),
}


def tried_by_tls(gateway, source, sent):
    with connect(gateway, "tls", source=source) as client:
        client.send(sent)
        with contextlib.suppress(OSError): # which it may have been reset for already
            client.end_sending()
            client.read_to_end()
    gateway.wait_session_end(client)
    return status(gateway, source).status


@pytest.mark.parametrize("name", TLS_BY_A_PAGE)
def test_offence_never_by_a_failed_handshake_of_a_browser(gw, name):
    assert tried_by_tls(gw, source_of(TLS_BY_A_PAGE, name).replace("127.9", "127.8"), TLS_BY_A_PAGE[name]) == 101


@pytest.mark.parametrize("name", TLS_OFFENCES)
def test_offence_by_a_handshake_of_no_browser(gw, name):
    assert tried_by_tls(gw, source_of(TLS_OFFENCES, name).replace("127.9", "127.8"), TLS_OFFENCES[name]) == 429


def test_offence_never_by_who_distrusts_our_certificate(gw):
    """For real: the alert comes after our half of the handshake."""
    with socket.create_connection(gw.address("tls"), TIMEOUT, ("127.8.9.1", 0)) as sock:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="gateway.test")
    gw.wait_session_end(reason="tls_failed")
    assert status(gw, "127.8.9.1").status == 101
