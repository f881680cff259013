"""TLS as clients of every kind meet it: which certificate a name gets, who may pass with it, and what is not TLS at all."""

import ssl
import subprocess

import pytest

from gateway import binary
from sections import listen, listeners, section
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


# --- certificates -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["ecdsa-rsa", "rsa-ecdsa"])
def test_tls_two_kinds_of_key(start_gateway, make_certificate, order):
    """Each client gets the certificate that it can use, from one section."""
    kinds = make_certificate("ecdsa", "DNS:gateway.test"), make_certificate("rsa", "DNS:gateway.test", rsa=True)
    certificates = [kinds[i] for i in order]
    gateway = start_gateway(listen("tls", tls="on") + section(
        "tls one", certificate=", ".join(c.cert for c in certificates), key=", ".join(c.key for c in certificates))
        + section("route echo", target="echo:"))
    for kind, suite in zip(kinds, ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")):
        context = ssl.create_default_context(cafile=kind.cert)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suite)
        with connect(gateway, context=context) as client:
            client.upgrade()
            client.expect_echo()


def test_tls_pairs_are_checked(make_certificate, tmp_path):
    """What belongs together is said by the order; what could never be used is refused, with what to do instead."""
    ecdsa, rsa = make_certificate("ecdsa", "DNS:gateway.test"), make_certificate("rsa", "DNS:gateway.test", rsa=True)
    config, head = tmp_path / "s.conf", listen("tls", tls="on") + section("route echo", target="echo:")

    def refused(*sections):
        done = check(config, head + "".join(section(f"tls {name}", certificate=certificate, key=key)
                                            for name, certificate, key in sections))
        assert done.returncode == 1
        return done.stderr
    said = refused(("one", f"{ecdsa.cert}, {rsa.cert}", f"{rsa.key}, {ecdsa.key}"))
    assert f"key {rsa.key}: key does not belong to the certificate {ecdsa.cert}" in said
    assert f"key {ecdsa.key}: key does not belong to the certificate {rsa.cert}" in said
    assert f"key: {rsa.cert} has no key" in refused(("one", f"{ecdsa.cert}, {rsa.cert}", ecdsa.key))
    said = refused(("one", ecdsa.cert, ecdsa.key), ("two", rsa.cert, rsa.key))
    assert "is for gateway.test, as is that of" in said and "put both certificates in one section" in said


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


# --- what is no TLS, and who leaves ---------------------------------------------------------------------------------------

PLAIN = {"a page": get("/page.html"), "an upgrade": request(), "a HEAD": get(method="HEAD"), "one byte": b"G",
         "a body": get(method="POST", extra=["Content-Length: 4"]) + b"body", "other words": b"SSH-2.0-OpenSSH_9.2p1\r\n"}


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("what", sorted(PLAIN))
def test_tls_plain_http_is_told(gw, what, bytewise):
    """A browser that was given http: for https: shows its user what to write."""
    with Connection(gw.address("tls"), bytewise=bytewise) as client:
        client.send(PLAIN[what])
        response = client.read_response("HEAD" if what == "a HEAD" else "GET")
        assert (response.status, response["Connection"]) == (400, "close")
        assert what == "a HEAD" or response.body == b"this port has TLS: write https:// or wss://\n"
        client.read_to_end() # the first byte of HEAD may be all that was seen
    assert gw.wait_session_end(client)["reason"] == "http_on_tls_port"


def test_tls_plain_http_is_no_offence(start_gateway, certificate):
    """Any page can make its visitor's browser do that."""
    gateway = start_gateway(section("server", source_exempt="", source_penalty_protocol="1h", source_penalty_timeout="1h",
                                    source_penalty_min="1s") + listeners(certificate) + ROUTES)
    for _ in range(3):
        with Connection(gateway.address("tls")) as client:
            client.send(get())
            assert client.read_response().status == 400
    with Connection(gateway.address("tls"), tls=certificate.client_context()) as client:
        client.upgrade(host=OPEN)


@pytest.mark.parametrize("first", [b"\x00", b"\xff", b"\x16GET / HTTP/1.1\r\n", b"\r\nGET / HTTP/1.1\r\n\r\n"])
def test_tls_noise_is_not_answered(gw, first):
    """Nor is anything but an alert, if that, said to what begins with no letter."""
    with Connection(gw.address("tls")) as client:
        client.send(first + b"\r\n" * 8)
        client.sock.recv(64)
    assert gw.wait_session_end(client)["reason"] == "tls_failed"


def one_page(client):
    client.send(get("/page.html", host=OPEN))
    assert client.read_response().body == b"a page"


LEFT = {
    "nothing asked, reset": ("plain", lambda client: client.reset()),
    "nothing asked, FIN": ("plain", lambda client: client.close()),
    "handshake, reset": ("tls", lambda client: client.reset()),
    "handshake, cut": ("tls", lambda client: client.end_sending(notify=False)),
    "handshake, close_notify": ("tls", lambda client: client.end_sending()),
    "page, reset": ("plain", lambda client: (one_page(client), client.reset())),
    "page by TLS, reset": ("tls", lambda client: (one_page(client), client.reset())),
    "page by TLS, cut": ("tls", lambda client: (one_page(client), client.end_sending(notify=False))),
    "header, reset": ("proxied", lambda client: (client.send(b"PROXY UNKNOWN\r\n"), client.reset())),
    "hello, reset": ("tls, by hand", lambda client: (client.send(HELLO), client.reset())),
    "hello, FIN": ("tls, by hand", lambda client: (client.send(HELLO), client.end_sending())),
}


def hello():
    """A whole ClientHello."""
    outgoing = ssl.MemoryBIO()
    try:
        stranger().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=OPEN).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


HELLO = hello()


@pytest.mark.parametrize("way", LEFT)
def test_tls_who_leaves_has_failed_at_nothing(gw, way):
    """Health checks end so, and browsers: nobody reads a log that has a line for each. What was asked for is another matter."""
    where, leave = LEFT[way]
    client = Connection(gw.address(where.split(",")[0]), tls=stranger() if where == "tls" else None, server_name=OPEN)
    with client:
        leave(client)
    record = gw.wait_session_end(client)
    assert (record["reason"], record.level) in (("http_done", "debug"), ("tls_abandoned", "debug")), record


def test_tls_who_asks_and_leaves(gw):
    with connect(gw, server_name=OPEN) as client:
        client.send(b"GET / HT")
        client.end_sending(notify=False)
    record = gw.wait_session_end(client)
    assert (record["reason"], record["detail"]) == ("client_reset", "connection cut without close_notify")


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
        section("server", workers=1, log_level="debug") + listen("plain") + listen("tls", tls="on")
        + listen("proxied", tls="on", proxy_protocol="on", trusted_proxy="127.0.0.1")
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
    record = gw.wait_session_end(client)
    assert record["reason"] == "misdirected"
    assert f"while TLS asked for {name or 'no name'}, and" in record["detail"]


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


def test_tls_ways_round_are_warned_of(make_certificate, visitor, tmp_path):
    """A route that did not say for whom it is may be for more than its owner thinks."""
    one, other = make_certificate("open", f"DNS:{OPEN}"), make_certificate("closed", f"DNS:{CLOSED}")
    asking = section("tls closed", certificate=other.cert, key=other.key, client_certificate="required", client_ca=visitor.cert)
    both = listen("tls", tls="on") + section("tls open", certificate=one.cert, key=one.key) + asking

    def warnings(text, **options):
        done = check(tmp_path / "s.conf", text + section("route r", target="echo:", **options))
        assert done.returncode == 0
        return [line for line in done.stderr.splitlines() if "without the certificate that [tls closed] requires" in line]
    said = warnings(both)
    assert len(said) == 1 and "[route r] has no host" in said[0] and "[tls open]" in said[0]
    said = warnings(listen("tls", tls="on") + listen("plain") + asking, host=CLOSED)
    assert len(said) == 1 and "[route r] serves every listener" in said[0] and "[listen plain]" in said[0]
    assert len(warnings(both + listen("plain"))) == 2
    for fine in ({"host": OPEN}, {"host": CLOSED, "listen": "tls"}, {"host": "*", "listen": "tls, plain"}, {"listen": "plain"}):
        assert not warnings(both + listen("plain"), **fine), fine
    assert not warnings(listen("tls", tls="on") + asking)
