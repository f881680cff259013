"""The opening handshake (RFC 6455 section 4.2, RFC 9112), a test for each rule hs_*, each in four ways: plain and TLS, in
one piece and one byte at a time.

Every refusal is checked whole: the exact status, `Connection: close`, no answer to what was pipelined behind it, the end
of the connection although the client stays silent, and a log line that names the same status.
"""

import contextlib
import os

import pytest

from wsclient import BINARY, KEY, PING, Connection, EndOfStream, Truncated, accept_of, close_frame, frame, get, request

OPEN = 101


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

    return share_gateway(f"""
[server]
workers = 2
log_level = debug
[listen plain]
address = 127.0.0.1:0
[listen tls]
address = 127.0.0.1:0
tls = on
[listen hurry]
address = 127.0.0.1:0
handshake_timeout = 500ms
[listen hurrytls]
address = 127.0.0.1:0
tls = on
handshake_timeout = 500ms
[tls default]
certificate = {certificate.cert}
key = {certificate.key}
""" + route("echo", "echo:") + route("tree", "echo:", path="tree/*")
        + route("record", recorder.target)
        + route("protocols", "echo:", subprotocol="binary, chat.v2")
        + route("protocol-needed", "echo:", subprotocol="binary", require_subprotocol="yes")
        + route("open-to-all", "echo:", origin="*")
        + route("friends", "echo:", origin="https://app.example.com, http://dev.example.com:8080, null")
        + route("named", "echo:", host="vnc.example.com")
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


def check_open(conn, key=KEY):
    response = conn.read_101(key)
    assert response["Sec-WebSocket-Extensions"] is None
    conn.expect_echo()
    return response


def check_refused(gw, conn, status, method="GET"):
    response = conn.read_response(method)
    assert response.status == status, response
    assert response["Connection"].lower() == "close", response
    if status == 426:
        assert response["Sec-WebSocket-Version"] == "13" and response["Upgrade"].lower() == "websocket", response
    if status == 405:
        assert "GET" in response["Allow"].replace(",", " ").split(), response
    if status in (503, 429):
        assert int(response["Retry-After"]) >= 0, response
    conn.expect_end()
    conn.close()
    assert gw.wait_session_end(conn)["code"] == str(status)
    return response


def check(gw, transport, raw, want, pipelined=True):
    """Sends the request and expects the session, or the refusal with this status and nothing behind it."""
    with transport.connect(gw) as conn:
        if want == OPEN:
            conn.send(raw)
            return check_open(conn)
        conn.send(raw + (PIPELINED if pipelined else b""))
        return check_refused(gw, conn, want)


def table(*rows):
    """Parametrises over rows (name, request, expected status)."""
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names), "two rows of one name"
    return pytest.mark.parametrize("raw, want", [pytest.param(*row[1:], id=row[0]) for row in rows])


# --- request line -----------------------------------------------------------------------------------------------------

@table(
    ("post", request(method="POST"), 405),
    ("put", request(method="PUT"), 405),
    ("delete", request(method="DELETE"), 405),
    ("options", request(method="OPTIONS"), 405),
    ("patch", request(method="PATCH"), 405),
    ("lower-case", request(method="get"), 405),
    ("longer", request(method="GETS"), 405),
    ("unknown", request(method="BREW"), 405),
    ("not-a-token", request(method="G@T"), 400),
    ("connect", request("gateway.test:443", method="CONNECT"), 400),
)
def test_hs_method(gw, transport, raw, want):
    check(gw, transport, raw, want)


def test_hs_method_head(gw, transport):
    with transport.connect(gw) as conn:
        conn.send(request(method="HEAD") + PIPELINED)
        check_refused(gw, conn, 405, "HEAD")


@table(
    ("1.0", request(version="HTTP/1.0"), 505),
    ("2.0", request(version="HTTP/2.0"), 505),
    ("1.2", request(version="HTTP/1.2"), 505),
    ("0.9", request(version="HTTP/0.9"), 505),
    ("lower-case", request(version="http/1.1"), 400),
    ("two-digits", request(version="HTTP/1.10"), 400),
    ("leading-zero", request(version="HTTP/01.1"), 400),
    ("no-minor", request(version="HTTP/1"), 400),
    ("other-protocol", request(version="RTSP/1.0"), 400),
    ("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
)
def test_hs_http_version(gw, transport, raw, want):
    if want is None: # 400 for the form or 505 for the version: both are right, 101 and silence are not
        with transport.connect(gw) as conn:
            conn.send(raw)
            assert conn.read_response().status in (400, 505)
            conn.expect_end()
        return
    check(gw, transport, raw, want)


def raw_line(line):
    return line + b"\r\n" + request().split(b"\r\n", 1)[1]


@table(
    ("two-spaces", raw_line(b"GET  /echo HTTP/1.1"), 400),
    ("two-spaces-before-version", raw_line(b"GET /echo  HTTP/1.1"), 400),
    ("tab", raw_line(b"GET\t/echo\tHTTP/1.1"), 400),
    ("leading-space", raw_line(b" GET /echo HTTP/1.1"), 400),
    ("trailing-space", raw_line(b"GET /echo HTTP/1.1 "), 400),
    ("no-version", raw_line(b"GET /echo"), 400),
    ("no-target", raw_line(b"GET HTTP/1.1"), 400),
    ("only-method", raw_line(b"GET"), 400),
    ("empty-line-first", b"\r\n" + request(), 400),
    ("control-byte-in-target", raw_line(b"GET /ec\x01ho HTTP/1.1"), 400),
    ("delete-in-target", raw_line(b"GET /ec\x7fho HTTP/1.1"), 400),
    ("nul-in-target", raw_line(b"GET /ec\0ho HTTP/1.1"), 400),
    ("high-byte-in-target", raw_line("GET /écho HTTP/1.1".encode()), 400),
    ("relative-target", raw_line(b"GET echo HTTP/1.1"), 400),
    ("asterisk", raw_line(b"GET * HTTP/1.1"), 400),
    ("authority-form", raw_line(b"GET gateway.test:80 HTTP/1.1"), 400),
    ("fragment", raw_line(b"GET /echo#x HTTP/1.1"), 400),
    ("space-in-target", raw_line(b"GET /ec ho HTTP/1.1"), 400),
    ("query", raw_line(b"GET /echo?a=b&c=%20 HTTP/1.1"), OPEN),
    ("empty-query", raw_line(b"GET /echo? HTTP/1.1"), OPEN),
)
def test_hs_request_line(gw, transport, raw, want):
    check(gw, transport, raw, want)


# --- Host and the target's forms ----------------------------------------------------------------------------------------

@table(
    ("none", request(host=None), 400),
    ("two-different", request(host=["gateway.test", "other.test"]), 400),
    ("two-equal", request(host=["gateway.test", "gateway.test"]), 400),
    ("list", request(host="gateway.test, other.test"), 400),
    ("space", request(host="gateway test"), 400),
    ("path", request(host="gateway.test/x"), 400),
    ("user-info", request(host="user@gateway.test"), 400),
    ("port-word", request(host="gateway.test:http"), 400),
    ("port-too-big", request(host="gateway.test:65536"), 400),
    ("two-ports", request(host="gateway.test:80:80"), 400),
    ("bare-ipv6", request(host="::1"), 400),
    ("open-bracket", request(host="[::1"), 400),
    ("port", request(host="gateway.test:8080"), OPEN),
    ("ipv4", request(host="127.0.0.1:80"), OPEN),
    ("ipv6", request(host="[::1]"), OPEN),
    ("ipv6-port", request(host="[::1]:8080"), OPEN),
    ("upper-case", request(host="GATEWAY.TEST"), OPEN),
    ("final-dot", request(host="gateway.test."), OPEN),
    ("field-name-any-case", request(host=None, extra=["hOsT: gateway.test"]), OPEN),
)
def test_hs_host_count(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("http", request("http://gateway.test/echo"), OPEN),
    ("https", request("https://gateway.test/echo"), OPEN),
    ("ws", request("ws://gateway.test/echo"), OPEN),
    ("wss", request("wss://gateway.test/echo"), OPEN),
    ("scheme-any-case", request("HTTP://gateway.test/echo"), OPEN),
    ("with-port", request("http://gateway.test:8080/echo"), OPEN),
    ("with-query", request("http://gateway.test/echo?x=1"), OPEN),
    ("authority-wins", request("http://vnc.example.com/named", host="other.test"), OPEN),
    ("authority-wins-in-refusal", request("http://other.test/named", host="vnc.example.com"), 403),
    ("other-scheme", request("ftp://gateway.test/echo"), 400),
    ("no-authority", request("http:///echo"), 400),
    ("user-info", request("http://user@gateway.test/echo"), 400),
    ("still-needs-host", request("http://gateway.test/echo", host=None), 400),
)
def test_hs_absolute_form(gw, transport, raw, want):
    check(gw, transport, raw, want)


# --- the WebSocket fields -----------------------------------------------------------------------------------------------

@table(
    ("plain", request(upgrade="websocket"), OPEN),
    ("any-case", request(upgrade="WebSocket"), OPEN),
    ("shouted", request(upgrade="WEBSOCKET"), OPEN),
    ("in-a-list", request(upgrade="h2c, WebSocket"), OPEN),
    ("first-of-a-list", request(upgrade="websocket, foo/2"), OPEN),
    ("two-lines", request(upgrade=["h2c", "websocket"]), OPEN),
    ("empty-elements", request(upgrade=",, websocket ,"), OPEN),
    ("tab-around", request(upgrade="\twebsocket\t"), OPEN),
    # Without the token it is no upgrade at all but a plain request for an endpoint that needs one.
    ("none", request(upgrade=None), 426),
    ("longer", request(upgrade="websocketx"), 426),
    ("prefixed", request(upgrade="xwebsocket"), 426),
    ("shorter", request(upgrade="websocke"), 426),
    ("other", request(upgrade="h2c"), 426),
    ("empty", request(upgrade=""), 426),
    ("two-words", request(upgrade="web socket"), 426),
    ("quoted", request(upgrade='"websocket"'), 426),
)
def test_hs_upgrade_token(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("plain", request(connection="Upgrade"), OPEN),
    ("lower-case", request(connection="upgrade"), OPEN),
    ("in-a-list", request(connection="keep-alive, Upgrade"), OPEN),
    ("two-lines", request(connection=["keep-alive", "Upgrade"]), OPEN),
    ("no-blanks", request(connection="keep-alive,Upgrade,foo"), OPEN),
    ("none", request(connection=None), 400),
    ("other", request(connection="keep-alive"), 400),
    ("prefixed", request(connection="notupgrade"), 400),
    ("longer", request(connection="upgrades"), 400),
    ("empty", request(connection=""), 400),
    ("no-comma", request(connection="keep-alive Upgrade"), 400),
)
def test_hs_connection_token(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("none", request(key=None), 400),
    ("empty", request(key=""), 400),
    ("two", request(key=[KEY, KEY]), 400),
    ("15-bytes", request(key="MTIzNDU2Nzg5MDEyMzQ1"), 400),
    ("17-bytes", request(key="MTIzNDU2Nzg5MDEyMzQ1Njc="), 400),
    ("no-padding", request(key=KEY[:-2]), 400),
    ("one-padding", request(key=KEY[:-1]), 400),
    ("three-paddings", request(key=KEY + "="), 400),
    ("not-canonical", request(key="dGhlIHNhbXBsZSBub25jZR=="), 400),
    ("url-alphabet", request(key="dGhlIHNhbXBsZSBub25j_-=="), 400),
    ("blank-inside", request(key="dGhlIHNhbXBs ZSBub25jZQ=="), 400),
    ("list", request(key=KEY + ", " + KEY), 400),
    ("not-base64", request(key="!!!!!!!!!!!!!!!!!!!!!!=="), 400),
    ("padding-inside", request(key="dGhlIHNhbXBs=SBub25jZQ=="), 400),
    ("very-long", request(key="A" * 4000), 400),
    ("blanks-around", request(key=f"  {KEY}\t "), OPEN),
)
def test_hs_key(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("none", request(ws_version=None), 426),
    ("empty", request(ws_version=""), 426),
    ("12", request(ws_version="12"), 426),
    ("8", request(ws_version="8"), 426),
    ("14", request(ws_version="14"), 426),
    ("13x", request(ws_version="13x"), 426),
    ("013", request(ws_version="013"), 426),
    ("13.0", request(ws_version="13.0"), 426),
    ("list", request(ws_version="13, 8"), 426),
    ("two-lines", request(ws_version=["13", "8"]), 426),
    ("two-lines-equal", request(ws_version=["13", "13"]), 426),
    ("signed", request(ws_version="+13"), 426),
    ("blanks-around", request(ws_version=" 13\t"), OPEN),
)
def test_hs_version(gw, transport, raw, want):
    check(gw, transport, raw, want)


@pytest.mark.parametrize("key, accept", [
    ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), # RFC 6455 section 1.3
    ("AAAAAAAAAAAAAAAAAAAAAA==", None),
    ("/////////////////////w==", None),
    ("++++++++++++++++++++++==", None),
])
def test_hs_accept_vector(gw, transport, key, accept):
    if key.startswith("+"):
        key = "+++++++++++++++++++++w==" # canonical: the last character's low bits are zero
    with transport.connect(gw) as conn:
        conn.send(request(key=key))
        response = check_open(conn, key)
        assert response["Sec-WebSocket-Accept"] == (accept or accept_of(key))


@pytest.mark.parametrize("target, offer, chosen", [
    pytest.param("/echo", None, None, id="none-offered"),
    pytest.param("/echo", "binary", "binary", id="default-offered"),
    pytest.param("/echo", "base64", None, id="unknown-offered"),
    pytest.param("/echo", "base64, binary", "binary", id="one-of-two"),
    pytest.param("/echo", ["base64", "binary"], "binary", id="lines-joined"),
    pytest.param("/echo", "Binary", None, id="case-matters"),
    pytest.param("/echo", "binaryx", None, id="longer"),
    pytest.param("/protocols", "chat.v2", "chat.v2", id="second-of-ours"),
    pytest.param("/protocols", "chat.v2, binary", "binary", id="ours-order"),
    pytest.param("/protocol-needed", "binary", "binary", id="required-and-offered"),
])
def test_hs_subprotocol(gw, transport, target, offer, chosen):
    with transport.connect(gw) as conn:
        conn.send(request(target, protocol=offer))
        assert check_open(conn)["Sec-WebSocket-Protocol"] == chosen


@table(
    ("twice-in-a-line", request(protocol="binary, binary"), 400),
    ("twice-in-two-lines", request(protocol=["binary", "binary"]), 400),
    ("no-token", request(protocol="bin ary"), 400),
    ("quoted", request(protocol='"binary"'), 400),
    ("required-none", request("/protocol-needed"), 400),
    ("required-other", request("/protocol-needed", protocol="base64"), 400),
)
def test_hs_subprotocol_refused(gw, transport, raw, want):
    check(gw, transport, raw, want)


@pytest.mark.parametrize("offer", [
    "permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame", "foo; bar=1, permessage-deflate",
    "permessage-deflate; client_max_window_bits=99", "mux", ",,", "bad;;syntax=",
])
def test_hs_no_extension(gw, transport, offer):
    with transport.connect(gw) as conn:
        conn.send(request(extra=[f"Sec-WebSocket-Extensions: {offer}"]))
        check_open(conn)


# --- who may --------------------------------------------------------------------------------------------------------------

OWN = "gateway.test"


@pytest.mark.parametrize("host, origin, want", [ # {s} is http over plain and https over TLS, {d} its default port
    (OWN, None, OPEN), # no browser
    (OWN, "{s}://gateway.test", OPEN),
    (OWN, "{s}://GATEWAY.test", OPEN),
    (OWN, "{s}://gateway.test:{d}", OPEN),
    ("gateway.test:{d}", "{s}://gateway.test", OPEN),
    ("gateway.test:8080", "{s}://gateway.test:8080", OPEN),
    ("gateway.test:8080", "{s}://gateway.test", 403),
    (OWN, "{s}://gateway.test:8080", 403),
    (OWN, "https://gateway.test", OPEN), # over plain: a proxy in front of us may have ended TLS
    (OWN, "http://gateway.test", "plain"), # over TLS a page that came in the clear is another's
    ("[::1]:8080", "{s}://[::1]:8080", OPEN),
    ("[::1]:8080", "{s}://[::2]:8080", 403),
    ("127.0.0.1:8080", "{s}://127.0.0.1:8080", OPEN),
    (OWN, "{s}://evil.test", 403),
    (OWN, "{s}://gateway.test.evil.test", 403),
    (OWN, "{s}://evilgateway.test", 403),
    (OWN, "{s}://sub.gateway.test", 403),
    (OWN, "{s}://gateway.tes", 403),
    (OWN, "{s}://gateway.testx", 403),
    (OWN, "{s}://gateway_test", 403),
    (OWN, "{s}://test", 403),
    (OWN, "null", 403),
    (OWN, "", 403),
    (OWN, "*", 403),
    (OWN, "gateway.test", 403),
    (OWN, "//gateway.test", 403),
    (OWN, "{s}:gateway.test", 403),
    (OWN, "{s}://", 403),
    (OWN, "{s}://gateway.test/", 403),
    (OWN, "{s}://gateway.test/path", 403),
    (OWN, "{s}://gateway.test?x", 403),
    (OWN, "{s}://gateway.test#x", 403),
    (OWN, "{s}://user@gateway.test", 403),
    (OWN, "{s}://gateway.test@evil.test", 403),
    (OWN, "{s}://evil.test@gateway.test", 403),
    (OWN, "{s}://gateway.test:", 403),
    (OWN, "{s}://gateway.test:0", 403),
    (OWN, "{s}://gateway.test:99999", 403),
    (OWN, "{s}://gateway.test:80x", 403),
    (OWN, "{s}://evil.test {s}://gateway.test", 403),
    (OWN, "{s}://gateway.test, {s}://evil.test", 403),
    (OWN, "{s}://gateway.test\\evil.test", 403),
    (OWN, "{s}://gateway%2etest", 403),
    (OWN, "file://", 403),
    (OWN, "chrome-extension://abcdef", 403),
    (OWN, ["{s}://gateway.test", "{s}://gateway.test"], 403),
    (OWN, ["{s}://gateway.test", "{s}://evil.test"], 403),
    (OWN, ["{s}://evil.test", "{s}://gateway.test"], 403),
    (OWN, ["", "{s}://gateway.test"], 403),
    (OWN, ["null", "{s}://gateway.test"], 403),
    (OWN, ["{s}://gateway.test"] * 3, 403),
    (OWN, " \t{s}://gateway.test\t ", OPEN), # what surrounds a value is no part of it
    (OWN, "{s}://gateway.test\r\n evil.test", 400),
    (OWN, "{s}://gateway.test\0", 400),
    (OWN, "{s}://gateway.test\0.evil.test", 400),
    (OWN, "{s}://gateway.test%00.evil.test", 403),
    (OWN, "{s}://gateway.test\x7f", 400),
    (OWN, "{s}://gateway.test.", 403),
    ("gateway.test.", "{s}://gateway.test.", OPEN),
    ("gateway.test.", "{s}://gateway.test", 403),
    (OWN, "{s}://gateway.test..", 403),
    (OWN, "{s}://.gateway.test", 403),
    (OWN, "{s}://g\u00e4teway.test", 403),
    (OWN, "{s}://gateway\u00ad.test", 403), # a soft hyphen, which some would drop
    (OWN, "{s}://gateway\u3002test".encode().decode("latin-1"), 403), # a dot to those who map names
    (OWN, "{s}://xn--gateway-.test", 403),
    ("xn--bcher-kva.test", "{s}://xn--bcher-kva.test", OPEN),
    ("xn--bcher-kva.test", "{s}://b\u00fccher.test".encode().decode("latin-1"), 403),
    (OWN, "{s}://gateway.test:{d}0", 403),
    (OWN, "{s}://gateway.test:0{d}", 403),
    (OWN, "{s}://gateway.test:+{d}", 403),
    (OWN, "{s}://gateway.test:{d}:{d}", 403),
    (OWN, "{s}://gateway.test:65536", 403),
    (OWN, "{s}://gateway.test:4294967376", 403), # 80 in 32 bits
    (OWN, "ws://gateway.test", 403),
    (OWN, "wss://gateway.test", 403),
    (OWN, "ftp://gateway.test", 403),
    (OWN, "javascript://gateway.test", 403),
    (OWN, "blob:{s}://gateway.test", 403),
    (OWN, "about:blank", 403),
    (OWN, "undefined", 403),
    (OWN, "NULL", 403),
    (OWN, "{s}:///gateway.test", 403),
    (OWN, "{s}:\\\\gateway.test", 403),
    (OWN, "{s}://evil.test#@gateway.test", 403),
    (OWN, "{s}://evil.test\\@gateway.test", 403),
    (OWN, "{s}://:@gateway.test", 403),
    (OWN, "{s}://gateway.test,", 403),
    (OWN, "{s}://gateway.test;evil.test", 403),
    ("127.0.0.1", "{s}://127.0.0.1", OPEN),
    ("127.0.0.1", "{s}://127.1", 403),
    ("127.0.0.1", "{s}://2130706433", 403),
    ("127.0.0.1", "{s}://0x7f.0.0.1", 403),
    ("127.0.0.1", "{s}://[::ffff:127.0.0.1]", 403),
    ("127.0.0.1", "{s}://localhost", 403),
    ("[::1]", "{s}://[0:0:0:0:0:0:0:1]", OPEN),
    ("[::1]", "{s}://[::1%25lo]", 403),
    ("[::1]", "{s}://::1", 403),
    pytest.param(OWN, "{s}://" + "a" * 8192, 431, id="8-kib"), # no field may be so long
    pytest.param(OWN, "{s}://" + "gateway.test." * 600, 403, id="nearly-8-kib"),
    pytest.param(OWN, "{s}://gateway.test" + "/" * 8000, 403, id="nearly-8-kib-of-slashes"),
])
def test_hs_origin(gw, transport, host, origin, want):
    words = {"s": transport.scheme, "d": 443 if transport.tls else 80}
    if want == "plain":
        want = 403 if transport.tls else OPEN
    if isinstance(origin, list):
        origin = [o.format(**words) for o in origin]
    elif origin is not None:
        origin = origin.format(**words)
    check(gw, transport, request(host=host.format(**words), origin=origin), want)


@table(
    ("listed", request("/friends", origin="https://app.example.com"), OPEN),
    ("listed-default-port", request("/friends", origin="https://app.example.com:443"), OPEN),
    ("listed-host-case", request("/friends", origin="https://APP.example.COM"), OPEN),
    ("listed-port", request("/friends", origin="http://dev.example.com:8080"), OPEN),
    ("listed-null", request("/friends", origin="null"), OPEN),
    ("other-scheme", request("/friends", origin="http://app.example.com"), 403),
    ("other-port", request("/friends", origin="https://app.example.com:8443"), 403),
    ("port-left-out", request("/friends", origin="http://dev.example.com"), 403),
    ("parent", request("/friends", origin="https://example.com"), 403),
    ("suffix", request("/friends", origin="https://evil-app.example.com"), 403),
    ("below", request("/friends", origin="https://x.app.example.com"), 403),
    ("any", request("/open-to-all", origin="https://anything.example"), OPEN),
    ("any-null", request("/open-to-all", origin="null"), OPEN),
)
def test_hs_origin_listed(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("named", request("/named", host="vnc.example.com"), OPEN),
    ("any-case", request("/named", host="VNC.Example.COM"), OPEN),
    ("with-port", request("/named", host="vnc.example.com:8443"), OPEN),
    ("final-dot", request("/named", host="vnc.example.com."), OPEN),
    ("foreign", request("/named", host="evil.test"), 403),
    ("rebound", request("/named", host="evil.test", origin="http://evil.test"), 403),
    ("address", request("/named", host="127.0.0.1"), 403),
    ("longer", request("/named", host="vnc.example.com.evil.test"), 403),
    ("below", request("/named", host="x.vnc.example.com"), 403),
)
def test_hs_host_allow(gw, transport, raw, want):
    check(gw, transport, raw, want)


def test_hs_auth(gw, transport, recorder):
    """A wrong token, an empty one and none are told apart by nothing in the answer."""
    answers = set()
    for query in ("?token=bob", "?token=alic", "?token=alicee", "?token=", "", "?tokens=alice", "?token=ALICE"):
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


# --- syntax ---------------------------------------------------------------------------------------------------------------

def lines(*extra):
    return request(extra=extra)


@table(
    ("bare-lf-everywhere", request().replace(b"\r\n", b"\n"), 400),
    ("bare-lf-after-request-line", request().replace(b"\r\n", b"\n", 1), 400),
    ("bare-lf-in-a-field", lines(b"X-A: 1\nX-B: 2"), 400),
    ("bare-lf-as-blank-line", request(end=b"\n"), 400),
    ("bare-cr-in-a-value", lines(b"X-A: 1\r2"), 400),
    ("bare-cr-at-line-end", lines(b"X-A: 1\r"), 400),
    ("cr-in-a-name", lines(b"X\r-A: 1"), 400),
    ("nul-in-a-value", lines(b"X-A: 1\x002"), 400),
    ("nul-in-a-name", lines(b"X\0A: 1"), 400),
    ("nul-first", b"\0" + request(), 400),
)
def test_hs_line_ends(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("space-before-colon", lines("X-A : 1"), 400),
    ("tab-before-colon", lines("X-A\t: 1"), 400),
    ("space-before-colon-of-host", request(host=None, extra=["Host : gateway.test"]), 400),
    ("folded", lines("X-A: 1\r\n 2"), 400),
    ("folded-by-tab", lines("X-A: 1\r\n\t2"), 400),
    ("first-line-indented", request(host=None).replace(b"Upgrade:", b" Upgrade:", 1), 400),
    ("no-colon", lines("X-A"), 400),
    ("empty-name", lines(": 1"), 400),
    ("name-with-space", lines("X A: 1"), 400),
    ("name-with-slash", lines("X/A: 1"), 400),
    ("name-with-brackets", lines("X[A]: 1"), 400),
    ("name-with-at", lines("X@A: 1"), 400),
    ("name-with-quote", lines('X"A: 1'), 400),
    ("name-with-high-byte", lines("X-\xe4: 1".encode("latin-1")), 400),
    ("control-byte-in-value", lines(b"X-A: a\x01b"), 400),
    ("delete-in-value", lines(b"X-A: a\x7fb"), 400),
    ("escape-in-value", lines(b"X-A: \x1b[31m"), 400),
    ("empty-value", lines("X-A:"), OPEN),
    ("only-blanks", lines("X-A: \t "), OPEN),
    ("no-blank-after-colon", lines("X-A:1"), OPEN),
    ("tab-in-value", lines("X-A: a\tb"), OPEN),
    ("high-bytes-in-value", lines(b"X-A: \xe4\xff"), OPEN),
    ("every-token-character", lines("!#$%&'*+-.^_`|~09azAZ: 1"), OPEN),
)
def test_hs_field_syntax(gw, transport, raw, want):
    check(gw, transport, raw, want)


@table(
    ("length-1", lines("Content-Length: 1"), 400),
    ("length-huge", lines("Content-Length: 18446744073709551616"), 400),
    ("length-overflow-to-0", lines("Content-Length: 340282366920938463463374607431768211456"), 400),
    ("length-negative", lines("Content-Length: -1"), 400),
    ("length-signed", lines("Content-Length: +0"), 400),
    ("length-hex", lines("Content-Length: 0x0"), 400),
    ("length-word", lines("Content-Length: none"), 400),
    ("length-empty", lines("Content-Length:"), 400),
    ("length-twice-different", lines("Content-Length: 0", "Content-Length: 1"), 400),
    ("length-list", lines("Content-Length: 0, 0"), 400),
    ("chunked", lines("Transfer-Encoding: chunked"), 400),
    ("identity", lines("Transfer-Encoding: identity"), 400),
    ("chunked-any-case", lines("transfer-encoding: Chunked"), 400),
    ("chunked-and-length", lines("Content-Length: 0", "Transfer-Encoding: chunked"), 400),
    ("empty-encoding", lines("Transfer-Encoding:"), 400),
    ("length-0", lines("Content-Length: 0"), OPEN),
)
def test_hs_body(gw, transport, raw, want):
    check(gw, transport, raw, want)


# --- limits ---------------------------------------------------------------------------------------------------------------

def long_target(n):
    return "/tree/" + "a" * (n - 6)


@table(
    ("2048", request(long_target(2048)), OPEN),
    ("2049", request(long_target(2049)), 414),
    ("4096", request(long_target(4096)), 414),
    ("2048-with-query", request("/echo?" + "a" * 2042), OPEN),
    ("2049-with-query", request("/echo?" + "a" * 2043), 414),
)
def test_hs_target_limit(gw, transport, raw, want):
    check(gw, transport, raw, want)


def head_of(n):
    """A good request whose head has exactly n bytes."""
    bare = len(request(extra=["X-Pad: "]))
    return request(extra=["X-Pad: " + "p" * (n - bare)])


def fields_of(n):
    """A good request with exactly n fields; it has 5 of its own."""
    return request(extra=[f"X-{i}: {i}" for i in range(n - 5)])


@table(
    ("bytes-8192", head_of(8192), OPEN),
    ("bytes-8193", head_of(8193), 431),
    ("bytes-16384", head_of(16384), 431),
    ("never-ending", request(extra=["X-Pad: " + "p" * 9000], end=b""), 431),
    ("never-ending-name", request(extra=["P" * 9000], end=b""), 431),
    ("fields-100", fields_of(100), OPEN),
    ("fields-101", fields_of(101), 431),
    ("fields-500", fields_of(500), 431),
)
def test_hs_head_limits(gw, transport, raw, want):
    check(gw, transport, raw, want, pipelined=raw.endswith(b"\r\n\r\n"))


# --- what is around the request -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("raw, want", [
    pytest.param(request(ws_version="8"), 426, id="426"),
    pytest.param(request("/nowhere"), 404, id="404"),
    pytest.param(request(origin="http://evil.test"), 403, id="403"),
    pytest.param(request("/refused"), 502, id="502"),
    pytest.param(request(key="short"), 400, id="400"),
    pytest.param(request(key="short", connection="keep-alive, Upgrade"), 400, id="400-keep-alive"),
])
def test_hs_reject_closes(gw, transport, raw, want):
    """What is pipelined behind a refused request is neither answered nor run: frames, a good request, or junk."""
    for behind in (PIPELINED, frame(BINARY, b"x"), b"\xff" * 300, get("/files/index.html")):
        with transport.connect(gw) as conn:
            conn.send(raw + behind)
            check_refused(gw, conn, want)


def test_hs_pipelined_frame(gw, transport):
    with transport.connect(gw) as conn:
        conn.send(request() + frame(BINARY, b"early") + frame(BINARY, b"bird"))
        conn.read_101()
        assert conn.read_message() == (BINARY, b"early")
        assert conn.read_message() == (BINARY, b"bird")


def test_hs_pipelined_frame_to_backend(gw, transport, recorder):
    """More than any buffer of a head holds, sent before the 101 came."""
    recorder.drop_waiting()
    data = os.urandom(100_000)
    with transport.connect(gw) as conn:
        sender = conn.send_aside(request("/record") + frame(BINARY, data) + frame(BINARY, b"tail"))
        conn.read_101()
        with recorder.accept() as peer:
            assert peer.read(len(data) + 4) == data + b"tail"
        sender.join()


def test_hs_pipelined_close(gw, transport, recorder):
    """The whole session in one go: request, data and Close."""
    recorder.drop_waiting()
    with transport.connect(gw) as conn:
        conn.send(request("/record") + frame(BINARY, b"all of it") + frame(8, b"\x03\xe8"))
        conn.read_101()
        with recorder.accept() as peer:
            assert peer.read_to_end() == b"all of it"
        conn.expect_close(1000)


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
    """The time to reach the target counts too: its own limit is a minute, the listener's half a second."""
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
    [listen plain]
    address = 127.0.0.1:0
    [listen tls]
    address = 127.0.0.1:0
    tls = on
    [tls default]
    certificate = {cert}
    key = {key}
    [route echo]
    path = /echo
    target = echo:
"""


def test_hs_overload(start_gateway, transport, certificate):
    gw = start_gateway(OVERLOAD.format(cert=certificate.cert, key=certificate.key))
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
    gw = start_gateway(OVERLOAD.format(cert=certificate.cert, key=certificate.key))
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

@table(
    ("unknown", request("/nowhere"), 404),
    ("root", request("/"), 404),
    ("longer", request("/echoes"), 404),
    ("below", request("/echo/x"), 404),
    ("slash-behind", request("/echo/"), 404),
    ("other-case", request("/ECHO"), 404),
    ("double-slash", request("//echo"), 404),
    ("dot-segment", request("/tree/../nowhere"), None),
    ("below-a-prefix", request("/tree/any/thing"), OPEN),
    ("prefix-itself", request("/tree/"), OPEN),
    ("prefix-without-slash", request("/treehouse"), 404),
    ("files-by-upgrade", request("/files/index.html"), 404),
    ("plain-request-to-target", get("/echo"), 426),
)
def test_hs_route(gw, transport, raw, want):
    if want is None: # whether paths are normalised is the route table's choice; only that it cannot crash or hang is not
        with transport.connect(gw) as conn:
            conn.send(raw)
            assert conn.read_response().status in (101, 400, 404)
        return
    check(gw, transport, raw, want)


def test_hs_route_plain(gw, transport):
    with transport.connect(gw) as conn:
        conn.send(get("/nowhere"))
        assert conn.read_response().status == 404


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
