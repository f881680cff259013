"""Which pages may connect: their origin, and the host they call us by (DNS rebinding: the owner of a name makes it point at the
gateway, and a page of his is, to the browser, of the same origin)."""

import os
import socket
import subprocess

import pytest

from wsclient import Connection, get, request

SALLYPORT = os.environ["SALLYPORT"]
EVIL = "rebound.evil.example"


@pytest.fixture
def quick(start_gateway, tmp_path):
    """The quick form with a web root, and no name but those it has by itself and these."""
    (tmp_path / "index.html").write_text("page")

    def quick(*names):
        words = [word for name in names for word in ("--host", name)]
        return start_gateway._start([*words, "--web", str(tmp_path), "127.0.0.1:0", "echo:"], ["command line"], True, {})

    return quick


def page(gateway, host):
    with Connection(gateway.address()) as conn:
        conn.send(get("/", host=host))
        return conn.read_response()


def upgrade(gateway, host, **fields):
    """The status; the origin is that of the host's own pages."""
    with Connection(gateway.address()) as conn:
        conn.send(request("/websockify", host=host, origin=f"http://{host}", **fields))
        return conn.read_response()


def own_names():
    full = socket.gethostname()
    return [full, full.split(".")[0], full.split(".")[0] + ".local"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:6080", "192.0.2.7:6080", "[::1]:6080", "[2001:db8::1]", "localhost", "LOCALHOST:6080",
                                  "desk.localhost"])
def test_quick_form_answers_to_addresses_and_localhost(quick, host):
    gateway = quick()
    assert upgrade(gateway, host).status == 101
    assert page(gateway, host).status == 200


def test_quick_form_answers_to_the_machines_names(quick):
    gateway = quick()
    for name in own_names():
        assert upgrade(gateway, name + ":6080").status == 101


@pytest.mark.parametrize("host", [EVIL, EVIL + ":6080", "localhost." + EVIL, "127.0.0.1." + EVIL])
def test_quick_form_refuses_other_names_and_says_the_cure(quick, host):
    gateway = quick()
    answer = upgrade(gateway, host)
    assert answer.status == 403 and b"--host NAME" in answer.body
    end = gateway.wait_for("session end", reason="forbidden_host")
    name = host.split(":")[0]
    assert name in end["detail"] and f"--host {name}" in end["detail"]
    answer = page(gateway, host)
    assert answer.status == 403 and b"page" not in answer.body


def test_names_are_added(quick):
    """As a reverse proxy needs that passes its own name on."""
    gateway = quick("desk.example.com", "a.example, b.example")
    for name in ("desk.example.com", "DESK.example.com.:443", "a.example", "b.example", "localhost"):
        assert upgrade(gateway, name).status == 101
        assert page(gateway, name).status == 200
    assert upgrade(gateway, EVIL).status == 403


def test_any_name_is_allowed_by_a_star(quick):
    assert upgrade(quick("*"), EVIL).status == 101


def test_a_request_without_host_is_no_browsers(quick):
    """As old probes send it."""
    with Connection(quick().address()) as conn:
        conn.send(get("/", host=None, version="HTTP/1.0"))
        assert conn.read_response().status == 200


@pytest.mark.parametrize("origin, status", [
    ("https://a.example.com", 101), ("https://a.b.example.com", 101), ("file://", 101), ("vscode-webview://0a1b2c", 101),
    ("http://127.0.0.1", 101), ("https://example.com", 403), ("https://evilexample.com", 403), ("http://a.example.com", 403),
    ("null", 403), ("app://localhost", 403),
])
def test_other_origins_are_allowed_by_domain_or_scheme(start_gateway, origin, status):
    gateway = start_gateway.quick("--origin", "https://*.example.com, file://", "--origin", "vscode-webview://*", "127.0.0.1:0", "echo:")
    with Connection(gateway.address()) as conn:
        conn.send(request(host="127.0.0.1", origin=origin))
        assert conn.read_response().status == status


def test_own_is_for_a_configuration_too(start_gateway):
    gateway = start_gateway("""
        [listen l]
        address = 127.0.0.1:0
        [route r]
        host = own, desk.example.com
        target = echo:
        [route other]
        path = /other
        host = other.example.com
        target = echo:
    """)
    for name in ("127.0.0.1", "localhost", "desk.example.com", *own_names()):
        assert upgrade(gateway, name).status == 101
    assert upgrade(gateway, EVIL).status == 403
    end = gateway.wait_for("session end", reason="forbidden_host")
    assert f"host = {EVIL}" in end["detail"]
    gateway.signal(1) # who we are is asked anew, in the sandbox
    gateway.wait_for("configuration was reloaded")
    assert upgrade(gateway, own_names()[0]).status == 101
    assert upgrade(gateway, EVIL).status == 403


PLAIN = "[listen l]\naddress = 127.0.0.1:0\n[listen u]\naddress = 127.0.0.1:0\n"
WARNED = {
    "target": (PLAIN + "[route r]\ntarget = echo:\n", True),
    "tokens": (PLAIN + "[route r]\ntoken_file = TOKENS\n", True),
    "one listener": (PLAIN + "[route r]\nlisten = u\ntarget = echo:\n", True),
    "any origin": (PLAIN + "[route r]\ntarget = echo:\norigin = *\n", False),
    "files": (PLAIN + "[route r]\nroot = WEB\n", False),
    "named": (PLAIN + "[route r]\ntarget = echo:\nhost = a.example\n", False),
    "own": (PLAIN + "[route r]\ntarget = echo:\nhost = own\n", False),
    "any": (PLAIN + "[route r]\ntarget = echo:\nhost = *\n", False),
}


def check(tmp_path, text):
    (tmp_path / "web").mkdir(exist_ok=True)
    (tmp_path / "tokens").write_text("")
    (tmp_path / "s.conf").write_text(text.replace("WEB", f"{tmp_path}/web").replace("TOKENS", f"{tmp_path}/tokens"))
    return subprocess.run([SALLYPORT, "-t", "-c", tmp_path / "s.conf"], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", WARNED)
def test_a_route_without_host_and_tls_is_warned_of(tmp_path, name):
    text, warned = WARNED[name]
    done = check(tmp_path, text)
    lines = [line for line in done.stderr.splitlines() if "DNS rebinding" in line]
    assert done.returncode == 0
    assert len(lines) == warned
    if warned:
        assert lines[0].startswith(f"warning: {tmp_path}/s.conf:5: [route r] has no host")
        assert "host = own" in lines[0] and f"[listen {'u' if 'listen = u' in text else 'l'}]" in lines[0]


def test_many_routes_are_warned_of_once(tmp_path):
    routes = "".join(f"[route r{i}]\npath = /{i}\ntarget = echo:\n" for i in range(5)) + "[route own]\nhost = own\ntarget = echo:\n"
    lines = check(tmp_path, PLAIN + routes).stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: {tmp_path}/s.conf:5: [route r0] has no host, and [listen l] has no TLS (as do 4 more routes)")


def test_tls_needs_no_warning(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a",
                    "-keyout", tmp_path / "k", "-out", tmp_path / "c"], check=True, capture_output=True)
    (tmp_path / "k").chmod(0o644)
    text = f"[listen l]\naddress = 1\ntls = MODE\n[tls t]\ncertificate = {tmp_path}/c\nkey = {tmp_path}/k\n[route r]\ntarget = echo:\n"
    assert "rebinding" not in check(tmp_path, text.replace("MODE", "on")).stderr
    assert "rebinding" in check(tmp_path, text.replace("MODE", "auto")).stderr


def test_a_start_warns_and_so_does_a_reload(start_gateway):
    gateway = start_gateway(PLAIN + "[route r]\ntarget = echo:\n")
    assert gateway.log.count("DNS rebinding") == 1
    gateway.signal(1)
    gateway.wait_for("configuration was reloaded")
    assert gateway.log.count("DNS rebinding") == 2
