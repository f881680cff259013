"""The log under attack: one record is one line, and no client can forge, break or hide one.

tests/log_integrity.c proves it for what is written; here it is the whole gateway, with all that a request can carry.
"""

import json
import random
import re
import socket
import time

import pytest

from wsclient import TIMEOUT, frame, get, request

REQUESTS = 1200
KNOWN_LEVELS = {"error", "warn", "info", "debug"}

TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<level>error|warn|info|debug) +(?P<rest>[ -~]+)")
TEXT_FIELD = re.compile(r' (?P<key>[a-z_0-9]+)=(?P<value>"(?:[^"\\]|\\x[0-9a-f]{2})*"|[A-Za-z0-9._:/@\[\],-]+)')

FORGED = "session end id=31337"
POISON = [
    "\n2026-11-22T19:18:01.123Z error " + FORGED,
    '\n{"time":"2026-11-22T19:18:01.123Z","level":"error","event":"' + FORGED + '"}',
    "\r", "\0", "\x1b[2J\x1b]0;title\x07", "\x7f", "\t", '"', "\\", '","level":"error', '"}', '" code=101 reason="',
    " code=101", "\\x0a", "\\u000a", "%0a", "%s%n%p", "${jndi:ldap://x}", "\u202e", "\u2028", "\u0085", "\ufeff", "\u00fc", "\U0001f600", "...",
    "a" * 3000,
]
RAW = [b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xc0\x8a", b"\xf4\x90\x80\x80"]


def poison(rng):
    pieces = [rng.choice(RAW) if rng.random() < 0.2 else rng.choice(POISON).encode() for _ in range(rng.randrange(1, 4))]
    return b"x".join(pieces)


def hostile(rng):
    """A request with something that does not belong there, in some place where the log might repeat it."""
    bad = poison(rng)
    soft = re.sub(rb"[\x00-\x20\x7f]", b"", bad) # what the head may have, so that the request gets further
    if rng.random() < 0.6:
        bad = soft
    mark = "POISON"
    raw = rng.choice([
        request("/" + mark), request("/echo?token=" + mark), request("/tokens?token=" + mark), request("/echo", host=mark),
        request("/echo", origin=mark), request("/echo", origin="http://" + mark), request("/echo", protocol=mark),
        get("/" + mark),
        get("/" + mark, host=mark), get("/?" + mark), get("/files" + mark, extra=["User-Agent: " + mark, "Referer: " + mark]),
        get("/", method=mark), get("http://" + mark + "/"), request("/echo", key=mark), request("/echo", ws_version=mark),
        request("/echo", extra=[mark]), request("/echo", extra=["X-Forwarded-For: " + mark]), request("/refused?" + mark),
    ])
    return raw.replace(mark.encode(), bad)


def send_hostile(gateway, rng):
    """One connection with a hostile request; a session that is opened says hostile things, too. Ends when the gateway has."""
    with socket.create_connection(gateway, TIMEOUT) as sock:
        try:
            sock.sendall(hostile(rng) + frame(1, poison(rng)[:100]) + frame(8, b"\x03\xe8" + poison(rng)[:100]))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass
        except ConnectionError:
            pass


def read_text_line(line):
    """(level, event, fields) of a line in the text form, by a grammar that covers all of it."""
    match = TEXT_LINE.fullmatch(line)
    assert match, line
    fields, rest = {}, match["rest"]
    while True:
        last = None
        for last in TEXT_FIELD.finditer(rest):
            pass
        if last is None or last.end() != len(rest):
            break
        value = last["value"][1:-1] if last["value"].startswith('"') else last["value"]
        fields[last["key"]] = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), value)
        rest = rest[:last.start()]
    return match["level"], rest, fields


def read_json_line(line):
    record = json.loads(line, object_pairs_hook=pairs_once)
    return record.pop("level"), record.pop("event"), {k: str(v) for k, v in record.items() if k != "time"}


def pairs_once(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a key came twice: {pairs}"
    return dict(pairs)


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_integrity(start_gateway, tmp_path, refusing, form):
    log, rng = tmp_path / "log", random.Random(form)
    (tmp_path / "web").mkdir()
    (tmp_path / "tokens").write_text("a: 127.0.0.1:1\n")
    gateway = start_gateway(f"""
        [server]
        log = file:{log}
        log_format = {form}
        log_level = debug
        access_log = on
        [listen plain]
        address = unix:{tmp_path}/gateway.sock
        address = 127.0.0.1:0
        [route echo]
        path = /echo
        target = echo:
        accept = binary
        [route refused]
        path = /refused
        target = {refusing.target}
        [route tokens]
        path = /tokens
        token_file = {tmp_path}/tokens
        [route files]
        path = /*
        root = {tmp_path}/web
    """, ready=False)
    address = wait_listening(gateway, log)
    for _ in range(REQUESTS):
        send_hostile(address, rng)
    gateway.stop()
    raw = log.read_bytes()
    assert raw.endswith(b"\n")
    lines = raw[:-1].split(b"\n")
    assert not [line for line in lines if not re.fullmatch(rb"[ -~]+", line)], "bytes that are no printable ASCII"
    records = [(read_json_line if form == "json" else read_text_line)(line.decode()) for line in lines]
    assert {level for level, _, _ in records} <= KNOWN_LEVELS
    ends = [fields for _, event, fields in records if event == "session end"]
    assert len(ends) == REQUESTS and len({fields["id"] for fields in ends}) == REQUESTS
    assert "31337" not in {fields["id"] for fields in ends}
    assert not [event for _, event, _ in records if FORGED in event or len(event) > 200]
    paths = "".join(fields.get("path", "") for _, event, fields in records if event == "request")
    assert '"' in paths and "\\x0a" in paths, "what was to be escaped never came as far as the log"


def wait_listening(gateway, log):
    """The TCP address, from a log that is a file."""
    deadline = time.monotonic() + 4 * TIMEOUT
    while True:
        text = log.read_text() if log.exists() else ""
        found = re.search(r"127\.0\.0\.1:(\d+)", text)
        if found:
            return "127.0.0.1", int(found[1])
        assert gateway.process.poll() is None and time.monotonic() < deadline, text
        time.sleep(0.02)
