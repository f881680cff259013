"""What must stay between a client and its target: nothing of it in a log, an answer to somebody else, or what ps shows."""

import base64
import os
import pathlib
import re
import signal
import subprocess

import pytest

from gateway import find_instrument
from sections import listeners, section
from wsclient import Connection, BINARY, frame, get, request

KNOWN, UNKNOWN = "canary-token-known", "canary-token-unknown"
PASSWORD, COOKIE, PAYLOAD = "canary-password", "canary-cookie", b"canary-payload"


def visit(gateway, raw, payload=b""):
    """One request, with a frame behind it when it was an upgrade; returns all that came back before the end."""
    with Connection(gateway.address("plain")) as conn:
        conn.send(raw)
        head = conn.read_until(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 101"):
            conn.send(frame(BINARY, payload) + frame(1, b"\xff"))
        conn.end_sending()
        return head + conn.read_to_end()


def key_lines(path):
    """The private key as its file has it, and in its binary form."""
    with open(path, encoding="ascii") as file:
        lines = [line.strip() for line in file if not line.startswith("-----")]
    return [line.encode() for line in lines if len(line) > 20] + [base64.b64decode("".join(lines))[8:40]]


def test_secrets_stay(start_gateway, tmp_path, certificate, recorder):
    """Tokens, cookies, passwords in queries, payload and private keys: in no log, no error page, no command line."""
    (tmp_path / "tokens").write_text(f"{KNOWN}: 127.0.0.1:{recorder.port}\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.txt").write_text("page\n")
    gateway = start_gateway(section("server", log_level="debug", access_log="on") + listeners(certificate)
                            + section("route tokens", path="/tokens", token_file=tmp_path / "tokens")
                            + section("route echo", path="/echo", target="echo:")
                            + section("route files", path="/*", root=tmp_path / "web"))
    secret = [f"Authorization: Basic {PASSWORD}", f"Cookie: session={COOKIE}"]
    answers = [visit(gateway, raw, PAYLOAD) for raw in (
        request(f"/tokens?token={UNKNOWN}", extra=secret), request(f"/tokens?x={KNOWN}", extra=secret),
        request("/tokens", extra=secret, version="HTTP/1.0"), request("/tokens", host=None, extra=secret),
        get(f"/page.txt?token={KNOWN}&password={PASSWORD}", extra=secret), get(f"/nowhere?password={PASSWORD}", extra=secret),
        get(f"/page.txt?password={PASSWORD}", method="POST", extra=secret))]
    with Connection(gateway.address("plain")) as conn: # a session that the target sees, and that breaks the protocol
        conn.upgrade(f"/tokens?token={KNOWN}", extra=secret)
        conn.send(frame(BINARY, PAYLOAD))
        with recorder.accept() as peer:
            assert peer.read(len(PAYLOAD)) == PAYLOAD
            conn.send(frame(1, b"\xff" + PAYLOAD))
            conn.read_close()
    with Connection(gateway.address("tls"), tls=certificate.client_context()) as conn:
        conn.send(get(f"/page.txt?password={PASSWORD}"))
        assert conn.read_response().body == b"page\n"
    shown = read_process(gateway.pid)
    gateway.stop()
    assert len(gateway.find("session end")) == 9 and gateway.find("request")
    for where, text in [("the log", gateway.log.encode()), ("an answer", b"".join(answers)), ("what ps shows", shown)]:
        found = re.findall(rb".*canary.*", text)
        assert not found, f"{where} has {found[0][:300]!r}"
        assert not [line for line in key_lines(certificate.key) if line in text], f"{where} has the private key"


def read_process(pid):
    """The command line and the environment."""
    text = b""
    for name in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text += file.read()
        except PermissionError: # a process that may not be dumped shows neither to its like
            assert os.getuid() != 0
    return text


# --- what a web root would give away ----------------------------------------------------------------------------------

@pytest.fixture
def site(tmp_path, certificate):
    """Checks or starts a configuration with the web root ROOT; WEB is a directory for it, SAFE one beside it."""
    web, safe = tmp_path / "web", tmp_path / "safe"
    for directory in (web / "below", safe):
        directory.mkdir(parents=True)
        for at in (directory, directory.parent):
            for name, text in (("tokens", "a: 127.0.0.1:1\n"), ("cert.pem", pathlib.Path(certificate.cert).read_text()),
                               ("key.pem", pathlib.Path(certificate.key).read_text())):
                (at / name).write_text(text)
            (at / "self.pem").write_text((at / "cert.pem").read_text() + (at / "key.pem").read_text())
    (safe / "link.pem").symlink_to(web / "key.pem")
    (web / "out.pem").symlink_to(safe / "key.pem")
    (tmp_path / "other").symlink_to(web)

    def site(config=safe, log=safe / "log", key=f"certificate = {safe}/cert.pem\nkey = {safe}/key.pem", tokens=safe / "tokens",
             root=web, check=True):
        path = pathlib.Path(config) / "s.conf"
        sandbox = "off" if find_instrument() else "on"
        path.write_text(f"[server]\nsandbox = {sandbox}\nlog = file:{log}\n[listen l]\naddress = 127.0.0.1:0\ntls = on\n[tls t]\n{key}\n"
                        f"[route t]\npath = /t\ntoken_file = {tokens}\n[route w]\nroot = {root}\n")
        done = subprocess.run([os.environ["SALLYPORT"], *(["-t"] if check else []), "-c", path], capture_output=True,
                              text=True, timeout=60, check=False)
        done.place = f"{path}:{path.read_text().splitlines().index(f'root = {root}') + 1}: [route w] root: "
        return done

    site.web, site.safe = web, safe
    return site


def test_no_secret_is_below_a_web_root(site):
    done = site()
    assert (done.returncode, done.stderr) == (0, "")
    done = site(key=f"certificate = {site.web}/cert.pem\nkey = {site.safe}/key.pem") # that everybody gets anyhow
    assert (done.returncode, done.stderr) == (0, "")


EXPOSED = {
    "key": ({"key": "certificate = WEB/cert.pem\nkey = WEB/key.pem"}, "this root would publish the key of [tls t] ("),
    "certificate with its key": ({"key": "certificate = WEB/self.pem"}, "this root would publish the certificate of [tls t] ("),
    "key by a link": ({"key": "certificate = SAFE/cert.pem\nkey = SAFE/link.pem"}, "the key of [tls t]"),
    "tokens": ({"tokens": "WEB/tokens"}, "this root would publish the token_file of [route t] ("),
    "deeper": ({"tokens": "WEB/below/tokens"}, "the token_file of [route t]"),
    "a directory of tokens": ({"tokens": "WEB/below"}, "the token_file of [route t]"),
    "the same directory": ({"tokens": "WEB"}, "the token_file of [route t]"),
    "another name of the directory": ({"tokens": "WEB/../other/below/../tokens"}, "the token_file of [route t]"),
    "another name of the root": ({"tokens": "WEB/tokens", "root": "WEB/../other"}, "the token_file of [route t]"),
    "log": ({"log": "WEB/log"}, "this root would publish the log of [server] ("),
    "configuration": ({"config": "WEB"}, "this root would publish the configuration ("),
}


@pytest.mark.parametrize("name", EXPOSED)
def test_a_secret_below_a_web_root_is_refused(site, name):
    options, complaint = EXPOSED[name]
    options = {key: str(value).replace("WEB", str(site.web)).replace("SAFE", str(site.safe)) for key, value in options.items()}
    for check in (True, False):
        done = site(**options, check=check)
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith(done.place) and complaint in lines[0], done.stderr
        assert lines[0].endswith("move it, or name another root")


def test_the_whole_disk_holds_all_secrets(site):
    assert len(site(root="/").stderr.splitlines()) == 4


def test_a_link_in_the_root_that_leads_to_a_secret_is_not_followed(site):
    """Nothing is refused for it: the web root is not left by links."""
    assert (site.web / "out.pem").exists() and site().returncode == 0


def test_the_quick_form_gives_no_key_away(site):
    words = [os.environ["SALLYPORT"], "-t", "--web", ".", "6080", "echo:"]
    exposed = subprocess.run([*words, "--cert", "self.pem"], cwd=site.web, capture_output=True, text=True, timeout=60, check=False)
    assert exposed.returncode == 1
    assert exposed.stderr == ("command line: --web: this root would publish the certificate (self.pem); "
                              "move it, or name another root\n")
    fine = subprocess.run([*words, "--cert", site.safe / "self.pem"], cwd=site.web, capture_output=True, text=True, timeout=60, check=False)
    assert (fine.returncode, fine.stderr) == (0, "")


def test_a_reload_gives_no_secret_away(start_gateway, tmp_path):
    (tmp_path / "web").mkdir()
    for place in (tmp_path, tmp_path / "web"):
        (place / "tokens").write_text("")
    text = (f"[listen l]\naddress = 127.0.0.1:0\n[route w]\nroot = {tmp_path}/web\n"
            f"[route t]\nhost = own\npath = /t\ntoken_file = {tmp_path}/tokens\n")
    gateway = start_gateway(text)
    gateway.config.write_text(text.replace("/tokens", "/web/tokens"))
    gateway.signal(signal.SIGHUP)
    gateway.wait_for("reload refused: the running configuration stays")
    assert "this root would publish the token_file of [route t] (" in gateway.log
