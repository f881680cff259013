"""What is done with the gateway while one call fails: short sessions of every kind, each a function of a Scene.

A scenario ends in one of three ways: it succeeds; it is Ended, because the gateway ended a session as it may after a
fault; or it raises what no fault excuses: other bytes, a malformed answer, a wait of more than five seconds.
"""

import contextlib
import hashlib
import re
import signal
import socket
import ssl
import time

from rig import Fault, wait
import wsclient
from wsclient import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, get, request
from world import BULK

REFUSALS = {403, 500, 502, 503, 504} # statuses that a fault may lead to
ENDS = (wsclient.EndOfStream, wsclient.Truncated, ConnectionError, ssl.SSLError)


class Ended(Exception):
    """The gateway ended a session before it was over."""


class Scene:
    """One run of a scenario against one gateway: makes connections, and remembers them."""

    def __init__(self, daemon, world):
        self.daemon, self.world = daemon, world
        self.addresses = daemon.known_addresses
        self.connections = []

    def connect(self, listener="plain", rcvbuf=None, handshake=True):
        conn = wsclient.Connection(self.addresses[listener], rcvbuf=rcvbuf)
        self.connections.append(conn)
        if listener != "plain" and handshake:
            conn._handshake(self.world.client_tls, "gateway.test") # remembered first: a failed one is a session, too
        return conn

    def open(self, target, listener="plain", rcvbuf=None, **fields):
        conn = self.connect(listener, rcvbuf)
        conn.send(request(target, **fields))
        self.expect_101(conn)
        return conn

    @staticmethod
    def expect_101(conn):
        response = conn.read_response()
        if response.status != 101:
            expect(response.status in REFUSALS, f"status {response.status}")
            raise Ended(f"status {response.status}")

    def close(self):
        for conn in self.connections:
            conn.close()


def expect(condition, complaint):
    if not condition:
        raise Fault(complaint)


def data(conn, want):
    """These payload bytes come, or the session ends with a part of them and a Close."""
    got = bytearray()
    while len(got) < len(want):
        part = conn.read_frame()
        if part.opcode == CLOSE:
            raise Ended(f"Close {part.close_code}")
        if part.opcode < CLOSE:
            got += part.payload
            expect(want.startswith(got) if len(got) < 4096 else want[:len(got)] == got, "other bytes than were sent")


def echo(conn, payload=b"to and fro"):
    conn.send(frame(BINARY, payload))
    data(conn, payload)


def end_sending(conn):
    with contextlib.suppress(OSError): # it may be over
        conn.end_sending()


def good_bye(conn):
    """Close from the client, answered, and the end."""
    conn.send(close_frame(1000))
    while True:
        got = conn.read_frame()
        if got.opcode == CLOSE:
            break
    conn.read_to_end()


# --- sessions -----------------------------------------------------------------------------------------------------------

def plain(scene):
    conn = scene.open("/tcp")
    echo(conn)
    conn.send(frame(TEXT, b"in ", fin=False) + frame(PING, b"?") + frame(0, b"two"))
    got, pong = b"", False
    while len(got) < 6 or not pong:
        part = conn.read_frame()
        if part.opcode == CLOSE:
            raise Ended(f"Close {part.close_code}")
        if part.opcode == PONG:
            expect(part.payload == b"?", "another pong")
            pong = True
        elif part.opcode < CLOSE:
            got += part.payload
    expect(got == b"in two", f"{got!r}")
    good_bye(conn)


def unix(scene):
    """The backend ends first."""
    conn = scene.open("/unix")
    echo(conn)
    conn.send(frame(BINARY, b"bye!"))
    data(conn, b"bye!")
    got, _ = conn.read_close()
    conn.send(close_frame(got.close_code))
    conn.read_to_end()


def echo_target(scene):
    conn = scene.open("/echo")
    echo(conn, b"x" * 70000)
    good_bye(conn)


def tls(scene):
    conn = scene.open("/tcp", "tls")
    echo(conn, b"y" * 40000)
    good_bye(conn)


def tls_auto(scene):
    conn = scene.open("/echo", "auto")
    echo(conn)
    conn.reset()


def secure_target(scene):
    conn = scene.open("/secure")
    echo(conn, b"z" * 20000)
    good_bye(conn)


def named_target(scene):
    conn = scene.open("/name")
    echo(conn)
    good_bye(conn)


def token(scene):
    for name in ("a", "b"):
        conn = scene.open(f"/token?token={name}")
        echo(conn)
        good_bye(conn)
    conn = scene.connect()
    conn.send(request("/token?token=none"))
    expect(conn.read_response().status in REFUSALS, "an unknown token")


def refused(scene):
    conn = scene.connect()
    conn.send(request("/refused"))
    expect(conn.read_response().status in REFUSALS, "a refusing target")
    conn = scene.open("/refused", origin="http://gateway.test")
    got, _ = conn.read_close()
    expect(got.close_code in (1011, 1014), f"Close {got.close_code}")


def ping(scene):
    conn = scene.open("/ping")
    while conn.read_frame().opcode != PING:
        pass
    conn.send(frame(PONG))
    echo(conn)
    conn.send(frame(BINARY, b"unread")) # and then it just goes
    end_sending(conn)
    conn.read_to_end()


def vanish(scene):
    """Clients that go in the middle of what they say."""
    end_sending(scene.connect())
    for words in (b"GET /tcp HTT", request("/tcp"), request("/echo") + frame(BINARY, b"early")):
        conn = scene.connect()
        conn.send(words)
        conn.reset()
    conn = scene.connect("auto", handshake=False)
    conn.send(b"\x16\x03\x01\x02\x00\x01")
    end_sending(conn)
    conn.read_to_end()


# --- backlogs ------------------------------------------------------------------------------------------------------------

def down(scene, listener="plain"):
    """A target that sends more than a client takes."""
    conn = scene.open("/source", listener, rcvbuf=8192 if listener == "plain" else None)
    time.sleep(0.02) # for a backlog; without one the rest holds as well
    data(conn, scene.world.bulk)
    got, _ = conn.read_close()
    conn.send(close_frame(got.close_code))
    conn.read_to_end()


def down_tls(scene):
    down(scene, "tls")


def up(scene, listener="plain"):
    """A client that sends more than the target takes."""
    conn = scene.open("/sink", listener)
    sender = conn.send_aside(frame(BINARY, scene.world.bulk))
    try:
        data(conn, hashlib.sha256(scene.world.bulk[:BULK]).digest())
        good_bye(conn)
    finally:
        with contextlib.suppress(OSError):
            conn.sock.shutdown(socket.SHUT_RDWR)
        sender.join()


def up_tls(scene):
    up(scene, "tls")


# --- files -----------------------------------------------------------------------------------------------------------------

def fetch(conn, scene, name, body, **fields):
    conn.send(get(f"/files/{name}", **fields))
    response = conn.read_response(fields.get("method", "GET"))
    if response.status not in (200, 206, 304):
        expect(response.status in REFUSALS | {404}, f"status {response.status}")
        raise Ended(f"status {response.status}")
    expect(response.body == body, f"{len(response.body)} other bytes of {name}")
    del scene


def files(scene, listener="plain"):
    conn = scene.connect(listener)
    world = scene.world
    fetch(conn, scene, "small.html", world.small)
    fetch(conn, scene, "large.bin", b"", method="HEAD")
    fetch(conn, scene, "large.bin", world.large)
    fetch(conn, scene, "large.bin", world.large[1000:200000], extra=["Range: bytes=1000-199999", "Connection: close"])
    conn.read_to_end()


def files_tls(scene):
    files(scene, "tls")


# --- signals -----------------------------------------------------------------------------------------------------------------

def reload(scene):
    """A reload that moves one listener. It happens, or it is refused and said so; what it opened serves then."""
    daemon = scene.daemon
    since = daemon.mark()
    before, extra = daemon.config, daemon.other_extra()
    daemon.write_config(scene.world.config(extra))
    daemon.signal(signal.SIGHUP)
    record = daemon.wait_record("configuration was reloaded|reload refused", since, 5.0)
    if "refused" in record.line:
        daemon.write_config(before)
        raise Ended("reload refused")
    daemon.extra = extra
    conn = wsclient.Connection("\0" + extra)
    try:
        conn.send(request("/echo"))
        scene.expect_101(conn)
        echo(conn)
    finally:
        conn.close()


def reopen(scene):
    """The log is rotated away. It is opened anew, or the old one stays and says why."""
    daemon = scene.daemon
    since = daemon.mark()
    daemon.signal(signal.SIGUSR1)
    daemon.wait_record("log was (not )?reopened", since, 5.0)


ALL = (plain, unix, echo_target, tls, tls_auto, secure_target, named_target, token, refused, ping, vanish, down, down_tls, up,
       up_tls, files, files_tls, reload, reopen)
BY_NAME = {scenario.__name__: scenario for scenario in ALL}


def ends_of(scene, conn, since):
    """Without memory for a session there is none, and the connection is told of as a refused one."""
    told = [r for r in scene.daemon.records(since) if r.get("peer") == conn.peer_text]
    ends = [r for r in told if r.event == "session end"]
    return ends or [r for r in told if r.event == "connections refused" and r["reason"] == "out_of_memory"]


def all_told(scene, since):
    return all(ends_of(scene, conn, since) for conn in scene.connections)


def settled(scene, since):
    """Each connection has one record of its end, with a reason."""
    for conn in scene.connections:
        wait(lambda conn=conn: ends_of(scene, conn, since) or not scene.daemon.alive(), lambda conn=conn: f"no record of the end of {conn.peer_text}")
        found = ends_of(scene, conn, since)
        expect(len(found) == 1, f"{len(found)} records of one end: {found}")
        expect(found[0].get("reason"), f"no reason: {found[0]}")


def accounted(scene, since):
    """What the log does not have of these connections it tells as lost, with the next record that is written."""
    def told():
        lost = [re.search(r"(\d+) log records could not be written", r.line) for r in scene.daemon.records(since)]
        return sum(int(match[1]) for match in lost if match)
    missing = sum(not ends_of(scene, conn, since) for conn in scene.connections)
    wait(lambda: told() >= missing, lambda: f"{missing} ends are not in the log, {told()} records are told as lost")
    strange = [r for r in scene.daemon.records(since)[1:] if r.level is None and len(r.line) > 1] # the first may be half old
    expect(not strange, f"not a record: {strange}")
