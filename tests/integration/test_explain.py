"""What the log says of a refused request: what was asked for, the rule it met and the cure, so that nobody has to guess."""

import pytest

from sections import listen, section
from wsclient import TEXT, Connection, frame, get, request

BINARY_ONLY = section("route binary", path="/binary", target="echo:", accept="binary")
CONFIG = (section("server", max_refusal_lines=1000) + listen("plain", tls="off")
          + section("route desk", path="/websockify", target="echo:")
          + section("route named", host="desk.example", path="/desk", target="echo:")
          + section("route mqtt", path="/mqtt", target="echo:", subprotocol="mqtt, mqttv3.1", require_subprotocol="yes"))


@pytest.fixture(scope="module")
def shared(share_gateway, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("one: 127.0.0.1:9\n")
    return share_gateway(CONFIG + BINARY_ONLY + section("route tokens", path="/tokens", token_file=tokens))


REFUSED = {
    "path": (request("/max/websockify"), "no_route", ["path /max/websockify"]),
    "path-without-query": (request("/max?token=s3cret"), "no_route", ["path /max"]),
    "origin": (request("/websockify", origin="https://portal.example", host="127.0.0.1:6080"), "forbidden_origin",
               ["origin https://portal.example", "host 127.0.0.1:6080", "to allow it, add origin = https://portal.example to [route desk]"]),
    "origins": (request("/websockify", origin=["https://a.example", "https://b.example"]), "forbidden_origin",
                ["more than one Origin"]),
    "host": (request("/desk", host="alias.example:8080"), "forbidden_host", ["host alias.example", "if that is a name of this gateway, add host = alias.example"]),
    "host-of-a-page": (get("/desk", host="alias.example:8080"), "forbidden_host", ["host alias.example"]),
    "token": (request("/tokens?token=s3cret"), "unknown_token", ["path /tokens", "the token is not in "]),
    "no-token": (request("/tokens"), "token_missing", ["path /tokens"]),
    "subprotocol": (request("/mqtt", protocol="binary-x, other"), "subprotocol_required",
                    ["offered binary-x, other", "the route takes mqtt, mqttv3.1"]),
    "subprotocol-credential": (request("/mqtt", protocol="base64url.bearer.authorization.s3cret"), "subprotocol_required",
                               ["offered (one that is too long for a name)"]),
    "no-subprotocol": (request("/mqtt"), "subprotocol_required", ["none was offered"]),
    "host-form": (request("/websockify", host="::1:6080"), "bad_request", ["Host"]),
    "no-host": (request("/websockify", host=None), "bad_request", ["Host is missing"]),
    "two-hosts": (request("/websockify", host=["a", "b"]), "bad_request", ["more than one Host"]),
    "field-name": (request("/websockify", extra=["X y: 1"]), "bad_request", ["field name"]),
    "request-target": (request("websockify"), "bad_request", ["request target"]),
    "version-form": (request("/websockify", version="HTTP/1"), "bad_request", ["version"]),
    "length": (get("/", extra=["Content-Length: x"]), "bad_request", ["Content-Length"]),
    "coding": (get("/", extra=["Transfer-Encoding: gzip"]), "bad_request", ["Transfer-Encoding"]),
    "key": (request("/websockify", key="short"), "bad_request", ["Sec-WebSocket-Key"]),
    "connection": (request("/websockify", connection="keep-alive"), "connection_dropped",
                   ["path /websockify", "keep-alive", "a proxy in front"]),
    "offer-form": (request("/websockify", protocol=""), "bad_request", ["Sec-WebSocket-Protocol"]),
    "extension-form": (request("/websockify", extra=["Sec-WebSocket-Extensions: ;"]), "bad_request",
                       ["Sec-WebSocket-Extensions"]),
    "version": (request("/websockify", ws_version="12"), "upgrade_required", ["Sec-WebSocket-Version"]),
    "proxy-dropped-upgrade": (request("/websockify", upgrade=None, connection="close"), "upgrade_required",
                              ["path /websockify", "a proxy in front removes it"]),
    "plain": (get("/websockify"), "upgrade_required", ["path /websockify"]),
    "method": (get("/websockify", method="PUT"), "method_not_allowed", ["method PUT"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_says_what_was_refused(gw, name):
    sent, reason, words = REFUSED[name]
    with Connection(gw.address("plain")) as conn:
        conn.send(sent)
        conn.read_response()
    record = gw.wait_session_end(conn)
    assert record["reason"] == reason
    assert all(word in record["detail"] for word in words), record["detail"]
    assert "s3cret" not in record["detail"]


def test_refusal_is_told_at_info(gw):
    with Connection(gw.address("plain")) as conn:
        conn.send(request("/nowhere"))
        conn.read_response()
    assert gw.wait_session_end(conn).level == "info"


def test_plain_request_for_a_websocket_path_beside_a_web_root(start_gateway, tmp_path):
    """A proxy that drops Upgrade makes a 426 of it, and no 404 of the web root's."""
    root = tmp_path / "root"
    root.mkdir()
    gateway = start_gateway(listen("plain") + section("route desk", path="/websockify", target="echo:")
                            + section("route pages", path="/*", root=root))
    with Connection(gateway.address("plain")) as conn:
        conn.send(get("/websockify"))
        assert conn.read_response().status == 426
    assert gateway.wait_session_end(conn)["reason"] == "upgrade_required"


@pytest.mark.parametrize("sent", [request("/websockify/"), get("/websockify/")], ids=["upgrade", "plain"])
def test_near_miss_beside_a_web_root(start_gateway, tmp_path, sent):
    """A route for all pages has the path, too, but not what was meant."""
    root = tmp_path / "root"
    root.mkdir()
    gateway = start_gateway(listen("plain") + section("route desk", path="/websockify", target="echo:")
                            + section("route pages", path="/*", root=root))
    with Connection(gateway.address("plain")) as conn:
        conn.send(sent)
        response = conn.read_response()
    assert (response.status, response.body) == (404, b"no such path; did you mean /websockify?\n")
    assert "did you mean /websockify?" in gateway.wait_session_end(conn)["detail"]


def test_missing_file_is_named_as_such(start_gateway, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    gateway = start_gateway.quick("--web", root, "127.0.0.1:0", "echo:")
    with Connection(gateway.address()) as conn:
        conn.send(get("/missing.html"))
        assert conn.read_response().body == b"no such path\n"
    assert gateway.wait_session_end(conn)["detail"] == f"path /missing.html; there is no such file in {root}"


def test_page_without_web_is_told_of_it(start_gateway):
    gateway = start_gateway.quick("127.0.0.1:0", "echo:")
    with Connection(gateway.address()) as conn:
        conn.send(get("/"))
        assert conn.read_response().status == 426
    assert gateway.wait_session_end(conn)["detail"].endswith("to serve pages, add --web DIR")


def test_refused_message_is_told_with_the_option(gw):
    with Connection(gw.address("plain")) as conn:
        conn.upgrade("/binary")
        conn.send(frame(TEXT, b"hello"))
        conn.read_close()
    assert gw.wait_session_end(conn)["detail"] == "a text message; the route has accept = binary"
