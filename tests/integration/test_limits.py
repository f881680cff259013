"""What one source, one route or one session may take at most, and what is told to who comes when there is no room.

Sources are addresses of the loopback network, which is exempt unless a test says otherwise. Durations are only measured
against what they must be at least; what must come is waited for.
"""

import contextlib
import socket
import time

import pytest

import backends
from inside import descriptors
from test_lifecycle import ask, connect, opened, plain, reload, route, wait_until
from wsclient import TIMEOUT, EndOfStream, Truncated, close_frame, frame, get, request

ONE, OTHER = "127.0.0.1", "127.0.0.2"
TLS = "[listen tls]\naddress = 127.0.0.1:0\ntls = on\n[tls default]\ncertificate = {0.cert}\nkey = {0.key}\n"


def limited(options, certificate=None):
    """Nobody is exempt, and there is a route `echo`."""
    tls = TLS.format(certificate) if certificate is not None else ""
    return plain("source_exempt =\n" + options) + tls + route("echo", "echo:")


def status(gateway, source, ask_for=request("/echo"), **options):
    with connect(gateway, source=source, **options) as client:
        client.send(ask_for)
        return client.read_response()


def check_429(response):
    assert response.status == 429 and int(response["Retry-After"]) > 0, response
    assert response["Connection"].lower() == "close"


def ended(gateway, client):
    client.close()
    gateway.wait_session_end(client)


def refusals_told(gateway):
    return sum(int(record["count"]) for record in gateway.find("connections refused"))


# --- sources ----------------------------------------------------------------------------------------------------------

def test_source_sessions(start_gateway):
    gateway = start_gateway(limited("source_max_sessions = 2"))
    first, second = (opened(gateway, source=ONE) for _ in range(2))
    check_429(status(gateway, ONE))
    check_429(status(gateway, ONE))
    wait_until(lambda: refusals_told(gateway) == 2) # the second, too, when its second is over
    assert {record["reason"] for record in gateway.find("connections refused")} == {"source_sessions"}
    with opened(gateway, source=OTHER) as other:
        other.expect_echo()
    first.expect_echo()
    ended(gateway, first)
    wait_until(lambda: status(gateway, ONE).status == 101)
    second.close()


def test_source_sessions_over_tls(start_gateway, certificate):
    """Over TLS as well it is told why."""
    gateway = start_gateway(limited("source_max_sessions = 1", certificate))
    tls = {"listener": "tls", "tls": certificate.client_context()}
    with opened(gateway, source=ONE, **tls) as first:
        check_429(status(gateway, ONE, **tls))
        gateway.wait_session_end(reason="source_sessions")
        assert status(gateway, OTHER, **tls).status == 101
        first.expect_echo()


def handshakes(gateway, sources, tls, before=b""):
    """How many of those get as far as a handshake. The others see no byte, be it before they know that they were connected."""
    done = 0
    for source in sources:
        with contextlib.suppress(OSError, EndOfStream, Truncated), connect(gateway, "tls", source=source) as client:
            client.send(before)
            client._handshake(tls, "gateway.test")
            done += 1
    return done


FLOOD = 100


@pytest.mark.parametrize("limit", ["source_max_sessions = 1", "max_sessions = 1", "source_max_rate = 1"])
def test_refused_over_tls_are_reset(start_gateway, certificate, limit):
    """Before the handshake; one a second gets it, to be told why, and others are told as well."""
    gateway = start_gateway(limited(limit, certificate))
    tls = {"tls": certificate.client_context()}
    with opened(gateway, source=ONE) as first, opened(gateway, source=OTHER) if limit[:3] == "sou" else contextlib.nullcontext():
        began = time.monotonic()
        room = 20 if "rate" in limit else 0 # of windows of ten seconds, two at most
        assert 1 <= handshakes(gateway, [ONE] * FLOOD, tls["tls"]) <= room + 2 + time.monotonic() - began
        if "rate" not in limit:
            assert status(gateway, OTHER, listener="tls", **tls).status == (503 if limit[0] == "m" else 429)
        first.expect_echo()


def test_refused_over_tls_are_few_of_all(start_gateway, certificate):
    gateway = start_gateway(limited("max_sessions = 1\nmax_tls_refusals = 3", certificate))
    with opened(gateway, source=ONE):
        began = time.monotonic()
        done = handshakes(gateway, [f"127.0.1.{n}" for n in range(1, FLOOD)], certificate.client_context())
        assert 3 <= done <= 3 * (2 + time.monotonic() - began)


def test_refused_over_tls_behind_a_proxy(start_gateway, certificate):
    """There it is the header that names the source, and behind it nothing is done for who is refused."""
    config = limited("source_max_sessions = 1", certificate).replace("tls = on", f"tls = on\nproxy_protocol = on\ntrusted_proxy = {ONE}")
    gateway = start_gateway(config.replace("workers = 2", "workers = 1"))
    tls, header = certificate.client_context(), b"PROXY TCP4 192.0.2.1 192.0.2.99 4711 80\r\n"
    with connect(gateway, "tls", source=ONE) as first:
        first.send(header)
        first._handshake(tls, "gateway.test")
        first.upgrade("/echo", origin="https://gateway.test")
        began = time.monotonic()
        assert 1 <= handshakes(gateway, [ONE] * FLOOD, tls, header) <= 2 + time.monotonic() - began
        assert handshakes(gateway, [ONE], tls, header.replace(b"2.1 ", b"2.2 ")) == 1
        first.expect_echo()


@pytest.mark.parametrize("behind", ["", "a proxy"])
@pytest.mark.parametrize("said", ["nothing", "TLS", "a part", "all"])
def test_refused_over_tls_keep_their_place_for_refusal_timeout(start_gateway, certificate, said, behind):
    """However long others may take for a handshake, or to end."""
    proxy = f"proxy_protocol = on\ntrusted_proxy = {ONE}\n" if behind else ""
    config = limited("source_max_sessions = 1\nrefusal_timeout = 300ms", certificate)
    config = config.replace("tls = on", f"tls = on\nhandshake_timeout = 1h\nlinger_timeout = 1h\n{proxy}")
    gateway = start_gateway(config)
    header = f"PROXY TCP4 {ONE} 192.0.2.99 4711 80\r\n".encode() if behind else b""
    with opened(gateway, source=ONE), connect(gateway, "tls", source=ONE) as client:
        client.send(header)
        if said != "nothing":
            client._handshake(certificate.client_context(), "gateway.test")
            client.send({"TLS": b"", "a part": b"GET", "all": get("/echo")}[said])
        ended = gateway.wait_for("session end", listen="tls")
        assert ended["reason"] in ("source_sessions", "http_done") and float(ended["duration"].rstrip("s")) < 60
        assert not gateway.find("source is refused")


def test_source_sessions_include_files_and_reload(start_gateway, tmp_path):
    """A connection counts from accept on, whatever it asks for, and over a reload."""
    web = tmp_path / "web"
    web.mkdir()
    (web / "a").write_text("a")
    config = limited("source_max_sessions = 1") + f"[route web]\npath = /*\nroot = {web}\n"
    gateway = start_gateway(config)
    with connect(gateway, source=ONE) as client:
        client.send(get("/a"))
        assert client.read_response().status == 200
        check_429(status(gateway, ONE))
        reload(gateway, config)
        check_429(status(gateway, ONE))
    wait_until(lambda: status(gateway, ONE).status == 101)


def test_source_network(start_gateway):
    """With a shorter prefix the neighbours are one source."""
    gateway = start_gateway(limited("source_max_sessions = 1\nsource_ipv4_prefix = 24"))
    with opened(gateway, source=ONE):
        check_429(status(gateway, OTHER))
        assert status(gateway, "127.0.1.1").status == 101


def test_source_rate(start_gateway):
    """One a second over ten seconds: ten are welcome at least, then it is too much, and later all is well again."""
    gateway = start_gateway(limited("source_max_rate = 1"))
    answers = []
    wait_until(lambda: answers.append(status(gateway, ONE, get("/echo")).status) or answers[-1] == 429)
    assert answers[:10] == [426] * 10, answers
    assert status(gateway, OTHER).status == 101
    gateway.wait_for("connections refused", reason="source_rate")
    wait_until(lambda: status(gateway, ONE).status == 101)


PENALTIES = """source_penalty_min = 1s
source_penalty_protocol = 600ms
source_penalty_auth = 600ms
source_penalty_timeout = 600ms
"""


def offend(gateway, source, how):
    with connect(gateway, source=source) as client:
        how(client)
        client.read_to_end()
    gateway.wait_session_end(client)


def bad_request(client):
    client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")


def bad_frame(client):
    client.upgrade()
    client.send(frame(3))


def half_a_request(client):
    client.send(request("/echo", end=b""))


def unknown_token(client):
    client.send(request("/token?token=guess"))


@pytest.mark.parametrize("how", [bad_request, bad_frame, half_a_request, unknown_token])
def test_source_penalty(start_gateway, tmp_path, how):
    """Two offences are one too many; others are not concerned, what is open goes on, and in the end it is forgiven."""
    tokens = tmp_path / "tokens"
    tokens.write_text("known: 127.0.0.1:9\n")
    config = limited(PENALTIES).replace("[listen plain]", "[listen plain]\nhandshake_timeout = 300ms")
    gateway = start_gateway(config + f"[route token]\npath = /token\ntoken_file = {tokens}\n")
    with opened(gateway, source=ONE) as before:
        def one_more():
            offend(gateway, ONE, how)
            return gateway.find("source is refused")
        wait_until(one_more) # two within a second, or the first is forgiven
        check_429(status(gateway, ONE))
        told = gateway.find("source is refused")[0]
        assert told["peer"].startswith(ONE) and told["offence"] == gateway.find("session end")[-1]["reason"]
        assert status(gateway, OTHER).status == 101
        before.expect_echo()
        wait_until(lambda: status(gateway, ONE).status == 101)


def test_source_penalty_over_tls(start_gateway, certificate):
    """Who is kept off gets no handshake, which is the dearest there is."""
    gateway = start_gateway(limited("source_penalty_protocol = 1h\nsource_penalty_max = 1h", certificate))
    offend(gateway, ONE, bad_request)
    with pytest.raises((ConnectionError, OSError, EndOfStream, Truncated)):
        connect(gateway, "tls", source=ONE, tls=certificate.client_context())
    assert status(gateway, OTHER, listener="tls", tls=certificate.client_context()).status == 101


def test_source_penalty_is_not_for_the_innocent(start_gateway):
    """Nor is anybody refused for what a browser does by itself, or a page makes it do."""
    gateway = start_gateway(limited("source_penalty_min = 1s"))
    for _ in range(20):
        connect(gateway, source=ONE).close()                                                  # opened beforehand, in vain
        assert status(gateway, ONE, get("/favicon.ico")).status == 404
        assert status(gateway, ONE, get("/echo")).status == 426
        assert status(gateway, ONE, request("/echo", origin="https://elsewhere.test")).status == 403
        assert status(gateway, ONE, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").status == 413
        assert status(gateway, ONE, b"\x16\x03\x01\0\x05\x01\0\0\x01\0").status == 400             # https: to a plain port
    assert status(gateway, ONE).status == 101


def test_source_exempt(start_gateway):
    config = limited("source_max_sessions = 1\nsource_penalty_min = 1s").replace("source_exempt =", f"source_exempt = {ONE}")
    gateway = start_gateway(config)
    for _ in range(5):
        offend(gateway, ONE, bad_request)
    with opened(gateway, source=ONE), opened(gateway, source=ONE):
        assert status(gateway, OTHER).status == 101


def test_source_of_unix_sockets(start_gateway, tmp_path):
    """There is none: who may connect is told by the permissions of the socket."""
    config = limited("source_max_sessions = 1\nsource_penalty_min = 1s")
    gateway = start_gateway(config.replace("address = 127.0.0.1:0", f"address = unix:{tmp_path}/s"))
    for _ in range(3):
        with connect(gateway) as client:
            bad_request(client)
            client.read_to_end()
    with opened(gateway), opened(gateway) as second:
        second.expect_echo()


def proxied(start_gateway, options, workers=2, log_level="debug"):
    config = limited(options).replace("[listen plain]", "[listen plain]\nproxy_protocol = on\ntrusted_proxy = 127.0.0.0/8")
    config = config.replace("workers = 2", f"workers = {workers}").replace("log_level = debug", f"log_level = {log_level}")
    return start_gateway(config)


def through_proxy(gateway, client):
    """A connection of a client that a proxy names."""
    connection = connect(gateway)
    connection.send(f"PROXY TCP4 {client} 192.0.2.99 4711 80\r\n".encode() if client else b"PROXY UNKNOWN\r\n")
    return connection


def test_sources_behind_a_proxy(start_gateway):
    """Clients are told apart by what the proxy says, and the proxy itself is not counted."""
    gateway = proxied(start_gateway, "source_max_sessions = 1")
    with through_proxy(gateway, "192.0.2.1") as first, through_proxy(gateway, "192.0.2.2") as second:
        first.upgrade()
        second.upgrade()
        with through_proxy(gateway, "192.0.2.1") as third:
            third.send(request("/echo"))
            check_429(third.read_response())
        gateway.wait_for("session end", reason="source_sessions", peer="192.0.2.1:4711")
        with through_proxy(gateway, None) as check, through_proxy(gateway, None) as another:
            check.upgrade()
            another.upgrade()
        second.expect_echo()
    gateway.wait_for("session end", count=5)
    with through_proxy(gateway, "192.0.2.1") as again:
        again.upgrade()


def test_who_is_refused_behind_a_proxy_leaves_room(start_gateway):
    """And no more than there was: the next one finds the last place, and the one after that none."""
    gateway = proxied(start_gateway, "source_max_sessions = 1\nmax_sessions = 2")
    with through_proxy(gateway, "192.0.2.1") as first:
        first.upgrade()
        with through_proxy(gateway, "192.0.2.1") as refused:
            refused.send(request("/echo"))
            check_429(refused.read_response())
        gateway.wait_for("session end", reason="source_sessions")
        with through_proxy(gateway, "192.0.2.2") as second, through_proxy(gateway, "192.0.2.3") as third:
            second.upgrade()
            third.send(request("/echo"))
            assert third.read_response().status == 503


def test_who_is_refused_behind_a_proxy_is_not_held_for_long(start_gateway):
    """Only so many wait for their answer as there is room for, and the log is not told of each."""
    gateway = proxied(start_gateway, "source_max_sessions = 1\nmax_refusals = 2", workers=1, log_level="info")
    with contextlib.ExitStack() as stack:
        through = lambda client: stack.enter_context(through_proxy(gateway, client))
        through("192.0.2.1").upgrade()
        waiting = []
        for n in range(2):
            waiting.append(through("192.0.2.1"))
            wait_until(lambda n=n: refusals_told(gateway) == n + 1)
        for _ in range(18):
            through("192.0.2.1").expect_end()
        for client in waiting:
            client.send(request("/echo"))
            check_429(client.read_response())
        through("192.0.2.2").upgrade()
        wait_until(lambda: refusals_told(gateway) == 20)
    assert not [r for r in gateway.find("session end") if r["reason"] == "source_sessions"]


def test_penalties_behind_a_proxy(start_gateway):
    """Who is refused is cut off behind its header; the proxy goes on for all others."""
    gateway = proxied(start_gateway, "source_penalty_protocol = 1h\nsource_penalty_max = 1h")
    with through_proxy(gateway, "192.0.2.1") as client:
        bad_request(client)
        client.read_to_end()
    gateway.wait_for("source is refused", peer="192.0.2.1:4711")
    with through_proxy(gateway, "192.0.2.1") as client:
        client.expect_end()
    with through_proxy(gateway, None) as check:
        bad_request(check)
        check.read_to_end()
    with through_proxy(gateway, "192.0.2.2") as other, through_proxy(gateway, None) as check:
        other.upgrade()
        check.upgrade()
    assert len(gateway.find("source is refused")) == 1


# --- routes -----------------------------------------------------------------------------------------------------------

def test_route_sessions(start_gateway):
    """Over a reload, too; other routes are not concerned."""
    config = plain("") + route("echo", "echo:", max_sessions=1) + route("other", "echo:")
    gateway = start_gateway(config)
    with opened(gateway) as first:
        response = ask(gateway, "/echo")
        assert response.status == 503 and int(response["Retry-After"]) > 0
        gateway.wait_session_end(reason="route_sessions")
        assert ask(gateway, "/other").status == 101
        reload(gateway, config)
        assert ask(gateway, "/echo").status == 503
        ended(gateway, first)
    wait_until(lambda: ask(gateway, "/echo").status == 101)


def test_route_sessions_in_a_browser(start_gateway):
    """A script never sees a status, so it is told by a Close: try again later."""
    gateway = start_gateway(plain("") + route("echo", "echo:", max_sessions=1))
    with opened(gateway), connect(gateway) as second:
        second.upgrade("/echo", origin="http://gateway.test")
        second.expect_close(1013, then_end=False)
        second.send(close_frame(1013))
        second.expect_end()
        ended(gateway, second)
    gateway.wait_session_end(reason="route_sessions")


def test_route_sessions_of_unreachable_targets(start_gateway, refusing):
    """A session that never opened gives its place back."""
    gateway = start_gateway(plain("") + route("gone", f"127.0.0.1:{refusing.port}", max_sessions=1))
    for _ in range(5):
        with connect(gateway) as client:
            client.send(request("/gone"))
            assert client.read_response().status == 502
            client.expect_end()
        gateway.wait_session_end(client)


def test_route_session_rate(start_gateway):
    gateway = start_gateway(plain("") + route("echo", "echo:", max_session_rate=2) + route("other", "echo:"))
    answers = []
    wait_until(lambda: answers.append(ask(gateway, "/echo").status) or answers[-1] == 503)
    assert answers[:2] == [101, 101], answers
    gateway.wait_session_end(reason="route_rate")
    assert ask(gateway, "/other").status == 101
    wait_until(lambda: ask(gateway, "/echo").status == 101)


# --- fair shares ------------------------------------------------------------------------------------------------------

def joins(stack, client, path="/echo"):
    """The status that a client gets, who stays if it is 101."""
    client.send(request(path))
    answer = client.read_response().status
    if answer == 101:
        stack.enter_context(client)
    else:
        client.close()
    return answer


def of_six(gateway, source):
    client = connect(gateway)
    client.send(f"PROXY TCP6 {source} 2001:db8:ffff::1 4711 80\r\n".encode())
    return client


def test_shares_of_all_sessions(start_gateway):
    """100 networks of one /56 get three quarters; the last places are for others, be it of the same /48."""
    gateway = proxied(start_gateway, "max_sessions = 16")
    with contextlib.ExitStack() as stack:
        attack = [joins(stack, of_six(gateway, f"2001:db8:0:7{n:02x}::1")) for n in range(100)]
        assert attack == [101] * 12 + [429] * 88
        for other in ["2001:db8:0:800::1", "2001:db8:1::1", "2001:db8:2::1"]:
            assert joins(stack, of_six(gateway, other)) == 101
        # Once in a thousand runs a source shares both counters with some of the 15 by chance: then another one gets the place.
        assert 101 in (joins(stack, through_proxy(gateway, f"192.0.2.{n}")) for n in range(1, 4))
        assert joins(stack, through_proxy(gateway, "192.0.2.9")) == 503
        gateway.wait_for("connections refused", reason="source_share")
    wait_until(lambda: status(gateway, ONE, b"PROXY TCP6 2001:db8:0:701::1 ::1 1 2\r\n" + request("/echo")).status == 101)


@pytest.mark.parametrize("limit, room", [("max_sessions = 16", 12), ("max_sessions = 3", 3), ("max_sessions = 1", 1)])
def test_shares_of_one_source(start_gateway, limit, room):
    """With room it has what it asks for, and near the limit others come first; where there are few places, whoever comes."""
    gateway = start_gateway(limited(limit))
    with contextlib.ExitStack() as stack:
        assert [joins(stack, connect(gateway, source=ONE)) for _ in range(room)] == [101] * room
        assert joins(stack, connect(gateway, source=ONE)) == (429 if room > 3 else 503)
        assert joins(stack, connect(gateway, source=OTHER)) == (101 if room > 3 else 503)


def test_shares_of_who_is_exempt(start_gateway):
    """A proxy in front that names nobody, say: it has all of it, and is no reason to refuse others before."""
    gateway = start_gateway(limited("max_sessions = 16").replace("source_exempt =", f"source_exempt = {ONE}"))
    with contextlib.ExitStack() as stack:
        assert [joins(stack, connect(gateway, source=ONE)) for _ in range(15)] == [101] * 15
        assert joins(stack, connect(gateway, source=OTHER)) == 101
        assert joins(stack, connect(gateway, source=ONE)) == 503


def test_shares_of_a_route(start_gateway):
    """A browser is told by a Close, and what one source has elsewhere does not count."""
    gateway = start_gateway(limited("") + route("few", "echo:", max_sessions=4))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            assert joins(stack, connect(gateway, source=OTHER)) == 101
        assert [joins(stack, connect(gateway, source=ONE), "/few") for _ in range(4)] == [101] * 3 + [429]
        with connect(gateway, source=ONE) as client:
            client.upgrade("/few", origin="http://gateway.test")
            client.expect_close(1013, then_end=False)
        assert joins(stack, connect(gateway, source=OTHER), "/few") == 101
        assert joins(stack, connect(gateway, source="127.0.0.3"), "/few") == 503


def test_shares_of_a_route_over_a_reload(start_gateway):
    config = limited("") + route("few", "echo:", max_sessions=4)
    gateway = start_gateway(config)
    with contextlib.ExitStack() as stack:
        assert [joins(stack, connect(gateway, source=ONE), "/few") for _ in range(3)] == [101] * 3
        reload(gateway, config)
        assert joins(stack, connect(gateway, source=ONE), "/few") == 429
        assert joins(stack, connect(gateway, source=OTHER), "/few") == 101


def test_shares_of_a_rate(start_gateway):
    """Who is the fastest leaves something of each second to others."""
    gateway = start_gateway(limited("") + route("rare", "echo:", max_session_rate=4))
    answers = []
    wait_until(lambda: answers.append(status(gateway, ONE, request("/rare")).status) or answers[-1] != 101)
    assert answers[:3] == [101] * 3 and answers[-1] == 429, answers
    assert status(gateway, OTHER, request("/rare")).status == 101
    gateway.wait_session_end(reason="source_share")


# --- bandwidth --------------------------------------------------------------------------------------------------------

AMOUNT = 192 << 10 # what the rate below lets pass in a second and a half


@pytest.mark.parametrize("source", ["plain", "tls"])
def test_rate_up(start_gateway, backend, certificate, source):
    """All of it comes, not faster than it may, and the other direction is as fast as ever."""
    target = backend()
    gateway = start_gateway(plain("") + TLS.format(certificate) +
                            route("slow", f"127.0.0.1:{target.port}", max_rate_up="128k"))
    tls = certificate.client_context() if source == "tls" else None
    data = bytes(range(256)) * (AMOUNT // 256)
    with connect(gateway, source, tls=tls) as client:
        client.upgrade("/slow")
        peer = target.accept()
        began = time.monotonic()
        sending = client.send_aside(frame(2, data) + close_frame(1000))
        peer.send(data)
        assert client.read_stream(len(data)) == data
        assert peer.read_to_end() == data
        assert time.monotonic() - began > 1.3
        sending.join()
        client.expect_close(1000)


@pytest.mark.parametrize("target", ["backend", "echo"])
def test_rate_down(start_gateway, backend, target):
    data = bytes(range(256)) * (AMOUNT // 256)
    source = backend(serve=backends.serve_source(data))
    routes = route("backend", f"127.0.0.1:{source.port}", max_rate_down="128k") + route("echo", "echo:", max_rate_up="128k")
    gateway = start_gateway(plain("") + routes)
    with connect(gateway) as client:
        began = time.monotonic()
        client.upgrade(f"/{target}")
        if target == "echo":
            sending = client.send_aside(frame(2, data))
        assert client.read_stream(len(data)) == data
        assert time.monotonic() - began > 1.3
        if target == "echo":
            sending.join()
            client.send(close_frame(1000))
        client.expect_close(1000, then_end=False)


def test_rate_of_a_byte(start_gateway):
    """The least there is still passes."""
    gateway = start_gateway(plain("") + route("echo", "echo:", max_rate_up=20))
    with opened(gateway) as client:
        client.expect_echo(b"abcd")


# --- no room at all -----------------------------------------------------------------------------------------------------

FULL = "max_sessions = 1\n"


def test_overload_is_told_in_one_line(start_gateway):
    """However many are refused, the log has one line a second."""
    gateway = start_gateway(plain(FULL) + route("echo", "echo:"))
    with opened(gateway):
        began = time.monotonic()
        for _ in range(300):
            assert ask(gateway, "/echo").status == 503
        lines = gateway.find("connections refused")
        assert 1 <= len(lines) <= time.monotonic() - began + 2
        assert sum(int(line["count"]) for line in lines) <= 300


def test_overload_of_head(start_gateway):
    gateway = start_gateway(plain(FULL) + route("echo", "echo:"))
    with opened(gateway), connect(gateway) as client:
        client.send(get("/echo", method="HEAD"))
        assert client.read_response("HEAD").status == 503
        client.expect_end()


def test_overload_of_who_says_more(start_gateway):
    """The answer arrives even if the rest of what was asked comes behind it."""
    gateway = start_gateway(plain(FULL) + route("echo", "echo:"))
    with opened(gateway), connect(gateway) as client:
        client.send(b"G")
        assert client.read_response().status == 503
        client.expect_end()
        client.send(request("/echo")[1:] + bytes(100000)) # and is no reason for a reset
        assert client.unsendable is None


def test_overload_of_the_silent(start_gateway):
    """They are not waited for beyond their time, nor beyond their number, and meanwhile others are answered."""
    gateway = start_gateway(plain(FULL + "max_refusals = 3\nrefusal_timeout = 500ms") + route("echo", "echo:"))
    with opened(gateway) as inside:
        silent = [connect(gateway) for _ in range(8)]
        for client in silent[:4]: # who had to make room was told so, as was who stayed
            assert client.read_response().status == 503
        assert ask(gateway, "/echo").status == 503
        for client in silent[-2:]:
            client.expect_end()
        inside.expect_echo()
    for client in silent:
        client.close()
    wait_until(lambda: ask(gateway, "/echo").status == 101)


def test_overload_with_tls_auto(start_gateway, certificate):
    """Who speaks plain is told; a handshake is too dear."""
    config = plain(FULL) + TLS.format(certificate).replace("tls = on", "tls = auto") + route("echo", "echo:")
    gateway = start_gateway(config)
    with opened(gateway):
        assert ask(gateway, "/echo", "tls").status == 503
        with connect(gateway, "tls") as client:
            client.send(b"\x16\x03\x01\x00\x10" + bytes(16))
            client.expect_end()


def test_overload_behind_a_proxy(start_gateway, certificate):
    """Where TLS may follow the header it is not known what to answer in, before it was read."""
    config = plain(FULL) + TLS.format(certificate).replace("tls = on", "tls = auto\nproxy_protocol = on\ntrusted_proxy = 127.0.0.1")
    gateway = start_gateway(config + route("echo", "echo:"))
    with opened(gateway), connect(gateway, "tls") as client:
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request("/echo"))
        assert client.read_response().status == 503
        client.expect_end()
    gateway.wait_session_end(reason="overload", peer="192.0.2.1:1")


def test_overload_gives_descriptors_back(start_gateway):
    """Those of clients who reset the connection, too."""
    gateway = start_gateway(plain(FULL + "max_refusals = 4") + route("echo", "echo:"))
    with opened(gateway) as inside:
        before = len(descriptors(gateway.pid))
        for _ in range(50):
            with connect(gateway) as client:
                client.send(request("/echo"))
                client.reset()
        assert ask(gateway, "/echo").status == 503
        wait_until(lambda: len(descriptors(gateway.pid)) == before)
        inside.expect_echo()


# --- what strangers can make the log say --------------------------------------------------------------------------------

KNOCKS = 100

STRANGERS = { # reason: options of the listener, what is sent
    "proxy_untrusted": ("proxy_protocol = on\ntrusted_proxy = 192.0.2.0/24\n", b""),
    "proxy_header": (f"proxy_protocol = on\ntrusted_proxy = {ONE}\n", b"who?"),
    "bad_request": ("", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
    "no_route": ("", request("/none")),
    "forbidden_origin": ("", request("/echo", origin="https://elsewhere.test")),
    "backend_refused": ("", request("/gone", origin="http://gateway.test") + close_frame(1000)),
    "tls_failed": ("tls = on\n", b"who?"),
    "tls_violation": ("tls = on\n", b"\x16\x03\x01\0\x05\x01\0\0\x01\0"),
}


def knock(gateway, said):
    """It ends as it does: by an answer, or a reset before it knows that it was connected."""
    with contextlib.suppress(ConnectionError), socket.create_connection(gateway.address(), TIMEOUT) as sock:
        sock.sendall(said)
        while sock.recv(1 << 16):
            pass


@pytest.mark.parametrize("reason", STRANGERS)
def test_strangers_write_few_lines(start_gateway, certificate, refusing, reason):
    """However often one comes, it has a few lines a second, and the others are counted in one more."""
    options, said = STRANGERS[reason]
    config = plain("source_penalty_max = 0").replace("[listen plain]\n", f"[listen plain]\n{options}").replace("debug", "info")
    config = config.replace("workers = 2", "workers = 1") + route("echo", "echo:") + route("gone", f"127.0.0.1:{refusing.port}")
    gateway = start_gateway(config + f"[tls default]\ncertificate = {certificate.cert}\nkey = {certificate.key}\n" * ("tls" in options))
    began = time.monotonic()
    for _ in range(KNOCKS):
        knock(gateway, said)
    wait_until(lambda: refusals_told(gateway) + len(gateway.find("session end")) == KNOCKS)
    seconds = time.monotonic() - began + 2 # of which the first and the last were not whole
    assert len(gateway.find("session end")) <= 5 * seconds
    assert 1 <= len(gateway.find("connections refused", reason=reason)) <= seconds


def test_one_stranger_leaves_lines_to_others(start_gateway):
    gateway = start_gateway(limited("source_penalty_max = 0").replace("debug", "info").replace("workers = 2", "workers = 1"))
    for _ in range(KNOCKS):
        assert status(gateway, ONE, get("/none")).status == 404
    with connect(gateway, source=OTHER) as client:
        client.send(get("/none"))
        assert client.read_response().status == 404
    assert gateway.wait_session_end(client).level == "info"


def test_debug_tells_each(start_gateway):
    gateway = start_gateway(limited("source_penalty_max = 0"))
    for _ in range(KNOCKS):
        assert status(gateway, ONE, get("/none")).status == 404
    gateway.wait_for("session end", reason="no_route", count=KNOCKS)
