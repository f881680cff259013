"""How a file that is being sent may end otherwise than at its last byte: nobody reads it, it shrinks, its reader goes."""

import contextlib
import os

import pytest

from sections import listeners
from wsclient import EndOfStream, Truncated, get

SIZE = 64 << 20     # far more than the buffers of both ends hold
CONFIG = """
[server]
workers = 1
log_level = debug
[route files]
path = /files/*
root = {root}
stall_timeout = {stall}
"""


@pytest.fixture
def start(start_gateway, certificate, tmp_path):
    """start(stall): a gateway that has one large file, and its path."""
    path = tmp_path / "web" / "large.bin"

    def run(stall="1h"):
        path.parent.mkdir()
        with path.open("wb") as file:
            file.truncate(SIZE)
        return start_gateway(CONFIG.format(root=path.parent, stall=stall) + listeners(certificate, linger_timeout="200ms")), path
    return run


def begin(conn):
    """The file is on its way, and soon waits for the client."""
    conn.send(get("/files/large.bin"))
    head = conn.read_until(b"\r\n\r\n")
    assert f"content-length: {SIZE}".encode() in head.lower()


def test_file_nobody_reads(start, whole):
    """A client that takes nothing for stall_timeout is cut off, and its file is closed."""
    gateway, path = start(stall="400ms")
    with whole.connect(gateway, rcvbuf=16384) as conn:
        begin(conn)
        record = gateway.wait_session_end(conn)
    assert record["reason"] == "client_stalled"
    open_files = [os.readlink(f"/proc/{gateway.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{gateway.pid}/fd")]
    assert str(path) not in open_files


def test_file_shrinks(start, whole):
    """What is gone cannot be sent: the client learns it by the length that is missing, and the next request would be none."""
    gateway, path = start()
    got = 0
    with whole.connect(gateway, rcvbuf=16384) as conn:
        begin(conn)
        os.truncate(path, 1 << 20)
        with contextlib.suppress(EndOfStream, Truncated, ConnectionResetError):
            while True:
                part = conn.recv()
                if not part:
                    break
                got += len(part)
        record = gateway.wait_session_end(conn)
    assert got < SIZE
    assert record["reason"] == "file_cut"
    gateway.check_running()


def test_file_reader_resets(start, whole):
    gateway, _ = start()
    conn = whole.connect(gateway, rcvbuf=16384)
    begin(conn)
    conn.read(1000)
    conn.reset()
    assert gateway.wait_session_end(conn)["reason"] == "client_reset"
