"""What surrounds the gateway: a certificate, files, backends, and the configuration that leads to them.

Owns threads that serve backends; it never speaks to the gateway as a client.
"""

import hashlib
import os
import socket
import ssl
import subprocess
import time

import rig # noqa: F401  sets the path of the modules below
import backends
import wsclient
from sections import listen, listeners

BULK = 1 << 21 # more than the kernel's and the gateway's buffers hold together, when nobody reads

# sandbox = off: the shim in the gateway makes system calls of its own.
CONFIG = """
[server]
workers = 1
resolver_threads = 1
drain_timeout = 2s
log = LOG
sandbox = off
log_level = debug
access_log = on

[listen extra]
address = unix:@{extra}

[route files]
path = /files/*
root = {root}
"""
LIMITS = {"handshake_timeout": "3s", "linger_timeout": "300ms"}

ROUTE = """
[route {name}]
path = /{name}
{how}
origin = *
connect_timeout = 2s
close_timeout = 500ms
stall_timeout = 4s
ping_interval = {ping}
"""


def pattern(n):
    return (b"%07d\n" * (n // 8 + 1) % tuple(range(n // 8 + 1)))[:n]


def serve_echo(peer, last=None):
    """Echo, until the peer ends or says the last byte."""
    peer.sock.settimeout(None)
    if peer.sock.family != socket.AF_UNIX:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        data = peer.recv()
        if not data:
            return
        peer.send(data)
        if last is not None and last in data:
            return


class World:
    def __init__(self, directory):
        self.directory = directory
        self.bulk = pattern(BULK)
        self.cert, self.key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        self.key, "-subj", "/CN=gateway.test", "-days", "30", "-out", self.cert, "-addext",
                        "subjectAltName=DNS:gateway.test,DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        os.chmod(self.key, 0o644)  # a reload reads it as the gateway's user: everybody may write in this directory
        self.client_tls = ssl.create_default_context(cafile=self.cert)
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(self.cert, self.key)
        self._make_files()
        self._make_backends()

    def _make_files(self):
        self.root = os.path.join(self.directory, "root")
        os.mkdir(self.root)
        self.small, self.large = b"<p>small</p>", self.bulk[:300_000]
        for name, content in (("small.html", self.small), ("large.bin", self.large)):
            with open(os.path.join(self.root, name), "wb") as file:
                file.write(content)

    def _make_backends(self):
        self.unix_path = os.path.join(self.directory, "backend")
        self.tcp = backends.Backend(serve=serve_echo)
        self.unix = backends.Backend(self.unix_path, serve=lambda peer: serve_echo(peer, b"!"))
        self.secure = backends.Backend(serve=self._serve_secure)
        self.source = backends.Backend(serve=backends.serve_source(self.bulk))
        self.sink = backends.Backend(serve=self._serve_sink)
        self.silence = backends.Backend(serve=backends.serve_silence())
        self.refusing, self.unanswering = backends.Refusing(), backends.Unanswering()
        self.tokens = os.path.join(self.directory, "tokens")
        os.mkdir(self.tokens)
        for name, target in (("a", f"127.0.0.1:{self.tcp.port}"), ("b", f"unix_socket:{self.unix_path}")):
            with open(os.path.join(self.tokens, name), "w", encoding="ascii") as file:
                file.write(f"{name}: {target}\n")

    def _serve_secure(self, peer):
        try:
            with self.server_tls.wrap_socket(peer.sock, server_side=True) as sock:
                serve_echo(backends.Peer(sock))
        except ssl.SSLError:
            pass

    @staticmethod
    def _serve_sink(peer):
        """Takes BULK bytes, though not at once, and answers with their hash."""
        time.sleep(0.02)
        digest, left = hashlib.sha256(), BULK
        while left > 0:
            data = peer.recv()
            if not data:
                return
            digest.update(data)
            left -= len(data)
        peer.send(digest.digest())
        backends.serve_sink(peer)

    def config(self, extra):
        """extra: name of the abstract socket that one listener is at, so that a reload has something to do."""
        local = "127.0.0.1"
        targets = {
            "tcp": f"target = {local}:{self.tcp.port}",
            "unix": f"target = unix:{self.unix_path}\nprofile = interactive",
            "name": f"target = localhost:{self.tcp.port}",
            "echo": "target = echo:",
            "refused": f"target = {local}:{self.refusing.port}",
            "secure": f"target = tls:localhost:{self.secure.port}\ntarget_ca = {self.cert}",
            "unanswering": f"target = {local}:{self.unanswering.port}",
            "silence": f"target = {local}:{self.silence.port}",
            "source": f"target = {local}:{self.source.port}",
            "sink": f"target = {local}:{self.sink.port}",
            "token": f"token_file = {self.tokens}",
            "ping": f"target = {local}:{self.tcp.port}\nprofile = interactive",
        }
        text = CONFIG.format(extra=extra, root=self.root) + listeners(self, **LIMITS) + listen("auto", tls="auto", **LIMITS)
        return text + "".join(ROUTE.format(name=name, how=how, ping="100ms" if name == "ping" else "0")
                              for name, how in targets.items())

    def close(self):
        for one in (self.tcp, self.unix, self.secure, self.source, self.sink, self.silence, self.refusing, self.unanswering):
            one.close()


def connect(address, tls=None, rcvbuf=None):
    return wsclient.Connection(address, tls, rcvbuf=rcvbuf)
