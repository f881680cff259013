"""What must stay between a client and its target: nothing of it in a log, an answer to somebody else, or what ps shows."""

import base64
import os
import re

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
    (tmp_path / "page.txt").write_text("page\n")
    gateway = start_gateway(section("server", log_level="debug", access_log="on") + listeners(certificate)
                            + section("route tokens", path="/tokens", token_file=tmp_path / "tokens")
                            + section("route echo", path="/echo", target="echo:")
                            + section("route files", path="/*", root=tmp_path))
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
