"""What every HTTP answer says, whoever writes it: sessions before and after their route is known, static files, and who
refuses without a session.
"""

import email.utils
import time

import pytest

from sections import listen, section
from test_lifecycle import connect, opened, wait_until
from wsclient import get, request

PLAIN = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
HSTS = "Strict-Transport-Security"


def configuration(certificate, root, **server):
    return (section("server", source_exempt="", log_level="debug", **server)
            + listen("plain", tls="auto", hsts="365d") + listen("tls", tls="on", hsts="365d") + listen("other", tls="on")
            + section("tls default", certificate=certificate.cert, key=certificate.key)
            + section("route echo", path="/echo", target="echo:")
            + section("route files", path="/files/*", root=root)
            + section("route tree", path="/tree/*", target="echo:")
            + section("route named", path="/named", host="vnc.test", target="echo:")
            + section("route dead", path="/dead", target="unix:@nobody-listens-here"))


@pytest.fixture(scope="module")
def shared(share_gateway, tmp_path_factory, certificate):
    root = tmp_path_factory.mktemp("root")
    (root / "a.txt").write_text("a")
    (root / "sub").mkdir()
    return share_gateway(configuration(certificate, root))


# what is asked, the status, and whether the answer is a text for this moment
ASKED = {
    "file": (get("/files/a.txt"), 200, False),
    "part": (get("/files/a.txt", extra=["Range: bytes=0-0"]), 206, False),
    "options": (get("*", method="OPTIONS"), 200, True),
    "directory": (get("/files/sub"), 301, True),
    "escape": (get("/files/%zz"), 400, True),
    "range": (get("/files/a.txt", extra=["Range: bytes=7-9"]), 416, True),
    "precondition": (get("/files/a.txt", extra=["If-Match: \"x\""]), 412, True),
    "malformed": (get("/files/a.txt", extra=["X : y"]), 400, True),
    "origin": (request(origin="http://evil.test"), 403, True),
    "no-file": (get("/files/b.txt"), 404, True),
    "no-route": (get("/nowhere"), 404, True),
    "method": (get("/files/a.txt", method="PUT"), 405, True),
    "body": (get("/files/a.txt", extra=["Content-Length: 1"]), 413, True),
    "long": (get("/" + "x" * 3000), 414, True),
    "upgrade": (get("/echo"), 426, True),
    "version": (request(ws_version="8"), 426, True),
    "head": (get("/files/a.txt", extra=["X: " + "x" * 70000]), 431, True),
    "backend": (request("/dead"), 502, True),
    "http": (get("/files/a.txt", version="HTTP/3.0"), 505, True),
}


def ask(gateway, sent, listener="plain", **options):
    with connect(gateway, listener, **options) as client:
        client.send(sent)
        return client.read_response(sent.split(b" ")[0].decode())


def check_common(response):
    """RFC 9110 6.6.1, and that no browser makes of a text what it likes."""
    date = email.utils.parsedate_to_datetime(response["Date"])
    assert response["Date"].endswith(" GMT") and abs(date.timestamp() - time.time()) < 3600, response
    assert response["X-Content-Type-Options"] == "nosniff", response


def check_text(response):
    check_common(response)
    assert {name: response[name] for name in PLAIN} == PLAIN, response
    assert response.body.endswith(b"\n") and len(response.body) > 1


@pytest.mark.parametrize("case", ASKED)
def test_answer_says(gw, case):
    sent, status, is_text = ASKED[case]
    response = ask(gw, sent)
    assert response.status == status
    (check_text if is_text else check_common)(response)
    assert response[HSTS] is None # RFC 6797 7.2: not without TLS


def test_answer_426(gw):
    """RFC 9110 7.8 and 15.5.22: it names what to upgrade to, and Connection names that field."""
    for sent in (get("/echo"), request(ws_version="8")):
        response = ask(gw, sent)
        assert response["Upgrade"] == "websocket" and response["Sec-WebSocket-Version"] == "13"
        assert [word.strip() for word in response["Connection"].split(",")] == ["close", "Upgrade"]


def test_answer_404_is_one(gw):
    """Whether it is the file that is missing or the route can't be told from outside, and each goes on the log."""
    def seen(path):
        response = ask(gw, get(path))
        return response.status, [(n, v) for n, v in response.fields if n != "date"], response.body
    since = gw.mark()
    wanted = seen("/nowhere")
    assert wanted[0] == 404
    for path in ("/files/b.txt", "/files/.hidden", "/files/sub/", "/files/a.txt/", "/filesystem"):
        assert seen(path) == wanted, path
    wait_until(lambda: len(gw.find("session end", since=since, reason="no_route")) == 6)


@pytest.mark.parametrize("case", ["file", "no-file", "origin", "upgrade", "head"])
def test_answer_hsts(gw, certificate, case):
    """RFC 6797 7.1: over TLS, also where the first byte decided, with any status; and only where it is configured."""
    tls = certificate.client_context()
    for listener, wanted in (("tls", "max-age=31536000"), ("plain", "max-age=31536000"), ("other", None)):
        assert ask(gw, ASKED[case][0], listener, tls=tls)[HSTS] == wanted
    with connect(gw, "tls", tls=tls) as client:
        client.send(request())
        assert client.read_101()[HSTS] == "max-age=31536000"


def test_answer_without_a_session(start_gateway, certificate, tmp_path):
    """Who is one too many is told so in the same form."""
    (tmp_path / "root").mkdir()
    gateway = start_gateway(configuration(certificate, tmp_path / "root", max_sessions=1))
    with opened(gateway):
        response = ask(gateway, get("/files/a.txt"))
        assert response.status == 503 and int(response["Retry-After"]) > 0
        check_text(response)


@pytest.mark.parametrize("sent, meant", [
    (request("//echo"), "/echo"), (request("/echo/"), "/echo"), (request("///echo//"), "/echo"), (get("/echo/"), "/echo"),
    (request("//tree/x"), "/tree/*"), (request("/tree"), "/tree/*"), (request("//tree"), "/tree/*"),
    (get("//files/a.txt"), "/files/*"), (request("//named/", host="vnc.test"), "/named"),
    (request("//named"), None), (request("/echo//x"), None), (request("//"), None), (request("/%2fecho"), None),
    (request("/./echo"), None), (request("//" + "x" * 2000), None)])
def test_answer_names_the_near_miss(gw, sent, meant):
    """A path that differs by its slashes alone is never served, for it may get round what a proxy in front protects; but the
    words and the log say which route was meant, and nothing of what was asked."""
    with connect(gw) as client:
        client.send(sent)
        response = client.read_response()
    assert response.status == 404
    ending = f"; did you mean {meant}?" if meant else ""
    assert response.body.decode() == f"no such path{ending}\n"
    detail = gw.wait_session_end(client).get("detail")
    assert f"did you mean {meant}?" in detail if meant else "did you mean" not in detail
