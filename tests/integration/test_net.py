"""What the network and the clock do to sessions, as far as it shows on loopback within seconds: the rest is in tests/net."""

import contextlib
import signal
import socket
import time

import pytest

import backends
from inside import socket_of
from wsclient import BINARY, Connection, PING, PONG, frame, request

MIB = 1 << 20
BLOB = bytes(range(256)) * 4096 * 8 # 8 MiB
HEAD = "[server]\nworkers = 1\n%s\n[listen plain]\naddress = 127.0.0.1:0\nhandshake_timeout = 1s\n"
TCP_USER_TIMEOUT = 18


def route(name, target, **options):
    lines = [f"[route {name}]", f"path = /{name}", f"target = {target}"]
    return "\n".join(lines + [f"{key} = {value}" for key, value in options.items()]) + "\n"


@contextlib.contextmanager
def opened(gateway, path, **options):
    with Connection(gateway.address("plain"), **options) as client:
        client.upgrade(path)
        yield client


def stopped(gateway, seconds):
    """The process does not live for so long; what is done in the meantime is the block's."""
    gateway.signal(signal.SIGSTOP)
    began = time.monotonic()
    return began + seconds


def go_on(gateway, when):
    time.sleep(max(0, when - time.monotonic()))
    gateway.signal(signal.SIGCONT)


# --- rl_clock_step ----------------------------------------------------------------------------------------------------

def test_rl_clock_step_stopped_with_a_ping_out(start_gateway):
    """A pong that came while the process was stopped is in time, whatever the timers say; then silence is death as ever."""
    gateway = start_gateway(HEAD % "" + route("echo", "echo:", ping_interval="1s", pong_timeout="2s"))
    with opened(gateway, "/echo") as client:
        ping = client.read_frame()
        assert ping.opcode == PING
        until = stopped(gateway, 5)
        client.send(frame(PONG, ping.payload))
        go_on(gateway, until)
        assert client.read_frame().opcode == PING # it is asked again instead of cut
        assert not gateway.find("session end")
        assert gateway.wait_session_end(client)["reason"] == "client_dead"


def test_rl_clock_step_stopped_idle(start_gateway, backend):
    """Data that came while the process was stopped ends the idleness."""
    echo = backend(serve=backends.serve_echo)
    gateway = start_gateway(HEAD % "" + route("echo", echo.target, idle_timeout="3s"))
    with opened(gateway, "/echo") as client:
        client.expect_echo()
        until = stopped(gateway, 6)
        client.send(frame(BINARY, b"meanwhile"))
        go_on(gateway, until)
        assert client.read_message() == (BINARY, b"meanwhile")
        client.expect_echo()


def test_rl_clock_step_stopped_half_asked(start_gateway):
    """A request of which the rest came while the process was stopped is answered; one that stays half is not waited for."""
    gateway = start_gateway(HEAD % "" + route("echo", "echo:"))
    asked = request("/echo")
    with Connection(gateway.address("plain")) as client, Connection(gateway.address("plain")) as other:
        client.send(asked[:30])
        other.send(asked[:30])
        with Connection(gateway.address("plain")) as last: # they are with their worker when this one is answered
            last.upgrade("/echo")
        until = stopped(gateway, 3)
        client.send(asked[30:])
        go_on(gateway, until)
        client.read_101()
        client.expect_echo()
        assert other.read_response().status == 408


# --- rl_dead_peer, rl_write_stall -------------------------------------------------------------------------------------

def test_rl_dead_peer_closed_window_is_not_death(start_gateway, backend):
    """A client that takes nothing for a while has the time of stall_timeout, not that of pong_timeout, from the kernel too."""
    source = backend(serve=backends.serve_source(BLOB))
    options = {"ping_interval": "300ms", "pong_timeout": "500ms", "stall_timeout": "50s"}
    gateway = start_gateway(HEAD % "" + route("source", source.target, **options))
    with opened(gateway, "/source", rcvbuf=65536) as client:
        with socket_of(gateway.pid, client.sock) as copy:
            deadline = time.monotonic() + 30
            while copy.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) != 100_000: # twice stall_timeout: it is known to be full
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(2)
            assert client.read_stream(len(BLOB)) == BLOB
            assert client.read_close()[0].close_code == 1000


# --- rl_backpressure --------------------------------------------------------------------------------------------------

@pytest.fixture
def crowded(start_gateway, backend):
    """A gateway with max_backlog, and clients that fill it and read nothing."""
    source, echo = backend(serve=backends.serve_source(BLOB)), backend(serve=backends.serve_echo)
    gateway = start_gateway(HEAD % "max_backlog = 256k" + route("source", source.target) + route("echo", echo.target))
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(opened(gateway, "/source", rcvbuf=65536)) for _ in range(8)]
        yield gateway, stalled


def test_rl_backpressure_max_backlog(crowded):
    """While others have used max_backlog up, who reads is served, and nobody loses a byte when his turn comes."""
    gateway, stalled = crowded
    with opened(gateway, "/echo") as client:
        sender = client.send_aside(frame(BINARY, BLOB[:2 * MIB]))
        assert client.read_stream(2 * MIB) == BLOB[:2 * MIB]
        sender.join()
    for client in stalled:
        assert client.read_stream(len(BLOB)) == BLOB
        assert client.read_close()[0].close_code == 1000


def anonymous(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


@pytest.mark.native
def test_rl_backpressure_max_backlog_memory(crowded):
    """More backlogs, of up to 208 KiB each, have to do with what is left of 256 KiB together, and a few KiB for each."""
    gateway, _ = crowded
    with opened(gateway, "/echo") as client:
        sender = client.send_aside(frame(BINARY, bytes(MIB))) # the buffers that all share are there afterwards
        client.read_stream(MIB)
        sender.join()
    before = anonymous(gateway.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            stack.enter_context(opened(gateway, "/source", rcvbuf=65536))
        with opened(gateway, "/echo") as client:
            client.expect_echo() # whoever came before was served by now
        assert anonymous(gateway.pid) - before < 24 * 40 * 1024
