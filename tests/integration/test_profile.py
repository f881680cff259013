"""profile = bulk and interactive: what each lets wait on the way to a client, and that neither loses a byte of it.

The gateway's sockets are looked at from beside (inside.py); how much waits is what a flooding backend gets rid of while
the client reads nothing.
"""

import fcntl
import itertools
import os
import random
import socket
import struct
import subprocess
import termios
import threading

import pytest

import backends
from inside import send_until_held, socket_of
from sections import listeners
from wsclient import BINARY, MASK, TIMEOUT, Connection, close_frame, frame, request

KIB, MIB = 1 << 10, 1 << 20
BLOB = random.Random(3).randbytes(4 * MIB)
TCP_NOTSENT_LOWAT, SIOCOUTQNSD = 25, 0x894B

TINY = "max_read = 1k\nhigh_water = 1\nlow_water = 0\nnotsent_lowat = 1\ntarget_buffer = 1\n"
PROFILES = {
    "bulk": "",
    "interactive": "profile = interactive\n",
    "deep": "profile = interactive\nhigh_water = 128k\n", # 128k is the default, and written all the same
    "open": "profile = interactive\nnotsent_lowat = 0\ntarget_buffer = 0\n",
    "tiny": TINY,
    "tiny-interactive": "profile = interactive\n" + TINY,
}


@pytest.fixture(scope="module")
def unix_recorder(tmp_path_factory):
    one = backends.Backend(str(tmp_path_factory.mktemp("unix") / "backend"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder, unix_recorder):
    targets = {"tcp": recorder.target, "unix": unix_recorder.target, "echo": "echo:"}
    routes = "".join(f"[route {kind}-{name}]\npath = /{kind}-{name}\ntarget = {target}\n{options}"
                     for kind, target in targets.items() for name, options in PROFILES.items())
    return share_gateway("[server]\nworkers = 1\n" + listeners(certificate) + routes)


@pytest.fixture
def opened(gw, whole, recorder, unix_recorder):
    """opened(kind, profile, ...) is an open session's two ends."""
    made = []

    def open_session(kind, profile, **options):
        listening = unix_recorder if kind == "unix" else recorder
        listening.drop_waiting()
        client = whole.connect(gw, **options)
        made.append(client)
        client.upgrade(f"/{kind}-{profile}")
        if kind == "echo":
            return client, None
        made.append(listening.accept())
        return client, made[-1]
    yield open_session
    for end in made:
        end.close()


def option_of(gateway, other_end, level, name):
    with socket_of(gateway.pid, other_end) as copy:
        return copy.getsockopt(level, name)


def taken_from(gateway, sock):
    """Sends until nothing more is taken; returns how much has left this end."""
    sent = send_until_held(gateway.pid, sock, BLOB)
    return sent - struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def aside(function, *arguments):
    """Runs it on a thread of its own; returns a function that waits for what it returns."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*arguments)), daemon=True)
    thread.start()

    def wait():
        thread.join(4 * TIMEOUT)
        assert result, "it did not come to its end"
        return result[0]
    return wait


# --- what is set ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("profile, lowat, small", [("bulk", 0, False), ("interactive", 8 * KIB, True),
                                                   ("open", 0, False), ("tiny", 1, True)])
def test_profile_sockets(start_gateway, backend, profile, lowat, small):
    """interactive limits what the kernel holds on either side; bulk and a written 0 leave it as it is."""
    one = backend()
    gateway = start_gateway("[listen plain]\naddress = 127.0.0.1:0\n"
                            f"[route r]\ntarget = {one.target}\n{PROFILES[profile]}")
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/")
        with one.accept() as peer:
            peer.send(b"open")
            assert client.read_stream(4) == b"open"
            assert option_of(gateway, client.sock, socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == lowat
            assert option_of(gateway, peer.sock, socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 0
            assert (option_of(gateway, peer.sock, socket.SOL_SOCKET, socket.SO_RCVBUF) <= 32 * KIB) == small


# --- what waits -------------------------------------------------------------------------------------------------------

def test_profile_takes_little(gw, opened):
    """While the client reads nothing, a flooding backend gets rid of a fraction of what bulk takes."""
    taken = {}
    for profile in ("bulk", "interactive", "deep"):
        _, peer = opened("tcp", profile, rcvbuf=4096)
        taken[profile] = taken_from(gw, peer.sock)
    assert taken["interactive"] < 128 * KIB, taken
    assert taken["interactive"] * 4 < taken["bulk"], taken
    assert 128 * KIB < taken["deep"] < taken["interactive"] + 192 * KIB, taken


def test_profile_unix_target(gw, opened):
    """A UNIX socket has no window, but what the gateway itself holds is as little."""
    taken = {}
    for profile in ("bulk", "interactive"):
        _, peer = opened("unix", profile, rcvbuf=4096)
        taken[profile] = taken_from(gw, peer.sock)
    assert taken["interactive"] + 128 * KIB < taken["bulk"], taken


def test_profile_reads_little(gw, opened):
    """What is read from the backend at once becomes one frame, so a long one would stand in front of what comes next."""
    longest = {}
    for profile in ("bulk", "interactive"):
        client, peer = opened("tcp", profile)
        taken_from(gw, peer.sock)
        peer.end_sending()
        frames = (client.read_frame() for _ in itertools.count())
        longest[profile] = max(len(one.payload) for one in itertools.takewhile(lambda one: one.opcode == BINARY, frames))
    assert longest["interactive"] <= 16 * KIB < longest["bulk"], longest


def test_profile_kernel_holds_little(gw, opened):
    """The kernel would fill a segment of 64 KiB; what it holds unsent is the limit and a read at most."""
    client, peer = opened("tcp", "interactive")
    taken_from(gw, peer.sock)
    with socket_of(gw.pid, client.sock) as copy:
        unsent, = struct.unpack("i", fcntl.ioctl(copy, SIOCOUTQNSD, bytes(4)))
    assert 0 < unsent <= 25 * KIB


# --- no byte is lost, and nothing stands still ------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("profile, size", [("bulk", 4 * MIB), ("interactive", 4 * MIB), ("open", 4 * MIB),
                                           ("tiny", 256 * KIB), ("tiny-interactive", 256 * KIB)])
def test_profile_slow_ends(opened, kind, profile, size):
    """Both ways at once, past a client that hardly has a window and a backend that hardly has one."""
    client, peer = opened(kind, profile, rcvbuf=16 * KIB)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
    down, up = BLOB[:size], BLOB[-size // 4:]
    pending = [aside(lambda: peer.send(down) or peer.end_sending()), aside(peer.read, len(up)),
               aside(client.send, b"".join(frame(BINARY, up[i:i + 30_001]) for i in range(0, len(up), 30_001)))]
    close, got = client.read_close()
    assert got == down and close.close_code == 1000
    pending[0](), pending[2]()
    assert pending[1]() == up
    client.send(close_frame(1000))
    assert peer.read_to_end() == b""


@pytest.mark.parametrize("profile", ["interactive", "tiny"])
def test_profile_kernel_holds_nothing(gw, opened, profile):
    """A client whose kernel holds less than all these limits goes on all the same."""
    client, peer = opened("tcp", profile, rcvbuf=4096)
    with socket_of(gw.pid, client.sock) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sender = aside(peer.send, BLOB[:300_000])
    assert client.read_stream(300_000) == BLOB[:300_000]
    sender()


@pytest.mark.parametrize("profile", ["bulk", "interactive", "tiny"])
def test_profile_echo(opened, profile):
    """echo: writes to the client that it reads from, with the same limits."""
    client, _ = opened("echo", profile, rcvbuf=16 * KIB)
    size = MIB if profile != "tiny" else 64 * KIB
    sender = aside(client.send, b"".join(frame(BINARY, BLOB[i:i + 10_007]) for i in range(0, size, 10_007)))
    got = client.read_stream(sum(len(BLOB[i:i + 10_007]) for i in range(0, size, 10_007)))
    assert got == BLOB[:len(got)]
    sender()


@pytest.mark.parametrize("profile", ["bulk", "interactive"])
def test_profile_early_flood(gw, whole, recorder, profile):
    """What comes from the backend before the client has its 101, and what the client sends right behind its request."""
    recorder.drop_waiting()
    with whole.connect(gw) as client:
        client.send(request(f"/tcp-{profile}") + frame(BINARY, b"early", mask=MASK))
        with recorder.accept() as peer:
            sender = aside(peer.send, BLOB)
            client.read_101()
            assert peer.read(5) == b"early"
            assert client.read_stream(len(BLOB)) == BLOB
            sender()


# --- what is written --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("lines, complaint", [
    ("profile = fast", 'profile: "fast" is none of: bulk, interactive'),
    ("profile = interactive\nlow_water = 4k", "low_water: low_water (4096) must be less than high_water (4096)"),
    ("profile = interactive\nhigh_water = 0", "high_water: low_water (0) must be less than high_water (0)"),
    ("high_water = 4k", "high_water: low_water (32768) must be less than high_water (4096)"),
    ("max_read = 1000", "max_read: must be from 1k to 208k"),
    ("max_read = 209k", "max_read: must be from 1k to 208k"),
    ("notsent_lowat = 2g", "notsent_lowat: must be at most 1g"),
    ("target_buffer = 2g", "target_buffer: must be at most 1g"),
])
def test_profile_refused(tmp_path, lines, complaint):
    path = tmp_path / "s.conf"
    path.write_text(f"[listen l]\naddress = 127.0.0.1:0\n[route r]\ntarget = localhost:5900\n{lines}\n")
    done = subprocess.run([os.environ["SALLYPORT"], "-t", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{path}:{4 + len(lines.splitlines())}: [route r] {complaint}\n"


def test_profile_of_files(tmp_path):
    path = tmp_path / "s.conf"
    path.write_text(f"[listen l]\naddress = 127.0.0.1:0\n[route r]\nroot = {tmp_path}\nprofile = interactive\n")
    done = subprocess.run([os.environ["SALLYPORT"], "-t", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{path}:5: [route r] profile: has no effect without target or token_file\n"
