"""TLS as clients of every kind meet it: which certificate a name gets, who may pass with it, and what is not TLS at all."""

import ssl
import subprocess

import pytest

from gateway import binary
from sections import listen, section
from wsclient import TIMEOUT, Connection, EndOfStream, Truncated, get, request

OPEN, CLOSED = "open.test", "closed.test"
ROUTES = "".join(section(f"route {name[:-5]}", host=name, path="/echo", target="echo:") for name in (OPEN, CLOSED))


def check(config, text):
    """What `sallyport -t` says of the text."""
    config.write_text(text)
    return subprocess.run([binary(), "-t", "-c", config], capture_output=True, text=True, timeout=4 * TIMEOUT, check=False)


def stranger(own=None, versions=None):
    """What a client needs that trusts everybody, and shows this certificate when it is asked for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if versions is not None:
        context.minimum_version = context.maximum_version = versions
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context


def connect(gateway, listener="tls", context=None, **options):
    return Connection(gateway.address(listener), tls=context or stranger(), **options)


# --- what is agreed on --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("offer", [["h2"], ["http/1.0"], ["h2", "http/1.1"], None])
def test_tls_alpn(gw, offer):
    """RFC 7301 section 3.2: without a protocol in common there is an alert that says so, and no connection."""
    context = stranger()
    if offer is not None:
        context.set_alpn_protocols(offer)
    if offer is not None and "http/1.1" not in offer:
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            connect(gw, context=context)
        assert gw.wait_session_end(reason="tls_failed")["detail"] == "no application protocol (ALPN) in common"
        return
    with connect(gw, context=context) as client:
        assert client.ssl.selected_alpn_protocol() == (offer and "http/1.1")
        client.upgrade(host="nobody.test")


# --- one name in SNI, another in the request ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def visitor(make_certificate):
    return make_certificate("visitor.test")


@pytest.fixture(scope="module")
def shared(share_gateway, make_certificate, visitor, tmp_path_factory):
    web = tmp_path_factory.mktemp("web")
    (web / "page.html").write_text("a page")
    one, other = make_certificate("open", f"DNS:{OPEN}", "DNS:*.wild.test"), make_certificate("closed", f"DNS:{CLOSED}")
    return share_gateway(
        listen("tls", tls="on") + listen("proxied", tls="on", proxy_protocol="on", trusted_proxy="127.0.0.1")
        + section("tls open", certificate=one.cert, key=one.key)
        + section("tls closed", certificate=other.cert, key=other.key, client_certificate="required", client_ca=visitor.cert)
        + ROUTES + section("route any", path="/echo", target="echo:") + section("route page", path="/*", root=web))


ATTACKS = {
    "another name": (OPEN, request(host=CLOSED)),
    "no name": (None, request(host=CLOSED)),
    "an unknown name": ("nobody.test", request(host=CLOSED)),
    "a final dot": (OPEN, request(host=CLOSED + ".")),
    "a port": (OPEN, request(host=CLOSED + ":443")),
    "capitals": (OPEN, request(host=CLOSED.upper())),
    "all of it": (OPEN, request(host=CLOSED.title() + ".:8443")),
    "absolute form": (OPEN, request(f"https://{CLOSED}/echo", host=OPEN)),
    "absolute form of WebSocket": (OPEN, request(f"wss://{CLOSED}:443/echo", host=OPEN)),
    "a file": (OPEN, get("/page.html", host=CLOSED)),
    "a HEAD": (OPEN, get("/page.html", method="HEAD", host=CLOSED)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_tls_other_name_is_misdirected(gw, attack):
    """Who began with the name that is open has shown nothing to the one that asks for a certificate."""
    name, text = ATTACKS[attack]
    with connect(gw, server_name=name) as client:
        client.send(text)
        response = client.read_response("HEAD" if attack == "a HEAD" else "GET")
        assert (response.status, response.reason) == (421, "Misdirected Request")
        client.expect_end()
    assert gw.wait_session_end(client)["reason"] == "misdirected"


@pytest.mark.parametrize("host", [OPEN, OPEN.upper() + ".:443", "a.wild.test"])
def test_tls_same_name_passes(gw, host):
    with connect(gw, server_name=OPEN) as client:
        client.send(get("/page.html", host=host))
        assert client.read_response().body == b"a page"


def test_tls_certificate_passes(gw, visitor):
    """And who has shown one to the one name is not taken for known by the other."""
    for name in (CLOSED, CLOSED + "."):
        with connect(gw, context=stranger(visitor), server_name=name) as client:
            client.upgrade(host=CLOSED)
            client.expect_echo()
    with connect(gw, context=stranger(visitor), server_name=CLOSED) as client:
        client.send(request(host=OPEN))
        assert client.read_response().status == 421


def test_tls_each_request_is_judged(gw):
    with connect(gw, server_name=OPEN) as client:
        for _ in range(2):
            client.send(get("/page.html", host=OPEN))
            assert client.read_response().status == 200
        client.send(get("/page.html", host=CLOSED))
        assert client.read_response().status == 421
        client.expect_end()


def test_tls_behind_a_proxy(gw):
    """A header of the PROXY protocol may say anything of the name, and it counts for nothing."""
    with Connection(gw.address("proxied")) as client:
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n")
        client._handshake(stranger(), OPEN)
        client.send(request(host=CLOSED))
        assert client.read_response().status == 421


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_tickets_prove_nothing_elsewhere(gw, visitor, version):
    """A ticket of the open name gets nobody to the one that asks, nor does one of a certificate's owner to somebody else."""
    context = stranger(versions=version)
    with connect(gw, context=context, server_name=OPEN) as client:
        client.send(get("/page.html", host=OPEN))
        assert client.read_response().status == 200
        ticket = client.ssl.session
    assert ticket.has_ticket
    with pytest.raises((ssl.SSLError, OSError, EndOfStream, Truncated)):
        with Connection(gw.address("tls")) as client:
            client._handshake(context, CLOSED, ticket)
            client.send(request(host=CLOSED))
            client.read_response()


def test_tls_auto_with_required(make_certificate, visitor, tmp_path):
    """Plain text would be a way round it."""
    config = tmp_path / "s.conf"
    one = make_certificate("auto.test")
    done = check(config, listen("door", tls="auto") + section("tls one", certificate=one.cert, key=one.key,
                 client_certificate="required", client_ca=visitor.cert) + ROUTES)
    assert done.returncode == 1
    assert f"{config}:7: [tls one] client_certificate: " in done.stderr and "write tls = on there" in done.stderr
