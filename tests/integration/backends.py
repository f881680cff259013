"""Backends: what a route leads to. Driven by the test itself (accept, read, write, end), or served by threads (echo, ...).

Owns listening sockets on loopback, with ports that the kernel chose; knows nothing of WebSocket or of the gateway.
"""

import hashlib
import os
import socket
import threading

from wsclient import TIMEOUT


class Peer:
    """An accepted connection, the gateway's other end."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def recv(self):
        return self.sock.recv(1 << 18)

    def read(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.sock.recv(min(1 << 18, n - len(data)))
            assert part, f"the gateway ended after {len(data)} of {n} bytes"
            data += part
        return bytes(data)

    def read_to_end(self):
        """All up to the gateway's FIN. A reset raises ConnectionResetError."""
        data = bytearray()
        while True:
            part = self.recv()
            if not part:
                return bytes(data)
            data += part

    def hash_to_end(self):
        """(bytes, SHA-256) of all up to the FIN."""
        count, digest = 0, hashlib.sha256()
        while True:
            part = self.recv()
            if not part:
                return count, digest.hexdigest()
            count += len(part)
            digest.update(part)

    def end_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """RST, whatever is unread or unsent."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class Backend:
    """A listening socket. path: of a UNIX socket ("@name": abstract) instead of TCP on 127.0.0.1. serve: called with a
    Peer on a thread of its own for each connection; without it the test accepts."""

    def __init__(self, path=None, serve=None, backlog=128):
        self.path, self.serve = path, serve
        if path is None:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.sock.bind(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
            self.target = f"tcp:127.0.0.1:{self.port}"
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind("\0" + path[1:] if path.startswith("@") else path)
            self.target = f"unix:{path}"
        self.sock.listen(backlog)
        self.accepted = 0
        if serve is not None:
            self.thread = threading.Thread(target=self._accept_all, daemon=True)
            self.thread.start()

    def _accept_all(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve_one, args=(Peer(sock),), daemon=True).start()

    def _serve_one(self, peer):
        try:
            self.serve(peer)
        except OSError:
            pass
        finally:
            peer.close()

    def accept(self):
        """The next connection; the gateway dials before it answers 101, so after a 101 it is there."""
        self.sock.settimeout(TIMEOUT)
        sock, _ = self.sock.accept()
        self.accepted += 1
        return Peer(sock)

    def drop_waiting(self):
        """Closes connections that no test has accepted."""
        self.sock.settimeout(0)
        try:
            while True:
                self.sock.accept()[0].close()
        except BlockingIOError:
            pass

    def nobody_waits(self):
        """True when no connection has come that was not accepted."""
        self.sock.settimeout(0)
        try:
            self.sock.accept()[0].close()
        except BlockingIOError:
            return True
        return False

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR) # wakes the accepting thread
        except OSError:
            pass
        self.sock.close()
        if self.path is not None and not self.path.startswith("@") and os.path.exists(self.path):
            os.unlink(self.path)


def serve_echo(peer):
    """Sends back what comes, and ends when the client has ended."""
    while True:
        data = peer.recv()
        if not data:
            return
        peer.send(data)


def serve_sink(peer):
    """Takes all and says nothing."""
    while peer.recv():
        pass


def serve_source(data):
    """Sends data, ends, and waits for the client's end, taking what comes."""
    def serve(peer):
        peer.send(data)
        peer.end_sending()
        serve_sink(peer)
    return serve


def serve_silence(released=None):
    """Takes nothing and says nothing until the event is set (or the process ends)."""
    event = released or threading.Event()
    return lambda peer: event.wait()


def serve_reset(after=0):
    """Resets the connection once so many bytes have come."""
    def serve(peer):
        if after:
            peer.read(after)
        peer.reset()
    return serve


class Refusing:
    """A port that is taken but not listened on: whoever dials it is refused, and nobody else can get it."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.target = f"tcp:127.0.0.1:{self.port}"

    def close(self):
        self.sock.close()


class Unanswering:
    """A port whose SYNs are dropped: its accept queue is full and nobody accepts, so connecting to it takes forever."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(0)
        self.port = self.sock.getsockname()[1]
        self.target = f"tcp:127.0.0.1:{self.port}"
        self.fillers = []
        for _ in range(4):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.settimeout(0.2)
            self.fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self.port))
            except (TimeoutError, BlockingIOError):
                return
        raise AssertionError("the accept queue never filled up")

    def close(self):
        for filler in self.fillers:
            filler.close()
        self.sock.close()
